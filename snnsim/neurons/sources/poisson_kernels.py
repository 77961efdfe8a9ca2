"""Poisson counts of sources, drawn by a compiled kernel.

The count of a source in a tick is the inverse of the cumulative distribution at one uniform number of
`snnsim.numerics.rng.uniform`. Most are zero, so the numbers of a chunk of sources are made and compared with the
probability of zero in one vector loop, as integers, and only what is above is looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.numerics import rng
from snnsim.numerics.compilation import kernel_with, leaf

_CHUNK = 128
_GOLDEN, _S11 = rng.GOLDEN, np.uint64(11)
_TO_UNIT = 2.0**-53
_mix: Any = leaf(rng.mix)
_kernel: Any = kernel_with(rng)


@_kernel
def draw_events(keys, mean, zero, limit, most, start, n_ticks, ticks, sources, progress):
    """Draw the events of a recording until all ticks are done or the arrays are full; return whether all are done.

    Parameters
    ----------
    keys : ndarray of uint64, shape (sources,)
        Keys of the sources, in which the tick is still to be mixed.
    mean : ndarray of float64, shape (sources,)
        Mean events a tick.
    zero : ndarray of float64, shape (sources,)
        Probability of no event.
    limit : ndarray of int64, shape (sources,)
        The same in units of 2**-53, rounded up: the least number of 53 bits that makes an event.
    most : float
        No count goes beyond; past 1 - 2**-53 the cumulative sum may stop below a uniform number by rounding.
    start, n_ticks : int
        First tick and number of ticks.
    ticks, sources : ndarray of int64 and int32
        Receive the events; ticks count from `start`.
    progress : ndarray of int64, shape (2,)
        The next tick, and the number of events so far.
    """
    numbers = np.empty(_CHUNK, np.int64)
    count = progress[1]
    for tick in range(progress[0], n_ticks):
        moment = np.uint64(start + tick) * _GOLDEN + _GOLDEN
        for first in range(0, keys.size, _CHUNK):
            length = min(_CHUNK, keys.size - first)
            own, bounds, some = keys[first : first + length], limit[first : first + length], 0
            for j in range(length):
                numbers[j] = np.int64(_mix(own[j] + moment) >> _S11)
                some += numbers[j] >= bounds[j]
            if some == 0:
                continue
            for j in range(length):
                if numbers[j] < bounds[j]:
                    continue
                uniform, source = numbers[j] * _TO_UNIT, first + j
                term = cumulative = zero[source]
                k = 0
                while uniform >= cumulative and k < most:
                    if count == ticks.size:
                        return False
                    ticks[count], sources[count] = tick, source
                    count += 1
                    k += 1
                    term *= mean[source] / k
                    cumulative += term
        progress[0], progress[1] = tick + 1, count
    return True
