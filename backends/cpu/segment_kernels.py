"""Delays of rows as run lengths: kernels over flat arrays."""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu._jit import jit


@jit
def count_segments(delays, rows):
    """Return how many segments the rows of a group are."""
    total = 0
    for source in range(rows.size - 1):
        before, i = 0, rows[source]
        while i < rows[source + 1]:
            delay = np.int64(delays[i])
            total += (delay - before) // 256
            end = i
            while end < rows[source + 1] and delays[end] == delay:
                end += 1
            total += (end - i + 254) // 255
            before, i = delay, end
    return total


@jit
def write_segments(delays, rows, segments, first, segment_rows):
    """Write the segments of a group from place `first` on, and where those of each source begin.

    A segment is ticks after the one before, 0 to 255, and a number of synapses, 0 to 255; longer gaps and longer
    runs take several.
    """
    place = first
    for source in range(rows.size - 1):
        segment_rows[source] = place
        before, i = 0, rows[source]
        while i < rows[source + 1]:
            delay = np.int64(delays[i])
            gap = delay - before
            while gap > 255:
                segments[place] = 255
                gap -= 255
                place += 1
            end = i
            while end < rows[source + 1] and delays[end] == delay:
                end += 1
            count = end - i
            while count > 0:
                segments[place] = gap + 256 * min(count, 255)
                count -= 255
                gap = 0
                place += 1
            before, i = delay, end
    segment_rows[rows.size - 1] = place
    return place
