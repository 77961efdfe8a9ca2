"""Ranges that the numbers of memory cells lie in: beyond them, a slip of units is likelier than a new kind of cell.

The ranges are wider than what is published: from ferroelectric tunnel junctions (1 nS) to phase-change cells and
filaments at their lowest resistance (10 mS), read between 1 mV and 10 V.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from snnsim.backends.crossbar.device.current_voltage import LogarithmicPolynomial
from snnsim.backends.crossbar.device.curves import Curve, Polynomial, Table, horner
from snnsim.backends.crossbar.device.drift import PowerLawDrift
from snnsim.backends.crossbar.device.programming import FormedNoise, ProgrammingNoise
from snnsim.errors import ParameterError

if TYPE_CHECKING:
    from snnsim.backends.crossbar.device.device import Device

#: What to do about numbers that are meant.
MEANT = "If it is meant, say so: unusual=True"


#: Why the values of a curve are odd, by their unit.
_LARGE = {
    "uS": "in uS that is many times what cells have; is it in nS?",
    "": "relative to the conductance, so that 1 is all of it; is it in per cent, or in uS?",
    "exponent": "above 1, a decade of time takes nine tenths of a conductance; is it in per cent?",
}


class Quantity(NamedTuple):
    """What is measured, its unit, the range it lies in, and units it is given in by mistake.

    `mistaken` says for each such unit how many of the right one it is.
    """

    name: str
    unit: str
    low: float
    high: float
    mistaken: tuple[tuple[str, float], ...]


CONDUCTANCE = Quantity("conductance", "uS", 1e-3, 1e4, (("S", 1e6), ("nS", 1e-3), ("mS", 1e3), ("pS", 1e-6)))
VOLTAGE = Quantity("voltage", "V", 1e-3, 10.0, (("mV", 1e-3), ("uV", 1e-6), ("kV", 1e3)))
#: As a conductance, which a current over a voltage is.
CURRENT = CONDUCTANCE._replace(mistaken=(("A", 1e6), ("nA", 1e-3), ("mA", 1e3), ("pA", 1e-6)))
#: From programming to a read: a nanosecond to a century.
TIME = Quantity("time", "s", 1e-9, 3.2e9, (("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)))
READ_TIME = Quantity("duration of a read", "s", 1e-12, 10.0, (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)))
ENERGY = Quantity("activation energy", "eV", 1e-2, 10.0, (("meV", 1e-3), ("J", 6.241509e18)))
#: Kelvin between which retention of memory cells is measured and extrapolated.
COLDEST, HOTTEST = 150.0, 1000.0


def suspicion(value: float, quantity: Quantity, given: str = "it") -> str | None:
    """Return a sentence on what is odd about a value, or None; `given` is what may be in another unit."""
    if quantity.low <= value <= quantity.high:
        return None
    text = (
        f"a {quantity.name} of {value:.4g} {quantity.unit} is {'below' if value < quantity.low else 'above'} all that "
        f"cells are known to have ({quantity.low:g} to {quantity.high:g} {quantity.unit})"
    )
    for unit, factor in quantity.mistaken:
        if quantity.low <= value * factor <= quantity.high:
            return f"{text}; is {given} in {unit}?"
    return f"{text}."


def question(device: Device) -> None:
    """Raise `ParameterError` where a number of a device is one that no cell is known to have."""
    for name, value, reason in _odd(device):
        raise ParameterError(f"device {device.name!r}: {name}={value!r}: {reason} {MEANT}")


def question_temperature(temperature: float) -> None:
    """Raise `ParameterError` where no cells are kept at a temperature (K)."""
    if not COLDEST <= temperature <= HOTTEST:
        celsius = f"; {temperature:g} degrees Celsius are {temperature + 273.15:g} K" if temperature < COLDEST else ""
        raise ParameterError(
            f"temperature={temperature!r}: is in kelvin, and cells are kept between {COLDEST:g} and {HOTTEST:g} K"
            f"{celsius}. If it is meant, make the device with unusual=True"
        )


def _odd(device: Device) -> Iterator[tuple[str, object, str]]:
    """Return the numbers that are odd: name, value, and why."""
    single = [("g_max", device.g_max, CONDUCTANCE), ("read_voltage", device.read_voltage, VOLTAGE)]
    if isinstance(device.programming, FormedNoise):
        single.append(("programming.average", device.programming.average, CONDUCTANCE))
    if device.read_noise is not None and device.read_noise.read_time is not None:
        single.append(("read_noise.read_time", device.read_noise.read_time, READ_TIME))
    if isinstance(device.drift, PowerLawDrift):
        single.append(("drift.reference_time", device.drift.reference_time, TIME))
    highest = getattr(device.current_voltage, "highest_voltage", None)
    if highest is not None:
        single.append(("current_voltage.highest_voltage", highest, VOLTAGE))
    energy = getattr(device.drift, "activation_energy", None)
    if energy is not None:
        single.append(("drift.activation_energy", energy, ENERGY))
    for name, value, quantity in single:
        if reason := suspicion(value, quantity):
            yield name, value, reason
    shares = {"spread": device.spread, "flicker.deviation": getattr(device.flicker, "deviation", 0.0)}
    for name, share in shares.items():
        if share > 1:
            yield name, share, "relative to the conductance, so that 1 is all of it; is it in per cent?"
    top = device.g_max
    if device.verify is not None and not 1e-6 * top <= device.verify.tolerance <= top:
        loose = device.verify.tolerance > top
        why = f"no cell of 0 to {top:g} uS is off by more" if loose else f"no cell of up to {top:g} uS is met so well"
        yield "verify.tolerance", device.verify.tolerance, f"{why}; is it in {'nS' if loose else 'S'}?"
    bent = device.current_voltage
    if isinstance(bent, LogarithmicPolynomial) and not (bent.high >= 1e-3 * top and bent.low <= 1e3 * top):
        yield "current_voltage", f"{bent.low:g} to {bent.high:g} uS", f"cells have up to {top:g} uS; is it in S, or nS?"
    for name, curve, unit in curves_of(device):
        if isinstance(curve, Table):
            low, high = curve.conductances[0], curve.conductances[-1]
            if 0 < high < 1e-5 * top or low > 20 * top:
                yield name, f"Table, {low:g} to {high:g} uS", f"cells have up to {top:g} uS; is it in S, or nS?"
        largest = _largest(curve, device.g_min, top)
        if largest is not None and largest > (10 * top if unit == "uS" else 1):
            yield name, largest, _LARGE[unit]


def curves_of(device: Device) -> Iterator[tuple[str, Curve, str]]:
    """Return the curves of a device by name, and what their values are: uS, an exponent, or relative."""
    if isinstance(device.programming, ProgrammingNoise):
        yield "programming.deviation", device.programming.deviation, "uS"
        if device.programming.offset is not None:
            yield "programming.offset", device.programming.offset, "uS"
    if device.read_noise is not None:
        yield "read_noise.curve", device.read_noise.curve, "" if device.read_noise.relative else "uS"
    if isinstance(device.drift, PowerLawDrift):
        yield "drift.mean", device.drift.mean, "exponent"
        yield "drift.deviation", device.drift.deviation, "exponent"


def _largest(curve: Curve, low: float, high: float) -> float | None:
    """Return the largest size of the values of a curve, where that is seen without compiling anything."""
    if isinstance(curve, Table):
        return max(map(abs, curve.values))
    if isinstance(curve, Polynomial):
        return float(np.abs(horner(curve.coefficients, np.linspace(low, high, 65) / curve.reference)).max())
    return None
