"""The forecast against what building takes, and the refusal of what does not fit."""

import gc
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    STDP,
    Conv2d,
    Dense,
    Events,
    FixedInDegree,
    FixedProbability,
    FixedTotalNumber,
    Input,
    LogNormal,
    MaxPool2d,
    Network,
    Normal,
    OneToOne,
    Poisson,
    Population,
    Projection,
    RewardModulatedSTDP,
    Simulation,
    Sparse,
    Trace,
    TripletSTDP,
    Uniform,
)
from snnsim.backends.contract.layout import Layout
from snnsim.backends.contract.memory import MemoryForecast, check_memory, check_room
from snnsim.backends.cpu.long_run import long_run
from snnsim.backends.cpu.parts.build import build_parts
from snnsim.backends.cpu.parts.memory import forecast, of_recordings
from snnsim.backends.cpu.parts.part import packed
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.cpu.parts.projection_groups import groups_of
from snnsim.errors import ParameterError, ResourceError, SnnsimError
from snnsim.system.machine import available_memory
from snnsim.system.tables import in_bytes

DT = 1e-3
RULES = {
    "in": FixedInDegree(200, Normal()),
    "one weight": FixedInDegree(200, 0.5),
    "total": FixedTotalNumber(90_000, Uniform()),
    "probability": FixedProbability(0.2, Normal()),
    "dense": Dense(Normal()),
    "sparse": Sparse(*np.random.default_rng(0).integers(0, 500, (2, 60_000))),
}


def network_of(rule, delay=DT, n=500, plasticity=None):
    populations = [Population("in", n, Input()), Population("a", n, LIF()), Population("b", n, LIF())]
    projections = [Projection("a", end, rule, delay=delay, plasticity=plasticity) for end in "ab"]
    return Network(populations, [Projection("in", "a", rule, delay=delay), *projections], dt=DT)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("delay", [DT, Normal(9e-3, 3e-3, low=DT), LogNormal(0.3, 0.2)], ids=str)
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float64", 3)])
def test_synapses_and_rows_are_those_that_are_built(rule, delay, dtype, threads):
    network = network_of(rule, delay)
    expected = network.memory(dtype, threads)
    layout = Layout.of(network)
    partition = Partition.of(network, layout, threads)
    stores = build_parts(network, partition, groups_of(network), range(partition.n_parts), dtype, threads)
    n_synapses = sum(store.n_synapses for store in stores)
    spread = 6 * np.sqrt(n_synapses) if isinstance(rule, FixedProbability) else 0
    assert abs(expected.n_synapses - n_synapses) <= spread
    of_synapses = sum(store.targets.nbytes + store.weights.nbytes + store.delays.nbytes for store in stores)
    assert abs(expected.synapses - of_synapses) <= spread * of_synapses / n_synapses + 1
    of_rows = sum(store.nbytes for store in stores) - of_synapses
    for store in stores:  # delays of their own are packed beside the rows
        segments, segment_rows, _ = packed(store, [500] * store.row_start.size)
        of_rows += segments.nbytes + segment_rows.nbytes
    assert of_rows <= expected.rows * 1.01 + 100
    assert expected.rows <= of_rows * (1.01 if delay == DT else 2)
    assert (expected.building > 0) == isinstance(rule, (Dense, Sparse))
    assert expected.total == expected.synapses + expected.rows + expected.state + expected.building


@pytest.mark.parametrize(
    "delay", [Normal(9e-3, 3e-3), Normal(9e-3, 9e-3, high=12e-3), LogNormal(0.03, 0.02), Uniform(0, 0.02)]
)
def test_the_longest_delay_is_foreseen_without_drawing(delay):
    network = network_of(FixedInDegree(200), delay)
    for projection in network.projections:
        likely, longest = (
            network.connection(projection).likely_longest_delay,
            network.connection(projection).longest_delay,
        )
        assert longest <= likely <= 2 * longest
        assert likely <= 12 or delay != Normal(9e-3, 9e-3, high=12e-3)


def test_ranks_share_what_is_built():
    one, two = (forecast(network_of(RULES["in"]), threads=1, ranks=ranks) for ranks in (1, 2))
    assert two.synapses == pytest.approx(one.synapses / 2, rel=1e-6)
    assert two.n_synapses == one.n_synapses


def test_plastic_projections_take_more():
    plain, plastic = (network_of(FixedInDegree(50, Uniform()), plasticity=rule).memory() for rule in (None, STDP()))
    assert plain.plasticity == 0
    assert plastic.plasticity > 4 * 2 * 500 * 50


def test_networks_that_do_not_go_in_parts_keep_the_form_of_their_rules():
    populations = [
        Population("in", (1, 8, 8), Input()),
        Population("a", (4, 8, 8), LIF()),
        Population("b", (4, 4, 4), LIF()),
    ]
    network = Network(
        populations,
        [Projection("in", "a", Conv2d(Normal(), padding=1, kernel=3)), Projection("a", "b", MaxPool2d(2))],
        dt=DT,
    )
    assert network.memory().synapses == 4 * 9 * 4 + 256 * 8


def test_the_table_shows_every_part():
    text = str(network_of(RULES["in"], Normal(9e-3, 3e-3)).memory())
    for expected in ("synapses", "300,000", "2.1 MB", "7 bytes a synapse", "state", "1,000", "total", "given back"):
        assert expected in text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234567, "1.23 MB"), (999_600, "1 MB"), (5e15, "5e+03 TB")],
)
def test_bytes_in_three_digits(size, text):
    assert in_bytes(size) == text


# -- against what is taken ------------------------------------------------------------------------------------

N = 300
_RANDOM = np.random.default_rng(3)
DELAYS = Uniform(1e-3, 20e-3)
FORMS = {
    "array": (Dense(_RANDOM.random((N, N))), DT, None),
    "one number": (Dense(0.1), DT, None),
    "drawn": (Dense(Uniform()), DELAYS, None),
    "delays": (Dense(_RANDOM.random((N, N))), _RANDOM.integers(1, 20, (N, N)) * DT, None),
    "list": (Sparse(*_RANDOM.integers(0, N, (2, N * N // 2)), _RANDOM.random(N * N // 2)), DT, None),
    "list and delays": (Sparse(*_RANDOM.integers(0, N, (2, N * N // 2)), _RANDOM.random(N * N // 2)), DELAYS, None),
    "in-degree": (FixedInDegree(N // 2, Uniform()), DT, None),
    "in-degree and delays": (FixedInDegree(N // 2, Uniform()), DELAYS, None),
    "pairs": (Dense(_RANDOM.random((N, N))), DT, STDP()),
    "triplets": (FixedInDegree(N // 2, Uniform()), DELAYS, TripletSTDP()),
    "reward": (Dense(Uniform()), DT, RewardModulatedSTDP()),
    "a second": (OneToOne(0.1), 1.0, None),
}


def taken(work):
    """Return the most memory that Python and NumPy have held during some work."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = work()
        return tracemalloc.get_traced_memory()[1], kept
    finally:
        tracemalloc.stop()


# Plasticity is that of one long run.
WAYS = [
    (form, way)
    for way in ("run", "run_samples", "reference", "crossbar")
    for form, (_, _, plasticity) in FORMS.items()
    if plasticity is None or way in ("run", "reference")
]


@pytest.mark.parametrize(("form", "way"), WAYS)
def test_a_forecast_is_what_a_simulation_takes(form, way, monkeypatch):
    """For every backend and form of synapses: no more than a tenth below, and no more than about twice as much."""
    rule, delay, plasticity = FORMS[form]
    monkeypatch.setattr(long_run, "_LONGEST_WINDOW", 4)  # room for spikes that none takes
    populations = [Population("in", N, Input()), Population("a", N, LIF())]
    projection = Projection("in", "a", rule, delay=delay, plasticity=plasticity)
    network = Network(populations, [projection], dt=DT, extension=0.0)
    silence = Events.from_ticks([], [], n_sources=N, n_ticks=2, dt=DT)
    backend = way if way in ("reference", "crossbar") else "cpu"

    def make(**options):
        simulation = Simulation(network, backend, threads=1, **options)
        (simulation.run_samples if way == "run_samples" else simulation.run)(inputs=silence)
        return simulation

    make()  # compiled, or loaded
    peak, simulation = taken(make)
    if way == "run":
        foreseen = forecast(network, threads=1)
    elif way == "run_samples":
        foreseen = of_recordings(network, "float32")
    else:
        foreseen = simulation.program.forecast()
    assert 0.9 * (peak - 3e5) <= foreseen.total <= 2.2 * peak
    with pytest.raises(ResourceError, match=r"network 'network' needs .* memory_limit allows"):
        make(memory_limit=foreseen.total // 3)


def test_nothing_is_allocated_before_the_refusal():
    """A second of delay at ticks of a microsecond is 4 MB of state a neuron; nothing of it is taken, on any backend."""
    network = Network([Population("a", 10_000, LIF(20e-3))], [Projection("a", "a", OneToOne(0.1), delay=1.0)], dt=1e-6)
    assert network.memory(threads=1).total > 40e9
    message = r"needs (?:4\d|80)(\.\d)? GB \(state (?:4\d|80)(\.\d)? GB\), memory_limit allows 4\.29 GB"  # 80 on a chip

    def refused(backend):
        with pytest.raises(ResourceError, match=message):
            Simulation(network, backend, memory_limit=2**32)

    for backend in ("cpu", "reference", "crossbar"):
        assert taken(lambda backend=backend: refused(backend))[0] < 5e6


def test_delays_are_not_drawn_before_the_refusal(monkeypatch):
    monkeypatch.setattr(
        "snnsim.network.connection.Connection._longest_drawn", lambda *_: pytest.fail("delays were drawn")
    )
    network = network_of(FixedInDegree(1000, Uniform()), LogNormal(9e-3, 3e-3), n=1000)
    for backend in ("cpu", "reference", "crossbar"):
        with pytest.raises(ResourceError):
            Simulation(network, backend, memory_limit=10**6)


def small(outputs=3):
    populations = [Population("in", 2, Input()), Population("a", 1000, LIF()), Population("out", outputs, LI())]
    return Network(populations, [Projection("in", "a", Dense(0.1)), Projection("a", "out", Dense(0.1))], dt=DT)


def test_a_batch_that_does_not_fit_is_refused_before_it_is_made(backend):
    network = small()
    given = Events.from_dense(np.zeros((5000, 3, 2), int), DT)
    simulation = Simulation(network, backend, memory_limit=4 * 10**6)
    for asked in (None, ["a"], []):
        with pytest.raises(ResourceError, match=r"run_samples with batch_size=5000 needs .* \(states .*batch_size"):
            simulation.run_samples(given, record=asked, batch_size=5000)
    assert len(simulation.run_samples(given, batch_size=50)) == 5000
    with pytest.raises(ResourceError, match=r"traces 120 MB\).*neurons=..., every=..."):
        simulation.run_samples(given, record=Trace("a"), batch_size=50)


def test_events_that_sources_would_draw_for_a_batch_are_foreseen(backend):
    populations = [Population("in", 1, Input()), Population("noise", 500, Poisson(100.0)), Population("a", 1, LIF())]
    network = Network(populations, [Projection("noise", "a", Dense(0.01))], dt=DT)
    given = Events.from_dense(np.zeros((20, 1000, 1), int), DT)
    simulation = Simulation(network, backend, memory_limit=2 * 10**6)
    with pytest.raises(ResourceError, match=r"batch_size=20 needs 24 MB \(events of sources 24 MB\)"):
        simulation.run_samples(given, batch_size=20)


def test_traces_of_a_long_run_that_do_not_fit_are_refused_before_it_begins(backend, tmp_path):
    simulation = Simulation(small(), backend, memory_limit=4 * 10**6)
    silence = Events.from_ticks([], [], n_sources=2, n_ticks=10**6, dt=DT)
    with pytest.raises(ResourceError, match=r"run of 1000000 ticks needs 4 GB \(traces 4 GB\).*stream='result.h5'"):
        simulation.run(inputs=silence, record=Trace("a"))
    assert simulation.tick == 0
    simulation.run(inputs=silence.crop(100), record=Trace("a"))
    simulation.save_checkpoint(tmp_path / "c.h5")
    with pytest.raises(ResourceError, match=r"memory_limit allows 10 kB"):
        Simulation.from_checkpoint(tmp_path / "c.h5", memory_limit=10_000)
    assert Simulation.from_checkpoint(tmp_path / "c.h5", memory_limit=10**6).tick == 100


def test_what_is_needed_and_what_there_is_never_read_the_same():
    with pytest.raises(ResourceError, match=r"needs 1,000,000,001 B .* memory_limit allows 1,000,000,000 B"):
        check_room("it", {"all": 10**9 + 1}, "", 10**9)


# -- refusal -------------------------------------------------------------------------------------------------

LARGE = MemoryForecast("large", 10, 10**9, 7 * 10**9, 10**8, 10**6, 0, 0)


def test_what_does_not_fit_is_refused_with_what_to_do():
    with pytest.raises(ResourceError) as caught:
        check_memory(LARGE, 5 * 10**9)
    text = str(caught.value)
    assert text.startswith("network 'large' needs 7.1 GB (synapses 7 GB, rows 100 MB), memory_limit allows 5 GB.")
    assert "dtype='float32'" in text
    assert "mpiexec" in text
    assert isinstance(caught.value, SnnsimError)
    assert isinstance(caught.value, MemoryError)
    check_memory(LARGE, 8 * 10**9)


def test_the_machine_is_asked_where_no_limit_is_given(monkeypatch):
    monkeypatch.setattr("snnsim.backends.contract.memory.available_memory", lambda: 10**9)
    with pytest.raises(ResourceError, match="there are 1 GB"):
        check_memory(LARGE)
    monkeypatch.setattr("snnsim.backends.contract.memory.available_memory", lambda: None)
    check_memory(LARGE)


@pytest.mark.parametrize(("dtype", "threads"), [("float16", 1), ("float32", 0), ("float32", 1.5)])
def test_nonsense_is_refused(dtype, threads):
    with pytest.raises(ParameterError, match=r"dtype|threads"):
        network_of(RULES["in"]).memory(dtype, threads)


def write(root, contents):
    for path, text in contents.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


MEMINFO = "MemTotal:       32000000 kB\nMemAvailable:   16000000 kB\n"


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": "nonsense"}, None),
        ({"proc/meminfo": MEMINFO}, 16_000_000 * 1024),
        (  # version 2: the tightest of the groups that hold each other counts, and files in the cache can be given up
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/outer/inner\n",
                "sys/fs/cgroup/outer/inner/memory.max": "max\n",
                "sys/fs/cgroup/outer/inner/memory.current": "10\n",
                "sys/fs/cgroup/outer/memory.max": "5000\n",
                "sys/fs/cgroup/outer/memory.current": "3000\n",
                "sys/fs/cgroup/outer/memory.stat": "anon 2000\ninactive_file 700\n",
            },
            2700,
        ),
        (  # in a container the path is not there, and the group is the root
            {
                "proc/self/cgroup": "0::/docker/abc\n",
                "sys/fs/cgroup/memory.max": "4000\n",
                "sys/fs/cgroup/memory.current": "5000\n",
            },
            0,
        ),
        (  # version 1
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "5:cpu:/x\n4:memory:/y\n",
                "sys/fs/cgroup/memory/y/memory.limit_in_bytes": "9000\n",
                "sys/fs/cgroup/memory/y/memory.usage_in_bytes": "2000\n",
                "sys/fs/cgroup/memory/y/memory.stat": "total_inactive_file 1000\n",
            },
            8000,
        ),
    ],
)
def test_what_is_available_is_the_tightest_of_machine_and_control_groups(tmp_path, contents, expected):
    write(tmp_path, contents)
    assert available_memory(tmp_path) == expected


# -- peak ----------------------------------------------------------------------------------------------------

PEAK = """
import sys, threading
import snnsim as sn
from snnsim.backends.cpu.parts.build import build_parts
from snnsim.backends.cpu.parts.projection_groups import groups_of
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.contract.layout import Layout

def build(n, in_degree):
    delay = sn.Normal(1.5e-3, 0.75e-3, low=1e-4)
    projections = [sn.Projection("a", "a", sn.FixedInDegree(in_degree, sn.Normal(0.1, 0.01)), delay=delay)]
    network = sn.Network([sn.Population("a", n, sn.LIF())], projections, dt=1e-4)
    layout = Layout.of(network)
    partition = Partition.of(network, layout, 2)
    return build_parts(network, partition, groups_of(network), range(partition.n_parts), "float32", 2)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def watch():
    while not done.wait(0.002):
        seen.append(resident())

build(100, 10)  # compiled, or loaded
before, seen, done = resident(), [], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
stores = build(10_000, 1000)
seen.append(resident())
done.set()
watcher.join()
print((max(seen) - before) / sum(store.n_synapses for store in stores))
"""


def test_building_takes_no_more_than_eight_bytes_a_synapse():
    """Weights and delays of their own; resident memory of a process of its own, while it builds."""
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert 7 <= float(done.stdout) <= 8


def test_building_allocates_nothing_but_the_rows():
    network = network_of(FixedInDegree(1000, Normal()), Normal(9e-3, 3e-3, low=DT), n=1000)
    layout = Layout.of(network)
    partition = Partition.of(network, layout, 2)
    build_parts(network, partition, groups_of(network), range(2), "float32", 2)  # compiled, or loaded
    tracemalloc.start()
    try:
        stores = build_parts(network, partition, groups_of(network), range(2), "float32", 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 1.01 * sum(store.nbytes for store in stores) + 2e5
