"""Networks on a simulated chip: mapping, delays, convolutions, ageing, ranges, and the same bits whenever asked."""

import dataclasses

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Conv2d,
    Dense,
    Events,
    Input,
    Network,
    Population,
    Projection,
    Result,
    Simulation,
    Sparse,
    Trace,
)
from snnsim.backends.crossbar import (
    ADC,
    STAGES,
    Chip,
    ChipConfig,
    Device,
    Mapping,
    ProgrammingNoise,
    Wires,
    pcm,
    realistic_rram,
)
from snnsim.backends.crossbar.device.curves import Polynomial
from snnsim.errors import NetworkError, ParameterError, SaturationWarning

DT = 1e-3
#: Cells that hold exactly what they are told, with a leak at the lower end. Noise of size zero is a stage that is on,
#: so that arrays are read.
PLAIN = Device("plain", 1.0, 33.0, programming=ProgrammingNoise(Polynomial((0.0,))))


def events(n, ticks=20, recordings=3, p=0.3, seed=0, most=1):
    counts = np.random.default_rng(seed).binomial(most, p, (recordings, ticks, n))
    return Events.from_dense(counts, DT)


def dense_network(sizes=(30, 12, 4), seed=0, delay=0.0):
    random = np.random.default_rng(seed)
    return Network(
        [
            Population("in", sizes[0], Input()),
            Population("hidden", sizes[1], LIF(5e-3)),
            Population("out", sizes[2], LI(5e-3)),
        ],
        [
            Projection("in", "hidden", Dense(random.normal(0.1, 0.4, sizes[:2])), delay=delay),
            Projection("hidden", "out", Dense(random.normal(0, 0.3, sizes[1:]))),
        ],
        dt=DT,
        seed=seed,
    )


def run(net, given, config=None, *, seed=0, mapping=None, dtype="float64", backend="crossbar", **options):
    extra = {} if backend != "crossbar" else {"chip": Chip(config, seed), "mapping": mapping}
    probes = [p.name for p in net.populations if getattr(p.model, "spiking", True)]
    probes += [Trace(p.name) for p in net.populations if not p.is_source]
    return Simulation(net, backend, dtype=dtype, **extra).run_samples(given, record=probes, **options)


def assert_close(one, other, tolerance=1e-9):
    for name in other.spikes:
        assert one.spikes[name] == other.spikes[name], name
    for key, values in other.traces.items():
        np.testing.assert_allclose(one.traces[key], values, rtol=0, atol=tolerance * (np.abs(values).max() + 1))


# -- the analog path with nothing wrong gives what the reference gives ------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_exact_cells_give_the_spikes_of_the_reference(most):
    net, given = dense_network(), events(30, most=most)
    chip = run(net, given, ChipConfig(PLAIN))
    reference = run(net, given, backend="reference")
    assert_close(chip, reference)
    assert np.array_equal(chip.counters.synaptic_operations, reference.counters.synaptic_operations)
    assert chip.counters.spikes[:, 1].sum() > 20


@pytest.mark.parametrize(("rows", "columns"), [(7, 10), (30, 2), (1, 24)])
def test_tiles_of_any_size_add_up(rows, columns):
    net, given = dense_network(), events(30)
    config = ChipConfig(PLAIN, rows=rows, columns=columns)
    assert_close(run(net, given, config), run(net, given, backend="reference"))
    sim = Simulation(net, "crossbar", chip=Chip(config))
    assert sim.program.fabric.n_tiles == -(-30 // rows) * -(-12 // (columns // 2)) + -(-12 // rows) * -(
        -4 // (columns // 2)
    )


def test_delays_of_synapses_are_kept_in_the_digital_fabric():
    delay = np.random.default_rng(1).integers(0, 4, (30, 12)) * DT
    net, given = dense_network(delay=delay), events(30)
    assert_close(run(net, given, ChipConfig(PLAIN)), run(net, given, backend="reference"))


def test_recurrence_and_several_synapses_of_a_pair():
    random = np.random.default_rng(2)
    pairs = random.integers(0, 12, (2, 40))
    net = Network(
        [Population("in", 30, Input()), Population("hidden", 12, LIF(5e-3))],
        [
            Projection("in", "hidden", Dense(random.normal(0.1, 0.4, (30, 12)))),
            Projection("hidden", "hidden", Sparse(*pairs, random.normal(0, 0.3, 40)), delay=2 * DT),
        ],
        dt=DT,
    )
    given = events(30)
    assert_close(run(net, given, ChipConfig(PLAIN)), run(net, given, backend="reference"))


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_convolutions_are_read_patch_by_patch(stride, padding):
    random = np.random.default_rng(3)
    side = (8 + 2 * padding - 3) // stride + 1
    net = Network(
        [Population("in", (2, 8, 8), Input()), Population("hidden", (3, side, side), LIF(5e-3))],
        [Projection("in", "hidden", Conv2d(random.normal(0, 0.8, (3, 2, 3, 3)), stride=stride, padding=padding))],
        dt=DT,
    )
    given = events(128, p=0.1, most=2)
    chip, reference = run(net, given, ChipConfig(PLAIN)), run(net, given, backend="reference")
    assert_close(chip, reference)
    fabric = Simulation(net, "crossbar", chip=Chip(ChipConfig(PLAIN))).program.fabric
    assert fabric.placed[0][0].block.weights.shape == (18, 3)  # one column a channel, whatever the image


def test_slices_hold_a_weight_as_digits():
    net, given = dense_network(), events(30)
    mapping = Mapping(slices=2, slice_bits=3)
    fabric = Simulation(net, "crossbar", chip=Chip(ChipConfig(PLAIN)), mapping=mapping).program.fabric
    placed = fabric.placed[0][0]
    cells = fabric._targets_of(placed.block.weights, placed.reference)
    back = fabric._weights_of(cells[:, 0::2] - cells[:, 1::2], placed.reference)
    step = placed.reference[0] / 63  # six bits beside the sign
    assert np.abs(back - placed.block.weights).max() <= step / 2 * (1 + 1e-9)
    assert np.allclose(back / step, np.rint(back / step), atol=1e-9)
    assert np.unique(np.round(cells, 9)).size <= 8
    # and the network runs with just these weights
    rounded = net.replaced(
        projections=[
            dataclasses.replace(
                net.projections[i],
                connectivity=Dense(
                    np.sign(one.block.weights)
                    * np.rint(np.abs(one.block.weights) / one.reference * 63)
                    * one.reference
                    / 63
                ),
            )
            for i, (one,) in fabric.placed.items()
        ]
    )
    assert_close(
        run(net, given, ChipConfig(PLAIN), mapping=mapping), run(rounded, given, backend="reference"), tolerance=1e-8
    )


def test_a_range_for_each_output_and_cut_weights():
    net, given = dense_network(), events(30)
    assert_close(
        run(net, given, ChipConfig(PLAIN), mapping=Mapping(per_output=True)), run(net, given, backend="reference")
    )
    fabric = Simulation(net, "crossbar", chip=Chip(ChipConfig(PLAIN)), mapping=Mapping(clip=80.0)).program.fabric
    placed = fabric.placed[0][0]
    cells = fabric._targets_of(placed.block.weights, placed.reference)
    back = fabric._weights_of(cells[:, 0::2] - cells[:, 1::2], placed.reference)
    largest = np.percentile(np.abs(placed.block.weights), 80)
    assert np.allclose(back, np.clip(placed.block.weights, -largest, largest))


def test_what_stays_off_the_chip():
    net, given = dense_network(), events(30)
    mapping = Mapping(digital=("hidden->out",))
    assert_close(run(net, given, ChipConfig(PLAIN), mapping=mapping), run(net, given, backend="reference"))
    with pytest.raises(NetworkError, match="no projection 'nothing'; there are: in->hidden, hidden->out"):
        run(net, given, mapping=Mapping(digital="nothing"))


# -- one chip, whoever asks -------------------------------------------------------------------------------

NOISY = ChipConfig(realistic_rram(), adc=ADC(6, offset_spread=0.3, gain_spread=0.02), wires=Wires(0.5, 0.5))
#: Most rows are on at a time: ranges that hold what comes.
BUSY = Mapping(activity=0.7)


def test_same_seed_same_chip_same_bits():
    net, given = dense_network(), events(30, recordings=5)
    first = run(net, given, NOISY, seed=3, mapping=BUSY)
    again = run(net, given, NOISY, seed=3, mapping=BUSY, batch_size=2)
    other = run(net, given, NOISY, seed=4, mapping=BUSY)
    for key in first.traces:
        assert np.array_equal(first.traces[key], again.traces[key])
        assert not np.array_equal(first.traces[key], other.traces[key])
    threads = [
        Simulation(net, "crossbar", chip=Chip(NOISY, 3), mapping=BUSY, threads=n)
        .run_samples(given, record=Trace("out"))
        .traces
        for n in (1, 2)
    ]
    assert np.array_equal(*(next(iter(one.values())) for one in threads))


def test_noise_of_reading_has_a_seed_of_its_own():
    net, given = dense_network(), events(30)
    config = ChipConfig(realistic_rram().only("read_noise"))
    traces = []
    for read_seed in (0, 0, 1):
        sim = Simulation(net, "crossbar", chip=Chip(config, 0, read_seed))
        traces.append(next(iter(sim.run_samples(given, record=Trace("out")).traces.values())))
    assert np.array_equal(traces[0], traces[1])
    assert not np.array_equal(traces[0], traces[2])


def test_a_saved_chip_goes_on(tmp_path):
    net, given = dense_network(), events(30)
    chip = Chip(NOISY, 5)
    Simulation(net, "crossbar", chip=chip, mapping=BUSY)
    chip.age(3600.0)
    chip.save(tmp_path / "chip.h5")
    loaded = Chip.load(tmp_path / "chip.h5")
    assert loaded.config == chip.config
    for number in chip.tiles:
        assert np.array_equal(chip.conductances(number), loaded.conductances(number))
    traces = [
        next(iter(sim.run_samples(given, record=Trace("out")).traces.values()))
        for sim in (Simulation(net, "crossbar", chip=one, mapping=BUSY) for one in (chip, loaded))
    ]
    assert np.array_equal(*traces)


def test_an_aged_chip_is_read_as_it_is_and_reprogramming_makes_it_young():
    net = dense_network()
    chip = Chip(ChipConfig(pcm()), 0)
    Simulation(net, "crossbar", chip=chip)
    young = chip.conductances(0)
    chip.age(86400.0)
    old = chip.conductances(0)
    Simulation(net, "crossbar", chip=chip)  # finds its targets in place
    assert np.array_equal(chip.conductances(0), old)
    assert np.median(old[young > 5] / young[young > 5]) == pytest.approx(0.6635, abs=0.01)  # one day of PCM
    chip.reprogram()
    anew = chip.conductances(0)
    assert anew.mean() == pytest.approx(young.mean(), rel=0.05)
    assert not np.array_equal(anew, young)


def test_compensation_gives_back_what_drift_took():
    net = dense_network()
    config = ChipConfig(pcm().only("drift"))
    lost = []
    for compensate in (None, "tile", "output"):
        chip = Chip(config, 0)
        Simulation(net, "crossbar", chip=chip)
        chip.age(86400.0)
        fabric = Simulation(net, "crossbar", chip=chip, mapping=Mapping(compensate=compensate)).program.fabric
        assert fabric.placed[0][0].gains[0].mean() == pytest.approx(1.0 if compensate is None else 0.66, abs=0.05)
        drive = fabric.deliver(0, np.zeros(30, int), np.arange(30), np.zeros(1, np.uint64))[0].values[0]
        lost.append(np.abs(drive - net.projections[0].connectivity.weights.sum(0)).mean())
    assert lost[1] < lost[0] / 3
    assert lost[2] < lost[0] / 3


# -- ranges of converters ---------------------------------------------------------------------------------


def test_ranges_come_from_recordings():
    net, given = dense_network(), events(30, recordings=8)
    config = ChipConfig(PLAIN, adc=ADC(8))
    by_chance = Simulation(net, "crossbar", chip=Chip(config))
    known = Simulation(net, "crossbar", chip=Chip(config), mapping=Mapping(calibration=given, percentile=100.0))
    weights, voltage = net.projections[0].connectivity.weights, PLAIN.read_voltage
    scale = 32.0 / np.abs(weights).max() * voltage
    expected = np.abs(given.to_dense(float).reshape(-1, 30) @ weights).max() * scale
    assert known.program.chip.tiles[0].full_scale == pytest.approx(expected)
    known.run_samples(given)
    assert known.program.chip.saturated == 0
    with pytest.warns(SaturationWarning, match=r"% of tile 1 \(hidden->out\)"):
        activity = by_chance.run_samples(given).chip
    assert sum(part.saturated for part in activity.projections) == by_chance.program.chip.saturated
    assert activity.projection("in->hidden").saturated > 0
    # three tenths of the inputs fire, not one: what was taken for granted is too small
    assert by_chance.program.chip.saturated > 0


def test_more_bits_are_nearer():
    net, given = dense_network(), events(30)
    errors = []
    for bits in (4, 6, 8, 12):
        mapping = Mapping(calibration=given, percentile=100.0)
        fabric = Simulation(
            net, "crossbar", chip=Chip(ChipConfig(PLAIN, adc=ADC(bits))), mapping=mapping
        ).program.fabric
        drive = fabric.deliver(0, np.zeros(5, int), np.arange(5), np.zeros(1, np.uint64))[0].values[0]
        errors.append(np.abs(drive - net.projections[0].connectivity.weights[:5].sum(0)).mean())
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 16 * errors[3]


# -- stages, counts, errors -------------------------------------------------------------------------------


def test_stages_are_switched_one_by_one():
    everything = dataclasses.replace(NOISY, device=dataclasses.replace(pcm(), stuck_on=0.01, spread=0.1, levels=16))
    assert everything.only() == ChipConfig(everything.device.only())
    for stage in STAGES:
        one = everything.only(stage)
        assert one.without(stage) == everything.only()
    with pytest.raises(ParameterError, match="stage 'noise' is not known; there are: levels, "):
        NOISY.only("noise")


def test_what_a_run_has_cost(tmp_path):
    net, given = dense_network(), events(30)
    sim = Simulation(net, "crossbar", chip=Chip(ChipConfig(PLAIN, rows=16)))
    result = sim.run_samples(given)
    activity = result.chip
    part = activity.projection("in->hidden")
    dense = given.to_dense(float).reshape(-1, 30)
    assert part.tiles == 2
    assert part.active_rows == dense.sum() == result.counters.spikes[:, 0].sum()
    assert part.reads == (dense[:, :16].any(1)).sum() + (dense[:, 16:].any(1)).sum()
    assert part.conversions == part.reads * 12
    assert part.cell_reads == part.active_rows * 24
    chip = sim.program.chip
    power = np.concatenate([chip.effective(tile).sum(1) for tile in (0, 1)]) * PLAIN.read_voltage**2 * 1e-6
    assert part.read_watts == pytest.approx(dense.sum(0) @ power)
    assert activity.inferences == 3
    assert sim.run_samples(given).chip == activity  # each run has its own
    result.save(tmp_path / "result.h5")
    assert Result.load(tmp_path / "result.h5").chip == activity
    assert run(net, given, backend="cpu").chip is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chip": "pcm"}, "chip='pcm': expected a Chip"),
        ({"mapping": 3}, "mapping=3: expected a Mapping"),
        ({"device": 1}, "backend 'crossbar' takes no option 'device'; options of its own: chip, mapping"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ParameterError, match=message):
        Simulation(dense_network(), "crossbar", **options)


def test_other_backends_take_no_chip():
    with pytest.raises(ParameterError, match="backend 'cpu' takes no option 'chip'; options of its own: ranks"):
        Simulation(dense_network(), "cpu", chip=Chip())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mapping(slices=2), "slices=2: give slice_bits"),
        (lambda: Mapping(slices=0), "slices=0"),
        (lambda: Mapping(clip=101), "clip=101: a percentile, at most 100"),
        (lambda: Mapping(activity=0), "activity=0"),
        (lambda: Mapping(compensate="chip"), "compensate='chip' is not known"),
        (lambda: ChipConfig(columns=7), "columns=7: must be even"),
        (lambda: ChipConfig(device="pcm"), "device='pcm': expected Device"),
        (lambda: ChipConfig(adc=8), "adc=8: expected ADC"),
        (lambda: Chip(seed=-1), "seed=-1"),
        (lambda: Chip().read(0, [0, 1], [0]), "tile=0 has not been programmed; programmed tiles: none"),
        (lambda: Chip().program(0, np.zeros((3, 3))), "expected at most .512, 512., with an even number of columns"),
        (
            lambda: Chip(ChipConfig(PLAIN)).program(0, np.zeros((3, 2))),
            r"cell \(0, 0\) is 0 uS; plain takes 1 to 33 uS",
        ),
        (lambda: Chip(ChipConfig(PLAIN, adc=ADC(8))).program(0, np.ones((3, 2))), "full_scale is missing"),
        (lambda: Chip("pcm"), "config='pcm': expected a ChipConfig"),
        (lambda: Chip(pcm()), "config=Device 'PCM': expected a ChipConfig, such as"),
        (lambda: Chip().age(-1), "seconds=-1: must be a finite number"),
        (lambda: Chip().age("a day"), "seconds='a day'"),
        (lambda: Chip().age(1.0, temperature=-5.0), "temperature=-5.0"),
        (lambda: Chip().age(3600.0), "chip has not been programmed, and age counts from there"),
        (lambda: Mapping(digital=3), "digital=3: expected names"),
        (lambda: Mapping(calibration=3), "calibration=3: expected Events"),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_ranges_need_recordings_that_fit():
    net = dense_network()
    config = ChipConfig(PLAIN, adc=ADC(8))
    for given in (events(31), {"input": events(30)}, 3):
        with pytest.raises(ParameterError, match="calibration"):
            Simulation(net, "crossbar", chip=Chip(config), mapping=Mapping(calibration=given))
