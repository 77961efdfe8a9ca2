"""Sums over lists of spikes: what a matrix product with a matrix of mostly zeros amounts to.

The spikes of a chunk are lists of sources, one list a row, a row being one (tick, sample): row ``r`` holds
``indices[begin[r]:end[r]]``, ascending. Rows are numbered ``tick * batch + sample``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.errors import InternalError
from snnsim.numerics.compilation import kernel


@kernel
def add_rows(total: Any, matrix: Any, indices: Any, start: int, stop: int) -> None:
    """Add the rows ``indices[start:stop]`` of `matrix` to `total` one after another.

    Eight rows a pass load and store the total once for eight additions; the order of the additions stays that of the
    list, and so does every bit of the sum.
    """
    width = matrix.shape[1]
    k = start
    while k + 8 <= stop:
        a, b, c, d = matrix[indices[k]], matrix[indices[k + 1]], matrix[indices[k + 2]], matrix[indices[k + 3]]
        e, f, g, h = matrix[indices[k + 4]], matrix[indices[k + 5]], matrix[indices[k + 6]], matrix[indices[k + 7]]
        for j in range(width):
            total[j] = (((((((total[j] + a[j]) + b[j]) + c[j]) + d[j]) + e[j]) + f[j]) + g[j]) + h[j]
        k += 8
    while k + 2 <= stop:
        a, b = matrix[indices[k]], matrix[indices[k + 1]]
        for j in range(width):
            total[j] = (total[j] + a[j]) + b[j]
        k += 2
    if k < stop:
        a = matrix[indices[k]]
        for j in range(width):
            total[j] += a[j]


@kernel
def gather_rows(
    out: Any, begin: Any, end: Any, indices: Any, matrix: Any, batch: int, fresh: bool, low: int, high: int
) -> None:
    """Sum the matrix rows that the lists of samples ``low ... high - 1`` name, at every tick.

    Parameters
    ----------
    out : ndarray, shape (ticks * batch, targets)
    begin, end : ndarray of int64, shape (ticks * batch,)
    indices : ndarray of int
    matrix : ndarray, shape (sources, targets)
    batch : int
        Samples a tick.
    fresh : bool
        Start from zero; otherwise go on from what `out` holds.
    low, high : int
        Samples that this call owns.
    """
    for first in range(0, out.shape[0], batch):
        for row in range(first + low, first + high):
            total = out[row]
            if fresh:
                total[:] = 0
            add_rows(total, matrix, indices, begin[row], end[row])


@kernel
def transpose_lists(begin: Any, end: Any, indices: Any, first: int, last: int, starts: Any, rows: Any) -> int:
    """List, for each source ``first ... last - 1``, the rows in which it fired, ascending.

    Parameters
    ----------
    begin, end, indices : ndarray
        Lists of sources, one a row.
    first, last : int
        Sources that this call owns.
    starts : ndarray of int64, shape (last - first + 1,)
        Out: where the list of each source starts in `rows`.
    rows : ndarray of int32
        Out: the lists; at least as long as there are spikes of these sources.

    Returns
    -------
    int
        Number of spikes of these sources.
    """
    starts[:] = 0
    for row in range(begin.shape[0]):
        for k in range(begin[row], end[row]):
            source = indices[k]
            if source >= last:
                break
            if source >= first:
                starts[source - first + 1] += 1
    for source in range(last - first):
        starts[source + 1] += starts[source]
    total = starts[last - first]
    if total > rows.shape[0]:
        raise InternalError("a population has more spikes than were counted")
    for row in range(begin.shape[0]):
        for k in range(begin[row], end[row]):
            source = indices[k]
            if source >= last:
                break
            if source >= first:
                rows[starts[source - first]] = row
                starts[source - first] += 1
    # Filling moved every start to its list's end, which is the start of the next.
    for source in range(last - first, 0, -1):
        starts[source] = starts[source - 1]
    starts[0] = 0
    return int(total)


@kernel
def add_weight_gradient(gradient: Any, starts: Any, rows: Any, delta: Any, first: int) -> None:
    """Add to row ``first + i`` of `gradient` the rows of `delta` in which source ``first + i`` fired.

    Parameters
    ----------
    gradient : ndarray, shape (sources, targets)
    starts, rows : ndarray
        As `transpose_lists` made them.
    delta : ndarray, shape (ticks * batch, targets)
    first : int
        First source that this call owns.
    """
    for source in range(starts.shape[0] - 1):
        add_rows(gradient[first + source], delta, rows, starts[source], starts[source + 1])


@kernel
def lists_to_dense(dense: Any, begin: Any, end: Any, indices: Any, scale: Any, first: int, last: int) -> None:
    """Write rows ``first ... last - 1`` as counts times `scale`, shape (rows, sources)."""
    for row in range(first, last):
        line = dense[row]
        line[:] = 0
        for k in range(begin[row], end[row]):
            line[indices[k]] += scale


@kernel
def tick_starts(ticks: Any, offsets: Any, start: int, begin: Any, end: Any) -> None:
    """Find the events of every (tick, recording) of a window.

    Parameters
    ----------
    ticks : ndarray of int64, shape (events,)
        Ascending within a recording.
    offsets : ndarray of int64, shape (recordings + 1,)
    start : int
        First tick of the window.
    begin, end : ndarray of int64, shape (ticks, recordings)
        Out: where the events of each start and end.
    """
    for recording in range(offsets.shape[0] - 1):
        low, high = offsets[recording], offsets[recording + 1]
        stop = high
        while low < stop:  # the first event at or after the window's start, by halving
            middle = (low + stop) // 2
            if ticks[middle] < start:
                low = middle + 1
            else:
                stop = middle
        for tick in range(begin.shape[0]):
            begin[tick, recording] = low
            while low < high and ticks[low] == start + tick:
                low += 1
            end[tick, recording] = low


@kernel
def are_counts(values: Any, most: Any) -> bool:
    """Whether flat values are whole numbers from 0 to `most`, of their type; some thousand a look, without branches."""
    n = values.shape[0]
    for first in range(0, n, 4096):
        wrong = np.int32(0)
        for i in range(first, min(first + 4096, n)):
            x = values[i]
            wrong |= np.int32((x != np.floor(x)) | (x < 0) | (x > most))
        if wrong:
            return False
    return True
