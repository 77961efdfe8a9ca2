"""Delays of rows as run lengths: kernels over flat arrays.

A segment is ticks after the one before, 0 to 255, and a number of synapses, 0 to 255. Longer runs take several
segments; so do longer gaps, of which all but the last are 255 ticks and no synapses.
"""

from __future__ import annotations

import numpy as np

from snnsim.errors import InternalError
from snnsim.numerics.specialise import jit

_LONGEST, _MOST = 255, 255


@jit
def fillers(gap):
    """Return how many segments without synapses a gap takes before the one that ends it."""
    return max(gap - 1, 0) // _LONGEST


@jit
def end_of_run(delays, first, last):
    """Return where the synapses that share the delay of the first one end."""
    end = first + 1
    while end < last and delays[end] == delays[first]:
        end += 1
    return end


@jit
def segments_of(gap, count):
    """Return how many segments `count` synapses take, `gap` ticks after those before them."""
    return fillers(gap) + (count + _MOST - 1) // _MOST


@jit
def count_segments(delays, rows):
    """Return how many segments the rows of a group are."""
    total = 0
    for source in range(rows.size - 1):
        before, i = np.int64(0), rows[source]
        while i < rows[source + 1]:
            delay, end = np.int64(delays[i]), end_of_run(delays, i, rows[source + 1])
            total += segments_of(delay - before, end - i)
            before, i = delay, end
    return total


@jit
def write_segments(delays, rows, segments, first, segment_rows):
    """Write the segments of a group from place `first` on, and where those of each source begin.

    Returns
    -------
    int
        Where they end.

    Raises
    ------
    InternalError
        There is no room for a run of synapses, or one comes before that before it.
    """
    place = first
    for source in range(rows.size - 1):
        segment_rows[source] = place
        before, i = np.int64(0), rows[source]
        while i < rows[source + 1]:
            delay, end = np.int64(delays[i]), end_of_run(delays, i, rows[source + 1])
            gap, count = delay - before, end - i
            if gap < 0 or place + segments_of(gap, count) > segments.size:
                raise InternalError("delays of a part are not in order, or take more segments than were counted")
            for _ in range(fillers(gap)):
                segments[place] = _LONGEST
                place += 1
            gap -= _LONGEST * fillers(gap)
            while count > 0:
                segments[place] = gap + 256 * min(count, _MOST)
                count -= _MOST
                gap = 0
                place += 1
            before, i = delay, end
    segment_rows[rows.size - 1] = place
    return place
