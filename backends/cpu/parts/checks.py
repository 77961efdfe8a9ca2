"""Rows of synapses looked through once, when they are made: the engines read them later without a look."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.connectivity import Synapses
from snnsim.errors import InternalError
from snnsim.network.connection import Connection
from snnsim.numerics.compilation import kernel

_kernel: Any = kernel


def check_listed(connection: Connection, synapses: Synapses) -> None:
    """Raise `InternalError` where a list of synapses leaves the populations of its projection, or its longest delay."""
    if synapses.offsets.size != connection.source.size + 1:
        raise InternalError(f"projection {connection.name!r}: not as many rows of synapses as sources")
    check_rows(synapses.offsets, synapses.targets, synapses.weights, 0, connection.target.size)
    if synapses.delays is not None and synapses.delays.size:
        lowest, longest = int(synapses.delays.min()), int(synapses.delays.max())
        if synapses.delays.size != synapses.targets.size or lowest < 0 or longest > connection.longest_delay:
            raise InternalError(f"projection {connection.name!r}: delays from {lowest} to {longest} ticks")


@_kernel
def check_rows(rows, targets, weights, low, high):
    """Raise `InternalError` unless rows hold all targets, these lie in ``low ... high - 1``, and each has a weight.

    Parameters
    ----------
    rows : ndarray of int64, shape (sources + 1,)
    targets : ndarray of int, shape (synapses,)
    weights : ndarray, shape (synapses,) or (0,)
    low, high : int
    """
    if rows[0] != 0 or rows[rows.size - 1] != targets.size or weights.size not in (0, targets.size):
        raise InternalError("rows of synapses are not as long as there are synapses")
    for source in range(rows.size - 1):
        if rows[source + 1] < rows[source]:
            raise InternalError("a row of synapses ends before it begins")
    lowest, highest = np.int64(high), np.int64(low)
    for i in range(targets.size):
        lowest, highest = min(lowest, np.int64(targets[i])), max(highest, np.int64(targets[i]) + 1)
    if lowest < low or highest > high:
        raise InternalError("a synapse reaches a neuron that is not there")


@_kernel
def check_segments(rows, segment_rows, segments, longest):
    """Raise `InternalError` unless the segments of each row hold its synapses, with delays of at most `longest`."""
    for source in range(rows.size - 1):
        begin, end = segment_rows[source], segment_rows[source + 1]
        if begin < 0 or begin > end or end > segments.size:
            raise InternalError("segments of a row are not there")
        ticks, count = np.int64(0), np.int64(0)
        for i in range(begin, end):
            ticks += np.int64(segments[i]) & 255
            count += np.int64(segments[i]) >> 8
        if count != rows[source + 1] - rows[source] or ticks > longest:
            raise InternalError("segments of a row do not hold its synapses")
