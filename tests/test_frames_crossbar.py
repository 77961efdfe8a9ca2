"""Real values on the rows of a chip: voltages, their steps, noise in proportion, and what cannot take them."""

import numpy as np
import pytest

import snnsim as sn
from snnsim import Frames, Simulation
from snnsim.backends.crossbar import ADC, DAC, Chip, ChipConfig, Flicker, Mapping, Wires, ideal, realistic_rram
from snnsim.backends.crossbar.device.current_voltage import RelativePolynomial
from snnsim.backends.crossbar.device.curves import Polynomial
from snnsim.backends.crossbar.device.device import Device
from snnsim.backends.crossbar.device.read_noise import ReadNoise
from snnsim.energy import energy_report, rram_crossbar
from snnsim.errors import CapabilityError, DataError, ParameterError, SaturationWarning
from snnsim.network.fingerprint import fingerprint

DT = 1e-3


def network(convolution=False):
    generator = np.random.default_rng(0)
    rule = sn.Conv2d(generator.normal(0, 0.4, (3, 1, 3, 3)), padding=1) if convolution else sn.Dense(sn.Normal(0, 0.3))
    return sn.Network(
        [
            sn.Population("in", (1, 6, 6), sn.Input()),
            sn.Population("a", (3, 6, 6), sn.LIF(5e-3)),
            sn.Population("out", 4, sn.LI(4e-3)),
        ],
        [sn.Projection("in", "a", rule, delay=DT), sn.Projection("a", "out", sn.Dense(sn.Normal(0, 0.3)))],
        dt=DT,
    )


def images(recordings=6, ticks=8, seed=1):
    values = np.random.default_rng(seed).normal(size=(recordings, 36))
    return Frames.constant(values * (np.abs(values) > 0.3), n_ticks=ticks, dt=DT)


def run(chip=None, frames=None, *, convolution=False, mapping=None, dtype="float64"):
    net = network(convolution)
    options = {} if mapping is None else {"mapping": mapping}
    return Simulation(net, "crossbar", dtype=dtype, chip=chip or Chip(), **options).run_samples(
        frames or images(), record=["a"]
    )


# -- converters at the rows --------------------------------------------------------------------------------


def test_levels_of_a_converter_are_its_codes():
    dac = DAC(3, full_scale=2.0)  # codes -3 ... 3: steps of 2/3
    values = np.array([0.0, 0.3, 0.34, 1.0, 1.01, 2.0, 5.0, -0.7, -2.0, -9.0])
    assert dac.levels(values) == pytest.approx(np.array([0, 0, 1, 2, 2, 3, 3, -1, -3, -3]) / 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DAC(1), "DAC: bits=1"),
        (lambda: DAC(21), "DAC: bits=21"),
        (lambda: DAC(8, full_scale=0.0), "DAC: full_scale=0"),
        (lambda: ChipConfig(dac=8), "dac=8: expected DAC"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


@pytest.mark.parametrize("convolution", [False, True])
def test_a_coarser_converter_is_the_exact_one_with_rounded_values(convolution):
    """A chip with a DAC and nothing else reads what values rounded to its codes would give."""
    frames, dac = images(), DAC(4, full_scale=5.0)
    rounded = Frames.constant(dac.levels(frames.values[:, 0]) * 5.0, n_ticks=8, dt=DT)
    chip = run(Chip(ChipConfig(dac=dac)), frames, convolution=convolution)
    software = Simulation(network(convolution), "reference", dtype="float64").run_samples(rounded, record=["a"])
    assert chip.spikes["a"] == software.spikes["a"]
    assert chip.readout("out") == pytest.approx(software.readout("out"), abs=1e-9)
    assert chip.spikes["a"] != run(frames=frames, convolution=convolution).spikes["a"]


@pytest.mark.parametrize("convolution", [False, True])
def test_fine_converters_approach_the_exact_run(convolution):
    """The distance falls with the step of the converters: eight bits more, and it is a hundredth or less."""
    first = network(convolution)
    populations = [first.population("in"), sn.Population("a", (3, 6, 6), sn.LI(5e-3))]  # no thresholds
    net = sn.Network(populations, [first.projections[0]], dt=DT)
    exact, distances = Simulation(net, "reference", dtype="float64").run_samples(images(), record=sn.Trace("a")), []
    for bits in (8, 16):
        chip = Chip(ChipConfig(dac=DAC(bits, full_scale=4.0)))
        found = Simulation(net, "crossbar", dtype="float64", chip=chip).run_samples(images(), record=sn.Trace("a"))
        distances.append(np.abs(found.traces["a.membrane"] - exact.traces["a.membrane"]).max())
    assert distances[0] > 0
    assert distances[1] < distances[0] / 100


def test_values_beyond_the_converters_are_held_counted_and_said():
    frames = Frames.constant(np.full((2, 36), 3.0), n_ticks=4, dt=DT)
    with pytest.warns(SaturationWarning, match=r"values went beyond what rows are driven with: 100% of in->a"):
        result = run(Chip(ChipConfig(dac=DAC(8, full_scale=2.0))), frames)
    one = result.chip.projections[0]
    assert one.drives == one.held_drives == one.active_rows == 2 * 4 * 36
    held = run(frames=Frames.constant(np.full((2, 36), 2.0), n_ticks=4, dt=DT))
    assert result.readout("out") == pytest.approx(held.readout("out"), abs=1e-9)


def test_drives_of_a_convolution_count_each_patch_and_cost_their_steps():
    frames = Frames.constant(np.ones((2, 36)), n_ticks=4, dt=DT)
    result = run(Chip(ChipConfig(realistic_rram(), adc=ADC(8), dac=DAC(6))), frames, convolution=True,
                 mapping=Mapping(calibration=frames))  # fmt: skip
    one = result.chip.projections[0]
    # Of 9 kernel places 16 patches inside see all, 16 at an edge 6, and 4 in a corner 4.
    assert one.drives == 2 * 4 * (16 * 9 + 16 * 6 + 4 * 4)
    assert one.reads == 2 * 4 * 36
    assert result.counters.multiply_accumulates[:, 0].sum() == one.drives * 3
    line = energy_report(result, rram_crossbar()).line("in->a", "rows driven with 6 bits")
    assert line.count == one.drives / 2
    assert line.each == pytest.approx(rram_crossbar().value("dac_step") * 2**6, abs=0)
    assert (
        energy_report(result, rram_crossbar().replaced(dac_step=0.0)).energy
        < energy_report(result, rram_crossbar()).energy
    )


# -- stages of the array -----------------------------------------------------------------------------------


def array(device=None, wires=None, adc=None, rows=20, outputs=6, seed=0):
    config = ChipConfig(device or ideal(), wires, adc)
    chip = Chip(config, seed)
    low, high = config.device.g_min, config.device.g_max
    targets = low + (high - low) * np.random.default_rng(3).random((rows, 2 * outputs))
    chip.program(0, targets)
    return chip


STAGES = {
    "ideal": {},
    "converters": {"adc": ADC(6, full_scale=8.0, offset_spread=0.3, gain_spread=0.05)},
    "wires": {"wires": Wires(3.0, 3.0, unselected="grounded")},
    "programming": {"device": realistic_rram().only("programming", "spread", "stuck")},
    "flicker": {"device": Device("flickers", 0.0, 1.0, read_voltage=1.0, flicker=Flicker(0.1, octaves=3))},
    "bent": {
        "device": Device(
            "bent",
            0.0,
            1.0,
            read_voltage=0.5,
            current_voltage=RelativePolynomial((0.5, 2.0), 0.5),
        )
    },
}


@pytest.mark.parametrize("stage", STAGES)
def test_rows_at_the_read_voltage_are_rows_that_are_on(stage):
    generator, chip = np.random.default_rng(5), array(**STAGES[stage])
    on = generator.random((30, 20)) < 0.4
    offsets = np.concatenate([[0], np.cumsum(on.sum(1))])
    keys = np.arange(30, dtype=np.uint64) << np.uint64(20)
    spikes = chip.read(0, offsets, np.nonzero(on)[1], keys)
    assert chip.read_levels(0, on.astype(float), keys) == pytest.approx(spikes, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("stage", ["ideal", "wires", "programming", "flicker"])
def test_currents_are_in_proportion_to_voltages(stage):
    generator, chip = np.random.default_rng(6), array(**STAGES[stage])
    levels, key = generator.normal(size=20), np.zeros(1, np.uint64)
    one_by_one = sum(
        level * chip.read_levels(0, row[None], key)[0] for level, row in zip(levels, np.eye(20), strict=True)
    )
    assert chip.read_levels(0, levels[None], key)[0] == pytest.approx(one_by_one, rel=1e-9, abs=1e-12)
    assert chip.read_levels(0, -levels[None], key)[0] == pytest.approx(-one_by_one, rel=1e-9, abs=1e-12)


def test_bent_cells_follow_their_curve_at_every_voltage():
    chip = array(**STAGES["bent"])
    model, conductance = chip.config.device.current_voltage, chip.conductances(0)
    levels = np.random.default_rng(7).uniform(-1, 1, 20)
    expected = np.zeros(6)
    for level, row in zip(levels, conductance, strict=True):
        current = np.sign(level) * model.current(row, abs(level) * 0.5)
        expected += current[0::2] - current[1::2]
    assert chip.read_levels(0, levels[None])[0] == pytest.approx(expected, rel=1e-9)


def test_noise_is_in_proportion_to_the_voltage():
    """Noise of conductances: at half the voltage half the deviation; of many rows, variances add up."""
    noisy = Device("noisy", 0.0, 1.0, read_voltage=1.0, read_noise=ReadNoise(Polynomial((0.02,)), relative=False))
    chip, n = array(noisy), 4000
    mean = array(noisy.without("read_noise"))
    for levels in (np.eye(20)[2], 0.5 * np.eye(20)[2], np.linspace(-1, 1, 20)):
        found = chip.read_levels(0, np.tile(levels, (n, 1)))
        expected = 0.02 * np.sqrt(2 * np.sum(levels**2))
        assert found.std(axis=0) == pytest.approx(np.full(6, expected), rel=5 / np.sqrt(2 * n))
        exact = mean.read_levels(0, levels[None])[0]
        assert np.abs(found.mean(axis=0) - exact).max() < 5 * expected / np.sqrt(n)


def test_nonsense_levels_are_refused():
    chip = array()
    for levels in (np.ones((2, 3)), np.ones(20), np.full((1, 20), np.nan)):
        with pytest.raises(DataError, match="levels of shape"):
            chip.read_levels(0, levels)


@pytest.mark.parametrize("seed", range(4))
def test_exact_cells_that_are_not_ideal_give_the_spikes_of_the_reference(seed):
    """Read as currents, tile by tile: sums in another order, and so membranes up to rounding."""
    generator = np.random.default_rng(seed)
    own = generator.integers(0, 5, (36, 10)) * DT
    net = sn.Network(
        [
            sn.Population("in", (1, 6, 6), sn.Input()),
            sn.Population("conv", (3, 6, 6), sn.LIF(4e-3)),
            sn.Population("full", 10, sn.LIF(6e-3)),
            sn.Population("pool", (1, 3, 3), sn.LIF(3e-3)),
            sn.Population("out", 4, sn.LI(5e-3)),
        ],
        [
            sn.Projection("in", "conv", sn.Conv2d(generator.normal(0, 0.5, (3, 1, 3, 3)), padding=1), delay=DT),
            sn.Projection("in", "full", sn.Dense(generator.normal(0, 0.3, (36, 10))), delay=own),
            sn.Projection("in", "pool", sn.MaxPool2d(2, weights=0.8)),
            *(sn.Projection(name, "out", sn.Dense(sn.Normal(0, 0.3))) for name in ("conv", "full", "pool")),
        ],
        dt=DT,
        seed=seed,
    )
    values = generator.normal(size=(5, 9, 36)) * (generator.random((5, 9, 36)) < 0.7)
    frames = Frames.from_dense(values, DT, lengths=generator.integers(1, 10, 5))
    chip = Chip(ChipConfig(Device("plain", 1.0, 33.0), rows=16, columns=8))
    record = ["conv", "full", "pool"]
    found = Simulation(net, "crossbar", dtype="float64", chip=chip).run_samples(frames, record=record)
    expected = Simulation(net, "reference", dtype="float64").run_samples(frames, record=record)
    for name in record:
        assert found.spikes[name] == expected.spikes[name]
        assert found.spikes[name].ticks.size
    assert found.readout("out") == pytest.approx(expected.readout("out"), abs=1e-9, nan_ok=True)
    for name in ("multiply_accumulates", "synaptic_operations", "exit_ticks"):
        assert np.array_equal(getattr(found.counters, name), getattr(expected.counters, name))


# -- whole runs --------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_batches_and_reads_of_ticks_differ():
    net, frames = network(), images(12)
    config = ChipConfig(realistic_rram(), adc=ADC(8), dac=DAC(6, full_scale=3.0))
    mapping = Mapping(calibration=frames)
    results = [
        Simulation(net, "crossbar", chip=Chip(config), mapping=mapping).run_samples(
            frames, record=["a"], batch_size=size
        )
        for size in (1, 5, 1024)
    ]
    assert results[0].spikes["a"] == results[1].spikes["a"] == results[2].spikes["a"]
    assert results[0].readout("out").tobytes() == results[2].readout("out").tobytes()
    first = results[0].chip.projections[0]
    assert first.reads == results[2].chip.projections[0].reads == 12 * 8
    assert first.saturated <= 0.01 * first.conversions


def test_large_convolutions_go_in_parts(monkeypatch):
    from snnsim.backends.crossbar.mapping import fabric

    chips = [Chip(ChipConfig(realistic_rram(), dac=DAC(6, full_scale=3.0))) for _ in range(2)]
    whole = run(chips[0], convolution=True)
    monkeypatch.setattr(fabric, "_MOST_LEVELS", 500)
    parts = run(chips[1], convolution=True)
    assert whole.spikes["a"] == parts.spikes["a"]
    assert whole.chip.projections[0].drives == parts.chip.projections[0].drives


def test_a_chip_with_a_converter_is_saved_and_is_another_kind(tmp_path):
    one, other = ChipConfig(dac=DAC(6, full_scale=4.0)), ChipConfig(dac=DAC(7, full_scale=4.0))
    assert fingerprint(one) != fingerprint(other)
    assert one.without("dac") == ChipConfig()
    net, frames = network(), images(1)
    simulation = Simulation(net, "crossbar", chip=Chip(one))
    simulation.run(inputs=frames)
    simulation.save_checkpoint(tmp_path / "c.h5")
    again = Simulation.from_checkpoint(tmp_path / "c.h5")
    assert again.program.chip.config == one
    ends = [each.run(inputs=frames).readout("out") for each in (simulation, again)]
    assert np.array_equal(*ends)


def test_what_cannot_put_values_on_rows_says_so():
    net, frames = network(), images()
    gated = Chip(ChipConfig(wires=Wires(1.0, 1.0, unselected="gated")))
    with pytest.raises(CapabilityError, match=r"Wires\(unselected='gated'\).*Mapping\(digital=...\)"):
        Simulation(net, "crossbar", chip=gated).run_samples(frames)
    off = Simulation(net, "crossbar", chip=gated, mapping=Mapping(digital=("in->a",)), dtype="float64").run_samples(
        frames
    )
    assert off.counters.multiply_accumulates[:, 0].sum() > 0
    bent = ChipConfig(STAGES["bent"]["device"], Wires(1.0, 1.0, unselected="grounded"))
    with pytest.raises(CapabilityError, match="cells whose current is in proportion"):
        Simulation(net, "crossbar", chip=Chip(bent)).run_samples(frames)

    class Other:
        def __init__(self):
            self.chip = Chip()

        def program(self, tile, targets, full_scale=None):
            self.chip.program(tile, targets, full_scale)

        def read(self, tile, offsets, rows, keys=None):
            return self.chip.read(tile, offsets, rows, keys)

        def status(self):
            return self.chip.status()

    with pytest.raises(CapabilityError, match="Other 'chip' has rows that are on or off, and projection 'in->a'"):
        Simulation(net, "crossbar", chip=Other()).run_samples(frames)
    beside = Simulation(net, "crossbar", chip=Other(), mapping=Mapping(digital=("in->a",)), dtype="float64")
    software = Simulation(net, "reference", dtype="float64").run_samples(frames)
    assert beside.run_samples(frames).readout("out") == pytest.approx(software.readout("out"), abs=1e-9)
