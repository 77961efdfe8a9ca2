"""Drift and retention: how a programmed conductance moves with time, and how temperature hastens it.

Temperature acts as an acceleration of time by Arrhenius' law: t seconds at T act as t * exp(E / k * (1/T0 - 1/T))
seconds at T0 = 300 K, with the activation energy E that the model states. That the models hold at T0 is an assumption;
the tools that the presets are from name no temperature.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from snnsim.backends.crossbar.device.curves import Curve, check_curve, exponential, logarithm
from snnsim.backends.crossbar.number_checks import Floats, finite, number_array, settle_numbers
from snnsim.errors import ParameterError, positive

#: eV / K (CODATA 2018).
BOLTZMANN = 8.617333262e-5
#: Kelvin at which the models of drift are taken to hold.
REFERENCE_TEMPERATURE = 300.0
#: Of e in the law of Arrhenius: a second more would be older than any number.
_LARGEST_POWER = 600.0


class Drift(ABC):
    """Base of the models of drift; concrete ones are frozen dataclasses."""

    activation_energy: float | None

    @abstractmethod
    def exponents(self, target: Floats, normal: Floats) -> Floats:
        """Return each cell's own number, from its target (uS) and a standard normal number."""

    @abstractmethod
    def drifted(self, conductance: Floats, exponent: Floats, seconds: Floats) -> Floats:
        """Return the conductance (uS) `seconds` after programming, from that just after."""

    @abstractmethod
    def describe(self) -> str:
        """Return the formula with its numbers."""

    def acceleration(self, temperature: float) -> float:
        """Return how many seconds at 300 K one second at `temperature` (K) stands for."""
        positive("temperature", temperature)
        if temperature == REFERENCE_TEMPERATURE:
            return 1.0
        if self.activation_energy is None:
            raise ParameterError(
                f"temperature={temperature!r}: this drift model states no activation energy, so that only "
                f"{REFERENCE_TEMPERATURE:g} K can be asked for; give it one: dataclasses.replace(device.drift, "
                "activation_energy=...) (eV)"
            )
        power = self.activation_energy / BOLTZMANN * (1.0 / REFERENCE_TEMPERATURE - 1.0 / temperature)
        if power > _LARGEST_POWER:
            raise ParameterError(
                f"temperature={temperature!r}: with an activation energy of {self.activation_energy:g} eV time would "
                f"pass exp({power:.3g}) times faster than at {REFERENCE_TEMPERATURE:g} K; is the energy in meV?"
            )
        return math.exp(power)

    def _check_energy(self) -> None:
        if self.activation_energy is not None:
            positive("activation_energy", self.activation_energy)

    def _energy(self) -> str:
        energy = self.activation_energy
        return "300 K only" if energy is None else f"time by Arrhenius' law with {energy:g} eV"


@dataclass(frozen=True)
class PowerLawDrift(Drift):
    """``g(t) = g(0) * ((t + t0) / t0) ** -nu`` with an exponent for each cell, ``nu = |N(mean, deviation)|``.

    Parameters
    ----------
    mean, deviation : Curve
        Of the exponent, at the target conductance.
    reference_time : float
        Seconds t0 between programming and the first read, from which age counts.
    activation_energy : float, optional
        eV; default none: 300 K only.
    """

    mean: Curve
    deviation: Curve
    reference_time: float
    activation_energy: float | None = None

    def __post_init__(self) -> None:
        settle_numbers(self)
        check_curve("mean", self.mean)
        check_curve("deviation", self.deviation)
        positive("reference_time", self.reference_time)
        self._check_energy()

    def exponents(self, target: Floats, normal: Floats) -> Floats:
        """Return each cell's exponent, from its target (uS) and a standard normal number."""
        exponent = self.deviation(target) * normal
        exponent += self.mean(target)
        return np.asarray(np.abs(exponent, out=exponent))

    def drifted(self, conductance: Floats, exponent: Floats, seconds: Floats) -> Floats:
        """Return the conductance (uS) `seconds` after programming, from that just after."""
        passed = np.asarray(logarithm((seconds + self.reference_time) / self.reference_time))
        return np.asarray(conductance * exponential(-passed * exponent))

    def describe(self) -> str:
        """Return the formula with its numbers."""
        return (
            f"g x ((t + t0) / t0)^-nu, t0 {self.reference_time:g} s, nu = |normal| of mean {self.mean.describe()} and "
            f"sd {self.deviation.describe()} (of the target); {self._energy()}"
        )


@dataclass(frozen=True)
class LogarithmicDrift(Drift):
    """``g(t) = g(0) + slope * ln t + (spread_slope * ln t + spread) * x`` from 1 s on, cut at zero.

    A cell keeps its standard normal number x, so that it moves along one curve. Nothing moves before 1 s, where the
    logarithm has no meaning.

    Parameters
    ----------
    slope, spread_slope, spread : float
        uS.
    activation_energy : float, optional
        eV; default none: 300 K only.
    """

    slope: float
    spread_slope: float
    spread: float
    activation_energy: float | None = None

    def __post_init__(self) -> None:
        settle_numbers(self)
        finite("slope", self.slope)
        positive("spread_slope", self.spread_slope, zero=True)
        positive("spread", self.spread, zero=True)
        self._check_energy()

    def exponents(self, target: Floats, normal: Floats) -> Floats:
        """Return each cell's own number: here the standard normal number itself."""
        return normal

    def drifted(self, conductance: Floats, exponent: Floats, seconds: Floats) -> Floats:
        """Return the conductance (uS) `seconds` after programming, from that just after."""
        passed = np.asarray(logarithm(np.maximum(seconds, 1.0)))
        moved = conductance + self.slope * passed + (self.spread_slope * passed + self.spread) * exponent
        return np.where(seconds >= 1.0, np.maximum(moved, 0.0), conductance)

    def describe(self) -> str:
        """Return the formula with its numbers."""
        return (
            f"from 1 s on, g + {self.slope:g} ln t + ({self.spread_slope:g} ln t + {self.spread:g}) x, x standard "
            f"normal, lasting; {self._energy()}"
        )


def ages(seconds: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Return seconds since programming as an array, after checking that cells of that shape can have them."""
    age = number_array("seconds", seconds)
    if not (np.isfinite(age).all() and (age >= 0).all()):
        raise ParameterError(f"seconds={seconds!r}: must be finite and zero or above")
    try:
        fits = np.broadcast_shapes(age.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ParameterError(f"seconds of shape {age.shape}: must be one number, or fit the cells' shape {shape}")
    return age
