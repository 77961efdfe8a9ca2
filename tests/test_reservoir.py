"""The cell of a liquid-state machine against its plain recursion, its weights against their moments."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

import snnsim as sn
from snnsim.errors import ParameterError
from snnsim.reservoir import BreakdownPairs, DistanceDependent, NormalPairs, liquid_state_machine
from snnsim.reservoir.liquid_network import inhibitory_neurons, time_constant_leaving


def recursion(inputs, inward, inner, threshold, decay):
    """V_t = d V_{t-1} (1 - s_{t-1}) + W_in x_t + W_rec s_{t-1}; s_t = V_t > threshold; matrices (targets, sources)."""
    membrane, spikes = np.zeros(len(inner)), np.zeros(len(inner))
    out = []
    for x in inputs:
        membrane = decay * membrane * (1 - spikes) + inward @ x + inner @ spikes
        spikes = (membrane > threshold).astype(float)
        out.append(spikes)
    return np.array(out)


def by_hand():
    """Three neurons, two inputs: a threshold that is met exactly, a hard reset, a spike that acts one tick later."""
    network = liquid_state_machine(2, 3, threshold=4.0, decay=0.5, dt=1e-3)
    inward = np.array([[4.0, 2.0, 0.0], [1.0, 2.0, -8.0]])
    inner = np.array([[0.0, 5.0, 16.0], [0.0, 3.0, 0.0], [-1.0, 0.0, 1.0]])
    first, second = network.projections
    return network.replaced(
        projections=[
            sn.Projection(first.source, first.target, sn.Dense(inward)),
            sn.Projection(second.source, second.target, sn.Dense(inner), delay=1e-3),
        ]
    )


def test_a_three_neuron_example_by_hand(backend):
    x = np.array([[1, 0], [1, 1], [0, 0], [0, 0], [1, 1]])
    # tick 0: V = 4 (at the threshold: silent), 2, 0
    # tick 1: V = 2 + 5 = 7 fires, 1 + 4 = 5 fires, -8
    # tick 2: V = 0 (reset, not 7 - 4), 0 + 5 + 3 = 8 fires, -4 + 16 = 12 fires
    # tick 3: V = 0 - 1 = -1, 0 + 3 = 3, 0 + 1 = 1
    # tick 4: V = -0.5 + 5 = 4.5 fires, 1.5 + 4 = 5.5 fires, 0.5 - 8
    expected = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]])
    sim = sn.Simulation(by_hand(), backend=backend)
    result = sim.run_samples(sn.Events.from_dense(x[None], 1e-3), record=["reservoir", sn.Trace("reservoir")])
    np.testing.assert_array_equal(result.spikes["reservoir"].to_dense(int)[0], expected)
    membrane = [[4, 2, 0], [0, 0, -8], [0, 0, 0], [-1, 3, 1], [0, 0, -7.5]]  # after the reset
    np.testing.assert_array_equal(result.traces["reservoir.membrane"][0], membrane)


@pytest.mark.parametrize("weights", ["normal", "resistive switching"])
def test_a_random_machine_spikes_as_the_recursion(backend, weights):
    network = liquid_state_machine(30, 60, threshold=5.0, decay=0.9, gain=0.11, weights=weights, seed=3)
    inward, inner = (projection.connectivity.weights.T for projection in network.projections)
    x = np.random.default_rng(0).random((4, 120, 30)) < 0.15
    sim = sn.Simulation(network, backend=backend, dtype="float64")
    got = sim.run_samples(sn.Events.from_dense(x, network.dt)).spikes["reservoir"].to_dense(int)
    for recording in range(4):
        np.testing.assert_array_equal(got[recording], recursion(x[recording], inward, inner, 5.0, 0.9))
    assert 0.01 < got.mean() < 0.5
    silent_recurrence = recursion(x[0], inward, 0 * inner, 5.0, 0.9)
    assert np.any(silent_recurrence != got[0])


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.97, 0.95, 1 / 3, 0.0, 1.0])
@pytest.mark.parametrize("dt", [1e-3, 6.8e-3, 0.34 / 50])
def test_the_decay_is_the_factor_itself(decay, dt):
    assert sn.LIF(time_constant_leaving(decay, dt)).coefficients(dt).decay == decay


def test_weights_have_the_published_moments():
    shape = (500, 400)
    inward, inner = NormalPairs(0.00156, 6.61329), BreakdownPairs()
    for statistics in (inward, inner):
        drawn = statistics.draw(shape, 1, "test")
        assert abs(drawn.mean()) < 0.05
        assert abs(drawn.std() - 6.6) < 0.1
        np.testing.assert_allclose([drawn.mean(), drawn.std()], statistics.moments, atol=0.05)
    for share, sd in ((0.17, 6.61), (0.855, 6.61)):
        assert abs(BreakdownPairs.with_formed(share).moments[1] - sd) < 0.05
    zero = np.mean(BreakdownPairs.with_formed(0.494).draw(shape, 2, "zeros") == 0)
    assert abs(zero - 0.506**2) < 0.01


@pytest.mark.parametrize("sd", [0.0, 1.86, 10.0, 40.0])
def test_cells_of_any_spread_conduct_and_have_the_moments_stated(sd):
    """Where much of the distribution lies below zero, nothing of it stands at zero: only cells not formed do."""
    statistics = dataclasses.replace(BreakdownPairs.with_formed(0.5), sd=sd)
    assert abs(np.mean(statistics.cells((400, 500), 1, "cells") > 0) - 0.5) < 5 * 0.5 / math.sqrt(200_000)
    drawn = statistics.draw((400, 500), 1, "pairs")
    assert abs(drawn.mean()) < 0.01 * drawn.std()
    assert drawn.std() == pytest.approx(statistics.moments[1], rel=0.01)


def test_the_share_of_formed_cells_is_the_normal_distribution_of_the_voltage():
    seen = []
    for voltage in (3.24, 3.36, 3.44, 3.52, 3.62):
        statistics = BreakdownPairs(voltage=voltage)
        expected = 0.5 * (1 + math.erf((voltage - 3.433) / 0.114 / math.sqrt(2)))
        assert abs(statistics.formed - expected) < 1e-12
        again = BreakdownPairs.with_formed(expected)
        assert again.voltage == pytest.approx(voltage)
        assert again.formed == pytest.approx(expected)
        shares = [np.mean(statistics.cells((20, 20), seed, "map") > 0) for seed in range(100)]
        chance = math.sqrt(expected * (1 - expected) / 400)  # of one map of 400 cells
        assert abs(np.mean(shares) - expected) < 4 * chance / 10
        assert np.std(shares) == pytest.approx(chance, rel=0.25)
        assert np.mean(np.abs(np.array(shares) - expected) < 0.05) > 0.8  # one map of 400 cells
        seen.append(statistics.cells((20, 20), 0, "map"))
    for low, high in itertools.pairwise(seen):
        np.testing.assert_array_equal(high[low > 0], low[low > 0])  # what is formed stays as it is
    assert abs(np.mean(seen[3][seen[3] > 0]) - 12.35) < 0.5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BreakdownPairs.with_formed(1.0), r"share=1\.0"),
        (lambda: BreakdownPairs.with_formed("half"), r"share='half'"),
        (lambda: BreakdownPairs(voltage=-3.0), r"voltage=-3\.0"),
    ],
)
def test_statistics_that_no_cells_have_are_refused(make, words):
    with pytest.raises(ParameterError, match=words):
        make()


def test_distance_makes_synapses_rare():
    rule = DistanceDependent((15, 3, 3), reach=2.0)
    network = liquid_state_machine(4, 135, connectivity=rule, seed=5)
    inhibits = inhibitory_neurons(135, 0.2, 5)
    assert inhibits.sum() == 27
    expected, found = np.zeros(2), np.zeros(2)
    for seed in range(10):
        inhibits = inhibitory_neurons(135, 0.2, seed)
        chance = rule.probability(inhibits)
        network = liquid_state_machine(4, 135, connectivity=rule, seed=seed)
        sparse = network.projection("reservoir->reservoir").connectivity
        made = np.zeros((135, 135))
        np.add.at(made, (sparse.sources, sparse.targets), 1)
        far = ((rule.positions(135)[:, None] - rule.positions(135)[None]) ** 2).sum(2) > 9
        for side, mask in enumerate((far, ~far)):
            expected[side] += chance[mask].sum()
            found[side] += made[mask].sum()
        assert not np.any(np.diag(made))
        assert np.all(sparse.weights[inhibits[sparse.sources]] <= 0)
        assert np.all(sparse.weights[~inhibits[sparse.sources]] >= 0)
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(expected.max()))
    # one pair by hand: neighbours along the last side, both excitatory
    none = np.zeros(135, bool)
    assert rule.probability(none)[0, 1] == pytest.approx(0.3 * math.exp(-1 / 4))
    assert rule.probability(~none)[0, 9] == pytest.approx(0.1 * math.exp(-1 / 4))


def test_each_kind_of_pair_has_its_own_probability():
    """All four by hand, E to I and I to E told apart: neurons 0 and 1 of a line excite, 2 and 3 inhibit."""
    rule = DistanceDependent((1, 1, 4), reach=1.5, probabilities=(0.9, 0.7, 0.5, 0.3), self_connections=True)
    chance = rule.probability(np.array([False, False, True, True]))
    near = [math.exp(-((steps / 1.5) ** 2)) for steps in range(4)]
    from_excitatory = [[0.9 * near[0], 0.9 * near[1], 0.7 * near[2], 0.7 * near[3]]]
    from_excitatory += [[0.9 * near[1], 0.9 * near[0], 0.7 * near[1], 0.7 * near[2]]]
    from_inhibitory = [[0.5 * near[2], 0.5 * near[1], 0.3 * near[0], 0.3 * near[1]]]
    from_inhibitory += [[0.5 * near[3], 0.5 * near[2], 0.3 * near[1], 0.3 * near[0]]]
    np.testing.assert_allclose(chance, from_excitatory + from_inhibitory, rtol=1e-14)


def test_dale_and_controls():
    dale = liquid_state_machine(5, 100, inhibitory=0.2, seed=1)
    inner = dale.projection("reservoir->reservoir").connectivity.weights
    inhibits = inhibitory_neurons(100, 0.2, 1)
    assert np.all(inner[inhibits] <= 0)
    assert np.all(inner[~inhibits] >= 0)
    assert abs(inner.mean()) < 0.02 * np.abs(inner).mean() * 5
    plain = liquid_state_machine(5, 100, seed=1)
    np.testing.assert_array_equal(
        np.abs(inner[~inhibits]), np.abs(plain.projection("reservoir->reservoir").connectivity.weights[~inhibits])
    )
    assert len(liquid_state_machine(5, 100, recurrent_gain=0.0).projections) == 1
    part = liquid_state_machine(50, 100, input_probability=0.3, seed=2).projections[0].connectivity
    assert abs(part.sources.size / 5000 - 0.3) < 0.03
    first = liquid_state_machine(5, 100, seed=1).projections[0].connectivity.weights
    np.testing.assert_array_equal(first, plain.projections[0].connectivity.weights)
    assert np.any(first != liquid_state_machine(5, 100, seed=2).projections[0].connectivity.weights)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"weights": "uniform"}, "weights"),
        ({"connectivity": "sparse"}, "connectivity"),
        ({"gain": 0.0}, "gain"),
        ({"decay": 1.5}, "decay"),
        ({"inhibitory": 1.5}, "inhibitory"),
        ({"input_probability": -0.1}, "input_probability"),
        ({"connectivity": DistanceDependent((2, 2, 2))}, "grid"),
    ],
)
def test_errors_name_the_argument(arguments, word):
    with pytest.raises(ParameterError, match=word):
        liquid_state_machine(4, 20, **arguments)
