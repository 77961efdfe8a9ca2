"""Distributions of weights and delays, drawn element by element from counter-based random numbers."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity.draw_records import CONSTANT, KAIMING, LOG_NORMAL, NORMAL, UNIFORM
from snnsim.connectivity.draw_records import Values as Recipe
from snnsim.errors import ParameterError, exactly, positive
from snnsim.numerics import elementary, rng

#: A distribution that holds less than this between its bounds is refused: it would be a slip of a sign or a unit.
LEAST_SHARE = 1e-6
#: No normal number that is drawn is further from zero: sqrt(2 log 2**53), of 53 bits.
_FURTHEST = 8.58
_LARGEST = 1e308
#: Most means in a standard deviation of a log-normal distribution: its square must be a float64.
_WIDEST = 1e150


class Distribution(ABC):
    """Base of all distributions; concrete ones are frozen dataclasses."""

    @abstractmethod
    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return the kind of `snnsim.connectivity.draw_records`, and its two numbers.

        Parameters
        ----------
        fan_in : float
            Mean number of synapses a target, used by distributions that scale with it.
        """

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value; the distribution is cut off there, and nothing is moved to a bound."""
        return -np.inf, np.inf

    @property
    def share(self) -> float:
        """What of the whole distribution lies between the bounds."""
        return 1.0

    def reach(self, n: float, fan_in: float) -> tuple[float, float]:
        """Return values between which nearly all of `n` draws lie; nothing is drawn."""
        kind, a, b = self.form(fan_in)
        # The largest of n standard normal numbers is rarely above sqrt(2 log n); n within bounds are of so many more.
        largest = math.sqrt(2.0 * math.log(max(n / self.share, 1.0))) + 0.5
        lowest, highest = {
            NORMAL: (a - b * largest, a + b * largest),
            LOG_NORMAL: (0.0, float(elementary.exp(np.float64(a + b * largest)))),
            UNIFORM: (a, a + b),
            KAIMING: (-a, a),
        }[kind]
        return max(lowest, self.bounds[0]), min(highest, self.bounds[1])

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
    """Normal distribution, optionally cut off at bounds: what is left of it keeps its form.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation, of the whole distribution.
    low, high : float
        Bounds; at least a millionth of the distribution must lie between them.
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
        _keep_as_floats(self)
        if not self.low < self.high:
            raise ParameterError(f"Normal low={exactly(self.low)} must be below high={exactly(self.high)}")
        _in_range("Normal", abs(self.mean) + _FURTHEST * self.sd)
        if self.share < LEAST_SHARE:
            raise ParameterError(
                f"Normal(mean={exactly(self.mean)}, sd={exactly(self.sd)}): a share of {self.share:.2g} lies between "
                f"low={exactly(self.low)} and high={exactly(self.high)}, at least {LEAST_SHARE:g} must; check signs "
                "and units, or move the bounds"
            )

    @property
    def share(self) -> float:
        """What of the whole distribution lies between the bounds."""
        return _normal_share(self._standard(self.low), self._standard(self.high))

    def _standard(self, value: float) -> float:
        """Return how many standard deviations a value lies from the mean."""
        distance = value - self.mean
        return distance / self.sd if self.sd else math.copysign(math.inf, distance) if distance else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self.low, self.high

    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return mean and standard deviation."""
        return NORMAL, self.mean, self.sd


@dataclass(frozen=True)
class LogNormal(Distribution):
    """Log-normal distribution given by its own mean and standard deviation (not those of the logarithm)."""

    mean: float = 1.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        positive("LogNormal mean", self.mean)
        positive("LogNormal sd", self.sd, zero=True)
        _keep_as_floats(self)
        if self.sd / self.mean > _WIDEST:
            raise ParameterError(
                f"LogNormal sd={exactly(self.sd)}: at most {_WIDEST:g} times mean={exactly(self.mean)}"
            )
        _, a, b = self.form(1.0)
        _in_range("LogNormal", math.exp(min(a + _FURTHEST * b, 709.7)))

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
        _keep_as_floats(self)
        if not self.low <= self.high:
            raise ParameterError(f"Uniform low={exactly(self.low)} must not be above high={exactly(self.high)}")
        _in_range("Uniform", self.high - self.low)

    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return the lower end and the length."""
        return UNIFORM, self.low, self.high - self.low


@dataclass(frozen=True)
class Kaiming(Distribution):
    """Uniform on ± gain * sqrt(3 / fan_in): unit variance times gain² / fan_in (He et al. 2015, arXiv:1502.01852).

    ``gain=sqrt(2)`` is the usual one for rectifiers, ``gain=1/sqrt(3)`` equals the default of torch layers.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        positive("Kaiming gain", self.gain)
        _keep_as_floats(self)
        _in_range("Kaiming", 2.0 * self.gain)

    def form(self, fan_in: float) -> tuple[int, float, float]:
        """Return the bound."""
        return KAIMING, self.gain * math.sqrt(3.0 / max(fan_in, 1.0)), 0.0


def _keep_as_floats(distribution: Distribution) -> None:
    """Keep numbers that have been checked as Python's floats: with those of NumPy float32 would spread from them."""
    for field in dataclasses.fields(distribution):  # type: ignore[arg-type]
        object.__setattr__(distribution, field.name, float(getattr(distribution, field.name)))


def _normal_share(low: float, high: float) -> float:
    """Return the share of a standard normal distribution between two bounds, to full precision in its tails."""
    if low > 0.0:
        return 0.5 * (math.erfc(low / math.sqrt(2.0)) - math.erfc(high / math.sqrt(2.0)))
    if high < 0.0:
        return _normal_share(-high, -low)
    return 0.5 * (math.erf(high / math.sqrt(2.0)) - math.erf(low / math.sqrt(2.0)))


def _in_range(kind: str, furthest: float) -> None:
    """Raise `ParameterError` where a distribution reaches as far as no float64 does."""
    if furthest > _LARGEST:
        raise ParameterError(f"{kind}: its numbers would reach {furthest:.3g}; at most {_LARGEST:g}")


def _number(name: str, value: object) -> float:
    """Return a number as Python's float, or raise `ParameterError`."""
    try:
        if isinstance(value, Real):
            return float(value)
    except OverflowError:  # a whole number beyond all floats
        pass
    raise ParameterError(f"{name}={value!r}: must be a number")


def _finite(name: str, value: object) -> None:
    if not math.isfinite(_number(name, value)):
        raise ParameterError(f"{name}={value!r}: must be finite")


DISTRIBUTIONS: dict[str, type[Distribution]] = {kind.__name__: kind for kind in (Normal, LogNormal, Uniform, Kaiming)}

#: Weights or delays: one number for all synapses, one a synapse, or a distribution.
Values = float | NDArray[np.float64] | Distribution


def as_values(name: str, value: object) -> Values:
    """Return weights or delays in one of the three forms, an array read-only, or raise `ParameterError`."""
    if isinstance(value, Distribution):
        return value
    try:
        array = np.array(value, dtype=np.float64)  # a copy: a network does not change with the caller's array
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"{name}={value!r}: expected a number, an array or a Distribution") from error
    if not np.all(np.isfinite(array)):
        kind = "NaN" if np.any(np.isnan(array)) else "infinite values"
        count = int(np.sum(~np.isfinite(array)))
        raise ParameterError(f"{name} holds {kind} ({count} of {array.size}); every one must be finite")
    if array.ndim == 0:
        return float(array)
    array.setflags(write=False)  # written to, it would have no effect on what runs already
    return array


def recipe_of(values: float | Distribution, seed: int, stream: int, fan_in: float) -> Recipe:
    """Return how the kernels draw values, one number for all or a distribution."""
    if isinstance(values, Distribution):
        return values.recipe(seed, stream, fan_in)
    return Recipe(CONSTANT, values, 0.0, -np.inf, np.inf, np.uint64(0), np.uint64(stream))  # no key: nothing is drawn


def resolve(
    values: Values, shape: tuple[int, ...], seed: int, stream: int, fan_in: float, name: str
) -> float | NDArray[np.float64]:
    """Turn values into one number or an array of `shape`."""
    if isinstance(values, Distribution):
        return values.draw(int(np.prod(shape)), seed, stream, fan_in).reshape(shape)
    if isinstance(values, np.ndarray) and values.shape != shape:
        raise ParameterError(f"{name} has shape {values.shape}, expected one number or shape {shape}")
    return values
