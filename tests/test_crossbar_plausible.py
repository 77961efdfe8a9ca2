"""Numbers that no memory cell has are questioned, spreads stay in their range, models of one's own are held to it."""

import dataclasses
import math

import numpy as np
import pytest

from snnsim.backends.crossbar import (
    ADC,
    Chip,
    ChipConfig,
    CurrentVoltage,
    Device,
    Flicker,
    ProgrammingNoise,
    ReadNoise,
    WriteVerify,
    pcm,
)
from snnsim.backends.crossbar.cells import conductance_at, program
from snnsim.backends.crossbar.device import presets
from snnsim.backends.crossbar.device.current_voltage import LogarithmicPolynomial, RelativePolynomial
from snnsim.backends.crossbar.device.curves import ClippedLogarithm, Curve, Polynomial, Table
from snnsim.backends.crossbar.device.drift import Drift, LogarithmicDrift, PowerLawDrift
from snnsim.backends.crossbar.device.programming import FormedNoise
from snnsim.errors import ParameterError
from snnsim.numerics import rng

GOOD = {"name": "mine", "g_min": 1.0, "g_max": 25.0}
LINE = Polynomial((0.05,))


def bent(low, high):
    return LogarithmicPolynomial((0.0,), (0.0,), low, high, 0.5)


# -- slips of units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"g_min": 1e-6, "g_max": 25e-6}, r"device 'mine': g_max=2.5e-05: .* below all .* is it in S\?"),
        ({"g_max": 25e3}, r"g_max=25000\.0: .* above all .* is it in nS\?"),
        ({"g_min": 0.0, "g_max": 0.025e-3}, r"g_max=2.5e-05"),
        ({"read_voltage": 200.0}, r"read_voltage=200\.0: .* is it in mV\?"),
        ({"read_voltage": 2e-4}, r"read_voltage=0\.0002"),
        ({"spread": 5.0}, r"spread=5\.0: .* in per cent\?"),
        ({"flicker": Flicker(2.0)}, r"flicker\.deviation=2\.0: .* in per cent\?"),
        ({"verify": WriteVerify(500.0, 5)}, r"verify\.tolerance=500\.0: no cell .* off by more; is it in nS\?"),
        ({"verify": WriteVerify(5e-7, 5)}, r"verify\.tolerance=5e-07: .* is it in S\?"),
        ({"programming": ProgrammingNoise(Polynomial((300.0,)))}, r"programming\.deviation=300\.0: .* in nS\?"),
        ({"programming": ProgrammingNoise(Table((1e-6, 25e-6), (0.1, 0.2)))}, r"programming\.deviation='Table, 1e-06"),
        ({"programming": ProgrammingNoise(LINE, Table((1e3, 25e3), (0.1, 0.2)))}, r"programming\.offset='Table"),
        ({"programming": FormedNoise(12e-6, 1e-6)}, r"programming\.average=1.2e-05: .* in S\?"),
        ({"read_noise": ReadNoise(Polynomial((2.0,)))}, r"read_noise\.curve=2\.0: relative .* in per cent, or in uS\?"),
        ({"read_noise": ReadNoise(LINE, read_time=250.0)}, r"read_noise\.read_time=250\.0: .* in ns\?"),
        ({"drift": PowerLawDrift(LINE, LINE, 1e12)}, r"drift\.reference_time=1000000000000\.0"),
        ({"drift": PowerLawDrift(Polynomial((5.0,)), LINE, 20.0)}, r"drift\.mean=5\.0: .* in per cent\?"),
        ({"drift": PowerLawDrift(LINE, LINE, 20.0, 400.0)}, r"drift\.activation_energy=400\.0: .* in meV\?"),
        ({"drift": LogarithmicDrift(0.0, 0.1, 0.1, 6.4e-20)}, r"drift\.activation_energy=6.4e-20: .* in J\?"),
        ({"current_voltage": RelativePolynomial((0.0,), 500.0)}, r"highest_voltage=500\.0: .* in mV\?"),
        ({"current_voltage": bent(1e-6, 25e-6)}, r"current_voltage='1e-06 to 2.5e-05 uS'"),
    ],
)
def test_numbers_that_no_cell_has_are_questioned_and_taken_where_they_are_meant(change, words):
    with pytest.raises(ParameterError, match=words) as caught:
        Device(**{**GOOD, **change})
    assert str(caught.value).endswith("If it is meant, say so: unusual=True")
    device = Device(**{**GOOD, **change}, unusual=True)
    assert dataclasses.replace(device, name="again").unusual


def test_cells_at_the_ends_of_what_is_known_are_taken():
    for top in (1e-3, 1e-2, 1e3, 1e4):
        device = Device("ends", 0.0, top, programming=ProgrammingNoise(Table((0.0, top), (0.1 * top, 0.1 * top))))
        assert device.g_max == top
    # Read again at the lowest state alone: a table of one place, at zero or near.
    for place in (0.0, 0.01):
        Device(**GOOD, read_noise=ReadNoise(Table((place,), (0.1,)), relative=False))
    for voltage in (1e-3, 10.0):
        assert Device("v", 0.0, 25.0, read_voltage=voltage).read_voltage == voltage


def test_presets_are_scaled_to_ranges_that_cells_have():
    for preset in (presets.pcm, presets.state_independent):
        assert preset(100.0).g_max == 100.0
        with pytest.raises(ParameterError, match=r"g_max=2.5e-05: .* is it in S\?"):
            preset(25e-6)
    assert presets.ideal(2.0**-20).g_max == 2.0**-20  # a power of two stands for nothing that was measured


def test_degrees_celsius_are_no_kelvin():
    chip = Chip(ChipConfig(dataclasses.replace(pcm(), drift=dataclasses.replace(pcm().drift, activation_energy=0.4))))
    chip.program(0, np.full((2, 2), 20.0))
    with pytest.raises(ParameterError, match=r"temperature=85\.0: .* 85 degrees Celsius are 358\.15 K"):
        chip.age(3600.0, temperature=85.0)
    with pytest.raises(ParameterError, match=r"temperature=5000\.0: is in kelvin"):
        chip.age(3600.0, temperature=5000.0)
    chip.age(3600.0, temperature=358.15)
    cold = dataclasses.replace(chip.config.device, unusual=True)
    state = program(cold, np.full((2, 2), 20.0), seed=0, tile=0)
    assert np.array_equal(conductance_at(cold, state, 3600.0, 77.0), state.conductance)


def test_time_that_passes_too_fast_for_any_number_is_refused():
    drift = PowerLawDrift(LINE, LINE, 20.0, 400.0)
    device = Device(**GOOD, drift=drift, unusual=True)
    state = program(device, np.full((2, 2), 20.0), seed=0, tile=0)
    with pytest.raises(ParameterError, match=r"temperature=350\.0: .* is the energy in meV\?"):
        conductance_at(device, state, 1.0, 350.0)
    chip = Chip(ChipConfig(dataclasses.replace(device, drift=dataclasses.replace(drift, activation_energy=35.0))))
    chip.program(0, np.full((2, 2), 20.0))
    with pytest.raises(ParameterError, match="more than a number holds"):
        chip.age(1e200, 500.0)


# -- spreads stay in their range --------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.02, 0.3, 1.0])
def test_gains_are_above_zero_with_the_mean_and_deviation_that_were_asked_for(spread):
    normal = rng.normal(0, 1, np.arange(1_000_000))
    found = rng.log_normal(normal, spread)
    assert found.min() > 0
    assert found.mean() == pytest.approx(1.0, abs=5e-3 * spread)
    assert found.std() == pytest.approx(spread, rel=0.02)
    # The logarithm is normal: its median and quartiles by hand.
    width = math.sqrt(math.log(1 + spread**2))
    quartiles = np.exp(width * np.array([-0.6744897501960817, 0.0, 0.6744897501960817]) - width**2 / 2)
    np.testing.assert_allclose(np.percentile(found, [25, 50, 75]), quartiles, rtol=5e-3)
    assert np.array_equal(rng.log_normal(normal[:9], 0.0), np.ones(9))


def test_converters_and_cells_never_have_a_gain_below_zero():
    for spread in (0.3, 1.0):
        for seed in range(50):
            assert ADC(8, 5.0, gain_spread=spread).converters(columns=300, seed=seed).gain.min() > 0
            assert ADC(8, 5.0, gain_spread=spread, calibrated=True).converters(columns=300, seed=seed).gain.min() > 0
        state = program(Device("wide", 0.0, 50.0, spread=spread), np.full((400, 500), 20.0), seed=0, tile=0)
        assert state.gain.min() > 0
        assert state.gain.mean() == pytest.approx(1.0, abs=0.02 * spread)
        assert state.gain.std() == pytest.approx(spread, rel=0.03)
        assert np.array_equal(state.conductance, 20.0 * state.gain)


def test_gains_of_cells_are_those_of_the_plain_formula():
    state = program(Device("spread", 0.0, 50.0, spread=0.3), np.full((20, 30), 20.0), seed=5, tile=2)
    from snnsim.backends.crossbar.cells import random_numbers

    normal = random_numbers.normal(random_numbers.purpose_key(5, "gain", 2), random_numbers.cell_numbers(20, 30))
    assert np.array_equal(state.gain, rng.log_normal(normal, 0.3))


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_calibration_leaves_converters_that_it_cannot_correct_as_they_are(bits):
    largest = 2 ** (bits - 1) - 1
    for seed in range(20):
        raw = ADC(bits, 5.0, offset_spread=largest, gain_spread=1.0).converters(columns=200, seed=seed)
        found = raw.calibrated()
        ramp = np.repeat(np.linspace(-0.9, 0.9, 64)[:, None] * largest, 200, axis=1)
        codes = np.clip(np.rint(ramp * raw.gain + raw.offset), -largest, largest)
        held = np.ptp(codes, axis=0) == 0  # no code of the ramp differs from another
        assert held.any() or bits > 2
        assert np.array_equal(found.correction_gain[held], np.ones(held.sum()))
        assert np.array_equal(found.correction_offset[held], np.zeros(held.sum()))
        assert (found.correction_gain > 0).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ADC(8, gain_spread=5.0), r"gain_spread=5\.0: .* in per cent\?"),
        (lambda: ADC(4, offset_spread=8.0), r"offset_spread=8\.0: is in steps, and codes of 4 bits end at 7"),
        (lambda: FormedNoise(12.0, 100.0), r"deviation=100\.0: must be at most half of average=12\.0"),
        (lambda: ProgrammingNoise(Table((1.0, 2.0), (0.1, -0.1))), r"deviation=Table.* falls to -0\.1"),
        (lambda: ReadNoise(ClippedLogarithm(1.0, 0.0, -0.1, 0.2, 25.0)), r"curve=Clipped.* falls to -0\.1"),
        (lambda: PowerLawDrift(Table((1.0,), (-0.05,)), LINE, 20.0), r"mean=Table.* falls to -0\.05"),
        (lambda: PowerLawDrift(LINE, Table((1.0,), (-0.05,)), 20.0), r"deviation=Table.* falls to -0\.05"),
        (
            lambda: Device(**GOOD, programming=ProgrammingNoise(LINE, Polynomial((0.5, -0.1)))),
            r"programming\.offset=.* would be -2 at 25 uS, but a Polynomial ends at zero; give a curves\.Table",
        ),
    ],
)
def test_spreads_and_noise_that_would_leave_their_range_are_refused(make, words):
    with pytest.raises(ParameterError, match=words):
        make()
    ADC(4, offset_spread=7.0, gain_spread=1.0)
    ProgrammingNoise(LINE, Table((1.0, 2.0), (0.1, -0.1)))  # a mean error may be negative


# -- models of one's own ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Own(Curve):
    give: object

    def __call__(self, conductance):
        return self.give(conductance)

    def describe(self):
        return "my curve"


@dataclasses.dataclass(frozen=True)
class OwnCurrent(CurrentVoltage):
    give: object

    def current(self, conductance, voltage):
        return self.give(conductance, voltage)

    def describe(self):
        return "my current"


@dataclasses.dataclass(frozen=True)
class OwnDrift(Drift):
    left: float
    activation_energy: float | None = None

    def exponents(self, target, normal):
        return normal

    def drifted(self, conductance, exponent, seconds):
        return np.full_like(conductance, self.left)

    def describe(self):
        return "my drift"


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda g: np.log(g - 2.0), "is nan at 1 uS"),
        (lambda g: 1.0 - g, "is -0.375 at 1.375 uS; must be finite and zero or above"),
        (lambda g: g[:3], r"gave float64 \(3,\) for 65 conductances"),
        (lambda g: None, "gave object"),
        (lambda g: 1 / 0, "ZeroDivisionError at 1 to 25 uS: division by zero"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in log:RuntimeWarning")
def test_curves_of_ones_own_are_asked_over_the_range(give, words):
    for change in (
        {"programming": ProgrammingNoise(Own(give))},
        {"read_noise": ReadNoise(Own(give))},
        {"drift": PowerLawDrift(Own(give), LINE, 20.0)},
        {"drift": PowerLawDrift(LINE, Own(give), 20.0)},
    ):
        with pytest.raises(ParameterError, match=words):
            Device(**GOOD, **change)
    Device(**GOOD, programming=ProgrammingNoise(Own(lambda g: 0.01 * g), Own(lambda g: 1.0 - g)))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (RelativePolynomial((-10.0,), 0.5), r"a cell of 1 uS carries -0\.2 uA at read_voltage=0\.2 V"),
        (RelativePolynomial((-5.0,), 0.5), "carries 0 uA"),
        (LogarithmicPolynomial((0.0,), (-1.0,), 1.0, 25.0, 0.5), "carries -"),
        (OwnCurrent(lambda g, v: g * np.nan), "carries nan uA"),
        (OwnCurrent(lambda g, v: 3.0), r"gave shape \(\) for 65 cells"),
        (OwnCurrent(lambda g, v: g.nothing), "AttributeError at 0.2 V"),
    ],
)
def test_currents_against_the_voltage_are_refused(model, words):
    with pytest.raises(ParameterError, match=words):
        Device(**GOOD, current_voltage=model)
    assert Device(**GOOD, current_voltage=OwnCurrent(lambda g, v: g * np.sinh(v))).current_voltage is not None


@pytest.mark.parametrize("left", [np.nan, -1.0, np.inf])
def test_drift_of_ones_own_that_leaves_no_conductance_is_refused(left):
    device = Device(**GOOD, drift=OwnDrift(left))
    state = program(device, np.full((3, 4), 20.0), seed=0, tile=0)
    with pytest.raises(ParameterError, match=r"drift=OwnDrift.*: leaves cell \(0, 0\) with"):
        conductance_at(device, state, 1.0)
    assert conductance_at(Device(**GOOD, drift=OwnDrift(3.0)), state, 1.0).max() == 3.0
