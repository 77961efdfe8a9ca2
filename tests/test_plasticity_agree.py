"""Plastic networks give the same spikes, states and weights on every backend and any number of threads, bit for bit."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim import (
    LIF,
    STDP,
    Delta,
    Dense,
    Events,
    Exponential,
    FixedInDegree,
    FixedProbability,
    Input,
    Network,
    Normal,
    Normalisation,
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
from snnsim.backends.cpu.parts import plasticity_records
from snnsim.errors import CapabilityError, DataError, ParameterError

DT = 1e-3


def random_rule(generator):
    """Return a rule with parameters drawn at random."""
    amplitudes = [float(a) for a in generator.uniform(0.005, 0.2, 4)]
    times = [float(a) for a in generator.uniform(2e-3, 60e-3, 4)]
    more = {
        "minimum": -1.0,
        "maximum": 1.5,
        "weight_dependence": str(generator.choice(["additive", "multiplicative"])),
        "pairing": str(generator.choice(["all", "nearest"])),
        "normalisation": Normalisation(3.0, 7e-3) if generator.random() < 0.3 else None,
    }
    kind = generator.integers(3)
    if kind == 0:
        return STDP(*amplitudes[:2], *times[:2], **more)
    if kind == 1:
        return TripletSTDP(*amplitudes, *times, **more)
    return RewardModulatedSTDP(*amplitudes[:2], *times[:2], 50e-3, **more)


def random_network(seed):
    """Return a recurrent network in which most projections learn."""
    generator = np.random.default_rng(seed)
    sizes = [int(n) for n in generator.integers(3, 20, 2)]
    receptors = (Delta("fast"), Exponential(4e-3, "slow"))
    populations = [
        Population("noise", 12, Poisson(generator.uniform(20, 900, 12))),  # several events in a tick now and then
        *(Population(f"p{i}", n, LIF(refractory=2e-3, receptors=receptors)) for i, n in enumerate(sizes)),
    ]
    projections = [Projection("noise", "p0", Dense(Uniform(0.2, 0.9)), name="drive")]
    for number in range(int(generator.integers(2, 7))):
        source = populations[int(generator.integers(3))]
        target = populations[int(generator.integers(1, 3))]
        n, m = source.size, target.size
        count = int(generator.integers(0, n * m))
        weights = Normal(0.3, 0.3, low=-0.9, high=1.4)
        connectivity = [
            Dense(weights),
            Sparse(generator.integers(0, n, count), generator.integers(0, m, count), weights),
            FixedProbability(0.4, weights),
            FixedInDegree(5, weights),
        ][int(generator.integers(4))]
        delay = [3e-3, 1e-3, Uniform(1e-3, 12e-3)][int(generator.integers(3))]
        rule = random_rule(generator) if generator.random() < 0.75 else None
        receptor = str(generator.choice(["fast", "slow"]))
        projections.append(Projection(source.name, target.name, connectivity, delay, receptor, f"q{number}", rule))
    return Network(populations, projections, dt=DT, seed=seed)


def learned(net, backend, pieces, dtype="float32", **options):
    """Run in pieces, with rewards between them; return the simulation and the results."""
    sim = Simulation(net, backend, dtype=dtype, **options)
    probes = [p.name for p in net.populations]
    probes += [Trace(p.name, "membrane") for p in net.populations if not p.is_source]
    results = []
    for ticks in pieces:
        results.append(sim.run(ticks * DT, record=probes))
        for projection in net.projections:
            if projection.plasticity is not None and projection.plasticity.eligibility is not None:
                sim.reward(projection.name, 0.7)
    return sim, results


def assert_same(net, first, second):
    """Check two simulations and their results for equality in every bit."""
    for one, other in zip(first[1], second[1], strict=True):
        for name in one.spikes:
            assert one.spikes[name] == other.spikes[name], f"spikes of {name} differ"
        for key, values in one.traces.items():
            np.testing.assert_array_equal(values, other.traces[key], err_msg=str(key))
        assert np.array_equal(one.counters.synaptic_operations, other.counters.synaptic_operations)
    for projection in net.projections:
        weights = [sim.weights(projection.name) for sim, _ in (first, second)]
        assert weights[0].dtype == weights[1].dtype
        np.testing.assert_array_equal(*weights, err_msg=projection.name)
    for one, other in zip(first[0].state.plastic, second[0].state.plastic, strict=True):
        for name in vars(one):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(other_plastic_backend, seed):
    net = random_network(seed)
    dtype = ["float32", "float64"][seed % 2]
    reference = learned(net, "reference", (60, 1, 90), dtype)
    assert_same(net, reference, learned(net, other_plastic_backend, (60, 1, 90), dtype, threads=1 + seed % 3))


def test_the_random_networks_are_worth_comparing():
    """They fire, and learn with every rule."""
    kinds, rates = set(), []
    for seed in range(12):
        net = random_network(seed)
        sim = Simulation(net, "reference")
        result = sim.run(0.1)
        rates.append(sum(result.spikes[p].ticks.size for p in result.spikes) / 0.1)
        for projection in net.projections:
            start = net.synapses(projection).weights.astype(np.float32)
            if projection.plasticity is not None and not np.array_equal(start, sim.weights(projection.name)):
                kinds.add(type(projection.plasticity).__name__)
    assert kinds >= {"STDP", "TripletSTDP"}
    assert np.mean(rates) > 50


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("visit", ["ticks", "events"])
def test_neither_threads_nor_the_way_of_visiting_change_anything(other_plastic_backend, threads, visit):
    rule = TripletSTDP(normalisation=Normalisation(0.6, 10e-3))
    net = Network(
        [Population("in", 10, Poisson(200.0)), Population("out", 30, LIF(time_constant=30e-3))],
        [
            Projection("in", "out", Dense(Normal(0.3, 0.1, low=0.0, high=0.9)), Uniform(1e-3, 6e-3), plasticity=STDP()),
            Projection("out", "out", FixedInDegree(6, 0.1), 2e-3, plasticity=rule),
        ],
        dt=DT,
        seed=3,
    )
    reference = learned(net, "reference", (200,))
    other = learned(net, other_plastic_backend, (73, 127), threads=threads, visit=visit)
    assert reference[1][0].spikes["out"].ticks.size > 100
    for name in ("in->out", "out->out"):
        np.testing.assert_array_equal(reference[0].weights(name), other[0].weights(name))


def test_weights_are_normalised_where_nothing_else_happens(other_plastic_backend):
    """Ticks that are skipped hold a time to normalise."""
    rule = STDP(maximum=9.0, normalisation=Normalisation(4.0, 50e-3))
    net = driven(rule, [0, 1], [0, 0], 1.0, np.array([1, 1]), (2, 1))
    nothing = Events.from_ticks(np.zeros(0, int), np.zeros(0, int), n_sources=2, dt=DT, n_ticks=1000)
    inputs = {"pre": nothing, "driver": Events.from_ticks([3], [0], n_sources=1, dt=DT, n_ticks=1000)}
    for duration, expected in ((0.049, 1.0), (0.05, 2.0), (1.0, 2.0)):
        sim = Simulation(net, other_plastic_backend, visit="events")
        sim.run(duration, {name: events.crop(round(duration / DT), 0) for name, events in inputs.items()})
        np.testing.assert_array_equal(sim.weights("learning"), expected)


# -- trains drawn by hypothesis --------------------------------------------------------------------------------------


def driven(rule, sources, targets, weights, delays, sizes, dt=DT):
    """Return a network whose targets fire when their driver does."""
    return Network(
        [
            Population("pre", sizes[0], Input()),
            Population("driver", sizes[1], Input()),
            Population("post", sizes[1], LIF(time_constant=10e-3, threshold=1e3, reset="zero")),
        ],
        [
            Projection("driver", "post", OneToOne(2e6)),
            Projection("pre", "post", Sparse(sources, targets, weights), delays * dt, plasticity=rule, name="learning"),
        ],
        dt=dt,
    )


@st.composite
def cases(draw):
    """Draw a rule, wiring with delays, and trains of spikes in which a source may stand twice in a tick."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, synapses = (draw(st.integers(1, high)) for high in (4, 4, 24))
    longest, n_ticks = draw(st.sampled_from([1, 5, 300])), draw(st.sampled_from([40, 400]))
    rates = [draw(st.sampled_from([0.0, 0.02, 0.3])), draw(st.sampled_from([0.02, 0.3, 0.9]))]
    pre = generator.poisson(rates[0], (1, n_ticks, n))
    post = (generator.random((1, n_ticks, m)) < rates[1]).astype(int)
    net = driven(
        random_rule(generator),
        generator.integers(0, n, synapses),
        generator.integers(0, m, synapses),
        generator.uniform(-0.9, 1.4, synapses),
        generator.integers(1, longest + 1, synapses),
        (n, m),
    )
    return net, {"pre": Events.from_dense(pre, DT), "driver": Events.from_dense(post, DT)}, draw(st.integers(1, 39))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_any_trains_any_delays(other_plastic_backend, case):
    """Up to 400 postsynaptic spikes between two arrivals: more than a history holds."""
    net, inputs, cut = case
    n_ticks = inputs["pre"].n_ticks
    sims = []
    for backend, ends in (("reference", (0, n_ticks)), (other_plastic_backend, (0, cut, n_ticks))):
        sim = Simulation(net, backend, threads=2)
        for first, last in itertools.pairwise(ends):
            window = {name: events.crop(last - first, first) for name, events in inputs.items()}
            sim.run((last - first) * DT, window, record=())
        sims.append(sim)
    np.testing.assert_array_equal(*(sim.weights("learning") for sim in sims))
    for name in vars(sims[0].state.plastic[0]):
        first, second = (getattr(sim.state.plastic[0], name) for sim in sims)
        np.testing.assert_array_equal(first, second, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fine_ticks_and_long_traces(other_plastic_backend, dtype):
    """An eligibility of a second in ticks of a microsecond: tables of every tick would be too long."""
    generator = np.random.default_rng(2)
    rule = RewardModulatedSTDP(0.1, 0.1, 20e-3, 20e-3, eligibility_time_constant=1.0)
    net = driven(rule, [0, 1, 1], [0, 0, 1], [0.4, 0.5, 0.6], np.array([1, 300, 7]), (2, 2), dt=1e-6)
    weights = []
    for backend in ("reference", other_plastic_backend):
        sim = Simulation(net, backend, dtype=dtype)
        for _ in range(2):
            generator = np.random.default_rng(sim.tick)
            inputs = {
                name: Events.from_ticks(
                    np.sort(generator.choice(3000, 5, replace=False)), generator.integers(0, 2, 5), n_sources=2, dt=1e-6
                )
                for name in ("pre", "driver")
            }
            sim.run(3e-3, inputs, record=())
        sim.reward("learning", 1.0)
        weights.append(sim.weights("learning"))
    assert not np.allclose(weights[0], [0.4, 0.5, 0.6])
    np.testing.assert_array_equal(*weights)


# -- states -----------------------------------------------------------------------------------------------------------


def test_one_program_runs_several_states_in_turn(other_plastic_backend):
    """Each goes on with its own weights, and a new one starts with those of the network."""
    net = random_network(3)
    sim, others = Simulation(net, other_plastic_backend, threads=2), []
    plastic = next(p.name for p in net.projections if p.plasticity is not None)
    for _ in range(2):
        others.append(Simulation(net, "reference"))
    first = sim.state
    sim.run(0.04)
    sim.reset()
    sim.run(0.07)
    second = sim.state
    for state in (first, second, first):
        sim._state = state
        sim.run(0.01)
    others[0].run(0.06)
    others[1].run(0.08)
    for state, other in zip((first, second), others, strict=True):
        sim._state = state
        np.testing.assert_array_equal(sim.weights(plastic), other.weights(plastic))


@pytest.mark.parametrize("seed", [3, 4, 8])
def test_ticks_are_counted_from_a_new_origin_before_they_overflow(seed, monkeypatch):
    net = random_network(seed)
    reference = learned(net, "reference", (45, 45, 45, 45))
    monkeypatch.setattr(plasticity_records, "LAST_TICK", 60)
    assert_same(net, reference, learned(net, "cpu", (45, 45, 45, 45), threads=2))
    with pytest.raises(ParameterError, match=r"a run of 61 ticks is too long.*60 ticks at a time"):
        Simulation(net, "cpu").run(61 * DT)


@pytest.mark.parametrize("name", ["weights", "eligibility"])
def test_a_state_of_another_network_is_refused(plastic_backend, name):
    sim = Simulation(random_network(3), plastic_backend)
    setattr(sim.state.plastic[0], name, np.zeros(3, np.float32))
    with pytest.raises(DataError, match=rf"the state holds {name} of shape \(3,\), the network has \d+ synapses"):
        sim.run(0.01)


def test_what_cannot_go_in_parts_is_refused_by_name():
    net = Network(
        [Population("in", 3, Input()), Population("a", 3, LIF()), Population("b", 3, LIF())],
        [Projection("in", "a", Dense(0.5), DT, plasticity=STDP()), Projection("a", "b", Dense(0.5))],
        dt=DT,
    )
    with pytest.raises(
        CapabilityError, match=r"'in->a' in a network in which projection 'a->b' has no delay.*reference"
    ):
        Simulation(net, "cpu")


SCRIPT = """
import hashlib, sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_plasticity_agree import learned, random_network
digest = hashlib.sha256()
for seed in (3, 8):
    simulation, _ = learned(random_network(seed), "cpu", (60, 50), threads=1)
    for projection in simulation.network.projections:
        digest.update((simulation.weights(projection.name) + 0.0).tobytes())
    for state in simulation.state.plastic:
        for name, values in vars(state).items():
            if isinstance(values, np.ndarray):
                digest.update(name.encode() + np.ascontiguousarray(values + 0).tobytes())
sys.stdout.write(digest.hexdigest() + "\\n")
"""


@pytest.mark.slow
def test_ranks_give_the_bits_of_one_process():
    """Weights are gathered from all ranks, and rewards given on all of them."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    assert launcher, "no mpiexec: the tests need the extra 'mpi' (pip install 'snnsim[dev]')"
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    digests = []
    for start in ([], [launcher, "-n", "2"]):
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [*start, sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
        assert done.returncode == 0, done.stderr
        digests += done.stdout.split()
    assert len(digests) == 3
    assert len(set(digests)) == 1


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_code_of_the_page_runs():
    """The example of docs/plasticity.md, for half a second in place of 400, and its figure."""
    from matplotlib import pyplot

    text = (Path(__file__).resolve().parent.parent / "docs" / "plasticity.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block.replace("run(400.0)", "run(0.5)"), names)
    pyplot.close("all")
    assert not np.array_equal(names["before"], names["after"])
    assert names["learned"].projection("inputs->neuron").plasticity == names["rule"]
