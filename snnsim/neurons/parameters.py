"""Parameters of models: one number for a population or one a neuron, checked; and the decay of a membrane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, exactly, one_of

#: A parameter: one number for the population, or one a neuron (flat, in the order of the population).
Parameter = float | NDArray[np.float64]


def as_parameter(
    name: str, value: Any, *, above: float | None = None, at_least: float | None = None, infinite: bool = False
) -> Parameter:
    """Return a parameter as float or flat, read-only float64 array, or raise `ParameterError`."""
    try:
        array = np.array(value, dtype=np.float64)  # a copy: a network does not change with the caller's array
    except (TypeError, ValueError, OverflowError) as error:
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
    if array.ndim == 0:
        return float(array)
    flat = np.ascontiguousarray(array.reshape(-1))
    flat.setflags(write=False)  # written to, it would have no effect on what runs already
    return flat


def membrane_decay(time_constant: Parameter, dt: float, integration: str) -> Any:
    """Return what is left of the membrane after a tick: exp(-dt/tau), or 1 - dt/tau by forward Euler."""
    one_of("integration", integration, ("exact", "euler"))
    ratio = quotient(dt, time_constant)
    if integration == "exact":
        return plain(np.exp(-ratio))
    if np.any(ratio > 1):
        raise ParameterError(
            f"time_constant={exactly(float(np.min(time_constant)))} s is below dt={exactly(dt)} s: forward Euler is "
            "unstable there; use integration='exact' or a finer dt"
        )
    return plain(1.0 - ratio)


def quotient(dividend: float, divisor: Any) -> NDArray[np.float64]:
    """Return a quotient of numbers above zero: infinity where the divisor is zero, or too small."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(dividend / np.asarray(divisor, np.float64))


def plain(value: Any) -> Any:
    """Return a float for a single number, else an array of float64."""
    array = np.asarray(value, np.float64)
    return float(array) if array.ndim == 0 else array
