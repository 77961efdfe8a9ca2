"""Random wiring, weights and delays, drawn target by target: these kernels are the definition.

A synapse is number k of its target t. Its source, weight and delay are functions of (seed, stream, t, k), so any range
of targets can be drawn alone, by any thread or rank, as often as needed: counted first, and drawn again when there is
a place for it. The bits are those of ``rng.bits(seed, stream, t, k)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim import elementary, rng
from snnsim.compilation import kernel_with, leaf
from snnsim.connectivity import recipe
from snnsim.connectivity.recipe import CHANCE, CONSTANT, COUNTED, KAIMING, LOG_NORMAL, NORMAL, SAME

#: How often a value outside its bounds is drawn again before it is clipped.
REDRAWS = 100

_kernel: Any = kernel_with(rng, elementary, recipe)
_mix, _log, _exp, _cosine = (leaf(f) for f in (rng.mix, elementary.log, elementary.exp, elementary.cosine_of_turns))
_GOLDEN, _S11, _S32 = rng.GOLDEN, np.uint64(11), np.uint64(32)
_TO_UNIT = 2.0**-53


@leaf
def _join(key, part):
    return _mix(key + np.uint64(part) * _GOLDEN + _GOLDEN)


@leaf
def _unit(bits):
    return np.float64(bits >> _S11) * _TO_UNIT


@leaf
def _radius(unit):
    # 1 - unit lies in (0, 1], where the logarithm is finite.
    return np.sqrt(-2.0 * _log(1.0 - unit))


@leaf
def draw_sources(wiring, target, sources):
    """Write the sources of a target in order of k; return how many there are."""
    key = _join(wiring.key, target)
    n = wiring.n_sources
    if wiring.kind == CHANCE:
        # Gaps between connected sources are geometric: one random number a synapse instead of one a pair.
        count, k, last = 0, 0, -1
        if wiring.log_rest == 0.0:
            return 0
        while True:
            gap = np.floor(_log(1.0 - _unit(_join(key, k))) / wiring.log_rest)
            k += 1
            if gap >= n - 1 - last:
                return count
            last += np.int64(gap) + 1
            if wiring.self_connections or last != target:
                sources[count] = last
                count += 1
    count = wiring.degree if wiring.kind == SAME else np.int64(wiring.degrees[target])
    # Without self-connections draw among the others, then step over the target.
    skips = not wiring.self_connections and target < n
    choices = np.float64(n - 1) if skips else np.float64(n)
    for k in range(count):
        sources[k] = np.int32(_unit(_join(key, k)) * choices)
    if skips:
        for k in range(count):
            sources[k] += np.int32(sources[k] >= target)
    return count


@leaf
def _shape_values(values, out):
    """Turn standard normal or uniform numbers into those asked for."""
    a, b = values.a, values.b
    if values.kind == LOG_NORMAL:
        for k in range(out.size):
            out[k] = _exp(a + b * out[k])
    elif values.kind == KAIMING:
        for k in range(out.size):
            out[k] = a * (2.0 * out[k] - 1.0)
    else:
        for k in range(out.size):
            out[k] = a + b * out[k]


@leaf
def _within_bounds(values, element, k, value):
    """Return the value, drawn again from streams of its own until it lies within the bounds."""
    for attempt in range(1, REDRAWS + 1):
        if values.low <= value <= values.high:
            return value
        key = _join(_join(values.seed_key, values.stream + (np.uint64(attempt) << _S32)), element)
        value = values.a + values.b * (_radius(_unit(_join(key, 2 * k))) * _cosine(_unit(_join(key, 2 * k + 1))))
    return min(max(value, values.low), values.high)


@leaf
def draw_values(values, target, out):
    """Write the values of a target's synapses 0 ... out.size - 1."""
    if values.kind == CONSTANT:
        out[:] = values.a
        return
    key = _join(_join(values.seed_key, values.stream), target)
    if values.kind == NORMAL or values.kind == LOG_NORMAL:
        for k in range(out.size):
            # Written out here and below: as a function it is too long to be put into the loop, and into vectors.
            out[k] = _radius(_unit(_join(key, 2 * k))) * _cosine(_unit(_join(key, 2 * k + 1)))
    else:
        for k in range(out.size):
            out[k] = _unit(_join(key, k))
    _shape_values(values, out)
    if values.kind == NORMAL:
        for k in range(out.size):
            if not values.low <= out[k] <= values.high:
                out[k] = _within_bounds(values, target, k, out[k])


@_kernel
def draw_elements(values, first, out):
    """Write the values of elements first, first + 1, ... of a list: number 0 of each."""
    stream = _join(values.seed_key, values.stream)
    if values.kind == CONSTANT:
        out[:] = values.a
        return
    if values.kind == NORMAL or values.kind == LOG_NORMAL:
        for i in range(out.size):
            key = _join(stream, first + i)
            out[i] = _radius(_unit(_join(key, 0))) * _cosine(_unit(_join(key, 1)))
    else:
        for i in range(out.size):
            out[i] = _unit(_join(_join(stream, first + i), 0))
    _shape_values(values, out)
    if values.kind == NORMAL:
        for i in range(out.size):
            if not values.low <= out[i] <= values.high:
                out[i] = _within_bounds(values, first + i, 0, out[i])


@_kernel
def count_targets(key, first, last, degrees):
    """Draw the targets of synapses first ... last - 1 of a list, and count the synapses of each."""
    row = _join(key, 0)
    for i in range(first, last):
        degrees[np.int64(_unit(_join(row, i)) * degrees.size)] += 1


@_kernel
def count_sources(wiring, first, last, counts, room):
    """Count the synapses of each source onto targets first ... last - 1; return how many there are."""
    total = 0
    for target in range(first, last):
        n = draw_sources(wiring, target, room.sources)
        for k in range(n):
            counts[room.sources[k]] += 1
        total += n
    return total


@_kernel
def longest_value(wiring, values, first, last, room):
    """Return the largest value of the synapses onto targets first ... last - 1; -inf where there is none."""
    longest = -np.inf
    for target in range(first, last):
        n = np.int64(wiring.degree if wiring.kind == SAME else 0)
        if wiring.kind == COUNTED:
            n = np.int64(wiring.degrees[target])
        elif wiring.kind == CHANCE:
            n = draw_sources(wiring, target, room.sources)
        draw_values(values, target, room.delays[:n])
        for k in range(n):
            longest = max(longest, room.delays[k])
    return longest


@_kernel
def place(wiring, weights, delays, dt, first, last, plane, ends, target_arena, weight_arena, delay_arena, room):
    """Put the synapses onto targets first ... last - 1 at the ends of the rows of their sources.

    Parameters
    ----------
    wiring : Wiring
    weights, delays : Values
    dt : float
        Seconds a tick.
    first, last : int
        Range of targets.
    plane : int
        What stands in the rows for target `first`; its successors follow.
    ends : ndarray of int64, shape (sources,)
        Where the next synapse of each source goes; moved on.
    target_arena : ndarray of int
    weight_arena, delay_arena : ndarray
        Empty where all synapses have one weight, one delay. Delays are whole ticks, at least one.
    room : Room
    """
    sources = room.sources
    for target in range(first, last):
        n = draw_sources(wiring, target, sources)
        if weight_arena.size:
            draw_values(weights, target, room.weights[:n])
        if delay_arena.size:
            draw_values(delays, target, room.delays[:n])
            for k in range(n):
                room.delays[k] = np.rint(max(room.delays[k], dt) / dt)
        index = plane + target - first
        for k in range(n):
            end = ends[sources[k]]
            ends[sources[k]] = end + 1
            target_arena[end] = index
            if weight_arena.size:
                weight_arena[end] = room.weights[k]
            if delay_arena.size:
                delay_arena[end] = np.int64(room.delays[k])
