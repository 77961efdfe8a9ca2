"""Current of a cell against voltage: what a read at one voltage sees as conductance."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from snnsim.backends.crossbar.device.curves import horner, logarithm
from snnsim.backends.crossbar.number_checks import Floats, finite, number_tuple, settle_numbers
from snnsim.errors import ParameterError, positive


class CurrentVoltage(ABC):
    """Base of the models; concrete ones are frozen dataclasses."""

    @abstractmethod
    def current(self, conductance: Floats, voltage: float) -> Floats:
        """Return the current (uA) of cells of small-signal `conductance` (uS) at `voltage` (V)."""

    @abstractmethod
    def describe(self) -> str:
        """Return the formula with its numbers."""


@dataclass(frozen=True)
class RelativePolynomial(CurrentVoltage):
    """``I = G (V + b2 V^2 + b3 V^3 + ...)``: every cell has the same shape.

    Parameters
    ----------
    coefficients : tuple of float
        b2, b3, ... in V^-1, V^-2, ...
    highest_voltage : float
        V, either sign; beyond, the polynomial is not to be used and asking for it is an error.
    """

    coefficients: tuple[float, ...]
    highest_voltage: float

    def __post_init__(self) -> None:
        settle_numbers(self)
        number_tuple("coefficients", self.coefficients)
        positive("highest_voltage", self.highest_voltage)

    def current(self, conductance: Floats, voltage: float) -> Floats:
        """Return the current (uA) of cells of small-signal `conductance` (uS) at `voltage` (V)."""
        check_voltage(voltage, self.highest_voltage)
        shape = float(horner((1.0, *self.coefficients), np.array([voltage]))[0])
        return np.asarray(conductance * (voltage * shape))

    def describe(self) -> str:
        """Return the formula with its numbers."""
        terms = [f" {'-' if b < 0 else '+'} {abs(b):g} V^{k + 2}" for k, b in enumerate(self.coefficients)]
        return f"I = G (V{''.join(terms)}), |V| <= {self.highest_voltage:g} V"


@dataclass(frozen=True)
class LogarithmicPolynomial(CurrentVoltage):
    """``I = G V + N2 V^2 + N3 V^3`` with N2 and N3 polynomials in log10 of G in siemens.

    Parameters
    ----------
    second, third : tuple of float
        Coefficients from low to high order, for N2 in A / V^2 and N3 in A / V^3.
    low, high : float
        uS; G counts as within these in the logarithm.
    highest_voltage : float
        V, either sign.
    """

    second: tuple[float, ...]
    third: tuple[float, ...]
    low: float
    high: float
    highest_voltage: float

    def __post_init__(self) -> None:
        settle_numbers(self)
        number_tuple("second", self.second)
        number_tuple("third", self.third)
        positive("low", self.low)
        positive("high", self.high)
        positive("highest_voltage", self.highest_voltage)
        if self.low >= self.high:
            raise ParameterError(f"low={self.low!r}: must be below high={self.high!r}")

    def current(self, conductance: Floats, voltage: float) -> Floats:
        """Return the current (uA) of cells of small-signal `conductance` (uS) at `voltage` (V)."""
        check_voltage(voltage, self.highest_voltage)
        decade = np.asarray(logarithm(np.clip(conductance, self.low, self.high) * 1e-6)) / math.log(10.0)
        bend = horner(self.second, decade) * voltage**2 + horner(self.third, decade) * voltage**3
        # A cell without conductance carries nothing: below the range the bend shrinks with G.
        bend *= np.minimum(conductance / self.low, 1.0)
        return np.asarray(conductance * voltage + 1e6 * bend)

    def describe(self) -> str:
        """Return the formula with its numbers."""
        return (
            f"I = G V + N2 V^2 + N3 V^3, N2 {self.second} and N3 {self.third} (low to high) in log10(G / S), "
            f"{self.low:g} to {self.high:g} uS, |V| <= {self.highest_voltage:g} V"
        )


def check_voltage(voltage: float, highest: float) -> None:
    """Raise `ParameterError` unless the voltage is within the range of the model."""
    finite("voltage", voltage)
    if not 0 < abs(voltage) <= highest:
        raise ParameterError(f"voltage={voltage!r}: must be within {highest:g} V of zero, and not zero")
