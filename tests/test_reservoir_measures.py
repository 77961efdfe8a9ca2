"""Measures of reservoirs on cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

import snnsim as sn
from snnsim.errors import ParameterError
from snnsim.reservoir import (
    class_separation,
    echo_state,
    jittered,
    liquid_state_machine,
    memory_capacity,
    pairwise_separation,
    perturbation,
    random_input,
    spike_counts,
    state_rank,
)


def delay_line(length):
    """Each neuron repeats the one before it a tick later; the first repeats the input."""
    chain = np.eye(length, k=1)
    neuron = sn.LIF(0.0, threshold=0.5, reset="zero", strict=True)
    return sn.Network(
        [sn.Population("input", 1, sn.Input()), sn.Population("reservoir", length, neuron)],
        [
            sn.Projection("input", "reservoir", sn.Dense(np.eye(1, length))),
            sn.Projection("reservoir", "reservoir", sn.Dense(chain), delay=1e-3),
        ],
        dt=1e-3,
    )


def some_input(n_sources=20, n_ticks=150, density=0.1, seed=0):
    dense = np.random.default_rng(seed).random((1, n_ticks, n_sources)) < density
    return sn.Events.from_dense(dense, 1e-3)


def test_a_delay_line_remembers_as_many_ticks_as_it_has_neurons(backend):
    length = 12
    events, inputs = random_input(1500, 1, 1e-3, seed=1)
    spikes = sn.Simulation(delay_line(length), backend).run_samples(events).spikes["reservoir"]
    capacity = memory_capacity(spikes.to_dense(float)[0], inputs, longest=20, strength=1e-6)
    np.testing.assert_allclose(capacity.by_delay[:length], 1.0, atol=1e-9)
    np.testing.assert_array_equal(capacity.by_delay[length:], 0.0)
    assert capacity.total == pytest.approx(length - 1, abs=1e-6)  # delay 0 is no memory


def test_memory_capacity_of_a_leaky_integrator_and_of_noise():
    """One state x_t = d x_{t-1} + u_t holds (1 - d^2) d^(2k) of the input k ticks ago, 1 in all."""
    generator, decay = np.random.default_rng(2), 0.8
    inputs, state = generator.standard_normal(60_000), np.zeros(60_000)
    for tick in range(inputs.size):
        state[tick] = decay * state[tick - 1] * (tick > 0) + inputs[tick]
    capacity = memory_capacity(state[:, None], inputs, longest=20)
    expected = (1 - decay**2) * decay ** (2 * np.arange(8))
    np.testing.assert_allclose(capacity.by_delay[:8], expected, atol=0.015)
    assert capacity.by_delay.sum() == pytest.approx(1.0, abs=0.03)
    nothing = memory_capacity(generator.standard_normal((5000, 30)), inputs[:5000], longest=40)
    assert nothing.total < 0.02


def test_a_reservoir_without_memory_beyond_its_tick_has_none():
    network = liquid_state_machine(5, 40, threshold=1.0, decay=0.0, gain=0.3, recurrent_gain=0.0, seed=2)
    events, inputs = random_input(800, 5, 1e-3)
    spikes = sn.Simulation(network).run_samples(events).spikes["reservoir"].to_dense(float)[0]
    capacity = memory_capacity(spikes, inputs, longest=10)
    assert capacity.by_delay[0] > 0.99
    assert capacity.total < 0.05


def test_ranks():
    generator = np.random.default_rng(3)
    basis = generator.standard_normal((4, 50))
    assert state_rank(generator.standard_normal((30, 4)) @ basis) == 4
    assert state_rank(np.eye(7)) == 7
    assert state_rank(np.ones((6, 9))) == 1
    assert state_rank(np.zeros((3, 3))) == 0


def test_a_reservoir_separates_more_inputs_than_variations_of_one():
    network = liquid_state_machine(20, 60, gain=0.12, recurrent_gain=0.05, seed=1)
    sim = sn.Simulation(network)
    others = sn.Events.concatenate([some_input(seed=seed) for seed in range(30)])
    same = jittered(some_input(), 30, 0)
    varied = jittered(some_input(), 30, 1, seed=4)
    counts = {name: spike_counts(sim.run_samples(e).spikes["reservoir"]) for name, e in
              (("others", others), ("same", same), ("varied", varied))}  # fmt: skip
    assert state_rank(counts["others"]) == 30
    assert state_rank(counts["same"]) == 1
    # Counted without what is small against the mean: variations span less.
    assert state_rank(counts["varied"], 0.05) < state_rank(counts["others"], 0.05)


def test_jitter_moves_events_within_bounds():
    one = sn.Events.from_ticks([0, 10, 10, 40], [0, 1, 2, 3], n_sources=5, n_ticks=41, dt=1e-3)
    many = jittered(one, 200, 3)
    assert len(many) == 200
    for source, middle in ((1, 10), (2, 10)):
        seen = many.ticks[many.sources == source]
        assert set(seen) == set(range(middle - 3, middle + 4))
    assert set(many.ticks[many.sources == 0]) == {0, 1, 2, 3}
    np.testing.assert_array_equal(many[3].ticks, jittered(one, 200, 3)[3].ticks)


def test_separation_by_hand():
    assert pairwise_separation([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]).tolist() == [0.0, math.sqrt(12.5)]
    states = [[0.0, 1.0], [0.0, -1.0], [8.0, 1.0], [8.0, -1.0]]
    assert class_separation(states, [0, 0, 1, 1]) == pytest.approx(8 / 2)
    with pytest.raises(ParameterError, match="one class"):
        class_separation(states, [1, 1, 1, 1])


def test_a_reservoir_without_recurrence_forgets_at_the_rate_of_its_leak(backend):
    """No neuron fires, so that one event more leaves a difference that shrinks by the decay each tick, exactly."""
    network = liquid_state_machine(20, 50, threshold=1e6, decay=0.9, gain=1.0)
    sim = sn.Simulation(network, backend, dtype="float64")
    # The difference is far below a threshold of 1e6, so it is measured in units of one that is never reached.
    found = perturbation(sim, some_input(), ticks=[20, 50, 90])
    ratio = found.distance[:, 1:40] / found.distance[:, :39]
    np.testing.assert_allclose(ratio, 0.9, rtol=1e-9)
    assert found.spikes.sum() == 0
    assert found.exponent(10) == pytest.approx(math.log(0.9), rel=0.01)


def test_contracting_and_chaotic_reservoirs():
    inputs = some_input(n_ticks=300)
    found = {}
    for name, inner in (("calm", 0.005), ("wild", 0.6)):
        network = liquid_state_machine(20, 100, gain=0.15, recurrent_gain=inner, seed=4)
        sim = sn.Simulation(network)
        started = echo_state(sim, inputs, pairs=6)
        kicked = perturbation(sim, inputs, ticks=np.arange(40, 100, 6))
        found[name] = started, kicked
    calm, wild = found["calm"], found["wild"]
    assert calm[0].merged.all()
    assert not wild[0].merged.any()
    assert calm[0].distance[:, 0].min() > 0.01
    assert calm[1].exponent(40) < -0.03
    assert wild[1].exponent(5) > 0.03
    assert wild[0].spikes[:, -20:].mean() > 1


def test_two_equal_runs_do_not_diverge():
    network = liquid_state_machine(20, 30, gain=0.15, seed=4)
    inputs = some_input()
    silent = echo_state(sn.Simulation(network), inputs, pairs=2, density=1e-12)
    assert silent.distance.max() == 0
    assert silent.merged.all()
    assert silent.exponent(5) == -math.inf


def test_errors_name_the_argument():
    sim = sn.Simulation(liquid_state_machine(20, 30))
    with pytest.raises(ParameterError, match="recordings"):
        echo_state(sim, sn.Events.concatenate([some_input(), some_input()]))
    with pytest.raises(ParameterError, match="ticks"):
        perturbation(sim, some_input(), ticks=[150])
    with pytest.raises(ParameterError, match="at least"):
        memory_capacity(np.zeros((100, 50)), np.zeros(100), longest=10)
