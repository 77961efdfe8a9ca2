"""Drift, temperature, 1/f noise and white read noise of crossbar cells against their formulas."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from snnsim.backends.crossbar import Device, Flicker, ReadNoise
from snnsim.backends.crossbar.cells import conductance_at, flicker, program, random_numbers, read_variance
from snnsim.backends.crossbar.device import presets
from snnsim.backends.crossbar.device.curves import Polynomial, Table
from snnsim.backends.crossbar.device.drift import BOLTZMANN, LogarithmicDrift, PowerLawDrift
from snnsim.backends.crossbar.device.read_noise import constant
from snnsim.errors import ParameterError
from snnsim.numerics import rng

DAY = 86400.0


def drifting(**more) -> Device:
    model = PowerLawDrift(Polynomial((0.06,)), Polynomial((0.0,)), reference_time=20.0, **more)
    return Device("drifting", 0.0, 32.0, drift=model)


def test_a_fit_gives_the_exponent_back():
    device = drifting()
    state = program(device, np.full((3, 4), 8.0), seed=0, tile=0)
    times = np.logspace(1, 8, 15)
    values = np.array([conductance_at(device, state, t)[0, 0] for t in times])
    slope, start = np.polyfit(np.log((times + 20.0) / 20.0), np.log(values), 1)
    assert slope == pytest.approx(-0.06, abs=1e-12)
    assert math.exp(start) == pytest.approx(8.0, rel=1e-12)
    assert np.array_equal(conductance_at(device, state, 0.0), state.conductance)


def test_a_fit_to_each_pcm_cell_gives_the_published_exponents_back():
    device = presets.pcm()
    state = program(device, np.full((100, 200), 12.5), seed=5, tile=0)
    late, later = (conductance_at(device, state, t) for t in (3600.0, 30 * DAY))
    exponent = -np.log(later / late) / math.log((30 * DAY + 20) / (3600 + 20))
    assert exponent.mean() == pytest.approx(0.0490, rel=0.005)
    assert exponent.std() == pytest.approx(0.0080, rel=0.03)


def test_cells_of_different_age_may_be_asked_for_at_once():
    device = presets.pcm()
    state = program(device, np.full((40, 300), 12.5), seed=5, tile=0)
    ages = np.linspace(0.0, DAY, 40)[:, None]
    together = conductance_at(device, state, ages)
    for row in (0, 17, 39):
        assert np.array_equal(together[row], conductance_at(device, state, float(ages[row, 0]))[row])
    variance = read_variance(device, together, ages, state.conductance)
    alone = read_variance(device, together, float(ages[17, 0]), state.conductance)
    assert np.array_equal(variance[17], alone[17])


def test_temperature_hastens_time_by_arrhenius_law():
    device = drifting(activation_energy=1.1)
    state = program(device, np.full((2, 2), 8.0), seed=0, tile=0)
    factor = math.exp(1.1 / BOLTZMANN * (1 / 300 - 1 / 360))
    assert factor == pytest.approx(1200, rel=0.01)
    hot = conductance_at(device, state, 3600.0, temperature=360.0)
    assert np.allclose(hot, conductance_at(device, state, 3600.0 * factor), rtol=1e-12)
    cold = conductance_at(device, state, 3600.0, temperature=280.0)
    assert (hot < conductance_at(device, state, 3600.0)).all()
    assert (conductance_at(device, state, 3600.0) < cold).all()


def test_a_temperature_that_nothing_is_known_of_is_refused():
    state = program(drifting(), np.full((2, 2), 8.0), seed=0, tile=0)
    with pytest.raises(ParameterError, match=r"temperature=330\.0.*no activation energy"):
        conductance_at(drifting(), state, 1.0, temperature=330.0)
    with pytest.raises(ParameterError, match=r"temperature=-3\.0"):
        conductance_at(drifting(activation_energy=1.0), state, 1.0, temperature=-3.0)
    # Without drift there is nothing that temperature could act on.
    still = drifting().without("drift")
    assert np.array_equal(conductance_at(still, state, DAY, temperature=330.0), state.conductance)


def test_cmo_cells_relax_as_published_and_keep_their_place():
    device = presets.reram_cmo().only("drift")
    state = program(device, np.full((200, 250), 50.0), seed=2, tile=0)
    day = conductance_at(device, state, DAY) - 50.0
    log = math.log(DAY)
    assert day.mean() == pytest.approx(-0.08900206 * log, rel=0.02)
    assert day.std() == pytest.approx(0.04201137 * log + 0.41183342, rel=0.02)
    week = conductance_at(device, state, 7 * DAY) - 50.0
    assert np.corrcoef(day.ravel(), week.ravel())[0, 1] > 0.999
    assert np.array_equal(conductance_at(device, state, 0.5), state.conductance)


def test_read_noise_is_what_its_formula_says():
    g = np.array([[2.0, 30.0]])
    absolute = Device("a", 0.0, 40.0, read_noise=ReadNoise(constant(0.3), relative=False))
    relative = Device("r", 0.0, 40.0, read_noise=ReadNoise(constant(0.02)))
    assert np.allclose(read_variance(absolute, g, DAY), 0.09)
    assert np.allclose(read_variance(relative, g, DAY), (0.02 * g) ** 2)
    assert not read_variance(presets.ideal(), g, DAY).any()
    cmo = math.sqrt(read_variance(presets.reram_cmo(), np.array([[50.0]]), DAY)[0, 0])
    assert cmo == pytest.approx(0.0277316483 * math.log10(50) * math.sqrt(math.log((DAY + 1e-6) / 2e-6)))
    wan = math.sqrt(read_variance(presets.realistic_rram(), g)[0, 0])
    # A weight is a pair of cells: together 1 % of the largest.
    assert wan * math.sqrt(2) == pytest.approx(0.4)


@pytest.fixture(scope="module")
def flickering() -> np.ndarray:
    """Return 2^13 ticks of 1/f noise of 100 cells of 10 uS, 13 octaves, sd 0.02."""
    device = Device("flicker", 0.0, 16.0, flicker=Flicker(0.02, octaves=13))
    conductance = np.full((10, 10), 10.0)
    return np.array([flicker(device, conductance, seed=4, tile=1, tick=tick).ravel() for tick in range(2**13)])


def test_flicker_falls_as_one_over_f(flickering):
    # Power in octaves of frequency from 2^-10 to 2^-2 of the tick rate, over 100 cells.
    power = np.mean(np.abs(np.fft.rfft(flickering, axis=0)) ** 2, axis=1)
    edges = 2 ** np.arange(3, 12)
    density = [power[low:high].mean() for low, high in itertools.pairwise(edges)]
    slope = np.polyfit(np.arange(len(density)), np.log2(density), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.07)
    # No octave strays: between neighbours the density about halves.
    assert np.allclose(np.diff(np.log2(density)), -1.0, atol=0.3)


def test_flicker_has_the_stated_deviation(flickering):
    # The slowest octaves show few values in this time: cells are averaged, not ticks alone.
    assert math.sqrt(np.mean(flickering**2)) == pytest.approx(0.02 * 10.0, rel=0.04)
    kurtosis = np.mean(flickering**4) / np.mean(flickering**2) ** 2
    assert kurtosis == pytest.approx(3.0 - 1.2 / 13, abs=0.1)


def test_flicker_is_the_sum_of_held_values():
    octaves, tick = 5, 1234
    device = Device("flicker", 0.0, 16.0, flicker=Flicker(0.1, octaves=octaves))
    conductance = np.linspace(1.0, 12.0, 30).reshape(5, 6)
    found = flicker(device, conductance, seed=4, tile=1, tick=tick)
    cells, twin = random_numbers.cell_numbers(5, 6), np.zeros((5, 6))
    for octave in range(octaves):
        key = random_numbers.purpose_key(4, "flicker", 1, octave, tick >> octave)
        with np.errstate(over="ignore"):
            bits = rng.mix(key + cells * rng.GOLDEN + rng.GOLDEN)
        twin += ((bits >> np.uint64(11)) * 2.0**-53 - 0.5) * math.sqrt(12 / octaves)
    assert np.allclose(found, 0.1 * conductance * twin, rtol=1e-10, atol=1e-14)
    # Any tick, any rows, in any order.
    rows = np.array([4, 1])
    part = flicker(device, conductance[rows], seed=4, tile=1, tick=tick, rows=rows)
    assert np.array_equal(part, found[rows])
    assert not np.array_equal(flicker(device, conductance, seed=4, tile=2, tick=tick), found)
    assert not flicker(device.without("flicker"), conductance, seed=4, tile=1, tick=tick).any()


def test_octaves_are_held_for_their_ticks():
    device = Device("flicker", 0.0, 16.0, flicker=Flicker(0.1, octaves=1))
    conductance = np.full((4, 4), 10.0)
    ticks = [flicker(device, conductance, seed=0, tile=0, tick=tick) for tick in range(3)]
    assert not np.array_equal(ticks[0], ticks[1])
    # Neighbouring ticks share all octaves but the fastest where no other turns over.
    slow = Device("flicker", 0.0, 16.0, flicker=Flicker(0.1, octaves=20))
    even, odd = (flicker(slow, np.full((100, 100), 10.0), seed=0, tile=0, tick=tick) for tick in (6, 7))
    assert np.corrcoef(even.ravel(), odd.ravel())[0, 1] == pytest.approx(19 / 20, abs=0.01)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Flicker(-0.1), r"deviation=-0\.1"),
        (lambda: Flicker(0.1, octaves=0), "octaves=0"),
        (lambda: Flicker(0.1, octaves=63), "octaves=63"),
        (lambda: PowerLawDrift(0.06, Polynomial((0.0,)), 20.0), r"mean=0\.06"),
        (lambda: PowerLawDrift(Polynomial((0.1,)), Polynomial((0.0,)), 0.0), r"reference_time=0\.0"),
        (lambda: drifting(activation_energy=-1.0), r"activation_energy=-1\.0"),
        (lambda: LogarithmicDrift(math.nan, 0.1, 0.1), "slope=nan"),
        (lambda: LogarithmicDrift(0.1, -0.1, 0.1), r"spread_slope=-0\.1"),
        (lambda: ReadNoise(constant(0.1), state="then"), "state='then'"),
        (lambda: ReadNoise(constant(0.1), read_time=0.0), r"read_time=0\.0"),
        (lambda: ReadNoise(0.1), r"curve=0\.1"),
        (lambda: constant(-0.1), r"sigma=-0\.1"),
        (lambda: Table((1.0, 1.0), (0.0, 0.0)), r"conductances=\(1\.0, 1\.0\)"),
        (lambda: Table((1.0, 2.0), (0.0,)), r"values=\(0\.0,\)"),
    ],
)
def test_bad_models_are_refused(make, words):
    with pytest.raises(ParameterError, match=words):
        make()


def test_ticks_are_whole_numbers():
    device = Device("flicker", 0.0, 16.0, flicker=Flicker(0.1))
    with pytest.raises(ParameterError, match="tick=-1"):
        flicker(device, np.ones((2, 2)), seed=0, tile=0, tick=-1)


def test_activation_energy_can_be_given_to_a_preset():
    device = presets.pcm()
    warm = dataclasses.replace(device, drift=dataclasses.replace(device.drift, activation_energy=2.5))
    assert "2.5 eV" in warm.describe()
    assert "300 K only" in device.describe()
