"""Moments: the keys that say when a read happens, and so which noise it sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, whole

#: A key holds recording, tick and number of the read within the tick; the highest two bits mark other reads.
TICK_BITS, READ_BITS = 24, 20
#: Keys of reads that measure the chip, and of reads that nobody gave a moment for.
PROBES, UNTIMED = np.uint64(1 << 63), np.uint64(1 << 62)


def moment(recording: int | NDArray[Any], tick: int) -> Any:
    """Return the key of a tick of a recording, to which the number of the read within the tick is added.

    Noise is drawn anew for each key. Recordings count as ``2**TICK_BITS`` ticks apart, and from recording 2**18 on keys
    come again.
    """
    try:
        given = np.asarray(recording)
    except (TypeError, ValueError):
        given = np.empty(0, object)
    if given.dtype.kind not in "iu" or (given.dtype.kind == "i" and np.any(given < 0)):
        raise ParameterError(f"recording={recording!r}: must be whole numbers, zero or above")
    if whole("tick", tick) >= 2**62:
        raise ParameterError(f"tick={tick}: must be below 2**62")
    return moments_of(given, tick)


def moments_of(recordings: NDArray[Any], tick: int) -> Any:
    """Return what `moment` returns, of numbers that are known to be such."""
    number = (recordings.astype(np.uint64) << np.uint64(TICK_BITS)) + np.uint64(tick)
    return number << np.uint64(READ_BITS) & (UNTIMED - np.uint64(1))


def untimed(first: int, count: int) -> NDArray[np.uint64]:
    """Return keys for reads that nobody gave a moment for, counted on from `first`: each is a tick of its own."""
    return UNTIMED + (np.arange(first, first + count, dtype=np.uint64) << np.uint64(READ_BITS))


def tick_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the tick that keys belong to, recordings counted as `moment` does."""
    return (keys >> np.uint64(READ_BITS)).astype(np.int64)
