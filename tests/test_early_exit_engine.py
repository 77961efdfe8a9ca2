"""Early exit inside the engines: it stops when the rule says so in hindsight, and then nothing more is computed."""

from __future__ import annotations

import numpy as np
import pytest

import snnsim as sn
from snnsim.architectures import fully_connected
from snnsim.early_exit import DynamicConfidence, measure_early_exit
from snnsim.errors import ParameterError

RULE = DynamicConfidence(smoothing=4.0, threshold=0.5, minimum_ticks=3)


@pytest.fixture(scope="module")
def case():
    """Return a network and recordings on which the rule stops at many different ticks."""
    network = fully_connected(60, 4, hidden=(30,), gain=2.0, seed=1)
    counts = np.random.default_rng(0).random((25, 40, 60)) < 0.05
    return network, sn.Events.from_dense(counts.astype(np.int64), network.dt)


def test_stops_where_hindsight_stops(backend, case):
    network, events = case
    simulation = sn.Simulation(network, backend)
    full = simulation.run_samples(events)
    early = simulation.run_samples(events, early_exit=RULE)
    expected = RULE.exit_ticks(full.readout())
    assert np.array_equal(early.exit_ticks, expected)
    assert len(np.unique(expected)) > 5
    assert expected.min() >= 3
    assert np.array_equal(early.predictions(), RULE.evaluate(full.readout(), np.zeros(25, int)).predictions)


def test_nothing_is_computed_after_the_exit(backend, case):
    network, events = case
    simulation = sn.Simulation(network, backend)
    record = ("input", "hidden1", sn.Trace("output"))
    early = simulation.run_samples(events, record=record, early_exit=RULE)
    ticks = early.exit_ticks
    assert np.array_equal(early.counters.membrane_updates[:, 1], 30 * ticks)
    for name in ("input", "hidden1"):
        assert np.all(early.spikes[name].ticks < ticks[early.spikes[name].recordings])
    full = simulation.run_samples(events, record=record)
    assert np.all(early.counters.synaptic_operations <= full.counters.synaptic_operations)
    computed = np.arange(40)[None, :] < ticks[:, None]
    trace = early.traces["output.membrane"]
    assert np.array_equal(np.isnan(trace[..., 0]), ~computed)
    assert np.array_equal(trace[computed], full.traces["output.membrane"][computed])


def test_batching_does_not_change_the_exit(backend, case):
    network, events = case
    simulation = sn.Simulation(network, backend)
    whole = simulation.run_samples(events, early_exit=RULE)
    alone = [simulation.run_samples(events[i], early_exit=RULE).exit_ticks[0] for i in range(25)]
    assert np.array_equal(whole.exit_ticks, alone)


def test_threshold_of_each_tick(backend, case):
    network, events = case
    never = np.ones(40)
    never[10] = 0.0
    rule = DynamicConfidence(smoothing=4.0, threshold=never)
    result = sn.Simulation(network, backend).run_samples(events, early_exit=rule)
    assert np.all(result.exit_ticks == 11)


def test_a_spiking_output_has_no_confidence(backend, case):
    _, events = case
    network = sn.Network(
        [sn.Population("input", 60, sn.Input()), sn.Population("output", 3, sn.LIF())],
        [sn.Projection("input", "output", sn.Dense(0.1))],
        dt=events.dt,
    )
    with pytest.raises(ParameterError, match="readout such as LI"):
        sn.Simulation(network, backend).run_samples(events, early_exit=RULE)


@pytest.mark.parametrize("rule", [0.9, "sure", None.__class__])
def test_what_is_no_rule_is_said_so(backend, case, rule):
    network, events = case
    with pytest.raises(ParameterError, match=r"early_exit=.*: expected a DynamicConfidence"):
        sn.Simulation(network, backend).run_samples(events, early_exit=rule)


def test_measurement_compares_two_real_runs(case):
    network, events = case
    labels = sn.Simulation(network).run_samples(events).predictions()
    measured = measure_early_exit(network, events, labels, RULE, repeats=1)
    assert measured.accuracy[0] == 1.0
    assert measured.mean_ticks[0] == 40
    assert measured.mean_ticks[1] == RULE.exit_ticks(measured.full.readout()).mean()
    assert measured.synaptic_operations[1] < measured.synaptic_operations[0]
    assert "oracle" in str(measured)
