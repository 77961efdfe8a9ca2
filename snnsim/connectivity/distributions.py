"""Distributions of weights and delays, drawn element by element from counter-based random numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from snnsim import elementary, rng
from snnsim.connectivity.recipe import CONSTANT, KAIMING, LOG_NORMAL, NORMAL, UNIFORM
from snnsim.connectivity.recipe import Values as Recipe
from snnsim.errors import ParameterError, positive


class Distribution(ABC):
    """Base of all distributions; concrete ones are frozen dataclasses."""

    @abstractmethod
    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return the kind of `snnsim.connectivity.recipe`, and its two numbers.

        Parameters
        ----------
        fan_in : float
            Mean number of synapses a target, used by distributions that scale with it.
        """

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value; what is drawn outside is drawn again."""
        return -np.inf, np.inf

    def likely_highest(self, n: float, fan_in: float) -> float:
        """Return a value that hardly any of `n` draws exceeds; nothing is drawn."""
        kind, a, b = self.form(fan_in)
        # The largest of n standard normal numbers is rarely above sqrt(2 log n).
        largest = math.sqrt(2.0 * math.log(max(n, 1.0))) + 0.5
        highest = {
            NORMAL: a + b * largest,
            LOG_NORMAL: float(elementary.exp(np.float64(a + b * largest))),
            UNIFORM: a + b,
            KAIMING: a,
        }[kind]
        return min(highest, self.bounds[1])

    def recipe(self, seed: int, stream: int, fan_in: float) -> Recipe:
        """Return what the drawing kernels need to know."""
        return Recipe(*self.form(fan_in), *self.bounds, rng.seed_key(seed), np.uint64(stream))

    def draw(self, n: int, seed: int, stream: int, fan_in: float) -> NDArray[np.float64]:
        """Return `n` numbers; element `i` depends on (seed, stream, i) only.

        Parameters
        ----------
        n : int
            How many.
        seed, stream : int
            Key of the random numbers.
        fan_in : float
            Mean number of synapses a target.
        """
        from snnsim.connectivity.draw_kernels import draw_elements

        out = np.empty(n)
        draw_elements(self.recipe(seed, stream, fan_in), 0, out)
        return out


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal distribution, optionally cut off at bounds by drawing on the allowed side again.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation.
    low, high : float
        Values outside are drawn again (at most 100 times, then clipped).
    """

    mean: float = 0.0
    sd: float = 1.0
    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        _finite("Normal mean", self.mean)
        positive("Normal sd", self.sd, zero=True)
        for name, bound in (("low", self.low), ("high", self.high)):
            _number(f"Normal {name}", bound)
        if not self.low < self.high:
            raise ParameterError(f"Normal low={self.low:g} must be below high={self.high:g}")

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return float(self.low), float(self.high)

    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return mean and standard deviation."""
        return NORMAL, float(self.mean), float(self.sd)


@dataclass(frozen=True)
class LogNormal(Distribution):
    """Log-normal distribution given by its own mean and standard deviation (not those of the logarithm)."""

    mean: float = 1.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        positive("LogNormal mean", self.mean)
        positive("LogNormal sd", self.sd, zero=True)

    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return mean and standard deviation of the logarithm."""
        variance = elementary.log_one_plus((self.sd / self.mean) ** 2)
        return LOG_NORMAL, float(elementary.log(np.float64(self.mean))) - variance / 2, math.sqrt(variance)


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform distribution on [low, high)."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _finite("Uniform low", self.low)
        _finite("Uniform high", self.high)
        if not self.low <= self.high:
            raise ParameterError(f"Uniform low={self.low:g} must not be above high={self.high:g}")

    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return the lower end and the length."""
        return UNIFORM, float(self.low), float(self.high - self.low)


@dataclass(frozen=True)
class Kaiming(Distribution):
    """Uniform on ± gain * sqrt(3 / fan_in): unit variance times gain² / fan_in (He et al. 2015, arXiv:1502.01852).

    ``gain=sqrt(2)`` is the usual one for rectifiers, ``gain=1/sqrt(3)`` equals the default of torch layers.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        positive("Kaiming gain", self.gain)

    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return the bound."""
        return KAIMING, self.gain * math.sqrt(3.0 / max(fan_in, 1.0)), 0.0


def _number(name: str, value: object) -> None:
    if not isinstance(value, Real):
        raise ParameterError(f"{name}={value!r}: must be a number")


def _finite(name: str, value: float) -> None:
    _number(name, value)
    if not np.isfinite(value):
        raise ParameterError(f"{name}={value!r}: must be finite")


DISTRIBUTIONS: dict[str, type[Distribution]] = {kind.__name__: kind for kind in (Normal, LogNormal, Uniform, Kaiming)}

#: Weights or delays: one number for all synapses, one a synapse, or a distribution.
Values = float | NDArray[np.float64] | Distribution


def as_values(name: str, value: object) -> Values:
    """Return weights or delays in one of the three forms, or raise `ParameterError`."""
    if isinstance(value, Distribution):
        return value
    try:
        array = np.array(value, dtype=np.float64)  # a copy: a network does not change with the caller's array
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name}={value!r}: expected a number, an array or a Distribution") from error
    if not np.all(np.isfinite(array)):
        kind = "NaN" if np.any(np.isnan(array)) else "infinite values"
        count = int(np.sum(~np.isfinite(array)))
        raise ParameterError(f"{name} holds {kind} ({count} of {array.size}); every one must be finite")
    return float(array) if array.ndim == 0 else array


def recipe_of(values: float | Distribution, seed: int, stream: int, fan_in: float) -> Recipe:
    """Return how the kernels draw values, one number for all or a distribution."""
    if isinstance(values, Distribution):
        return values.recipe(seed, stream, fan_in)
    return Recipe(CONSTANT, values, 0.0, -np.inf, np.inf, rng.seed_key(seed), np.uint64(stream))


def resolve(
    values: Values, shape: tuple[int, ...], seed: int, stream: int, fan_in: float, name: str
) -> float | NDArray[np.float64]:
    """Turn values into one number or an array of `shape`."""
    if isinstance(values, Distribution):
        return values.draw(int(np.prod(shape)), seed, stream, fan_in).reshape(shape)
    if isinstance(values, np.ndarray) and values.shape != shape:
        raise ParameterError(f"{name} has shape {values.shape}, expected one number or shape {shape}")
    return values
