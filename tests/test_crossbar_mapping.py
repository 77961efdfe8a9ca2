"""How weights and currents set ranges: percentiles over the synapses there are, whatever the matrix they lie in."""

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Conv2d,
    Dense,
    Events,
    FixedProbability,
    FixedTotalNumber,
    Input,
    Network,
    Normal,
    Population,
    Projection,
    Simulation,
    Sparse,
    Uniform,
)
from snnsim.backends.crossbar import ADC, Chip, ChipConfig, ChipFabric, Device, Mapping
from snnsim.errors import ParameterError

DT = 1e-3
PLAIN = Device("plain", 1.0, 33.0)


def network(rule, *, sizes=(60, 40), delay=0.0):
    return Network(
        [Population("in", sizes[0], Input()), Population("out", sizes[1], LI(20e-3))],
        [Projection("in", "out", rule, delay=delay)],
        dt=DT,
        seed=3,
    )


def placed(net, **mapping):
    sim = Simulation(net, "crossbar", chip=Chip(ChipConfig(PLAIN, rows=32, columns=24)), mapping=Mapping(**mapping))
    return sim.program.fabric.placed[0]


def pairs_of(net):
    """Return source, target and weight of the pairs that have synapses; several synapses of a pair are one cell."""
    synapses = net.synapses(net.projections[0])
    sources = np.repeat(np.arange(synapses.offsets.size - 1), np.diff(synapses.offsets))
    delays = np.zeros(sources.size) if synapses.delays is None else synapses.delays
    keys, which = np.unique(np.stack([delays, sources, synapses.targets]), axis=1, return_inverse=True)
    return keys[2].astype(int), np.bincount(which.ravel(), synapses.weights.astype(float))


def sparse(density, weights, seed=0):
    """Return synapses of random pairs of which a fifth has weight zero, and is a synapse all the same."""
    random = np.random.default_rng(seed)
    sources, targets = np.nonzero(random.random((60, 40)) < density)
    values = weights(random, sources.size)
    values[random.random(sources.size) < 0.2] = 0.0
    return Sparse(sources, targets, values)


RULES = {
    "dense": (Dense(Normal(0.0, 1.0)), 0.0),
    "random": (FixedProbability(0.1, Uniform(0.5, 1.0)), 0.0),
    "several synapses of a pair": (FixedTotalNumber(3000, Normal(0.0, 1.0)), 0.0),
    "zeros that are synapses": (sparse(0.3, lambda random, n: random.normal(size=n)), 0.0),
    "delays of their own": (FixedProbability(0.1, Uniform(0.5, 1.0)), Uniform(1e-3, 5e-3)),
    "a synapse a delay": (FixedProbability(0.1, Uniform(0.5, 1.0)), Uniform(1e-3, 400e-3)),
}


@pytest.mark.parametrize("clip", [50.0, 90.0, 99.0, 100.0])
@pytest.mark.parametrize("name", RULES)
def test_the_range_is_a_percentile_of_the_synapses_there_are(name, clip):
    rule, delay = RULES[name]
    net = network(rule, delay=delay)
    targets, weights = pairs_of(net)
    expected = np.percentile(np.abs(weights), clip)
    for part in placed(net, clip=clip):
        assert part.reference == pytest.approx(expected, rel=1e-6)
    assert sum(part.block.sizes().size for part in placed(net)) == weights.size
    for part in placed(net, clip=clip, per_output=True):
        for output, neuron in enumerate(part.block.targets[0]):
            own = np.percentile(np.abs(weights[targets == neuron]), clip)
            largest = own if own > 0 else np.abs(weights[targets == neuron]).max()
            assert part.reference[output] == pytest.approx(largest if largest > 0 else 1.0, rel=1e-6)


@pytest.mark.parametrize("density", [1.0, 0.3, 0.02])
def test_the_share_of_weights_at_the_end_of_the_range_is_what_was_asked_for(density):
    net = network(FixedProbability(density, Uniform(0.5, 1.0)), sizes=(200, 200))
    chip = Chip(ChipConfig(PLAIN, rows=64, columns=64))
    Simulation(net, "crossbar", chip=chip, mapping=Mapping(clip=99.0))
    count = net.synapses(net.projections[0]).weights.size
    top = sum(int((chip.targets(tile) >= 33.0 * (1 - 1e-9)).sum()) for tile in chip.tiles)
    assert abs(top - 0.01 * count) <= 1


def test_kernel_places_that_no_position_uses_are_no_weights():
    kernel = np.full((1, 1, 5, 5), 100.0)
    kernel[0, 0, 1:4, 1:4] = np.arange(1.0, 10.0).reshape(3, 3)
    net = Network(
        [Population("in", (1, 2, 2), Input()), Population("out", (1, 2, 2), LIF(5e-3))],
        [Projection("in", "out", Conv2d(kernel, padding=2))],
        dt=DT,
    )
    # 2 x 2 pixels: from any place, only steps of -1, 0 and 1 lead to another pixel.
    assert placed(net)[0].reference == pytest.approx(9.0)
    assert placed(net, clip=50.0)[0].reference == pytest.approx(5.0)
    assert placed(net, clip=50.0, per_output=True)[0].reference == pytest.approx(5.0)


def test_recordings_without_a_spike_set_no_ranges():
    net, chip = (
        network(sparse(0.05, lambda random, n: random.uniform(0.5, 1.0, n), seed=4)),
        Chip(ChipConfig(PLAIN, adc=ADC(8))),
    )
    silence = Events.from_dense(np.zeros((2, 5, 60), int), DT)
    with pytest.raises(ParameterError, match="Mapping calibration: no spike of the recordings reaches a tile"):
        Simulation(net, "crossbar", chip=chip, mapping=Mapping(calibration=silence))
    with pytest.raises(ParameterError, match="recording 1 has no ticks"):
        Simulation(net, "crossbar", chip=chip, mapping=Mapping(calibration=silence.with_lengths([5, 0])))


def test_ranges_of_converters_are_percentiles_of_the_currents_there_are():
    rule = sparse(0.05, lambda random, n: random.uniform(0.5, 1.0, n), seed=4)
    net, random = network(rule), np.random.default_rng(5)
    given = Events.from_dense(random.binomial(1, 0.03, (20, 40, 60)), DT)
    mapping = Mapping(calibration=given, percentile=90.0)
    chip = Chip(ChipConfig(PLAIN, adc=ADC(8)))
    Simulation(net, "crossbar", chip=chip, mapping=mapping)
    weights, there = np.zeros((60, 40)), np.zeros((60, 40))
    weights[rule.sources, rule.targets], there[rule.sources, rule.targets] = rule.weights, 1.0
    vectors = given.to_dense(float).reshape(-1, 60)
    currents = vectors @ weights / weights.max() * 32.0 * PLAIN.read_voltage
    expected = np.percentile(np.abs(currents[vectors @ there > 0]), 90.0)
    assert chip.tiles[0].full_scale == pytest.approx(expected, rel=1e-6)
    assert expected > 1.5 * np.percentile(np.abs(currents[vectors.any(1)]), 90.0)  # what zeros would make of it


@pytest.mark.parametrize(("slices", "middle"), [(1, (0.25 + 1) / 2), (2, (1 / 3 + 1) / 2)])
def test_slices_of_a_pair_without_a_synapse_carry_no_current_either(slices, middle):
    net = network(Sparse([0, 1], [0, 1], [1.0, 0.25]), sizes=(2, 2))
    given = Events.from_dense(np.array([[[1, 0], [0, 1]]]), DT)
    mapping = Mapping(slices=slices, slice_bits=None if slices == 1 else 2, calibration=given, percentile=50.0)
    chip = Chip(ChipConfig(PLAIN, adc=ADC(8)))
    Simulation(net, "crossbar", chip=chip, mapping=mapping)
    # In two slices, base 4: the whole range is 15, digits 3 and 3; a quarter is 4, digits 0 and 1 of 3.
    assert chip.tiles[0].full_scale == pytest.approx(middle * 32.0 * PLAIN.read_voltage)


def test_weights_in_the_loop_keep_to_the_synapses_there_are():
    rule = sparse(0.2, lambda random, n: random.uniform(0.5, 1.0, n))
    fabric = ChipFabric(network(rule), Chip(ChipConfig(PLAIN)), Mapping(clip=80.0))
    weights = np.zeros((60, 40))
    weights[rule.sources, rule.targets] = np.random.default_rng(1).normal(size=rule.weights.size)
    fabric.program({"in->out": weights})
    own = np.abs(weights[rule.sources, rule.targets])
    assert fabric._fabric.placed[0][0].reference == pytest.approx(np.percentile(own, 80.0))
    source, target = np.argwhere(weights == 0)[7]
    weights[source, target] = 0.25
    with pytest.raises(ParameterError, match=rf"'in->out': 0.25 at \({source}, {target}\), where the network has no"):
        fabric.program({"in->out": weights})
