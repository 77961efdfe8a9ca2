"""Surrogate gradients: what stands for the derivative of the step at the threshold.

Each surrogate is one function of plain arithmetic over the distance to the threshold, so that the same function
serves NumPy arrays, torch tensors and the compiled kernels (Neftci, Mostafa, Zenke 2019,
doi:10.1109/MSP.2019.2931595). Only the backward pass knows it; spikes stay exact zeros and ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from snnsim.training.parameters.settings import number

_E = 2.718281828459045
_HALF_PI = 1.5707963267948966


def triangle(distance: Any, width: Any) -> Any:
    """Return max(0, 1 - |distance| / width) / width."""
    scaled = abs(distance) / width
    return (1 - scaled) * (scaled < 1) / width


def rectangle(distance: Any, width: Any) -> Any:
    """Return 1 / width within half a width of the threshold, else 0."""
    # The sum gives torch a number of the distance's precision to multiply, not just a truth value.
    return (1 + 0 * distance) * (abs(distance) * 2 < width) / width


def arc_tangent(distance: Any, alpha: Any) -> Any:
    """Return (alpha / 2) / (1 + (pi / 2 * alpha * distance)^2)."""
    scaled = _HALF_PI * alpha * distance
    return alpha / 2 / (1 + scaled * scaled)


def logistic(distance: Any, alpha: Any) -> Any:
    """Return alpha * s * (1 - s) with s the logistic function of alpha * distance."""
    # Symmetric, so that only the decaying exponential is needed, which cannot overflow.
    tail = _E ** (-alpha * abs(distance))
    return alpha * tail / ((1 + tail) * (1 + tail))


def fast_sigmoid(distance: Any, alpha: Any) -> Any:
    """Return 1 / (1 + alpha * |distance|)^2."""
    scaled = 1 + alpha * abs(distance)
    return 1 / (scaled * scaled)


#: The functions by their `Surrogate.number`.
FUNCTIONS = (triangle, rectangle, arc_tangent, logistic, fast_sigmoid)


class Surrogate(ABC):
    """Base of all surrogates; concrete ones are frozen dataclasses.

    A surrogate of your own derives from this class and gives `derivative`; it runs on the plain path.
    """

    #: Number under which the compiled kernels know the function behind `derivative`; None where they do not.
    number: ClassVar[int | None] = None

    @property
    def parameter(self) -> float:
        """The number that the function takes besides the distance."""
        return 1.0

    @abstractmethod
    def derivative(self, distance: Any) -> Any:
        """Return the stand-in for d spike / d membrane.

        Parameters
        ----------
        distance : float, ndarray or Tensor
            Membrane minus threshold, in the units of the weights.
        """


@dataclass(frozen=True)
class Triangle(Surrogate):
    """Triangle of unit area around the threshold; `width` = 1 is that of SLTT (arXiv:2302.14311).

    Parameters
    ----------
    width : float
        Distance from the threshold at which it falls to zero.
    """

    width: float = 1.0
    number = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", number("Triangle width", self.width))

    @property
    def parameter(self) -> float:
        """The width."""
        return self.width

    def derivative(self, distance: Any) -> Any:
        """Return ``max(0, 1 - |distance| / width) / width``."""
        return triangle(distance, self.width)


@dataclass(frozen=True)
class Rectangle(Surrogate):
    """Rectangle of unit area around the threshold (Wu et al. 2018, doi:10.3389/fnins.2018.00331).

    Parameters
    ----------
    width : float
        Full width.
    """

    width: float = 1.0
    number = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", number("Rectangle width", self.width))

    @property
    def parameter(self) -> float:
        """The width."""
        return self.width

    def derivative(self, distance: Any) -> Any:
        """Return ``1 / width`` where ``|distance| < width / 2``, else 0."""
        return rectangle(distance, self.width)


@dataclass(frozen=True)
class ATan(Surrogate):
    """Derivative of a scaled arc tangent (Fang et al. 2021, arXiv:2007.05785).

    Parameters
    ----------
    alpha : float
        Steepness; the peak is ``alpha / 2``.
    """

    alpha: float = 2.0
    number = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", number("ATan alpha", self.alpha))

    @property
    def parameter(self) -> float:
        """The steepness."""
        return self.alpha

    def derivative(self, distance: Any) -> Any:
        """Return ``(alpha / 2) / (1 + (pi / 2 * alpha * distance)**2)``."""
        return arc_tangent(distance, self.alpha)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """Derivative of the logistic function.

    Parameters
    ----------
    alpha : float
        Steepness; the peak is ``alpha / 4``.
    """

    alpha: float = 4.0
    number = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", number("Sigmoid alpha", self.alpha))

    @property
    def parameter(self) -> float:
        """The steepness."""
        return self.alpha

    def derivative(self, distance: Any) -> Any:
        """Return ``alpha * s * (1 - s)``, s the logistic function of ``alpha * distance``."""
        return logistic(distance, self.alpha)


@dataclass(frozen=True)
class SuperSpike(Surrogate):
    """Derivative of a fast sigmoid (Zenke and Ganguli 2018, doi:10.1162/neco_a_01086).

    Parameters
    ----------
    alpha : float
        Steepness; the peak is 1.
    """

    alpha: float = 10.0
    number = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", number("SuperSpike alpha", self.alpha))

    @property
    def parameter(self) -> float:
        """The steepness."""
        return self.alpha

    def derivative(self, distance: Any) -> Any:
        """Return ``1 / (1 + alpha * |distance|)**2``."""
        return fast_sigmoid(distance, self.alpha)
