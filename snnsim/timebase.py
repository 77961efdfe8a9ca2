"""Seconds to ticks and back: the one place that divides by `dt`.

Time inside snnsim is an int64 count of ticks of `dt` seconds. A time that is not a whole number
of ticks is an error unless the caller asks for rounding, so that nothing moves in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, positive

#: Delays and refractory times are kept as int32.
LONGEST_TICKS = 2**31 - 1

#: How far, in ticks, a time may lie from a whole tick and still count as on the grid. Seconds are
#: decimal fractions that binary floats cannot hold exactly; a millionth of a tick covers that.
GRID_TOLERANCE = 1e-6


def check_dt(dt: float) -> float:
    """Return `dt` as a float, or raise `ParameterError` where it is not a positive time in seconds."""
    positive("dt", dt)
    return float(dt)


def to_ticks(seconds: ArrayLike, dt: float, *, name: str = "time", round: bool = False) -> NDArray[np.int64]:
    """Convert seconds to ticks.

    Parameters
    ----------
    seconds : array_like
        Times in seconds, zero or above.
    dt : float
        Length of a tick in seconds.
    name : str
        What the times are called in an error message.
    round : bool
        Move a time that lies between two ticks to the nearer one (ties to even) instead of
        raising an error.

    Returns
    -------
    ndarray of int64, same shape as `seconds`

    Raises
    ------
    ParameterError
        A time is negative, not finite, or not a whole number of ticks.
    """
    try:
        values = np.asarray(seconds, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name}={seconds!r} is not a number of seconds, nor an array of them") from error
    if values.size == 0:
        return np.zeros(values.shape, np.int64)
    if not np.all(np.isfinite(values)):
        raise ParameterError(f"{name}: not a finite number of seconds: {_first(values, ~np.isfinite(values))}")
    if np.any(values < 0):
        raise ParameterError(f"{name}={_first(values, values < 0)} s is negative; times start at 0 s")
    exact = values / dt
    if np.any(exact > 2**62):
        raise ParameterError(f"{name}={_first(values, exact > 2**62)} s is more ticks of {dt:g} s than fit in 64 bits")
    nearest = np.rint(exact)
    if not round:
        # Above 1e9 ticks the spacing of doubles, not the user, decides the last digits.
        tolerance = np.maximum(GRID_TOLERANCE, exact * 4e-16)
        off = np.abs(exact - nearest) > tolerance
        if np.any(off):
            bad = _first(values, off)
            raise ParameterError(
                f"{name}={bad} s is not a whole number of ticks of dt={dt:g} s "
                f"({bad / dt:.6g} ticks); choose a multiple of dt, a finer dt, or pass round=True"
            )
    return np.asarray(nearest, dtype=np.int64)


def tick_count(seconds: float, dt: float, *, name: str = "time", round: bool = False) -> int:
    """Convert one time in seconds to a Python int of ticks (see `to_ticks`)."""
    if np.ndim(seconds):
        raise ParameterError(f"{name}={seconds!r}: expected one number of seconds")
    return int(to_ticks(seconds, dt, name=name, round=round))


def check_length(ticks: Any, dt: float, *, name: str) -> None:
    """Raise `ParameterError` where a delay or a refractory time is longer than its 32 bits hold."""
    longest = int(np.max(ticks, initial=0))
    if longest > LONGEST_TICKS:
        raise ParameterError(f"{name} is {longest} ticks of dt={dt:g} s; at most {LONGEST_TICKS}")


def to_seconds(ticks: Any, dt: float) -> Any:
    """Convert ticks to seconds; an int gives a float, an array an array of float64."""
    result = np.asarray(ticks, dtype=np.int64) * dt
    return float(result) if result.ndim == 0 else result


def tick_ratio(coarse: float, fine: float, *, name: str = "dt") -> int:
    """Return how many ticks of `fine` seconds make one of `coarse`, which must be a whole number."""
    exact = check_dt(coarse) / check_dt(fine)
    ratio = round(exact)
    if exact < 1 - GRID_TOLERANCE:
        raise ParameterError(f"{name}={coarse:g} s is finer than the ticks of {fine:g} s it is to be made of")
    if abs(exact - ratio) > max(GRID_TOLERANCE, exact * 4e-16):
        raise ParameterError(f"{name}={coarse:g} s is not a whole multiple of {fine:g} s (it is {exact:.6g} times)")
    return ratio


def _first(values: NDArray[np.float64], where: NDArray[np.bool_]) -> float:
    return float(values[where].flat[0]) if values.ndim else float(values)
