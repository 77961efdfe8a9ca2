"""What a neuron model is: parameters in the user's words, exact coefficients, and arithmetic written once.

A model is one file with a frozen dataclass of parameters and three module-level functions that use only
``+ - *`` and comparisons on plain numbers, so that the very same functions run on NumPy arrays (reference
backend), are compiled by Numba (cpu) and act on torch tensors (training):

- ``integrate(*states, drive, c)`` gives the states after one tick, as a tuple;
- ``distance(*states, c)`` is zero or above where the neuron fires;
- ``reset(*states, spike, c)`` gives the states after the test; `spike` is 0 or 1.

`c` is the model's NamedTuple of coefficients, computed from the parameters and `dt` in one place.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, one_of, positive
from snnsim.timebase import check_length, tick_count

#: A parameter: one number for the population, or one a neuron (flat, in the order of the population).
Parameter = float | NDArray[np.float64]


class Arithmetic(NamedTuple):
    """The functions and names by which backends run a model."""

    states: tuple[str, ...]
    coefficients: type[tuple[Any, ...]]
    integrate: Callable[..., Any]
    distance: Callable[..., Any] | None
    reset: Callable[..., Any] | None


@dataclass(frozen=True)
class Delta:
    """A receptor without dynamics: each arriving spike moves the membrane by its weight at once."""

    name: str = "input"


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

    def __post_init__(self) -> None:
        positive("Exponential time_constant", self.time_constant)


Receptor = Delta | Exponential


class NeuronModel(ABC):
    """Base of all neuron models; concrete models are frozen dataclasses."""

    arithmetic: ClassVar[Arithmetic]
    #: Whether neurons of this model emit spikes (a readout integrates only).
    spiking: ClassVar[bool] = True

    @abstractmethod
    def coefficients(self, dt: float) -> tuple[Any, ...]:
        """Return the NamedTuple of coefficients for ticks of `dt` seconds, in float64."""

    @abstractmethod
    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the value of each state before the first tick."""

    @property
    def receptor_list(self) -> tuple[Receptor, ...]:
        """Receptors in order; the first is the one that projections reach by default."""
        return (Delta(),)

    @property
    def is_strict(self) -> bool:
        """Whether a neuron exactly at threshold stays silent."""
        return bool(getattr(self, "strict", False))

    def refractory_ticks(self, dt: float) -> int:
        """Ticks after a spike during which the membrane is held."""
        ticks = tick_count(getattr(self, "refractory", 0.0), dt, name="refractory")
        check_length(ticks, dt, name="refractory")
        return ticks

    def receptor_coefficients(self, receptor: Receptor, dt: float) -> tuple[Any, Any]:
        """Return (decay, coupling) a tick of an exponential receptor, in float64."""
        raise ParameterError(
            f"{type(self).__name__} takes Delta receptors only, not {type(receptor).__name__}; use LIF for currents"
        )

    def check_size(self, size: int, population: str) -> None:
        """Raise `ParameterError` where a parameter given per neuron does not fit the population, or is no switch."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.type == "bool" and not isinstance(value, (bool, np.bool_)):
                raise ParameterError(f"population {population!r}: {field.name}={value!r}: must be True or False")
            if isinstance(value, np.ndarray) and value.shape != (size,):
                raise ParameterError(
                    f"population {population!r}: {field.name} has shape {value.shape}, "
                    f"expected one number or shape ({size},)"
                )

    def describe(self) -> str:
        """Return the model and the parameters that differ from the default, in one line."""
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and value.size:
                parts.append(f"{field.name}=array({value.min():.4g}…{value.max():.4g})")
            elif field.default is dataclasses.MISSING or value != field.default:
                parts.append(f"{field.name}={value:.4g}" if isinstance(value, float) else f"{field.name}={value}")
        return f"{type(self).__name__}({', '.join(parts)})"


def as_parameter(
    name: str, value: Any, *, above: float | None = None, at_least: float | None = None, infinite: bool = False
) -> Parameter:
    """Return a parameter as float or flat float64 array, or raise `ParameterError`."""
    try:
        array = np.array(value, dtype=np.float64)  # a copy: a network does not change with the caller's array
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name}={value!r} is not a number or an array of numbers") from error
    if np.any(np.isnan(array)):
        raise ParameterError(f"{name} holds NaN")
    if not infinite and np.any(np.isinf(array)):
        # The branch-free reset multiplies by zero where it does not act, and zero times infinity is NaN.
        raise ParameterError(f"{name}={value!r}: must be finite")
    if above is not None and np.any(array <= above):
        raise ParameterError(f"{name}={value!r}: must be above {above:g}")
    if at_least is not None and np.any(array < at_least):
        raise ParameterError(f"{name}={value!r}: must be {at_least:g} or above")
    return float(array) if array.ndim == 0 else np.ascontiguousarray(array.reshape(-1))


def membrane_decay(time_constant: Parameter, dt: float, integration: str) -> Any:
    """Return what is left of the membrane after a tick: exp(-dt/tau), or 1 - dt/tau by forward Euler."""
    one_of("integration", integration, ("exact", "euler"))
    tau = np.asarray(time_constant, np.float64)
    with np.errstate(divide="ignore"):
        ratio = np.where(tau > 0, dt / tau, np.inf)
    if integration == "exact":
        return _plain(np.exp(-ratio))
    if np.any(ratio > 1):
        raise ParameterError(
            f"time_constant={float(tau.min()):g} s is below dt={dt:g} s: forward Euler is unstable there; "
            "use integration='exact' or a finer dt"
        )
    return _plain(1.0 - ratio)


def exponential_receptor(
    receptor: Exponential, time_constant: Parameter, dt: float, integration: str
) -> tuple[Any, Any]:
    """Return (decay, coupling) of a current I into a membrane: tau dV/dt = -V + I, tau_s dI/dt = -I.

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
        return 1.0 - dt / tau_s, _plain(dt / tau)
    # With x = dt |1/tau - 1/tau_s| the difference of the two exponentials is exp(-dt/slow) (1 - exp(-x)): no digits
    # are lost where tau and tau_s are nearly equal, and nothing overflows where they are far apart.
    leaks = tau > 0
    safe = np.where(leaks, tau, 1.0)
    x = dt * np.abs(tau_s - safe) / (safe * tau_s)
    ratio = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
    coupling = dt / safe * np.exp(-dt / np.maximum(safe, tau_s)) * ratio
    # A membrane without memory follows the current.
    return float(np.exp(-dt / tau_s)), _plain(np.where(leaks, coupling, np.exp(-dt / tau_s)))


def _plain(value: Any) -> Any:
    array = np.asarray(value, np.float64)
    return float(array) if array.ndim == 0 else array
