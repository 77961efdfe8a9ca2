"""Functions of a conductance in microsiemens, as plain values: they can be compared, printed and stored.

Logarithm and exponential are those of `snnsim.numerics.elementary`, since NumPy's own differ between machines.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from snnsim.backends.crossbar.number_checks import Floats, finite, number, number_tuple, settle_numbers
from snnsim.errors import ParameterError, positive

#: Relative conductances below this count as this in logarithms and powers; all curves here are at a bound by then.
SMALLEST = 1e-9


class Curve(ABC):
    """Base of the functions of conductance; concrete ones are frozen dataclasses."""

    @property
    def least(self) -> float | None:
        """No value is below this; None where only asking tells."""
        return None

    @abstractmethod
    def __call__(self, conductance: Floats) -> Floats:
        """Return one value for each conductance (uS)."""

    @abstractmethod
    def describe(self) -> str:
        """Return the formula with its numbers."""


def logarithm(values: ArrayLike) -> Floats:
    """Return the natural logarithm of normal numbers above zero."""
    from snnsim.numerics.elementary_kernels import write_logarithm

    array = np.ascontiguousarray(values, np.float64)
    results = np.empty(array.shape)
    write_logarithm(array.reshape(-1), results.reshape(-1))
    return results.reshape(np.shape(values))


def exponential(values: ArrayLike) -> Floats:
    """Return the exponential."""
    from snnsim.numerics.elementary_kernels import write_exponential

    array = np.ascontiguousarray(values, np.float64)
    results = np.empty(array.shape)
    write_exponential(array.reshape(-1), results.reshape(-1))
    return results.reshape(np.shape(values))


def horner(coefficients: tuple[float, ...], x: Floats) -> Floats:
    """Return the polynomial with `coefficients` from low to high order."""
    result = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result *= x
        result += coefficient
    return result


@dataclass(frozen=True)
class Polynomial(Curve):
    """A polynomial in g / reference, never below zero.

    Parameters
    ----------
    coefficients : tuple of float
        From low to high order; the unit is that of the value.
    reference : float
        uS.
    """

    coefficients: tuple[float, ...]
    reference: float = 1.0

    def __post_init__(self) -> None:
        settle_numbers(self)
        number_tuple("coefficients", self.coefficients)
        positive("reference", self.reference)

    @property
    def least(self) -> float:
        """No value is below zero."""
        return 0.0

    def __call__(self, conductance: Floats) -> Floats:
        """Return the value at each conductance (uS)."""
        value = horner(self.coefficients, conductance / self.reference)
        return np.maximum(value, 0.0, out=value)

    def describe(self) -> str:
        """Return the formula with its numbers."""
        terms = [f"{c:g}" + ("" if k == 0 else " r" if k == 1 else f" r^{k}") for k, c in enumerate(self.coefficients)]
        return " + ".join(terms).replace("+ -", "- ") + _relative_to(self.reference, len(self.coefficients) > 1)


@dataclass(frozen=True)
class ClippedLogarithm(Curve):
    """``clip(slope * ln r + offset, low, high)`` for r = g / reference, and from `split` on a polynomial in r.

    Parameters
    ----------
    slope, offset, low, high : float
    reference : float
        uS.
    split : float
        Relative conductance from which on `beyond` holds; infinite: nowhere.
    beyond : tuple of float
        Coefficients from low to high order.
    """

    slope: float
    offset: float
    low: float
    high: float
    reference: float
    split: float = math.inf
    beyond: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        settle_numbers(self)
        finite("slope", self.slope)
        finite("offset", self.offset)
        positive("reference", self.reference)
        for name in ("low", "high", "split"):
            number(name, getattr(self, name))
        if not self.low <= self.high:
            raise ParameterError(f"low={self.low!r}: must not be above high={self.high!r}")
        if not self.split > 0:
            raise ParameterError(f"split={self.split!r}: must be above zero")
        if self.split < math.inf:
            number_tuple("beyond", self.beyond)

    @property
    def least(self) -> float:
        """No value is below `low`, or zero beyond the split."""
        return self.low if self.split == math.inf else min(self.low, 0.0)

    def __call__(self, conductance: Floats) -> Floats:
        """Return the value at each conductance (uS)."""
        relative = np.maximum(conductance / self.reference, SMALLEST)
        value = logarithm(relative)
        value *= self.slope
        value += self.offset
        np.clip(value, self.low, self.high, out=value)
        if self.split < math.inf:
            value = np.where(relative < self.split, value, np.maximum(horner(self.beyond, relative), 0.0))
        return value

    def describe(self) -> str:
        """Return the formula with its numbers."""
        text = f"clip({self.slope:g} ln r + {self.offset:g}, {self.low:g}, {self.high:g})".replace("+ -", "- ")
        if self.split < math.inf:
            text += f" below r = {self.split:g}, else {Polynomial(self.beyond).describe().split(',')[0]}"
        return text + _relative_to(self.reference, True)


@dataclass(frozen=True)
class ClippedPower(Curve):
    """``min(scale / max(r ** exponent, floor), high)`` for r = g / reference (uS)."""

    scale: float
    exponent: float
    floor: float
    high: float
    reference: float

    def __post_init__(self) -> None:
        settle_numbers(self)
        for name in ("scale", "exponent", "floor", "high", "reference"):
            positive(name, getattr(self, name))

    @property
    def least(self) -> float:
        """All values are above zero."""
        return 0.0

    def __call__(self, conductance: Floats) -> Floats:
        """Return the value at each conductance (uS)."""
        relative = np.maximum(conductance / self.reference, SMALLEST)
        power = exponential(self.exponent * logarithm(relative))
        return np.asarray(np.minimum(self.scale / np.maximum(power, self.floor), self.high))

    def describe(self) -> str:
        """Return the formula with its numbers."""
        text = f"min({self.scale:g} / max(r^{self.exponent:g}, {self.floor:g}), {self.high:g})"
        return text + _relative_to(self.reference, True)


@dataclass(frozen=True)
class Saturation(Curve):
    """``height * (1 - exp(-g / scale))``, with `scale` in uS."""

    height: float
    scale: float

    def __post_init__(self) -> None:
        settle_numbers(self)
        positive("height", self.height)
        positive("scale", self.scale)

    @property
    def least(self) -> float:
        """No value is below zero."""
        return 0.0

    def __call__(self, conductance: Floats) -> Floats:
        """Return the value at each conductance (uS)."""
        return np.asarray(self.height * (1.0 - exponential(conductance / -self.scale)))

    def describe(self) -> str:
        """Return the formula with its numbers."""
        return f"{self.height:g} (1 - exp(-g / {self.scale:g} uS))"


@dataclass(frozen=True)
class Table(Curve):
    """Values at some conductances, straight lines between them, and the outermost values beyond.

    Parameters
    ----------
    conductances : tuple of float
        uS, rising.
    values : tuple of float
    """

    conductances: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        settle_numbers(self)
        number_tuple("conductances", self.conductances)
        number_tuple("values", self.values)
        if len(self.values) != len(self.conductances):
            raise ParameterError(
                f"values={self.values!r}: must be as many as conductances, which are {len(self.conductances)}"
            )
        if any(b <= a for a, b in zip(self.conductances, self.conductances[1:], strict=False)):
            raise ParameterError(f"conductances={self.conductances!r}: must rise")

    @property
    def least(self) -> float:
        """The smallest of the values."""
        return min(self.values)

    def __call__(self, conductance: Floats) -> Floats:
        """Return the value at each conductance (uS)."""
        return np.asarray(np.interp(conductance, self.conductances, self.values))

    def describe(self) -> str:
        """Return the formula with its numbers."""
        low, high = self.conductances[0], self.conductances[-1]
        return (
            f"table of {len(self.values)} from {low:g} to {high:g} uS, values {min(self.values):g} to "
            f"{max(self.values):g}, straight lines between"
        )


def check_curve(name: str, value: object, *, negative: bool = False) -> None:
    """Raise `ParameterError` unless `value` is a `Curve`, and one that is nowhere below zero unless it may be."""
    if not isinstance(value, Curve):
        raise ParameterError(f"{name}={value!r}: must be a Curve, such as curves.Polynomial((1.0,))")
    if not negative and value.least is not None and value.least < 0:
        raise ParameterError(f"{name}={value!r}: falls to {value.least:g}; must be zero or above everywhere")


def check_values(name: str, curve: Curve, low: float, high: float, *, negative: bool = False) -> None:
    """Raise `ParameterError` where a curve is not what it must be at conductances from `low` to `high` (uS).

    A `Polynomial` that may be negative must not be, for it ends at zero; a curve of a class of one's own is asked.
    """
    at = np.linspace(float(low), float(high), 65)
    if isinstance(curve, Polynomial) and negative:
        values = horner(curve.coefficients, at / curve.reference)
        if values.min() < 0:
            raise ParameterError(
                f"{name}={curve!r}: would be {values.min():g} at {at[values.argmin()]:g} uS, but a Polynomial ends at "
                "zero; give a curves.Table, which may be negative"
            )
    if curve.least is not None:
        return
    try:
        found = np.asarray(curve(at))
    except Exception as error:  # a class of one's own may raise anything
        raise ParameterError(f"{name}={curve!r}: {type(error).__name__} at {low:g} to {high:g} uS: {error}") from error
    if found.shape != at.shape or found.dtype.kind not in "fiu":
        raise ParameterError(
            f"{name}={curve!r}: gave {found.dtype} {found.shape} for {at.size} conductances; must be a number for each"
        )
    bad = ~np.isfinite(found) if negative else ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        bound = "finite" if negative else "finite and zero or above"
        raise ParameterError(f"{name}={curve!r}: is {found[bad][0]} at {at[bad][0]:g} uS; must be {bound}")


def _relative_to(reference: float, used: bool) -> str:
    if not used:
        return ""
    return ", r = g / uS" if reference == 1.0 else f", r = g / {reference:g} uS"
