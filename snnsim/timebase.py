"""Seconds to ticks and back: the one place that divides by `dt`.

Time inside snnsim is an int64 count of ticks of `dt` seconds. A time that is not a whole number
of ticks is an error unless the caller asks for rounding, so that nothing moves in silence.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, exactly, positive

#: Delays and refractory times are kept as int32.
LONGEST_TICKS = 2**31 - 1

#: How far, in ticks, a time may lie from a whole tick and still count as on the grid. Seconds are
#: decimal fractions that binary floats cannot hold exactly; a millionth of a tick covers that.
GRID_TOLERANCE = 1e-6
#: The same where times between ticks are taken: one that lies nearer to a border counts as lying on it.
BORDER_TOLERANCE = 1e-9


#: Ticks beyond which the length of a recording is questioned, unless it was said.
LONGEST_UNSAID = 10_000_000

Rounding = Literal["down", "up", "nearest"]


def check_dt(dt: float) -> float:
    """Return `dt` as a float, or raise `ParameterError` where it is not a positive time in seconds."""
    positive("dt", dt)
    return float(dt)


def same_dt(first: float, second: float) -> bool:
    """Return whether two lengths of a tick are one: 0.3e-3 / 3 s is 1e-4 s, although their last digits differ."""
    return abs(first - second) <= GRID_TOLERANCE * max(first, second)


def check_same_dt(found: float, expected: float, name: str) -> None:
    """Raise `ParameterError` where events have other ticks than the network, and say how to get the right ones."""
    if same_dt(found, expected):
        return
    ratio = expected / found
    fits = ratio > 1 and abs(ratio - round(ratio)) <= GRID_TOLERANCE * ratio
    advice = f"use events.with_dt({exactly(expected)})" if fits else f"make them with dt={exactly(expected)}"
    raise ParameterError(f"{name}: ticks of {exactly(found)} s, the network has dt={exactly(expected)} s; {advice}")


def as_decimals(seconds: Any) -> Any:
    """Return numbers in float32 as the decimals that they stand for: 0.02 s, not 0.019999999552965164 s."""
    dtype = getattr(seconds, "dtype", None)
    if dtype is None or str(dtype).rpartition(".")[2] != "float32":  # also of torch, which need not be loaded
        return seconds
    values, back = np.unique(np.asarray(seconds), return_inverse=True)
    decimals = values.astype(str).astype(np.float64)
    return decimals[back].reshape(np.shape(seconds))


def to_ticks(
    seconds: ArrayLike, dt: float, *, name: str = "time", round: Rounding | Literal[False] | None = None
) -> NDArray[np.int64]:
    """Convert seconds to ticks.

    Parameters
    ----------
    seconds : array_like
        Times in seconds, zero or above.
    dt : float
        Length of a tick in seconds.
    name : str
        What the times are called in an error message.
    round : {"down", "up", "nearest", False}, optional
        Move a time that lies between two ticks to the one before it, after it, or nearer to it (ties to even), instead
        of raising an error. A time that cannot be told from a whole tick, in the precision it was given in, is that.
        False stands for a caller who could have asked for it, and is told so.

    Returns
    -------
    ndarray of int64, same shape as `seconds`

    Raises
    ------
    ParameterError
        A time is negative, not finite, or not a whole number of ticks.
    """
    try:
        given = np.asarray(seconds)
        if given.size and given.dtype.kind not in "iufO":
            raise TypeError(given.dtype)
        values = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"{name}={seconds!r} is not a number of seconds, nor an array of them") from error
    if values.size == 0:
        return np.zeros(values.shape, np.int64)
    if not np.all(np.isfinite(values)):
        raise ParameterError(f"{name}: not a finite number of seconds: {_first(values, ~np.isfinite(values))}")
    if np.any(values < 0):
        raise ParameterError(f"{name}={_first(values, values < 0)} s is negative; times start at 0 s")
    with np.errstate(over="ignore"):
        exact = values / dt
    if np.any(exact > 2**62):
        raise ParameterError(
            f"{name}={_first(values, exact > 2**62)} s is more ticks of {exactly(dt)} s than fit in 64 bits"
        )
    nearest = np.rint(exact)
    # Where there are many ticks the spacing of the numbers given, not the user, decides the last digits.
    spacing = max(4e-16, float(np.finfo(given.dtype).eps)) if given.dtype.kind == "f" else 4e-16
    tolerance = np.maximum(BORDER_TOLERANCE if round in ("down", "up") else GRID_TOLERANCE, exact * spacing)
    off = np.abs(exact - nearest) > tolerance
    if round == "down":
        nearest = np.where(off, np.floor(exact), nearest)
    elif round == "up":
        nearest = np.where(off, np.ceil(exact), nearest)
    elif not round and np.any(off):
        bad = _first(values, off)
        rounding = "" if round is None else ", or pass round=True"
        raise ParameterError(
            f"{name}={bad} s is not a whole number of ticks of dt={exactly(dt)} s ({exactly(bad / dt)} ticks); "
            f"choose a multiple of dt or a finer dt{rounding}"
        )
    return np.asarray(nearest, dtype=np.int64)


def tick_count(seconds: float, dt: float, *, name: str = "time", round: Rounding | Literal[False] | None = None) -> int:
    """Convert one time in seconds to a Python int of ticks (see `to_ticks`)."""
    if np.ndim(seconds):
        raise ParameterError(f"{name}={seconds!r}: expected one number of seconds")
    return int(to_ticks(seconds, dt, name=name, round=round))


def check_span(n_ticks: int, dt: float, *, name: str) -> None:
    """Raise `ParameterError` where a recording is so long that its times are hardly in seconds."""
    if n_ticks > LONGEST_UNSAID:
        raise ParameterError(
            f"{name} up to {n_ticks * dt:g} s ({_spoken(n_ticks * dt)}) make {n_ticks:,} ticks of dt={dt:g} s; are "
            "they in microseconds or milliseconds? Give seconds, or say that you mean it with duration=..."
        )


def _spoken(seconds: float) -> str:
    """Return a time in the unit a person would take."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def check_length(ticks: Any, dt: float, *, name: str) -> None:
    """Raise `ParameterError` where a delay or a refractory time is longer than its 32 bits hold."""
    longest = int(np.max(ticks, initial=0))
    if longest > LONGEST_TICKS:
        raise ParameterError(f"{name} is {longest} ticks of dt={exactly(dt)} s; at most {LONGEST_TICKS}")


def to_seconds(ticks: Any, dt: float) -> Any:
    """Convert ticks to seconds; an int gives a float, an array an array of float64."""
    result = np.asarray(ticks, dtype=np.int64) * dt
    return float(result) if result.ndim == 0 else result


def tick_ratio(coarse: float, fine: float, *, name: str = "dt") -> int:
    """Return how many ticks of `fine` seconds make one of `coarse`, which must be a whole number."""
    exact = check_dt(coarse) / check_dt(fine)
    ratio = round(exact)
    if exact < 1 - GRID_TOLERANCE:
        raise ParameterError(
            f"{name}={exactly(coarse)} s is finer than the ticks of {exactly(fine)} s it is to be made of"
        )
    if abs(exact - ratio) > max(GRID_TOLERANCE, exact * 4e-16):
        raise ParameterError(
            f"{name}={exactly(coarse)} s is not a whole multiple of {exactly(fine)} s (it is {exactly(exact)} times)"
        )
    return ratio


def _first(values: NDArray[np.float64], where: NDArray[np.bool_]) -> float:
    return float(values[where].flat[0]) if values.ndim else float(values)
