"""The metrics of NeuroBench: its worked example, an expectation known on paper, and slow counting by hand."""

import numpy as np
import pytest

from snnsim import (
    IF,
    LI,
    LIF,
    Alpha,
    ConductanceLIF,
    Conv2d,
    Delta,
    Dense,
    Events,
    Exponential,
    FixedProbability,
    Input,
    Network,
    OneToOne,
    Population,
    Projection,
    Simulation,
    Sparse,
    SumPool2d,
)
from snnsim.analysis import (
    activation_sparsity,
    connection_sparsity,
    footprint,
    metrics,
    parameter_count,
    synaptic_operations,
)
from snnsim.errors import NetworkError, ParameterError

DT = 1e-3


def layer(weights, target=None):
    n, m = weights.shape
    return Network(
        [Population("input", n, Input()), Population("out", m, target or LI(10e-3))],
        [Projection("input", "out", Dense(weights))],
        dt=DT,
    )


def run(net, spikes, record=("input",), **options):
    return Simulation(net, "reference").run_samples(
        Events.from_dense(spikes, dt=DT), record=list(record), progress=False, **options
    )


def test_worked_example_has_four_effective_of_nine_dense_operations():
    # Inputs 1 0 1; each of the two active inputs has two weights that are not zero.
    net = layer(np.array([[0.5, -1.0, 0.0], [2.0, 1.0, 1.0], [0.0, 0.3, 0.1]]))
    (one,) = synaptic_operations(net, run(net, np.array([[[1, 0, 1]]])))
    assert (one.effective, one.dense, one.multiply) == (4, 9, False)


def test_random_spikes_give_4000_effective_and_50000_dense_operations():
    # 0.1 spikes a tick and input, 100 inputs, 10 ticks, 50 outputs of which 80 % of the weights are not zero.
    generator = np.random.default_rng(1)
    weights = np.ones((100, 50))
    weights.reshape(-1)[generator.permutation(5000)[:1000]] = 0.0
    net = layer(weights)
    found = metrics(net, run(net, generator.random((400, 10, 100)) < 0.1))
    # The spikes of a recording are binomial: sd sqrt(1000 * 0.09) of 100, over 400 recordings 0.5 %.
    assert found.effective_acs == pytest.approx(4000, rel=0.02)
    assert found.dense == 50_000
    assert found.effective_macs == 0
    assert found.connection_sparsity == pytest.approx(0.2, abs=1e-12)


def test_operations_agree_with_counting_by_hand():
    generator = np.random.default_rng(2)
    kernels = generator.normal(size=(3, 2, 3, 3)) * (generator.random((3, 2, 3, 3)) < 0.6)
    net = Network(
        [Population("input", (2, 5, 6), Input()), Population("maps", (3, 3, 3), IF(threshold=1.0))],
        [Projection("input", "maps", Conv2d(kernels, stride=2, padding=1))],
        dt=DT,
    )
    spikes = generator.random((3, 7, 60)) < 0.2
    (one,) = synaptic_operations(net, run(net, spikes))
    effective = dense = 0
    images = np.pad(spikes.reshape(3, 7, 2, 5, 6), [(0, 0)] * 3 + [(1, 1)] * 2)
    inside = np.pad(np.ones((5, 6), bool), 1)
    for y in range(3):
        for x in range(3):
            patch = images[:, :, :, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            effective += np.einsum("rtiyx,oiyx->", patch.astype(int), (kernels != 0).astype(int))
            dense += 3 * 2 * inside[2 * y : 2 * y + 3, 2 * x : 2 * x + 3].sum()
    assert one.effective == pytest.approx(effective / 3)
    assert one.dense == 7 * dense
    assert connection_sparsity(net) == pytest.approx(np.mean(kernels == 0))


def test_counters_do_where_no_weight_is_zero_and_spikes_must_be_recorded_where_some_are():
    spikes = np.random.default_rng(3).random((2, 10, 4)) < 0.3
    full, holed = np.ones((4, 3)), np.ones((4, 3))
    holed[0, 0] = 0.0
    net = layer(full)
    (one,) = synaptic_operations(net, run(net, spikes, record=[]))
    assert one.effective == 3 * spikes.sum() / 2
    net = layer(holed)
    with pytest.raises(ParameterError, match=r"weights that are zero.*record=\['input'\]"):
        synaptic_operations(net, run(net, spikes, record=[]))


def test_analog_inputs_count_as_multiply_accumulate_operations():
    net = layer(np.ones((4, 3)))
    found = metrics(net, run(net, np.ones((1, 5, 4))), analog=["input->out"])
    assert (found.effective_acs, found.effective_macs) == (0, 60)
    with pytest.raises(NetworkError, match="no projection 'elsewhere'"):
        metrics(net, run(net, np.ones((1, 5, 4))), analog=["elsewhere"])


def test_sparsity_of_activation_is_what_counting_frames_gives():
    net = Network(
        [Population("input", 20, Input()), Population("a", 8, LIF(10e-3)), Population("out", 2, LI(10e-3))],
        [Projection("input", "a", Dense(0.3)), Projection("a", "out", Dense(1.0))],
        dt=DT,
    )
    result = run(net, np.random.default_rng(4).random((3, 40, 20)) < 0.3, record=["input", "a"])
    frames = result.spikes["a"].to_dense()
    assert 0 < frames.sum() < frames.size
    assert activation_sparsity(net, result) == pytest.approx(np.mean(frames == 0))


def test_absent_synapses_are_sparsity_and_several_of_a_pair_are_one():
    net = Network(
        [Population("input", 4, Input()), Population("out", 5, LI(10e-3))],
        [Projection("input", "out", Sparse([0, 0, 1, 2], [1, 1, 2, 3], [1.0, 2.0, 0.0, 0.5]))],
        dt=DT,
    )
    assert connection_sparsity(net) == pytest.approx(1 - 2 / 20)
    net = Network(
        [Population("input", 60, Input()), Population("out", 50, LI(10e-3))],
        [Projection("input", "out", FixedProbability(0.2))],
        dt=DT,
    )
    count = net.synapses(net.projections[0]).targets.size
    assert connection_sparsity(net) == pytest.approx(1 - count / 3000)


def test_pooling_does_not_count():
    net = Network(
        [
            Population("input", (1, 4, 4), Input()),
            Population("pooled", (1, 2, 2), IF(threshold=1.0)),
            Population("out", (1, 2, 2), IF(threshold=1.0)),
        ],
        [Projection("input", "pooled", SumPool2d(2)), Projection("pooled", "out", OneToOne(np.array([1.0, 0, 1, 1])))],
        dt=DT,
    )
    result = run(net, np.ones((1, 6, 16)), record=["input", "pooled"])
    (one,) = synaptic_operations(net, result)
    assert (one.projection, one.effective, one.dense) == ("pooled->out", 18, 24)
    assert connection_sparsity(net) == 0.25


def test_footprint_counts_each_number_once():
    net = Network(
        [
            Population("input", (2, 6, 6), Input()),
            Population("maps", (4, 4, 4), LIF(np.full(64, 10e-3), receptors=[Exponential(5e-3)])),
            Population("out", 10, LI(10e-3)),
        ],
        [
            Projection("input", "maps", Conv2d(np.ones((4, 2, 3, 3)))),
            Projection("maps", "out", Dense(np.ones((64, 10))), delay=np.full((64, 10), 2e-3)),
        ],
        dt=DT,
    )
    found = footprint(net)
    assert found.weights == 4 * (4 * 2 * 9 + 640)
    assert found.delays == 4 * 640
    assert found.states == 4 * (64 * 2 + 10)  # membrane and current; membrane
    assert found.indices == 0
    # At least the 64 time constants of one population and the one of the other, and not one number a neuron of either.
    assert 4 * 66 <= found.parameters < 4 * 64 * 2
    assert footprint(net, dtype="float64").total == 2 * found.total
    assert parameter_count(net) == (found.weights + found.delays + found.parameters) // 4
    sparse = Network(
        [Population("input", 4, Input()), Population("out", 5, LI(10e-3))],
        [Projection("input", "out", Sparse([0, 1], [1, 2], [1.0, 2.0]))],
        dt=DT,
    )
    assert footprint(sparse).indices == 8
    receptors = [Exponential(5e-3, "a"), Alpha(5e-3, "b"), Delta("c"), Alpha(2e-3, "d")]
    populations = [Population("cells", 7, LIF(receptors=receptors)), Population("more", 3, ConductanceLIF())]
    # A membrane; one state of an exponential current, two of an alpha current, none of delta, one of a conductance.
    assert footprint(Network(populations, [], dt=DT)).states == 4 * (7 * (1 + 1 + 2 + 0 + 2) + 3 * (1 + 2))
    with pytest.raises(ParameterError, match="dtype='int8'"):
        footprint(net, dtype="int8")


def test_result_of_another_network_is_refused():
    net, other = layer(np.ones((4, 3))), Network([Population("x", 2, LIF(10e-3))], [], dt=DT)
    with pytest.raises(ParameterError, match="result: is of populations input, out"):
        activation_sparsity(other, run(net, np.ones((1, 2, 4))))


def test_text_holds_the_figures():
    net = layer(np.ones((4, 3)), IF(threshold=5.0))
    text = str(metrics(net, run(net, np.ones((1, 5, 4)), record=["input", "out"]), labels=[0]))
    assert "dense operations" in text
    assert "accuracy" in text
    assert "input->out" in text
