"""Ranges that the numbers of memory cells lie in: beyond them, a slip of units is likelier than a new kind of cell.

The ranges are wider than what is published: from ferroelectric tunnel junctions (1 nS) to phase-change cells and
filaments at their lowest resistance (10 mS), read between 1 mV and 10 V.
"""

from __future__ import annotations

from typing import NamedTuple

from snnsim.errors import ParameterError

#: What to do about numbers that are meant.
MEANT = "If it is meant, say so: unusual=True"


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


def question_temperature(temperature: float) -> None:
    """Raise `ParameterError` where no cells are kept at a temperature (K)."""
    if not COLDEST <= temperature <= HOTTEST:
        celsius = f"; {temperature:g} degrees Celsius are {temperature + 273.15:g} K" if temperature < COLDEST else ""
        raise ParameterError(
            f"temperature={temperature!r}: is in kelvin, and cells are kept between {COLDEST:g} and {HOTTEST:g} K"
            f"{celsius}. If it is meant, make the device with unusual=True"
        )
