"""Inputs of real values: what a frame means, the same bits on reference and cpu, and what refuses it by name."""

from dataclasses import replace

import numpy as np
import pytest

import snnsim as sn
from snnsim import Frames, Simulation
from snnsim.backends.reference.program import ReferenceProgram
from snnsim.dynamic_confidence import DynamicConfidence
from snnsim.energy import digital_45nm, energy_report, loihi
from snnsim.errors import CapabilityError, DataError, NetworkError, ParameterError

DT = 1e-3
DTYPES = ("float32", "float64")


def dense(rule=None, delay=0.0, size=12, readout=4):
    generator = np.random.default_rng(1)
    rule = rule or sn.Dense(generator.normal(0, 0.6, (size, 9)))
    return sn.Network(
        [
            sn.Population("in", size, sn.Input()),
            sn.Population("a", 9, sn.LIF(5e-3)),
            sn.Population("out", readout, sn.LI(3e-3)),
        ],
        [
            sn.Projection("in", "a", rule, delay=delay),
            sn.Projection("a", "out", sn.Dense(generator.normal(0, 0.5, (9, readout)))),
        ],
        dt=DT,
    )


def random_network(generator):
    """A network with every form of a projection from an input of images, and another input beside it."""
    delay = lambda: float(generator.integers(0, 4)) * DT  # noqa: E731
    weights = generator.normal(0, 0.5, (3, 2, 3, 3))
    own = generator.integers(0, 5, (2 * 36, 10)) * DT
    some = np.sort(generator.integers(0, 72, 150))
    populations = [
        sn.Population("in", (2, 6, 6), sn.Input()),
        sn.Population("other", 5, sn.Input()),
        sn.Population("conv", (3, 6, 6), sn.LIF(4e-3, receptors=[sn.Exponential(3e-3, "slow")])),
        sn.Population("sum", (2, 3, 3), sn.IF(threshold=2.0)),
        sn.Population("max", (2, 3, 3), sn.LIF(2e-3, reset="zero")),
        sn.Population("same", (2, 6, 6), sn.LIF(3e-3)),
        sn.Population("full", 10, sn.LIF(6e-3)),
        sn.Population("out", 4, sn.LI(5e-3)),
    ]
    projections = [
        sn.Projection("in", "conv", sn.Conv2d(weights, stride=1, padding=1), delay=delay()),
        sn.Projection("in", "sum", sn.SumPool2d(2, weights=0.7), delay=delay()),
        sn.Projection("in", "max", sn.MaxPool2d(2, weights=0.9), delay=delay()),
        sn.Projection("in", "same", sn.OneToOne(generator.normal(0, 1, 72)), delay=delay()),
        sn.Projection("in", "full", sn.Dense(generator.normal(0, 0.3, (72, 10))), delay=own),
        sn.Projection(
            "in", "full", sn.Sparse(some, generator.integers(0, 10, 150), generator.normal(0, 1, 150)), name="s"
        ),
        sn.Projection("other", "full", sn.Dense(generator.normal(0, 1, (5, 10))), delay=delay()),
        *(sn.Projection(name, "out", sn.Dense(sn.Normal(0, 0.3))) for name in ("conv", "sum", "max", "same", "full")),
    ]
    return sn.Network(populations, projections, dt=DT, seed=int(generator.integers(1000)))


def random_inputs(generator, recordings=5, ticks=11):
    """Frames for the images, of either kind, some shorter than others; events or frames for the other input."""
    shape = (recordings, 72) if generator.random() < 0.5 else (recordings, ticks, 72)
    values = generator.normal(0, 1, shape) * (generator.random(shape) < 0.6)
    images = Frames.constant(values, n_ticks=ticks, dt=DT) if len(shape) == 2 else Frames.from_dense(values, DT)
    images = images.with_lengths(generator.integers(1, ticks + 1, recordings))
    counts = generator.poisson(0.3, (recordings, ticks, 5))
    other = sn.Events.from_dense(counts, DT) if generator.random() < 0.5 else Frames.from_dense(counts + 0.25, DT)
    return {"in": images, "other": other}


def assert_same(one, two):
    for name in one.spikes:
        assert one.spikes[name] == two.spikes[name], name
    for key in one.traces:
        assert np.array_equal(one.traces[key], two.traces[key], equal_nan=True), key
    for name in ("spikes", "synaptic_operations", "multiply_accumulates", "membrane_updates", "exit_ticks"):
        assert np.array_equal(getattr(one.counters, name), getattr(two.counters, name)), name


# -- what a frame means ------------------------------------------------------------------------------------


def test_values_multiply_weights_at_every_tick_by_hand():
    generator = np.random.default_rng(0)
    weights, values = generator.normal(size=(6, 3)), generator.normal(size=(2, 4, 6))
    net = sn.Network(
        [sn.Population("in", 6, sn.Input()), sn.Population("out", 3, sn.LI(2e-3))],
        [sn.Projection("in", "out", sn.Dense(weights), delay=DT)],
        dt=DT,
        extension=DT,
    )
    found = Simulation(net, "reference", dtype="float64").run_samples(Frames.from_dense(values, DT)).readout("out")
    leak = np.exp(-DT / 2e-3)
    for recording in range(2):
        membrane = np.zeros(3)
        for tick in range(5):
            arrived = np.zeros(3)
            for source in range(6 if tick else 0):  # one tick late
                arrived += values[recording, tick - 1, source] * weights[source]
            membrane = leak * membrane + arrived
            assert found[recording, tick] == pytest.approx(membrane, rel=1e-12)


@pytest.mark.parametrize("rule", ["dense", "sparse", "one"])
def test_frames_of_zeros_and_ones_are_events(backend, rule):
    """Where nothing else arrives the sums are the same bits."""
    generator = np.random.default_rng(2)
    size = 9 if rule == "one" else 12
    some = np.sort(generator.integers(0, 12, 60))
    rules = {
        "dense": None,
        "one": sn.OneToOne(generator.normal(0, 1.5, 9)),
        "sparse": sn.Sparse(some, generator.integers(0, 9, 60), generator.normal(0, 1, 60)),
    }
    net = dense(rules[rule], delay=2e-3, size=size)
    counts = (generator.random((4, 9, size)) < 0.3).astype(np.int64)
    simulation = Simulation(net, backend)
    events = simulation.run_samples(sn.Events.from_dense(counts, DT), record="a")
    frames = simulation.run_samples(Frames.from_dense(counts, DT), record="a")
    assert events.spikes["a"] == frames.spikes["a"]
    assert events.spikes["a"].ticks.size
    assert np.array_equal(events.counters.synaptic_operations[:, 0], frames.counters.multiply_accumulates[:, 0])
    assert frames.counters.synaptic_operations[:, 0].sum() == 0
    assert frames.counters.spikes[:, 0].sum() == 0


def test_a_still_frame_is_that_frame_at_every_tick(backend):
    generator = np.random.default_rng(3)
    net, ticks = random_network(generator), 7
    images, other = generator.normal(size=(3, 72)), sn.Events.from_dense(generator.poisson(0.2, (3, ticks, 5)), DT)
    still, moving = Frames.constant(images, n_ticks=ticks, dt=DT), np.repeat(images[:, None], ticks, axis=1)
    simulation = Simulation(net, backend)
    record = ["conv", "sum", "max", "same", "full"]
    one = simulation.run_samples({"in": still, "other": other}, record=record)
    two = simulation.run_samples({"in": Frames.from_dense(moving, DT), "other": other}, record=record)
    assert_same(one, two)
    assert all(one.spikes[name].ticks.size for name in record)


def test_max_pooling_takes_the_largest_value_of_a_window_zeros_and_negative_ones_too():
    net = sn.Network(
        [sn.Population("in", (1, 2, 4), sn.Input()), sn.Population("out", (1, 1, 2), sn.LI(0.0))],
        [sn.Projection("in", "out", sn.MaxPool2d(2, weights=2.0))],
        dt=DT,
    )
    image = np.array([[[[-3.0, -1.0, -2.0, 0.0], [-2.0, -5.0, -4.0, -1.0]]]])
    for backend in ("reference", "cpu", "crossbar"):
        result = Simulation(net, backend).run_samples(Frames.constant(image, n_ticks=2, dt=DT))
        assert np.array_equal(result.readout("out")[0], [[-2.0, 0.0]] * 2)
        assert result.counters.multiply_accumulates[0, 0] == 2 * 2


# -- the same bits everywhere ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("dtype", DTYPES)
def test_reference_and_cpu_agree_on_random_networks(seed, dtype):
    generator = np.random.default_rng(seed)
    net, inputs = random_network(generator), random_inputs(generator)
    record = ["conv", "sum", "max", "same", "full"]
    slow = Simulation(net, "reference", dtype=dtype).run_samples(inputs, record=record)
    for options in ({}, {"threads": 2}):
        fast = Simulation(net, "cpu", dtype=dtype, **options)
        assert_same(slow, fast.run_samples(inputs, record=record))
        assert_same(slow, fast.run_samples(inputs, record=record, batch_size=2))
    assert slow.counters.multiply_accumulates.sum() > 0
    assert sum(events.ticks.size for events in slow.spikes.values()) > 50


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_ideal_chip_gives_the_bits_of_the_reference(seed, dtype):
    generator = np.random.default_rng(seed)
    net, inputs = random_network(generator), random_inputs(generator)
    record = ["conv", "sum", "max", "same", "full"]
    slow = Simulation(net, "reference", dtype=dtype).run_samples(inputs, record=record)
    assert_same(slow, Simulation(net, "crossbar", dtype=dtype).run_samples(inputs, record=record))


def test_early_exit_leaves_at_the_same_ticks(backend):
    rule = DynamicConfidence(3.0, 0.9)
    images = np.random.default_rng(5).normal(size=(20, 12))
    frames = Frames.constant(images, n_ticks=30, dt=DT)
    slow = Simulation(dense(), "reference").run_samples(frames, early_exit=rule)
    fast = Simulation(dense(), backend).run_samples(frames, early_exit=rule)
    assert_same(slow, fast)
    assert np.unique(slow.exit_ticks).size > 1
    whole = Simulation(dense(), backend).run_samples(frames)
    share = slow.counters.multiply_accumulates[:, 0] / whole.counters.multiply_accumulates[:, 0]
    assert share == pytest.approx(slow.exit_ticks / 30)


def test_the_log_of_spikes_may_fill_up_on_the_way(monkeypatch):
    from snnsim.backends.cpu import program

    net = random_network(np.random.default_rng(6))
    inputs = random_inputs(np.random.default_rng(6), recordings=3)
    record = ["conv", "sum", "max", "same", "full"]
    slow = Simulation(net, "reference").run_samples(inputs, record=record)
    monkeypatch.setattr(program, "_FIRST_LOG", 1)
    assert_same(slow, Simulation(net, "cpu").run_samples(inputs, record=record))


# -- long runs ---------------------------------------------------------------------------------------------


def test_a_long_run_goes_on_from_a_checkpoint(backend, tmp_path):
    net = dense(delay=3e-3)
    frames = Frames.from_dense(np.random.default_rng(7).normal(size=(1, 40, 12)), DT)
    whole = Simulation(net, backend).run(inputs=frames, record=["a"])
    first = Simulation(net, backend)
    one = first.run(inputs=frames.crop(15), record=["a"])
    first.save_checkpoint(tmp_path / "c.h5")
    for go_on in (
        first,
        Simulation.from_checkpoint(tmp_path / "c.h5"),
        Simulation.from_checkpoint(tmp_path / "c.h5", "cpu"),
    ):
        two = go_on.run(inputs=frames.crop(25, 15), record=["a"])
        ticks = np.concatenate([one.spikes["a"].ticks, two.spikes["a"].ticks + 15])
        assert np.array_equal(ticks, whole.spikes["a"].ticks)
        assert np.array_equal(
            np.concatenate([one.spikes["a"].sources, two.spikes["a"].sources]), whole.spikes["a"].sources
        )
    assert whole.spikes["a"].ticks.size > 20
    assert Simulation(net, "reference").run(inputs=frames, record=["a"]).spikes["a"] == whole.spikes["a"]


def test_frames_then_events_then_silence_in_one_long_run():
    net, generator = dense(delay=2e-3), np.random.default_rng(8)
    frames = Frames.constant(generator.normal(size=(1, 12)), n_ticks=20, dt=DT)
    events = sn.Events.from_dense(generator.random((1, 20, 12)) < 0.3, DT)
    runs = []
    for backend in ("reference", "cpu"):
        simulation = Simulation(net, backend)
        runs.append([simulation.run(30e-3, given, record=["a"]) for given in (frames, events, frames)])
    for slow, fast in zip(*runs, strict=True):
        assert slow.spikes["a"] == fast.spikes["a"]
        assert np.array_equal(slow.counters.multiply_accumulates, fast.counters.multiply_accumulates)
    assert runs[0][1].counters.multiply_accumulates.sum() == 0


def test_a_stream_counts_products_apart_and_survives_a_file(tmp_path):
    net = dense()
    frames = Frames.constant(np.random.default_rng(9).normal(size=(1, 12)), n_ticks=50, dt=DT)
    memory = Simulation(net).run(inputs=frames, record=["a"])
    stored = Simulation(net).run(inputs=frames, record=["a"], stream=tmp_path / "r.h5")
    memory.save(tmp_path / "m.h5")
    for other in (stored, sn.Result.load(tmp_path / "m.h5")):
        assert np.array_equal(memory.counters.multiply_accumulates, other.counters.multiply_accumulates)
        assert np.array_equal(memory.counters.synaptic_operations, other.counters.synaptic_operations)
    assert "multiply-accumulates" in str(memory)


def test_results_from_before_there_were_frames_can_be_read(tmp_path):
    import h5py

    result = Simulation(dense()).run_samples(sn.Events.from_dense(np.ones((1, 3, 12), int), DT))
    result.save(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "a") as file:
        del file["counters/multiply_accumulates"]
    assert sn.Result.load(tmp_path / "old.h5").counters.multiply_accumulates.sum() == 0
    assert "multiply" not in str(result)


# -- what it costs -----------------------------------------------------------------------------------------


def test_products_are_priced_as_such_and_a_table_without_their_price_refuses():
    frames = Frames.constant(np.ones((2, 12)), n_ticks=5, dt=DT)
    result = Simulation(dense()).run_samples(frames)
    report = energy_report(result, digital_45nm())
    line = report.line("in->a", "values times weights added")
    assert line.count == 5 * 12 * 9
    # Horowitz 2014: 3.7 pJ a multiplication and 0.9 pJ an addition of 32-bit floats.
    assert line.energy == pytest.approx(5 * 12 * 9 * 4.6e-12, abs=0)
    assert report.line("in->a", "weights added").count == 0
    with pytest.raises(ParameterError, match="multiply_accumulate is not given"):
        energy_report(result, loihi())


def test_neurobench_counts_them_as_multiply_accumulates():
    from snnsim.analysis.neurobench import metrics

    found = metrics(dense(), Simulation(dense()).run_samples(Frames.constant(np.ones((2, 12)), n_ticks=5, dt=DT)))
    assert found.effective_macs == found.operations[0].dense == 5 * 12 * 9
    assert [one.multiply for one in found.operations] == [True, False]


# -- the class ---------------------------------------------------------------------------------------------


def test_a_still_image_is_kept_once():
    images = np.random.default_rng(0).random((4, 1, 5, 5), np.float32)
    short, long = (Frames.constant(images, n_ticks=n, dt=DT) for n in (1, 1000))
    assert short.values.nbytes == long.values.nbytes == images.nbytes
    assert np.shares_memory(long.values, images)
    assert long.is_constant
    assert "the same at all ticks" in repr(long)
    assert np.array_equal(long.crop(3).to_dense(), np.repeat(images.reshape(4, 1, 25), 3, axis=1))


def test_parts_and_lengths():
    values = np.random.default_rng(0).normal(size=(5, 6, 3))
    frames = Frames.from_dense(values, DT, lengths=[6, 3, 0, 1, 6])
    shown = frames.to_dense()
    for recording, length in enumerate(frames.lengths):
        assert np.array_equal(shown[recording, :length], values[recording, :length])
        assert not shown[recording, length:].any()
        for tick in range(6):
            assert np.array_equal(frames.at(recording, tick), shown[recording, tick])
    assert frames[1:3] == Frames.from_dense(values[1:3], DT, lengths=[3, 0])
    assert frames[-1] == frames[[4]] == frames[np.arange(5) == 4]
    assert Frames.concatenate([frames[:2], frames[2:]]) == frames
    assert np.array_equal(frames.crop(4, 2).to_dense(), shown[:, 2:6])
    assert np.array_equal(frames.crop(9, 2).to_dense()[:, :4], shown[:, 2:])
    assert list(frames.crop(4, 2).lengths) == [4, 1, 0, 0, 4]
    assert frames.crop(6) == frames
    assert frames.duration == 6 * DT
    longer = Frames.constant(values[:, 0], n_ticks=2, dt=DT).with_lengths(9)
    assert longer.n_ticks == 9
    assert frames.with_dt(DT * (1 + 1e-12)).dt != DT


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Frames.constant([[1.0, np.nan]], n_ticks=2, dt=DT),
            DataError,
            "recording 0, frame 0, source 1 is nan",
        ),
        (lambda: Frames.constant([1.0, 2.0], n_ticks=2, dt=DT), ParameterError, r"\(recordings, sources...\)"),
        (lambda: Frames.constant([["a"]], n_ticks=2, dt=DT), DataError, "must be real numbers"),
        (lambda: Frames.constant([[1.0]], n_ticks=0, dt=DT), ParameterError, "n_ticks=0"),
        (lambda: Frames.constant([[1.0]], n_ticks=2, dt=0.0), ParameterError, "dt=0"),
        (lambda: Frames.from_dense(np.ones((2, 3)), DT), ParameterError, r"\(recordings, ticks, sources...\)"),
        (lambda: Frames.from_dense(np.ones((2, 3, 4)), DT, lengths=[1, 4]), DataError, "a length of 4 ticks"),
        (lambda: Frames(np.ones((2, 3, 4)), 5, DT), DataError, "one frame for each of the 5 ticks"),
        (lambda: Frames.from_dense(np.ones((2, 3, 4)), DT).with_dt(2e-3), ParameterError, "make them anew"),
        (lambda: Frames.from_dense(np.ones((2, 3, 4)), DT)[5], IndexError, "recording 5 of 2"),
    ],
)
def test_nonsense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_whole_numbers_that_float32_does_not_hold_are_kept_as_they_are():
    assert Frames.constant([[2**24 + 1]], n_ticks=1, dt=DT).values[0, 0, 0] == 2**24 + 1
    assert Frames.constant(np.array([[3]], np.uint8), n_ticks=1, dt=DT).values.dtype == np.float32


# -- refusals ----------------------------------------------------------------------------------------------


def still(size=12, ticks=3, value=1.0):
    return Frames.constant(np.full((1, size), value), n_ticks=ticks, dt=DT)


def test_a_backend_that_takes_no_frames_refuses_them_by_name(monkeypatch):
    monkeypatch.setattr(ReferenceProgram, "capabilities", replace(ReferenceProgram.capabilities, frames=False))
    simulation = Simulation(dense(), "reference")
    for run in (simulation.run_samples, lambda frames: simulation.run(inputs=frames)):
        with pytest.raises(
            CapabilityError, match=r"'reference' cannot run Frames.*'in'; backends that can: cpu, crossbar"
        ):
            run(still())


def test_what_frames_cannot_be_is_refused_by_name():
    simulation = Simulation(dense())
    with pytest.raises(NetworkError, match="the frames have 5 sources, the population 12"):
        simulation.run_samples(still(5))
    with pytest.raises(ParameterError, match="record: the input 'in' is given Frames"):
        simulation.run_samples(still(), record=["in"])
    with pytest.raises(ParameterError, match="the frames last 3 ticks, the run 2; run longer"):
        simulation.run(2e-3, still())
    with pytest.raises(ParameterError, match="expected Events or Frames"):
        simulation.run_samples({"in": np.ones((1, 12))})
    with pytest.raises(ParameterError, match=r"a value of size 1e.300 is beyond what float32 holds"):
        simulation.run_samples(still(value=-1e300))
    with pytest.raises(ParameterError, match=r"recording 0 has no ticks"):
        simulation.run_samples(still().with_lengths(0))


def test_negative_values_open_no_conductance():
    net = sn.Network(
        [
            sn.Population("in", 2, sn.Input()),
            sn.Population("a", 2, sn.ConductanceLIF(receptors=[sn.Conductance(5e-3, 4.0, "up")])),
        ],
        [sn.Projection("in", "a", sn.Dense(0.1))],
        dt=DT,
    )
    slow, fast = (Simulation(net, one).run_samples(still(2, 30), record=["a"]) for one in ("reference", "cpu"))
    assert slow.spikes["a"] == fast.spikes["a"]
    with pytest.raises(ParameterError, match=r"hold -1, and 'in->a' opens the Conductance 'up'"):
        Simulation(net).run_samples(still(2, value=-1.0))


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_plastic_synapses_learn_from_spikes_only(name):
    net = sn.Network(
        [sn.Population("in", 2, sn.Input()), sn.Population("b", 2, sn.Input()), sn.Population("a", 2, sn.LIF(5e-3))],
        [
            sn.Projection("in", "a", sn.Dense(0.5), delay=DT, plasticity=sn.STDP(0.1, 0.1, 20e-3, 20e-3)),
            sn.Projection("b", "a", sn.Dense(0.5), delay=DT),
        ],
        dt=DT,
    )
    events = sn.Events.from_ticks([0, 2], [0, 1], n_sources=2, n_ticks=3, dt=DT)
    with pytest.raises(ParameterError, match="Frames cannot drive the plastic projection 'in->a'"):
        Simulation(net, name).run(inputs={"in": still(2), "b": events})
    beside = {"in": events, "b": still(2)}
    if name == "reference":
        assert Simulation(net, name).run(inputs=beside).counters.multiply_accumulates[0, 1] == 2 * 2 * 3
    else:
        with pytest.raises(CapabilityError, match="'cpu' cannot run Frames in a network that has plastic projections"):
            Simulation(net, name).run(inputs=beside)
