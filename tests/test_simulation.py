"""Runs: one long run in pieces, many recordings from rest, early exit, checkpoints, results, and wrong input."""

import numpy as np
import pytest

from snnsim import (
    IF,
    LI,
    LIF,
    AdaptiveLIF,
    Dense,
    Events,
    Exponential,
    FixedProbability,
    Input,
    MaxPool2d,
    Network,
    Normal,
    Poisson,
    Population,
    Projection,
    Scripted,
    Simulation,
    Sparse,
    Spikes,
    Trace,
    Uniform,
    run,
)
from snnsim.backends import get, names
from snnsim.early_exit import DynamicConfidence
from snnsim.errors import BackendError, DataError, NetworkError, ParameterError

DT = 1e-3


def recurrent(seed=0):
    """Return a network with every kind of state: currents, refractory counts, traces, input on its way, chance."""
    return Network(
        [
            Population("in", 4, Input()),
            Population("noise", 6, Poisson(120.0)),
            Population("script", 2, Scripted([0.004, 0.021, 0.021], [0, 1, 1])),
            Population("a", 12, LIF(refractory=2e-3, receptors=(Exponential(4e-3, "slow"),))),
            Population("b", 8, AdaptiveLIF(adaptation=0.2)),
            Population("out", 3, LI()),
        ],
        [
            Projection("in", "a", Dense(Normal(1.0, 0.3))),
            Projection("noise", "a", FixedProbability(0.6, Uniform(0.0, 1.5)), delay=Uniform(1e-3, 9e-3)),
            Projection("script", "b", Dense(1.2)),
            Projection("a", "b", Dense(Normal(0.3, 0.2)), delay=3e-3),
            Projection("b", "a", FixedProbability(0.5, -0.4), delay=1e-3),
            Projection("b", "out", Dense(Normal())),
        ],
        dt=DT,
        seed=seed,
    )


PROBES = ["in", "noise", "a", "b", Trace("a"), Trace("b", "trace", every=3), Trace("out", neurons=[2, 0])]


def some_events(recordings=1, n_ticks=40, n_sources=4, seed=0):
    counts = np.random.default_rng(seed).poisson(0.15, (recordings, n_ticks, n_sources))
    return Events.from_dense(counts, DT)


def assert_same(first, second):
    assert first.spikes == second.spikes
    assert first.traces.keys() == second.traces.keys()
    for key in first.traces:
        assert np.array_equal(first.traces[key], second.traces[key], equal_nan=True), key
    for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks"):
        assert np.array_equal(getattr(first.counters, name), getattr(second.counters, name)), name


# -- one long run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [(13, 27), (1, 1, 38), (39, 1)])
def test_a_run_in_pieces_is_one_run(backend, pieces):
    net, events = recurrent(), some_events()
    whole = Simulation(net, backend).run(0.04, events, record=PROBES)
    sim, parts, start = Simulation(net, backend), [], 0
    for piece in pieces:
        parts.append(sim.run(piece * DT, events.crop(piece, start), record=PROBES))
        assert parts[-1].start_tick == start
        start += piece
        assert sim.tick == start
    assert whole.spikes["b"].ticks.size > 5
    for name, spikes in whole.spikes.items():
        joined = [part.spikes[name].to_dense() for part in parts]
        assert np.array_equal(np.concatenate(joined, axis=1), spikes.to_dense()), name
    for key, values in whole.traces.items():
        assert np.array_equal(np.concatenate([part.traces[key] for part in parts], axis=1), values), key
    for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks"):
        assert np.array_equal(sum(getattr(part.counters, name) for part in parts), getattr(whole.counters, name)), name


def test_reset_goes_back_to_the_first_tick(backend):
    sim = Simulation(recurrent(), backend)
    first = sim.run(0.04, some_events(), record=PROBES)
    assert sim.tick == 40
    sim.reset()
    assert sim.tick == 0
    assert_same(first, sim.run(0.04, some_events(), record=PROBES))


def test_a_bar_changes_nothing(backend, capsys):
    events = some_events(3, 250)
    plain, barred = (
        Simulation(recurrent(), backend).run(None, events[0], record=PROBES, progress=show) for show in (False, True)
    )
    assert_same(plain, barred)
    plain, barred = (
        Simulation(recurrent(), backend).run_samples(events, record=PROBES, progress=show) for show in (False, True)
    )
    assert_same(plain, barred)


def test_a_trace_is_recorded_where_the_tick_of_the_network_is_a_multiple(backend):
    net = Network([Population("a", 1, LI(time_constant=np.inf, bias=1.0))], [], dt=DT)
    sim = Simulation(net, backend)
    found = [sim.run(0.005, record=Trace("a", every=3)).traces["a.membrane"][0, :, 0].tolist() for _ in range(3)]
    assert found == [[1.0, 4.0], [7.0, 10.0], [13.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_goes_on_bit_for_bit_on_any_backend(backend, dtype, tmp_path):
    net, events = recurrent(), some_events()
    sim = Simulation(net, backend, dtype=dtype)
    sim.run(0.017, events.crop(17))
    sim.save_checkpoint(tmp_path / "run.h5")
    rest = sim.run(0.023, events.crop(23, 17), record=PROBES)
    for other in names():
        again = Simulation.from_checkpoint(tmp_path / "run.h5", other)
        assert (again.tick, again.dtype) == (17, dtype)
        assert_same(rest, again.run(0.023, events.crop(23, 17), record=PROBES))


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    import h5py

    sim = Simulation(recurrent(), "reference")
    sim.save_checkpoint(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        del file["state/floats"]
        file["state/floats"] = np.zeros((1, 3), np.float32)
    with pytest.raises(DataError, match="the state in the checkpoint does not fit its network"):
        Simulation.from_checkpoint(tmp_path / "run.h5")


# -- what the semantics promise ------------------------------------------------------------------------------


def test_zero_delay_acts_in_the_same_tick_through_a_chain_and_a_delay_later(backend):
    cells = [Population(name, 1, IF(threshold=1.0)) for name in "abc"]
    net = Network(
        [Population("in", 1, Input()), *cells],
        [
            Projection("in", "a", Dense(1.0)),
            Projection("a", "b", Dense(1.0)),
            Projection("b", "c", Dense(1.0), delay=3e-3),
            Projection("c", "a", Dense(1.0), delay=1e-3),
        ],
        dt=DT,
    )
    event = Events.from_ticks([2], [0], n_sources=1, n_ticks=12, dt=DT)
    result = Simulation(net, backend).run_samples(event, record=["a", "b", "c"])
    assert result.spikes["a"].ticks[:2].tolist() == [2, 6]
    assert result.spikes["b"].ticks[:2].tolist() == [2, 6]
    assert result.spikes["c"].ticks[:2].tolist() == [5, 9]


def test_each_synapse_has_its_own_delay(backend):
    delays = np.array([[0, 1, 5], [2, 7, 0]]) * DT
    net = Network(
        [Population("in", 2, Input()), Population("out", 3, LI(time_constant=0.0))],
        [Projection("in", "out", Dense(np.array([[1.0, 2, 4], [8, 16, 32]])), delay=delays)],
        dt=DT,
    )
    events = Events.from_ticks([1, 1], [0, 1], n_sources=2, n_ticks=10, dt=DT)
    values = Simulation(net, backend).run_samples(events).traces["out.membrane"][0]
    expected = np.zeros((17, 3))  # what is sent at the end of the recording is waited for
    expected[[1, 2, 6, 3, 8, 1], [0, 1, 2, 0, 1, 2]] = [1, 2, 4, 8, 16, 32]
    assert values.tolist() == expected.tolist()


def test_max_pooling_passes_one_spike_a_window(backend):
    net = Network(
        [Population("in", (1, 2, 4), Input()), Population("out", (1, 1, 2), LI(time_constant=0.0))],
        [Projection("in", "out", MaxPool2d(2, weights=0.5), delay=1e-3)],
        dt=DT,
    )
    events = Events.from_ticks([0, 0, 0, 1, 2], [0, 1, 1, 7, 3], n_sources=8, n_ticks=5, dt=DT)
    result = Simulation(net, backend).run_samples(events)
    assert result.traces["out.membrane"][0].tolist() == [[0, 0], [0.5, 0], [0, 0.5], [0, 0.5], [0, 0], [0, 0]]
    assert result.counters.synaptic_operations.tolist() == [[3]]


def test_counters_count(backend):
    net = Network(
        [Population("in", 2, Input()), Population("a", 3, IF(threshold=1.0)), Population("b", 1, IF(threshold=99.0))],
        [
            Projection("in", "a", Sparse([0, 0, 1], [0, 1, 2], 1.0)),
            Projection("a", "b", Dense(1.0), delay=2e-3),
        ],
        dt=DT,
    )
    events = Events.from_ticks([0, 0, 3], [0, 1, 1], n_sources=2, n_ticks=4, dt=DT)
    counters = Simulation(net, backend).run_samples(events, record=()).counters
    assert counters.events_in.tolist() == [3]
    assert counters.spikes.tolist() == [[3, 4, 0]]
    assert counters.synaptic_operations.tolist() == [[4, 4]]
    assert counters.exit_ticks.tolist() == [6]  # the last spike of `a` is on its way for two ticks more


# -- many recordings ----------------------------------------------------------------------------------------


def test_recordings_start_from_rest_and_know_nothing_of_each_other(backend):
    net, events = recurrent(), some_events(7)
    sim = Simulation(net, backend)
    sim.run(0.03, some_events(n_ticks=30))  # the long run must not leak into the recordings
    together = sim.run_samples(events, record=PROBES)
    assert sim.tick == 30
    for size in (1, 3):
        assert_same(together, Simulation(net, backend, threads=1).run_samples(events, record=PROBES, batch_size=size))
    assert_same(together, run(net, events, backend=backend, record=PROBES))
    first = Simulation(net, backend).run(None, events[0], record=PROBES)
    assert first.spikes["a"] == together.spikes["a"][0]
    assert np.array_equal(first.traces["out.membrane"], together.traces["out.membrane"][:1])


def test_noise_differs_between_recordings_and_seeds_and_is_the_same_again(backend):
    quiet = Events.from_dense(np.zeros((2, 40, 4), int), DT)
    result = Simulation(recurrent(1), backend).run_samples(quiet, record=["noise", "script"])
    assert result.spikes["noise"][0] != result.spikes["noise"][1]
    assert result.spikes["script"][0] == result.spikes["script"][1]
    again = Simulation(recurrent(1), backend).run_samples(quiet, record=["noise", "script"])
    assert_same(result, again)
    other = Simulation(recurrent(2), backend).run_samples(quiet, record="noise")
    assert other.spikes["noise"] != result.spikes["noise"]


def test_inputs_of_different_length_end_when_they_end(backend):
    net = Network(
        [Population("x", 1, Input()), Population("y", 1, Input()), Population("out", 1, LI(time_constant=np.inf))],
        [Projection("x", "out", Dense(1.0)), Projection("y", "out", Dense(10.0))],
        dt=DT,
    )
    one, other = (Events.from_ticks([t], [0], n_sources=1, n_ticks=t + 1, dt=DT) for t in (1, 4))
    result = Simulation(net, backend).run_samples({"y": other, "x": one})
    assert result.traces["out.membrane"][0, :, 0].tolist() == [0, 1, 1, 1, 11]


# -- early exit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minimum", [1, 6])
@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.9, 1.0, np.linspace(1.0, 0.4, 40)])
def test_recordings_stop_where_the_rule_says_of_the_whole_readout(backend, threshold, minimum):
    net, events = recurrent(), some_events(20)
    rule = DynamicConfidence(3.0, threshold, minimum)
    whole = Simulation(net, backend).run_samples(events)
    stopped = Simulation(net, backend).run_samples(events, early_exit=rule, record=[Trace("out"), "a"], batch_size=6)
    expected = rule.exit_ticks(whole.traces["out.membrane"])
    assert stopped.exit_ticks.tolist() == expected.tolist()
    assert stopped.predictions("out").tolist() == rule.evaluate(whole.readout(), np.zeros(20, int)).predictions.tolist()
    for i, ticks in enumerate(expected):
        values = stopped.traces["out.membrane"][i]
        assert np.array_equal(values[:ticks], whole.traces["out.membrane"][i, :ticks])
        assert np.all(np.isnan(values[ticks:]))
        assert stopped.spikes["a"][i].ticks.max(initial=-1) < ticks
    assert np.all(stopped.counters.membrane_updates[:, 5] == 3 * expected)


def test_a_spiking_output_has_no_confidence():
    net = Network([Population("in", 4, Input()), Population("a", 2, LIF())], [Projection("in", "a", Dense())], dt=DT)
    with pytest.raises(ParameterError, match=r"the output 'a' \(LIF\) spikes; confidence needs a readout such as LI"):
        Simulation(net, "reference").run_samples(some_events(), early_exit=DynamicConfidence(1.0, 0.5))


def test_thresholds_must_cover_the_run():
    with pytest.raises(ParameterError, match="threshold has 3 values, for as many ticks; the run has 40"):
        Simulation(recurrent(), "reference").run_samples(
            some_events(), early_exit=DynamicConfidence(1.0, np.array([1.0, 0.5, 0.2]))
        )


# -- the result ---------------------------------------------------------------------------------------------


def test_rates_predictions_and_accuracy():
    net = Network(
        [Population("in", 2, Input()), Population("out", 2, IF(threshold=1.0))],
        [Projection("in", "out", Sparse([0, 1], [0, 1], 1.0))],
        dt=DT,
    )
    counts = np.zeros((3, 10, 2), int)
    counts[0, :4, 0] = counts[1, ::2, 1] = counts[2, 3, 1] = 1
    result = run(net, Events.from_dense(counts, DT), backend="reference")
    assert result.rates("out") == pytest.approx(np.array([[400, 0], [0, 500], [0, 100]]))
    assert result.predictions().tolist() == [0, 1, 1]
    assert result.accuracy([0, 1, 0]) == pytest.approx(2 / 3)
    assert result.readout().shape == (3, 10, 2)
    assert str(result).startswith("3 recordings of 10 ticks on reference: 10.0 ticks computed on average")
    with pytest.raises(ParameterError, match=r"labels has shape \(2,\); 3 samples have one each"):
        result.accuracy([0, 1])
    with pytest.raises(ParameterError, match="rates: spikes of 'in' were not recorded; there are: out"):
        result.rates("in")
    with pytest.raises(ParameterError, match="readout: 'in' was not recorded; recorded are: out"):
        result.readout("in")
    both = run(net, Events.from_dense(counts, DT), backend="reference", record=["in", "out"])
    assert both.readout().tolist() == result.readout().tolist()  # the output, whatever is recorded


def test_default_probes_are_the_ends_of_the_network():
    result = Simulation(recurrent(), "reference").run(0.01, some_events(n_ticks=10))
    assert (list(result.spikes), list(result.traces)) == ([], ["out.membrane"])


# -- nonsense -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda sim: sim.run(), ParameterError, "inputs: events for in are missing"),
        (lambda sim: sim.run(0.0, some_events()), ParameterError, "duration=0 s: a run takes one tick or more"),
        (lambda sim: sim.run(-1.0, some_events()), ParameterError, r"duration=-1\.0 s is negative"),
        (lambda sim: sim.run(0.0015, some_events()), ParameterError, r"duration=0\.0015 s is not a whole number"),
        (lambda sim: sim.run(0.01, some_events(2)), ParameterError, r"2 recordings; run\(\) takes one, run_samples"),
        (lambda sim: sim.run_samples(some_events(0)), ParameterError, "inputs of 'in' hold no recordings"),
        (lambda sim: sim.run_samples(some_events(1, 0)), ParameterError, "inputs of 'in': recording 0 has no ticks"),
        (lambda sim: sim.run_samples(some_events(), batch_size=0), ParameterError, "batch_size=0"),
        (
            lambda sim: sim.run_samples({"a": some_events()}),
            ParameterError,
            "'a' is no Input population; there are: in",
        ),
        (lambda sim: sim.run_samples({}), ParameterError, "events for in are missing"),
        (lambda sim: sim.run_samples({"in": [1, 2]}), ParameterError, "expected Events or Frames, got list"),
        (
            lambda sim: sim.run_samples(some_events(n_sources=3)),
            NetworkError,
            "inputs of 'in': the events have 3 sources, the population 4",
        ),
        (
            lambda sim: sim.run_samples(some_events().with_dt(2e-3)),
            ParameterError,
            r"inputs of 'in': ticks of 0\.002 s, the network has dt=0\.001 s",
        ),
        (lambda sim: sim.run(0.01, some_events(), record="d"), NetworkError, "no population 'd'"),
        (lambda sim: sim.run(0.01, some_events(), record="out"), ParameterError, "'out' does not spike; use Trace"),
        (
            lambda sim: sim.run(0.01, some_events(), record=Trace("a", "charge")),
            ParameterError,
            "population 'a' has no state 'charge'; there are: membrane",
        ),
        (lambda sim: sim.run(0.01, some_events(), record=Trace("in")), ParameterError, "'in' is a source"),
        (
            lambda sim: sim.run(0.01, some_events(), record=Trace("a", every=0)),
            ParameterError,
            r"a\.membrane: every=0: must be",
        ),
        (lambda sim: sim.run(0.01, some_events(), record=Trace("a", every=1.5)), ParameterError, r"every=1\.5"),
        (
            lambda sim: sim.run(0.01, some_events(), record=Trace("a", neurons=[12])),
            ParameterError,
            r"neurons of a\.membrane must lie in 0 \.\.\. 11",
        ),
        (
            lambda sim: sim.run(0.01, some_events(), record=Trace("a", neurons=[0.7])),
            ParameterError,
            r"neurons of a\.membrane must be a flat list of whole numbers",
        ),
        (
            lambda sim: sim.run(0.01, some_events(), record=Trace("a", neurons=[True, False])),
            ParameterError,
            "whole numbers",
        ),
        (
            lambda sim: sim.run(0.01, some_events(), record=[Trace("a"), Trace("a", neurons=[1])]),
            ParameterError,
            r"two traces of a\.membrane",
        ),
        (lambda sim: sim.run(0.01, some_events(), record=[Spikes]), ParameterError, "expected a population name"),
        (lambda sim: sim.run(0.01, some_events(), record=3), ParameterError, "record=3: expected population names"),
        (lambda sim: sim.run([0.01, 0.02], some_events()), ParameterError, "expected one number of seconds"),
        (lambda sim: sim.run_samples(3), ParameterError, "inputs=3: expected Events"),
        (lambda sim: sim.run_samples(some_events(), batch_size="2"), ParameterError, "batch_size='2'"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(Simulation(recurrent(), "reference"))


def test_a_simulation_that_makes_no_sense_is_refused(backend):
    with pytest.raises(ParameterError, match="expected a Network"):
        Simulation("network", backend)
    for threads in (0, 2.5, "2"):
        with pytest.raises(ParameterError, match="threads="):
            Simulation(recurrent(), backend, threads=threads)
    with pytest.raises(ParameterError, match="dtype='float16' is not known; allowed: 'float32', 'float64'"):
        Simulation(recurrent(), backend, dtype="float16")
    with pytest.raises(BackendError, match="no backend 'quantum'; there are: reference, cpu"):
        Simulation(recurrent(), "quantum")
    assert get(backend).name == backend


@pytest.mark.parametrize("visit", ["events", "ticks", {"a": "events", "out": "ticks"}])
def test_the_results_do_not_depend_on_when_populations_are_visited(backend, visit):
    whole = Simulation(recurrent(), backend).run(0.04, some_events(), record=PROBES)
    sim = Simulation(recurrent(), backend, visit=visit)
    assert_same(whole, sim.run(0.04, some_events(), record=PROBES))


def test_visits_are_by_population(backend):
    def chosen(visit):
        return Simulation(recurrent(), backend, visit=visit).program.visit

    assert chosen("ticks") == {"a": "ticks", "b": "ticks", "out": "ticks"}
    assert chosen({"b": "events"}) == {"a": "auto", "b": "events", "out": "auto"}
    for visit, message in (
        ("never", "visit='never' is not known; allowed: 'auto', 'events', 'ticks'"),
        (3, "visit=3 is not known"),
        ({"noise": "ticks"}, "visit: 'noise' is no population of neurons; there are: 'a', 'b', 'out'"),
        ({"a": "often"}, "visit of 'a'='often' is not known"),
    ):
        with pytest.raises(ParameterError, match=message):
            chosen(visit)
    with pytest.raises(ParameterError, match="memory_limit=0: must be a whole number, 1 or above"):
        Simulation(recurrent(), backend, memory_limit=0)


def test_what_is_too_large_for_the_precision_is_refused(backend):
    net = Network([Population("a", 1, LIF(threshold=1e39))], [], dt=DT)
    with pytest.raises(ParameterError, match="'a': threshold does not fit in float32"):
        Simulation(net, backend)
    result = run(net, duration=0.01, backend=backend, dtype="float64", record=Trace("a"))
    assert np.all(result.traces["a.membrane"] == 0)


def test_a_trace_of_no_neurons_is_empty(backend):
    result = run(recurrent(), some_events(1), backend=backend, record=Trace("a", every=2, neurons=[]))
    assert result.traces["a.membrane"].shape == (1, 20, 0)


def test_a_run_without_inputs_needs_a_length():
    net = Network([Population("a", 1, LIF())], [], dt=DT)
    with pytest.raises(ParameterError, match="duration is missing"):
        run(net, backend="reference")
    with pytest.raises(ParameterError, match="inputs: the network has the inputs"):
        run(net, some_events(), backend="reference")


def test_a_leak_that_float32_cannot_hold_is_refused(backend):
    network = Network([Population("a", 1, LI(20.0))], [], dt=1e-6)
    with pytest.raises(ParameterError, match=r"decay .* of the leak; use dtype='float64'"):
        Simulation(network, backend)
    assert Simulation(network, backend, dtype="float64").run(1e-5).n_ticks == 10


def test_events_after_the_end_of_a_run_are_not_lost_in_silence(backend):
    simulation = Simulation(
        Network([Population("a", 2, Input()), Population("b", 2, LIF())], [Projection("a", "b", Dense(1.0))], dt=1e-3),
        backend,
    )
    events = Events.from_ticks([0, 5], [0, 1], n_sources=2, dt=1e-3)
    with pytest.raises(ParameterError, match=r"1 events come after the end of the run \(tick 3\)"):
        simulation.run(3e-3, events)
    assert simulation.tick == 0
    assert simulation.run(3e-3, events.crop(3)).counters.events_in[0] == 1
