"""Kernels that count, place and sort the synapses of a part; those of random wiring are in `draw_kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.errors import InternalError
from snnsim.numerics.compilation import kernel, leaf

_kernel: Any = kernel


@leaf
def check_arenas(targets, weights, delays):
    """Raise `InternalError` where weights or delays are neither as many as targets nor none."""
    if (weights.size and weights.size != targets.size) or (delays.size and delays.size != targets.size):
        raise InternalError("synapses of a part do not have a weight or a delay each")


@_kernel
def count_listed(offsets, targets, low, high, counts):
    """Add to `counts` how many targets from `low` to `high` each source has."""
    if counts.size != offsets.size - 1:
        raise InternalError("synapses come from other sources than their population has")
    for source in range(offsets.size - 1):
        for i in range(offsets[source], offsets[source + 1]):
            counts[source] += np.int32(low <= targets[i] < high)


@_kernel
def place_listed(offsets, targets, weights, delays, low, high, plane, ends, target_arena, weight_arena, delay_arena):
    """Put listed synapses onto targets `low` to `high` at the ends of their rows; `plane` is the place of `low`."""
    check_arenas(target_arena, weight_arena, delay_arena)
    for source in range(offsets.size - 1):
        end = ends[source]
        for i in range(offsets[source], offsets[source + 1]):
            if low <= targets[i] < high:
                if end < 0 or end >= target_arena.size:
                    raise InternalError("a part has more synapses than were counted")
                target_arena[end] = plane + targets[i] - low
                if weight_arena.size:
                    weight_arena[end] = weights[i]
                if delay_arena.size:
                    delay_arena[end] = delays[i]
                    if delay_arena[end] != delays[i]:
                        raise InternalError("a delay is longer than the longest of its network")
                end += 1
        ends[source] = end


@_kernel
def sort_rows(rows, first, last, targets, weights, delays):
    """Sort the rows of sources first ... last - 1 by delay; what is equal stays in its order."""
    check_arenas(targets, weights, delays)
    if rows[last] > targets.size:
        raise InternalError("rows of a part have more synapses than were counted")
    longest = 0
    for source in range(first, last):
        longest = max(longest, rows[source + 1] - rows[source])
    order, other = np.empty(longest, np.int32), np.empty(longest, np.int32)
    held_targets = np.empty(longest, targets.dtype)
    held_weights = np.empty(longest if weights.size else 0, weights.dtype)
    held_delays = np.empty(longest, delays.dtype)
    ends = np.empty(256, np.int32)
    for source in range(first, last):
        begin, n = rows[source], rows[source + 1] - rows[source]
        ascending = True
        lowest = highest = np.int64(delays[begin]) if n else np.int64(0)
        for i in range(begin + 1, begin + n):
            ascending &= delays[i - 1] <= delays[i]
            lowest, highest = min(lowest, np.int64(delays[i])), max(highest, np.int64(delays[i]))
        if ascending:
            continue
        # Stable passes from the lowest eight bits up; most rows take one.
        for i in range(n):
            order[i] = i
        shift = 0
        while (highest - lowest) >> shift:
            bins = min(256, ((highest - lowest) >> shift) + 1)
            ends[:bins] = 0
            for i in range(n):
                ends[((np.int64(delays[begin + i]) - lowest) >> shift) & 255] += 1
            total = 0
            for b in range(bins):
                total, ends[b] = total + ends[b], total
            for i in range(n):
                b = ((np.int64(delays[begin + order[i]]) - lowest) >> shift) & 255
                other[ends[b]] = order[i]
                ends[b] += 1
            order, other = other, order
            shift += 8
        for i in range(n):
            held_targets[i], held_delays[i] = targets[begin + order[i]], delays[begin + order[i]]
        targets[begin : begin + n], delays[begin : begin + n] = held_targets[:n], held_delays[:n]
        if weights.size:
            for i in range(n):
                held_weights[i] = weights[begin + order[i]]
            weights[begin : begin + n] = held_weights[:n]
