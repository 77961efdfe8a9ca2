"""Shift and add: a projection with delays as lists of taps, each a shifted row times a weight.

Samples go in blocks of `width`. In a block a neuron's signal is one row, ``row[tick * width + sample]``, with zeros
before and behind, so that a tap of any delay is a contiguous stretch of that row and no tick is a special case. A
target adds up its taps eight at a time: eight stretches are read for one of its own that is read and written, and a
group of sources is small enough that the ticks in hand stay in the first-level cache.

A list of terms belongs to one way through the projection. Inputs of a term are called inner neurons, and are taken in
groups; the terms of group `g` for the outer neuron `o` are ``starts[g, o] ... starts[g, o + 1] - 1``.
"""

from __future__ import annotations

import math
from typing import Any

from snnsim.compilation import compiled
from snnsim.training.compiled import kernel


def _contracted(function: Any) -> Any:
    """Compile a loop in which a product and a sum may become one instruction, with one rounding."""
    return compiled(function, cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


def _reordered(function: Any) -> Any:
    """Compile a loop whose sums may run side by side in the lanes of a vector: same order in every call."""
    return compiled(function, cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})


@kernel
def lay_out(signal: Any, scale: float, sample: int, rows: Any, lead: int, width: int) -> None:
    """Write the rows of one block of samples.

    Parameters
    ----------
    signal : ndarray, shape (ticks, batch, neurons)
    scale : float
        Multiplies the signal.
    sample : int
        First sample of the block.
    rows : ndarray, shape (neurons, ticks of a row * width)
        Out; zero where there is no tick or no sample.
    lead : int
        Ticks of zeros before the signal.
    width : int
        Samples of a block.
    """
    rows[:] = 0
    factor = rows.dtype.type(scale)
    neurons = signal.shape[2]
    there = min(width, signal.shape[1] - sample)
    for tick in range(signal.shape[0]):
        at = (lead + tick) * width
        for near in range(0, neurons, 16):
            far = min(near + 16, neurons)
            for one in range(there):
                line = signal[tick, sample + one]
                for neuron in range(near, far):
                    rows[neuron, at + one] = factor * line[neuron]


@kernel
def _bump(triangle: bool, sigma: float, distance: float) -> float:
    if triangle:
        return max(0.0, sigma - abs(distance))
    return math.exp(-0.5 * (distance / sigma) ** 2)


@kernel
def _range_of(triangle: bool, delay: float, reach: float, longest: int) -> tuple[int, int]:
    """Return the first tap of a bump and the one after the last."""
    if triangle:
        first, stop = int(math.floor(delay - reach)) + 1, int(math.ceil(delay + reach))
    else:
        first, stop = int(math.ceil(delay - reach)), int(math.floor(delay + reach)) + 1
    return max(first, 0), min(stop, longest + 1)


@kernel
def list_terms(
    weights: Any,
    delays: Any,
    triangle: bool,
    sigma: float,
    reach: float,
    longest: int,
    floor: float,
    group: int,
    row: int,
    lead: int,
    sign: int,
    width: int,
    low: int,
    high: int,
    capacity: int,
    places: Any,
    values: Any,
    starts: Any,
) -> None:
    """List the terms of the groups ``low ... high - 1``.

    Parameters
    ----------
    weights, delays : ndarray, shape (count, inner neurons, outer neurons)
    triangle : bool
        The form of the bump; otherwise a Gaussian.
    sigma, reach : float
        Its width, and the distance (ticks) from which on it is zero.
    longest : int
        Longest delay.
    floor : float
        Added to the sum of a bump.
    group : int
        Inner neurons of a group.
    row : int
        Ticks of a row.
    lead, sign : int
        Output tick `t` reads tick ``lead + sign * delay + t`` of a row.
    width : int
        Samples of a block.
    capacity : int
        Terms that a group has room for.
    places : ndarray of int32
        Out: where in all rows the stretch of a term begins.
    values : ndarray
        Out: the tap of a term.
    starts : ndarray of int64, shape (groups, outer neurons + 1)
        Out: where the terms of each outer neuron begin.
    """
    count, inner, outer = weights.shape
    for g in range(low, high):
        k = g * capacity
        for o in range(outer):
            starts[g, o] = k
            for i in range(g * group, min((g + 1) * group, inner)):
                for c in range(count):
                    delay = float(delays[c, i, o])
                    first, stop = _range_of(triangle, delay, reach, longest)
                    area = floor
                    for tau in range(first, stop):
                        area += _bump(triangle, sigma, tau - delay)
                    factor = weights[c, i, o] / area
                    for tau in range(first, stop):
                        places[k] = (i * row + lead + sign * tau) * width
                        values[k] = factor * _bump(triangle, sigma, tau - delay)
                        k += 1
        starts[g, outer] = k


@kernel
def add_gradients(
    found: Any,
    weights: Any,
    delays: Any,
    triangle: bool,
    sigma: float,
    reach: float,
    longest: int,
    floor: float,
    group: int,
    low: int,
    high: int,
    starts: Any,
    of_weights: Any,
    of_delays: Any,
) -> None:
    """Add the gradients of weights and delays of the groups ``low ... high - 1``, given those of the taps.

    Parameters
    ----------
    found : ndarray
        Gradient of each term, in the order of `list_terms`.
    of_weights, of_delays : ndarray, shape (count, sources, targets), or of no size where not asked for

    See `list_terms` for the others, and `snnsim.training.delay_taps.add_gradients` for the equations.
    """
    count, inner, outer = weights.shape
    for g in range(low, high):
        k = starts[g, 0]
        for o in range(outer):
            for i in range(g * group, min((g + 1) * group, inner)):
                for c in range(count):
                    delay = float(delays[c, i, o])
                    first, stop = _range_of(triangle, delay, reach, longest)
                    area, slopes, along, steep = floor, 0.0, 0.0, 0.0
                    for tau in range(first, stop):
                        distance = tau - delay
                        bump = _bump(triangle, sigma, distance)
                        if not triangle:
                            slope = bump * distance / sigma**2
                        elif distance == 0.0:
                            slope = 0.0
                        else:
                            slope = 1.0 if distance > 0.0 else -1.0
                        area += bump
                        slopes += slope
                        along += bump * found[k]
                        steep += slope * found[k]
                        k += 1
                    along /= area
                    if of_weights.size:
                        of_weights[c, i, o] += along
                    if of_delays.size:
                        of_delays[c, i, o] += weights[c, i, o] * (steep - slopes * along) / area


@_contracted
def add_shifted(
    rows: Any,
    places: Any,
    values: Any,
    starts: Any,
    out: Any,
    scale: float,
    sample: int,
    width: int,
    tile: int,
    low: int,
    high: int,
    totals: Any,
    fresh: bool,
) -> None:
    """Add up the terms of the outer neurons ``low ... high - 1`` for one block of samples.

    Parameters
    ----------
    rows : ndarray
        The rows of all inner neurons, flat.
    places, values, starts : ndarray
        Terms, as `list_terms` made them.
    out : ndarray, shape (ticks, batch, outer neurons)
        Written where `fresh`, else added to.
    scale : float
        Multiplies the sums.
    sample, width : int
        First sample of the block, and its samples.
    tile : int
        Ticks at a time.
    totals : ndarray, shape (high - low, tile * width)
        Scratch.
    """
    ticks = out.shape[0]
    there = min(width, out.shape[1] - sample)
    factor = rows.dtype.type(scale)
    for tick in range(0, ticks, tile):
        held = min(tile, ticks - tick)
        n = held * width
        base = tick * width
        totals[:] = 0
        for g in range(starts.shape[0]):
            for o in range(low, high):
                total = totals[o - low]
                k, stop = starts[g, o], starts[g, o + 1]
                while k + 8 <= stop:
                    p, q, r, s = places[k] + base, places[k + 1] + base, places[k + 2] + base, places[k + 3] + base
                    t, u, v, w = places[k + 4] + base, places[k + 5] + base, places[k + 6] + base, places[k + 7] + base
                    a0, a1, a2, a3 = rows[p : p + n], rows[q : q + n], rows[r : r + n], rows[s : s + n]
                    a4, a5, a6, a7 = rows[t : t + n], rows[u : u + n], rows[v : v + n], rows[w : w + n]
                    w0, w1, w2, w3 = values[k], values[k + 1], values[k + 2], values[k + 3]
                    w4, w5, w6, w7 = values[k + 4], values[k + 5], values[k + 6], values[k + 7]
                    for e in range(n):
                        near = total[e] + w0 * a0[e] + w1 * a1[e] + w2 * a2[e] + w3 * a3[e]
                        total[e] = near + w4 * a4[e] + w5 * a5[e] + w6 * a6[e] + w7 * a7[e]
                    k += 8
                while k + 2 <= stop:
                    p, q = places[k] + base, places[k + 1] + base
                    a0, a1 = rows[p : p + n], rows[q : q + n]
                    w0, w1 = values[k], values[k + 1]
                    for e in range(n):
                        total[e] = total[e] + w0 * a0[e] + w1 * a1[e]
                    k += 2
                if k < stop:
                    p = places[k] + base
                    a0, w0 = rows[p : p + n], values[k]
                    for e in range(n):
                        total[e] += w0 * a0[e]
        for near_tick in range(held):
            for one in range(there):
                line = out[tick + near_tick, sample + one]
                at = near_tick * width + one
                if fresh:
                    for o in range(low, high):
                        line[o] = factor * totals[o - low, at]
                else:
                    for o in range(low, high):
                        line[o] += factor * totals[o - low, at]


@_reordered
def correlate(
    rows: Any, places: Any, starts: Any, drive: Any, ticks: int, width: int, tile: int, low: int, high: int, found: Any
) -> None:
    """Add to each term of the outer neurons ``low ... high - 1`` the product of its stretch with their rows.

    Parameters
    ----------
    rows : ndarray
        The rows of all inner neurons of one block, flat.
    places, starts : ndarray
        Terms, as `list_terms` made them.
    drive : ndarray, shape (outer neurons, ticks of a row * width)
        Rows of the outer neurons, which begin with their first tick.
    ticks, width : int
        Ticks of the drive, samples of a block.
    tile : int
        Ticks at a time.
    found : ndarray
        One number a term.
    """
    zero = rows.dtype.type(0)
    for tick in range(0, ticks, tile):
        n = min(tile, ticks - tick) * width
        base = tick * width
        for g in range(starts.shape[0]):
            for o in range(low, high):
                own = drive[o, base : base + n]
                k, stop = starts[g, o], starts[g, o + 1]
                while k + 4 <= stop:
                    p, q, r, s = places[k] + base, places[k + 1] + base, places[k + 2] + base, places[k + 3] + base
                    a0, a1, a2, a3 = rows[p : p + n], rows[q : q + n], rows[r : r + n], rows[s : s + n]
                    s0, s1, s2, s3 = zero, zero, zero, zero
                    for e in range(n):
                        value = own[e]
                        s0 += value * a0[e]
                        s1 += value * a1[e]
                        s2 += value * a2[e]
                        s3 += value * a3[e]
                    found[k] += s0
                    found[k + 1] += s1
                    found[k + 2] += s2
                    found[k + 3] += s3
                    k += 4
                while k < stop:
                    p = places[k] + base
                    a0, s0 = rows[p : p + n], zero
                    for e in range(n):
                        s0 += own[e] * a0[e]
                    found[k] += s0
                    k += 1
