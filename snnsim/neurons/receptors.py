"""Receptors: what an arriving spike does to a neuron, each with its arithmetic written once, as neuron models have it.

A receptor with states has two functions of ``+ - *`` on plain numbers, which run on NumPy arrays and under Numba:

- ``seen(*states, c)`` gives what the membrane sees in this tick, one number for each input of the model;
- ``follow(*states, arrived, c)`` gives the states after the tick; `arrived` is the sum of the weights of its spikes.

The membrane sees the states as they stood before this tick's spikes. `Delta` has no states: the membrane sees what
arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from snnsim.errors import ParameterError, positive
from snnsim.neurons.parameters import Parameter, plain


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


Receptor = Delta | Exponential


def exponential_receptor(
    receptor: Exponential, time_constant: Parameter, dt: float, integration: str
) -> ExponentialCoefficients:
    """Return the coefficients of a current I into a membrane: tau dV/dt = -V + I, tau_s dI/dt = -I.

    `coupling` is the change of V over one tick for a current of one at its start; the exact value is
    tau_s / (tau_s - tau) * (exp(-dt/tau_s) - exp(-dt/tau)), and dt/tau * exp(-dt/tau) where both are equal
    (Rotter and Diesmann 1999, doi:10.1007/s004220050570).

    Raises
    ------
    ParameterError
        The membrane never leaks, and so never sees the current; or forward Euler is unstable.
    """
    tau, tau_s = np.asarray(time_constant, np.float64), receptor.time_constant
    if np.any(np.isinf(tau)):
        raise ParameterError(
            f"time_constant=inf: the Exponential receptor {receptor.name!r} would have no effect "
            "(tau dV/dt = -V + I); use a finite time_constant, or a Delta receptor"
        )
    if integration == "euler":
        if dt > tau_s:
            raise ParameterError(
                f"Exponential time_constant={tau_s:g} s is below dt={dt:g} s: forward Euler is unstable there; "
                "use integration='exact' or a finer dt"
            )
        return ExponentialCoefficients(1.0 - dt / tau_s, plain(dt / tau))
    # With x = dt |1/tau - 1/tau_s| the difference of the two exponentials is exp(-dt/slow) (1 - exp(-x)): no digits
    # are lost where tau and tau_s are nearly equal, and nothing overflows where they are far apart.
    leaks = tau > 0
    safe = np.where(leaks, tau, 1.0)
    x = dt * np.abs(tau_s - safe) / (safe * tau_s)
    ratio = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
    coupling = dt / safe * np.exp(-dt / np.maximum(safe, tau_s)) * ratio
    # A membrane without memory follows the current.
    return ExponentialCoefficients(float(np.exp(-dt / tau_s)), plain(np.where(leaks, coupling, np.exp(-dt / tau_s))))
