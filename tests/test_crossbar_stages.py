"""Every stage of a chip, alone, against the moments of its formula, as reads of the chip show it; and in a network."""

import numpy as np
import pytest

from snnsim import IF, LI, LIF, Conv2d, Dense, Events, Input, Network, Population, Projection, Simulation, Trace
from snnsim.backends.crossbar import (
    ADC,
    DAC,
    STAGES,
    Chip,
    ChipConfig,
    Device,
    Flicker,
    Mapping,
    ProgrammingNoise,
    ReadNoise,
    Wires,
    WriteVerify,
)
from snnsim.backends.crossbar.array_read import sums
from snnsim.backends.crossbar.device.current_voltage import RelativePolynomial
from snnsim.backends.crossbar.device.curves import Polynomial
from snnsim.backends.crossbar.device.drift import PowerLawDrift
from snnsim.backends.crossbar.wires.currents import exact_currents

VOLTAGE = 0.2
EVERYTHING = ChipConfig(
    Device(
        "everything",
        1.0,
        33.0,
        VOLTAGE,
        levels=9,
        programming=ProgrammingNoise(Polynomial((0.5, 0.02))),
        verify=WriteVerify(0.3, 10, correction=0.0),
        spread=0.05,
        stuck_on=0.03,
        stuck_off=0.06,
        read_noise=ReadNoise(Polynomial((0.03,))),
        flicker=Flicker(0.04, octaves=4),
        drift=PowerLawDrift(Polynomial((0.06,)), Polynomial((0.02,)), 20.0),
        current_voltage=RelativePolynomial((0.5, 2.0), 0.5),
    ),
    wires=Wires(2.0, 2.0, unselected="grounded"),
    adc=ADC(8, full_scale=100.0, offset_spread=0.5, gain_spread=0.02),
    dac=DAC(6),
)


def chip_with(*stages, targets, seed=0, rows=512):
    config = EVERYTHING.only(*stages)
    chip = Chip(ChipConfig(config.device, config.wires, config.adc, rows=rows), seed)
    chip.program(0, np.asarray(targets, np.float64))
    return chip


def row_by_row(chip, rows, times=1):
    """Return currents over voltage of reads of one row each, shape (times, rows, outputs), at ticks of their own."""
    chosen = np.tile(np.arange(rows), times)
    found = chip.read(0, np.arange(chosen.size + 1), chosen) / VOLTAGE
    return found.reshape(times, rows, -1)


def cells(low, high=1.0, rows=400, columns=200):
    return np.tile([low, high], (rows, columns // 2))


def test_there_is_a_test_of_every_stage():
    assert set(STAGES) == {
        *("levels", "programming", "verify", "spread", "stuck", "read_noise", "flicker", "drift", "current_voltage"),
        *("wires", "adc", "adc_spread", "dac"),
    }
    for stage in STAGES:
        assert EVERYTHING.only(stage).without(stage) == EVERYTHING.only() != EVERYTHING.without(stage) != EVERYTHING


def test_levels():
    targets = np.random.default_rng(0).uniform(1, 33, (40, 20))
    found = row_by_row(chip_with("levels", targets=targets), 40)[0]
    nearest = 1.0 + 4.0 * np.rint((targets - 1.0) / 4.0)
    np.testing.assert_allclose(found, nearest[:, 0::2] - nearest[:, 1::2], atol=1e-9)


@pytest.mark.parametrize("target", [9.0, 25.0])
def test_programming(target):
    chip = chip_with("programming", targets=cells(target, target))
    found = row_by_row(chip, 400)[0]
    sigma = 0.5 + 0.02 * target
    assert found.std() == pytest.approx(np.sqrt(2) * sigma, rel=0.015)  # of a pair, in uS
    assert abs(found.mean()) < 4 * np.sqrt(2) * sigma / np.sqrt(found.size)
    assert np.abs(chip.conductances(0).mean() - target) < 4 * sigma / np.sqrt(2 * found.size)


def test_verify():
    chip = chip_with("programming", "verify", targets=cells(20.0, 20.0))
    error = np.abs(chip.conductances(0) - 20.0)
    sigma = 0.5 + 0.02 * 20.0
    inside = 0.26112  # of a normal number of that sd within 0.3: erf(0.3 / (sigma sqrt 2))
    assert sigma == 0.9
    left = (1 - inside) ** 10
    assert (error > 0.3).mean() == pytest.approx(left, abs=4 * np.sqrt(left / error.size))
    pulses = (1 - left) / inside
    assert chip.programming_pulses / error.size == pytest.approx(pulses, rel=0.02)


def test_spread():
    chip = chip_with("spread", targets=cells(20.0, 20.0))
    found = row_by_row(chip, 400)[0]
    assert found.std() == pytest.approx(np.sqrt(2) * 0.05 * 20.0, rel=0.015)
    chip.reprogram()
    assert np.array_equal(row_by_row(chip, 400)[0], found)  # lasting


def test_stuck():
    chip = chip_with("stuck", targets=cells(9.0, 9.0))
    found = chip.conductances(0)
    for value, share in ((33.0, 0.03), (1.0, 0.06)):
        assert (found == value).mean() == pytest.approx(share, abs=4 * np.sqrt(share / found.size))
    assert set(np.unique(found)) == {1.0, 9.0, 33.0}
    chip.reprogram()
    chip.age(1e6)
    assert np.array_equal(chip.conductances(0), found)


@pytest.mark.parametrize("active", [1, 16, 256])
def test_read_noise_grows_with_the_root_of_active_rows(active):
    chip = chip_with("read_noise", targets=cells(21.0, 11.0, rows=256))
    vectors = 400
    offsets = active * np.arange(vectors + 1)
    found = chip.read(0, offsets, np.tile(np.arange(active), vectors)) / VOLTAGE
    sigma = 0.03 * np.sqrt(active * (21.0**2 + 11.0**2))
    assert found.std() == pytest.approx(sigma, rel=0.01)
    assert found.mean() == pytest.approx(10.0 * active, abs=4 * sigma / np.sqrt(found.size))


def test_no_two_reads_see_the_same_noise():
    """Positions of a convolution, pulses, ticks, recordings, tiles and outputs each have noise of their own."""
    device = EVERYTHING.device.only("read_noise")
    net = Network(
        [Population("in", (1, 5, 6), Input()), Population("out", (2, 5, 6), IF(threshold=1e9))],
        [Projection("in", "out", Conv2d(np.ones((2, 1, 1, 1))))],
        dt=1e-3,
    )
    sigma = 0.03 * np.hypot(33.0, 1.0) / 32.0  # of a read, in weights
    for pulses in (1, 3):
        given = Events.from_dense(np.full((3, 40, 30), pulses), 1e-3)
        sim = Simulation(net, "crossbar", dtype="float64", chip=Chip(ChipConfig(device)))
        (sums,) = sim.run_samples(given, record=Trace("out")).traces.values()
        drive = np.diff(sums, axis=1, prepend=0.0) - pulses
        assert np.unique(np.round(drive, 9)).size > 0.99 * drive.size  # some are equal in float32, by chance
        assert drive.std() == pytest.approx(np.sqrt(pulses) * sigma, rel=0.03)
    chip = Chip(ChipConfig(device))
    keys, rows = np.arange(50, dtype=np.uint64), np.zeros(50, int)
    for tile in (0, 1):
        chip.program(tile, cells(33.0, 1.0, rows=1))
    one, other = (chip.read(tile, np.arange(51), rows, keys) - 32.0 * VOLTAGE for tile in (0, 1))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)


def test_flicker():
    chip = chip_with("flicker", targets=cells(33.0, 1.0, rows=4))
    found = row_by_row(chip, 4, times=1)[0]
    keys = np.arange(2048, dtype=np.uint64) << np.uint64(20)
    found = chip.read(0, np.arange(keys.size + 1), np.zeros(keys.size, int), keys) / VOLTAGE - 32.0
    assert found.std() == pytest.approx(0.04 * np.hypot(33.0, 1.0), rel=0.03)
    # octave k is held for 2^k ticks: neighbours within a block of 8 share 3, 2, ... of 4 octaves
    variance = found.reshape(-1, 8, found.shape[1])
    shared = [(variance[:, 0] * variance[:, lag]).mean() / found.var() for lag in (1, 2, 4)]
    np.testing.assert_allclose(shared, [0.75, 0.5, 0.25], atol=0.06)


@pytest.mark.parametrize("seconds", [3600.0, 86400.0])
def test_drift(seconds):
    chip = chip_with("drift", targets=cells(25.0))
    chip.age(seconds)
    ratio = chip.conductances(0)[:, 0::2] / 25.0
    exponents = -np.log(ratio) / np.log((seconds + 20.0) / 20.0)
    n = exponents.size
    assert exponents.mean() == pytest.approx(0.06, abs=4 * 0.02 / np.sqrt(n))
    assert exponents.std() == pytest.approx(0.02, rel=0.015)
    np.testing.assert_allclose(row_by_row(chip, 400)[0], chip.conductances(0)[:, 0::2] - chip.conductances(0)[:, 1::2])


def test_current_voltage():
    targets = np.random.default_rng(0).uniform(1, 33, (40, 20))
    found = row_by_row(chip_with("current_voltage", targets=targets), 40)[0]
    np.testing.assert_allclose(found, (targets[:, 0::2] - targets[:, 1::2]) * (1 + 0.5 * 0.2 + 2.0 * 0.04), rtol=1e-12)


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
def test_wires(unselected):
    random = np.random.default_rng(0)
    targets = random.uniform(1, 33, (48, 32))
    config = ChipConfig(EVERYTHING.device.only(), Wires(2.0, 2.0, unselected=unselected))
    chip = Chip(config)
    chip.program(0, targets)
    active = [np.flatnonzero(random.random(48) < share) for share in (0.02, 0.1, 0.5, 1.0)]
    offsets, rows = np.cumsum([0, *map(len, active)]), np.concatenate(active)
    found = chip.read(0, offsets, rows)
    exact = exact_currents(targets, offsets, rows, VOLTAGE, config.wires)
    largest = np.abs(exact).max(1, keepdims=True)
    assert np.all(np.abs(found - (exact[:, 0::2] - exact[:, 1::2])) <= 2e-4 * largest)
    ideal = np.array([(targets[one, 0::2] - targets[one, 1::2]).sum(0) * VOLTAGE for one in active])
    assert np.abs(found - ideal).max() > 0.01 * np.abs(ideal).max()


def test_adc():
    chip = chip_with("adc", targets=cells(33.0, 1.0))
    offsets = np.cumsum([0, *range(1, 21)])
    rows = np.concatenate([np.arange(n) for n in range(1, 21)])
    found = chip.read(0, offsets, rows)
    step = 100.0 / 127
    exact = np.arange(1, 21) * 32.0 * VOLTAGE
    expected = np.clip(np.rint(exact / step), -127, 127) * step
    np.testing.assert_allclose(found, np.tile(expected[:, None], found.shape[1]), rtol=1e-6)
    assert chip.saturated == (exact > 100.0 + step / 2).sum() * found.shape[1] > 0


def test_adc_spread():
    chips = [chip_with("adc", "adc_spread", targets=cells(33.0, 1.0, columns=400), seed=seed) for seed in range(10)]
    offsets, rows = np.array([0, 5, 10, 10]), np.concatenate([np.arange(5), np.arange(5)])
    found = [chip.read(0, offsets, rows) for chip in chips]
    for one in found:
        assert np.array_equal(one[0], one[1])  # lasting
    step = 100.0 / 127
    codes = np.array(found) / step
    zero, high = codes[:, 2].ravel(), codes[:, 0].ravel()
    exact = 5 * 32.0 * VOLTAGE / step
    # rounding adds a twelfth of a step squared to the variance
    assert zero.std() == pytest.approx(np.sqrt(0.5**2 + 1 / 12), rel=0.06)
    assert high.std() == pytest.approx(np.sqrt(0.5**2 + 1 / 12 + (0.02 * exact) ** 2), rel=0.06)
    assert high.mean() == pytest.approx(exact, abs=0.1)


def test_calibration_takes_the_spread_of_converters_out(tmp_path):
    offsets, rows = np.array([0, 5, 5]), np.arange(5)
    errors = []
    for calibrated in (False, True):
        adc = ADC(8, full_scale=100.0, offset_spread=2.0, gain_spread=0.05, calibrated=calibrated)
        chip = Chip(ChipConfig(EVERYTHING.device.only(), adc=adc))
        chip.program(0, cells(33.0, 1.0))
        found = chip.read(0, offsets, rows)
        errors.append(np.sqrt(np.mean((found - np.array([[5 * 32.0 * VOLTAGE], [0.0]])) ** 2)) / (100.0 / 127))
        chip.save(tmp_path / f"{calibrated}.h5")
        assert np.array_equal(Chip.load(tmp_path / f"{calibrated}.h5").read(0, offsets, rows), found)
    assert errors[0] > 1.5
    assert errors[1] < 0.4  # of a step; rounding alone leaves 0.29


# -- whole networks ---------------------------------------------------------------------------------------


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(sums, "WORTH_SHARING", 0)  # also where it does not pay
    random = np.random.default_rng(0)
    net = Network(
        [Population("in", 60, Input()), Population("out", 40, LI(5e-3))],
        [Projection("in", "out", Dense(random.normal(size=(60, 40))))],
        dt=1e-3,
    )
    given = Events.from_dense(random.binomial(1, 0.2, (16, 10, 60)), 1e-3)
    used = []
    share = sums.share
    monkeypatch.setattr(
        sums, "share", lambda part, vectors, threads: used.append(threads) or share(part, vectors, threads)
    )
    for unselected in ("gated", "grounded"):
        traces = []
        for threads in (1, 2, 3):
            config = ChipConfig(EVERYTHING.device, Wires(2.0, 2.0, unselected=unselected), EVERYTHING.adc, rows=32)
            if unselected == "grounded":
                config = config.without("flicker")  # so that the fast kernel is used
            sim = Simulation(net, "crossbar", chip=Chip(config, 5), threads=threads)
            traces.append(sim.run_samples(given).traces)
        for other in traces[1:]:
            assert all(
                np.array_equal(one, values) for one, values in zip(traces[0].values(), other.values(), strict=True)
            )
    assert set(used) == {2, 3}


@pytest.fixture(scope="module")
def digits():
    """A network that tells ten noisy patterns apart, and recordings of them."""
    random = np.random.default_rng(0)
    patterns = random.random((10, 64)) < 0.25
    labels = np.repeat(np.arange(10), 20)
    rates = np.where(patterns[labels], 0.2, 0.08)
    given = Events.from_dense(random.random((200, 15, 64)) < rates[:, None], 1e-3)
    hidden = np.repeat(patterns.T - patterns.mean(1), 4, axis=1).astype(float)
    hidden /= np.sqrt((hidden**2).sum(0))
    out = np.repeat(np.eye(10), 4, axis=0)
    net = Network(
        [
            Population("in", 64, Input()),
            Population("hidden", 40, LIF(10e-3, threshold=1.5)),
            Population("out", 10, LI(20e-3)),
        ],
        [Projection("in", "hidden", Dense(hidden)), Projection("hidden", "out", Dense(out - 0.1))],
        dt=1e-3,
    )
    return net, given, labels


def accuracy(digits, device, age=0.0, mapping=None, seeds=range(5)):
    net, given, labels = digits
    found = []
    for seed in seeds:
        chip = Chip(ChipConfig(device), seed)
        if age:
            Simulation(net, "crossbar", chip=chip, mapping=mapping)
            chip.age(age)
        sim = Simulation(net, "crossbar", chip=chip, mapping=mapping)
        found.append(sim.run_samples(given).accuracy(labels))
    return np.mean(found)


def test_accuracy_falls_with_programming_noise(digits):
    sigma = 5.0
    found = [
        accuracy(digits, Device("noisy", 0.0, 25.0, programming=ProgrammingNoise(Polynomial((scale * sigma,)))))
        for scale in (0, 1, 2, 4)
    ]
    assert found[0] > 0.8
    assert np.all(np.diff(found) < 0)
    assert found[3] > 0.1  # still above chance: not a network that noise has switched off


def test_drift_is_worse_without_compensation(digits):
    device = Device("drifting", 0.0, 25.0, drift=PowerLawDrift(Polynomial((0.06,)), Polynomial((0.02,)), 20.0))
    fresh = accuracy(digits, device)
    year = 365.25 * 86400
    without = accuracy(digits, device, year)
    for how in ("tile", "output"):
        compensated = accuracy(digits, device, year, Mapping(compensate=how))
        assert without + 0.1 < compensated <= fresh + 0.02
