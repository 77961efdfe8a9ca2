"""Receptors: what an arriving spike does to a neuron, each with its arithmetic written once, as neuron models have it.

A receptor with states has two functions of ``+ - *`` on plain numbers, which run on NumPy arrays and under Numba:

- ``seen(*states, c)`` gives what the membrane sees in this tick, one number for each input of the model;
- ``follow(*states, arrived, c)`` gives the states after the tick; `arrived` is the sum of the weights of its spikes.

The membrane sees the states as they stood before this tick's spikes. `Delta` has no states: the membrane sees what
arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from snnsim.errors import ParameterError, exactly, positive
from snnsim.neurons.parameters import as_parameter


class ReceptorArithmetic(NamedTuple):
    """The functions and names by which backends run a receptor."""

    states: tuple[str, ...]
    coefficients: type[tuple[Any, ...]]
    seen: Callable[..., Any]
    follow: Callable[..., Any]


@dataclass(frozen=True)
class Delta:
    """A receptor without dynamics: each arriving spike moves the membrane by its weight at once."""

    name: str = "input"

    arithmetic: ClassVar[ReceptorArithmetic | None] = None


class ExponentialCoefficients(NamedTuple):
    """What one tick of an exponential receptor needs."""

    decay: Any
    coupling: Any


def exponential_seen(current: Any, c: Any) -> Any:
    """Return what the current adds to the membrane."""
    return (c.coupling * current,)


def exponential_follow(current: Any, arrived: Any, c: Any) -> Any:
    """Let the current decay, then add what arrived."""
    return (c.decay * current + arrived,)


@dataclass(frozen=True)
class Exponential:
    """A receptor whose current jumps by the weight of a spike and decays exponentially.

    Parameters
    ----------
    time_constant : float
        Seconds for the current to fall to 1/e.
    name : str
        What projections call the receptor.
    """

    time_constant: float
    name: str = "input"

    arithmetic: ClassVar[ReceptorArithmetic | None] = ReceptorArithmetic(
        ("current",), ExponentialCoefficients, exponential_seen, exponential_follow
    )

    def __post_init__(self) -> None:
        positive("Exponential time_constant", self.time_constant)
        object.__setattr__(self, "time_constant", float(self.time_constant))


class AlphaCoefficients(NamedTuple):
    """What one tick of an alpha receptor needs."""

    decay: Any
    feed: Any
    coupling: Any
    rise_coupling: Any


def alpha_seen(rise: Any, current: Any, c: Any) -> Any:
    """Return what current and rise add to the membrane."""
    return (c.coupling * current + c.rise_coupling * rise,)


def alpha_follow(rise: Any, current: Any, arrived: Any, c: Any) -> Any:
    """Feed the current from its rise; what arrived goes into the rise."""
    return c.decay * rise + arrived, c.decay * current + c.feed * rise


@dataclass(frozen=True)
class Alpha:
    """A receptor whose current rises and falls: the weight times e t / tau exp(-t / tau) at a time t after a spike.

    Parameters
    ----------
    time_constant : float
        Seconds tau until the current is at its peak, which is the weight.
    name : str
        What projections call the receptor.
    """

    time_constant: float
    name: str = "input"

    arithmetic: ClassVar[ReceptorArithmetic | None] = ReceptorArithmetic(
        ("rise", "current"), AlphaCoefficients, alpha_seen, alpha_follow
    )

    def __post_init__(self) -> None:
        positive("Alpha time_constant", self.time_constant)
        object.__setattr__(self, "time_constant", float(self.time_constant))


class ConductanceCoefficients(NamedTuple):
    """What one tick of a conductance needs."""

    decay: Any
    reversal: Any


def conductance_seen(conductance: Any, c: Any) -> Any:
    """Return the drive, conductance times reversal potential, and the conductance."""
    return c.reversal * conductance, conductance


@dataclass(frozen=True)
class Conductance:
    """A receptor that opens a conductance, which jumps by the weight of a spike and decays exponentially.

    Parameters
    ----------
    time_constant : float
        Seconds for the conductance to fall to 1/e.
    reversal : float
        Potential to which the conductance draws the membrane.
    name : str
        What projections call the receptor.
    """

    time_constant: float
    reversal: float
    name: str = "input"

    arithmetic: ClassVar[ReceptorArithmetic | None] = ReceptorArithmetic(
        ("conductance",), ConductanceCoefficients, conductance_seen, exponential_follow
    )

    def __post_init__(self) -> None:
        positive("Conductance time_constant", self.time_constant)
        reversal = as_parameter("Conductance reversal", self.reversal)
        if isinstance(reversal, np.ndarray):
            raise ParameterError(f"Conductance reversal={self.reversal!r}: must be one number")
        object.__setattr__(self, "time_constant", float(self.time_constant))
        object.__setattr__(self, "reversal", reversal)


Receptor = Delta | Exponential | Alpha | Conductance


def check_receptors(given: Any, kinds: tuple[type[Receptor], ...]) -> tuple[Receptor, ...]:
    """Return receptors as a tuple, or raise `ParameterError` unless all are of the kinds that a model takes."""
    receptors = tuple(given) if isinstance(given, Iterable) else (given,)
    if not receptors or not all(isinstance(receptor, kinds) for receptor in receptors):
        expected = " or ".join(f"{kind.__name__}(...)" for kind in kinds)
        raise ParameterError(f"receptors={given!r}: expected {expected}, at least one")
    names = [receptor.name for receptor in receptors]
    if len(set(names)) != len(names):
        raise ParameterError(f"receptors: two have the same name; names are {names}")
    return receptors


def check_weights(where: str, receptor: Receptor, lowest: float) -> None:
    """Raise `ParameterError` where the lowest of some weights is below zero and the receptor opens a conductance."""
    if isinstance(receptor, Conductance) and lowest < 0:
        raise ParameterError(
            f"{where}: a weight of {lowest:g} on the Conductance {receptor.name!r}: conductances are zero or above, so "
            "cut a distribution off with low=0; an inhibitory synapse is one with a low reversal potential"
        )


def receptor_decay(receptor: Exponential | Alpha | Conductance, dt: float, integration: str) -> float:
    """Return what is left of a receptor's state after a tick, or raise `ParameterError` where Euler is unstable."""
    if integration != "euler":
        return float(np.exp(-dt / receptor.time_constant))
    if dt > receptor.time_constant:
        raise ParameterError(
            f"{type(receptor).__name__} time_constant={exactly(receptor.time_constant)} s is below dt={exactly(dt)} s: "
            "forward Euler is unstable there; use integration='exact' or a finer dt"
        )
    return 1.0 - dt / receptor.time_constant
