"""Random wiring, weights and delays, drawn target by target: these kernels are the definition.

A synapse is number k of its target t. Its source, weight and delay are functions of (seed, stream, t, k), so any range
of targets can be drawn alone, by any thread or rank, as often as needed: counted first, and drawn again when there is
a place for it. The bits are those of ``rng.bits(seed, stream, t, k)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.connectivity import draw_records
from snnsim.connectivity.draw_records import CHANCE, CONSTANT, KAIMING, LOG_NORMAL, NORMAL, SAME
from snnsim.errors import InternalError
from snnsim.numerics import elementary, rng
from snnsim.numerics.compilation import kernel_with, leaf

#: How often a value outside its bounds is drawn again from the whole distribution, before it is drawn from what is
#: within them.
REDRAWS = 100

_kernel: Any = kernel_with(rng, elementary, draw_records)
_mix, _log, _exp, _cosine = (leaf(f) for f in (rng.mix, elementary.log, elementary.exp, elementary.cosine_of_turns))
# Copies for what is hardly ever done: a function that is called at more places would no longer be put into the loops.
_rare_log, _rare_exp, _rare_cosine = (leaf(f) for f in (elementary.log, elementary.exp, elementary.cosine_of_turns))
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
def _rare_radius(unit):
    return np.sqrt(-2.0 * _rare_log(1.0 - unit))


@leaf
def _most_synapses(wiring, target):
    """Return how many synapses a target has, or at most has where chance tells."""
    if wiring.kind == CHANCE:
        return np.int64(wiring.n_sources)
    return np.int64(wiring.degree) if wiring.kind == SAME else np.int64(wiring.degrees[target])


@leaf
def draw_sources(wiring, target, sources):
    """Write the sources of a target in order of k; return how many there are."""
    key = _join(wiring.key, target)
    n = wiring.n_sources
    if _most_synapses(wiring, target) > sources.size:
        raise InternalError("a target has more synapses than its projection has room for")
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
    count = _most_synapses(wiring, target)
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
def _attempt_key(values, element, attempt):
    return _join(_join(values.seed_key, values.stream + (np.uint64(attempt) << _S32)), element)


@leaf
def _drawn_again(values, element, k):
    """Return a value from streams of its own that lies within the bounds."""
    for attempt in range(1, REDRAWS + 1):
        key = _attempt_key(values, element, attempt)
        value = values.a + values.b * (
            _rare_radius(_unit(_join(key, 2 * k))) * _rare_cosine(_unit(_join(key, 2 * k + 1)))
        )
        if values.low <= value <= values.high:
            return value
    return _truncated(values, element, k)


@leaf
def _truncated(values, element, k):
    """Return a normal number from within its bounds, however little of the distribution that is.

    By rejection with proposals of which a third or more are taken (Robert 1995, doi:10.1007/BF00143942): the normal
    distribution itself or a uniform one where the bounds hold its mean, else an exponential one from the nearer bound.
    """
    low, high = (values.low - values.a) / values.b, (values.high - values.a) / values.b
    near, far = max(low, -high), max(high, -low)  # of the side that the bounds are on, seen from the mean
    rate = 0.5 * (near + np.sqrt(near * near + 4.0))
    within = 1.0 - _rare_exp(-rate * (far - near))
    attempt = REDRAWS
    while True:
        attempt += 1
        key = _attempt_key(values, element, attempt)
        first, second = _unit(_join(key, 2 * k)), _unit(_join(key, 2 * k + 1))
        if near > 0.0:
            x = min(near - _rare_log(1.0 - first * within) / rate, far)
            taken = second < _rare_exp(-0.5 * (x - rate) * (x - rate))
            x = x if low > 0.0 else -x
        elif high - low > 1.0:
            x = _rare_radius(first) * _rare_cosine(second)
            taken = low <= x <= high
        else:
            x = low + first * (high - low)
            taken = second < _rare_exp(-0.5 * x * x)
        if taken:
            return min(max(values.a + values.b * x, values.low), values.high)


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
                out[k] = _drawn_again(values, target, k)


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
                out[i] = _drawn_again(values, first + i, 0)


@_kernel
def count_targets(key, first, last, degrees):
    """Draw the targets of synapses first ... last - 1 of a list, and count the synapses of each."""
    row = _join(key, 0)
    for i in range(first, last):
        degrees[np.int64(_unit(_join(row, i)) * degrees.size)] += 1


@_kernel
def count_sources(wiring, first, last, counts, room):
    """Count the synapses of each source onto targets first ... last - 1; return how many there are."""
    if counts.size != wiring.n_sources:
        raise InternalError("synapses come from other sources than their population has")
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
        n = _most_synapses(wiring, target)
        if wiring.kind == CHANCE:
            n = draw_sources(wiring, target, room.sources)
        if n > room.delays.size:
            raise InternalError("a target has more synapses than its projection has room for")
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

    Raises
    ------
    InternalError
        There are more synapses than places, or a delay does not fit into `delay_arena`.
    """
    sources, places, size = room.sources, room.places, target_arena.size
    most = np.int64(min(2.0 ** (8 * delay_arena.itemsize) - 1, 2.0**31 - 1))  # no more bits than a delay may have
    if ends.size != wiring.n_sources or (weight_arena.size and weight_arena.size != size):
        raise InternalError("synapses do not have a source or a weight each")
    if delay_arena.size and delay_arena.size != size:
        raise InternalError("synapses do not have a delay each")
    for source in range(ends.size):
        if ends[source] < 0:
            raise InternalError("rows of synapses begin before their arrays")
    if min(room.weights.size, room.delays.size, places.size) < sources.size:
        raise InternalError("a target has more synapses than its projection has room for")
    for target in range(first, last):
        n = draw_sources(wiring, target, sources)
        if weight_arena.size:
            draw_values(weights, target, room.weights[:n])
        if delay_arena.size:
            draw_values(delays, target, room.delays[:n])
            for k in range(n):
                room.delays[k] = np.rint(max(room.delays[k], dt) / dt)
        index = plane + target - first
        left = np.int64(0)
        for k in range(n):
            end = ends[sources[k]]
            ends[sources[k]] = end + 1
            places[k] = end
            left |= size - 1 - end  # below zero where any is
        if left < 0:
            raise InternalError("a projection has more synapses than were counted")
        for k in range(n):
            target_arena[places[k]] = index
        if weight_arena.size:
            for k in range(n):
                weight_arena[places[k]] = room.weights[k]
        if delay_arena.size:
            bits = np.int64(0)
            for k in range(n):
                delay = np.int64(room.delays[k])
                delay_arena[places[k]] = delay
                bits |= delay
            if bits > most or bits < 0:
                raise InternalError("a delay is longer than the longest of its projection")
