"""Shift and add: a projection with delays as lists of taps, each a shifted row times a weight.

Samples go in blocks of `width`. In a block a neuron's signal is one row, ``row[tick * width + sample]``, with zeros
before and behind, so that a tap of any delay is a contiguous stretch of that row and no tick is a special case. A
target adds up its taps eight at a time: eight stretches are read for one of its own that is read and written, and a
group of sources is small enough that the ticks in hand stay in the first-level cache.

A list of terms belongs to one way through the projection. Inputs of a term are called inner neurons, and are taken in
groups; the terms of group `g` for the outer neuron `o` are ``starts[g, o] ... starts[g, o + 1] - 1``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.errors import InternalError
from snnsim.numerics.compilation import compiled, kernel_with
from snnsim.training.delays import lanes, tap_kernels
from snnsim.training.delays.lanes import REGISTER, STRETCH, add_stretches, add_turned, write_turned
from snnsim.training.delays.tap_kernels import Bump, fill, range_of, slope_of


def _reordered(function: Any) -> Any:
    """Compile a loop whose sums may run side by side in the lanes of a vector: same order in every call."""
    return compiled(function, cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})


@kernel_with(lanes)
def lay_out(
    signal: Any, shape: tuple[int, int, int], scale: float, sample: int, rows: Any, lead: int, width: int
) -> None:
    """Write the rows of one block of samples.

    Parameters
    ----------
    signal : ndarray
        Flat, of shape (ticks, batch, neurons).
    shape : tuple of int
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
    ticks, batch, neurons = shape
    size = rows.shape[1]
    factor = rows.dtype.type(scale)
    there = min(width, batch - sample)
    lanes = REGISTER // rows.itemsize
    whole = neurons - neurons % lanes if there == lanes else 0
    flat = rows.reshape(-1)
    if there < width:
        rows[:] = 0
    for neuron in range(neurons):
        rows[neuron, : lead * width] = 0
        rows[neuron, (lead + ticks) * width :] = 0
    for first in range(0, ticks, 2):  # two ticks of eight samples are a line of the cache
        for neuron in range(0, whole, lanes):
            for tick in range(first, min(first + 2, ticks)):
                at = (tick * batch + sample) * neurons + neuron
                write_turned(signal, at, neurons, flat, neuron * size + (lead + tick) * width, size, factor)
        for tick in range(first, min(first + 2, ticks)):
            for one in range(there):
                at = (tick * batch + sample + one) * neurons
                for neuron in range(whole, neurons):
                    rows[neuron, (lead + tick) * width + one] = factor * signal[at + neuron]


@kernel_with(tap_kernels)
def list_terms(
    weights: Any,
    delays: Any,
    bump: Bump,
    group: int,
    layout: tuple[int, int, int, int],
    part: tuple[int, int, int],
    places: Any,
    values: Any,
    starts: Any,
) -> None:
    """List the terms of a range of groups.

    Parameters
    ----------
    weights, delays : ndarray, shape (count, inner neurons, outer neurons)
    bump : tuple
        See `snnsim.training.delays.tap_kernels.Bump`.
    group : int
        Inner neurons of a group.
    layout : tuple of int
        Ticks of a row; `lead` and `sign`, with which output tick `t` reads tick ``lead + sign * delay + t`` of a row;
        samples of a block.
    part : tuple of int
        First group, the one after the last, and the terms that a group has room for.
    places : ndarray of int32
        Out: where in all rows the stretch of a term begins.
    values : ndarray
        Out: the tap of a term.
    starts : ndarray of int64, shape (groups, outer neurons + 1)
        Out: where the terms of each outer neuron begin.
    """
    count, inner, outer = weights.shape
    row, lead, sign, width = layout
    low, high, capacity = part
    heights = np.empty(bump[3] + 1)
    for g in range(low, high):
        k = g * capacity
        for o in range(outer):
            starts[g, o] = k
            for i in range(g * group, min((g + 1) * group, inner)):
                for c in range(count):
                    delay = float(delays[c, i, o])
                    first, stop = range_of(bump, delay)
                    if k + stop - first > (g + 1) * capacity or k + stop - first > values.shape[0]:
                        raise InternalError("a projection has more taps than there is room for")
                    factor = weights[c, i, o] / fill(bump, delay, first, stop, heights)
                    for tau in range(first, stop):
                        places[k] = (i * row + lead + sign * tau) * width
                        values[k] = factor * heights[tau - first]
                        k += 1
        starts[g, outer] = k


@kernel_with(tap_kernels)
def add_gradients(
    found: Any,
    weights: Any,
    delays: Any,
    bump: Bump,
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

    See `list_terms` for the others, and `snnsim.training.delays.taps` for the equations.
    """
    count, inner, outer = weights.shape
    heights = np.empty(bump[3] + 1)
    for g in range(low, high):
        k = starts[g, 0]
        for o in range(outer):
            for i in range(g * group, min((g + 1) * group, inner)):
                for c in range(count):
                    delay = float(delays[c, i, o])
                    first, stop = range_of(bump, delay)
                    area = fill(bump, delay, first, stop, heights)
                    if k + stop - first > starts[g, outer]:
                        raise InternalError("a projection has other taps than on the way forth")
                    slopes, along, steep = 0.0, 0.0, 0.0
                    for tau in range(first, stop):
                        height = heights[tau - first]
                        slope = slope_of(bump, tau - delay, height)
                        slopes += slope
                        along += height * found[k]
                        steep += slope * found[k]
                        k += 1
                    along /= area
                    if of_weights.size:
                        of_weights[c, i, o] += along
                    if of_delays.size:
                        of_delays[c, i, o] += weights[c, i, o] * (steep - slopes * along) / area


@kernel_with(lanes)
def add_shifted(
    rows: Any,
    places: Any,
    values: Any,
    starts: Any,
    out: Any,
    shape: tuple[int, int, int],
    scale: float,
    sample: int,
    width: int,
    totals: Any,
    fresh: bool,
) -> None:
    """Add up the terms of all outer neurons for one block of samples.

    Parameters
    ----------
    rows : ndarray
        The rows of all inner neurons, flat.
    places, values, starts : ndarray
        Terms, as `list_terms` made them.
    out : ndarray
        Flat, of shape (ticks, batch, outer neurons); written where `fresh`, else added to.
    shape : tuple of int
    scale : float
        Multiplies the sums.
    sample, width : int
        First sample of the block, and its samples.
    totals : ndarray, shape (outer neurons * numbers of a stretch,)
        Scratch.
    """
    ticks, batch, outer = shape
    there = min(width, batch - sample)
    factor = rows.dtype.type(scale)
    lanes, stretch = REGISTER // rows.itemsize, STRETCH // rows.itemsize
    whole = outer - outer % lanes if there == lanes else 0
    at_once = stretch // width
    for tick in range(0, ticks, at_once):
        totals[:] = 0
        for g in range(starts.shape[0]):
            for o in range(outer):
                add_stretches(totals, o * stretch, rows, tick * width, places, values, starts[g, o], starts[g, o + 1])
        for later in range(min(at_once, ticks - tick)):
            at = ((tick + later) * batch + sample) * outer
            for o in range(0, whole, lanes):
                if fresh:
                    write_turned(totals, o * stretch + later * width, stretch, out, at + o, outer, factor)
                else:
                    add_turned(totals, o * stretch + later * width, stretch, out, at + o, outer, factor)
            for one in range(there):
                for o in range(whole, outer):
                    total = factor * totals[o * stretch + later * width + one]
                    if not fresh:
                        total += out[at + one * outer + o]
                    out[at + one * outer + o] = total


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
