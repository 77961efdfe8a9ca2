"""Poisson drives over one tick: how many events each neuron receives, and their weight into what has arrived.

The numbers are those of `snnsim.neurons.sources.drives`. Random numbers and thresholds lie here as signed integers,
lowered by 2**31, because vectors of them can be compared. Thresholds lie in groups of `GROUP` rows; a group that no
number of the chunk reaches ends the search, and one that all numbers pass is counted without a look at them. Numbers
that are left over at the top are rare, and counted again one by one.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.compiler.pointers import as_int32, at, like, moved, put
from snnsim.backends.cpu.neurons.table_columns import (
    DRIVE_COLUMNS,
    DRIVE_RECEPTOR,
    EDGES,
    GROUPS,
    KEY,
    LOWEST_TOP,
    REMAINDER_ROWS,
    REMAINDERS,
    STEP,
    THRESHOLDS,
    TOPS,
    WEIGHT,
)
from snnsim.neurons import SECOND, UNREACHED
from snnsim.numerics import rng
from snnsim.numerics.specialise import jit

#: Rows of thresholds that are compared together.
GROUP = 4

_GOLDEN = rng.GOLDEN
_LOWERED = np.uint64(0x8000000080000000)
_LARGEST, _SMALLEST = np.int32(2**31 - 1), np.int32(-(2**31))
_SECOND, _S32, _MOST = np.uint64(SECOND), np.uint64(32), np.uint64(UNREACHED - 1)
_mix = jit(rng.mix)


@jit
def _join(key, number):
    """Mix a number into a key, as `rng.stream_key` does."""
    return _mix(key + np.uint64(number) * _GOLDEN + _GOLDEN)


@jit
def add_noise(
    number, drives, thresholds, coefficients, arrived, stride, recording, tick, low, first, length, words, counts
):
    """Add the events of drive `number` to what has arrived at neurons ``first ... first + length - 1``.

    `words` (uint64, a pair of neurons each, and one more) and `counts` (int32) are room to work in.
    """
    entry = moved(drives, number * DRIVE_COLUMNS)
    now = _join(_join(np.uint64(at(entry, KEY)), recording), tick)
    draw_pairs(now, first >> 1, (first + length + 1) >> 1, words)
    numbers = moved(as_int32(words), first & 1)
    passed = count_events(entry, thresholds, now, first, length, numbers, counts)
    here = moved(arrived, at(entry, DRIVE_RECEPTOR) * stride + first - low)
    weight = at(coefficients, at(entry, WEIGHT))
    for j in range(length):
        put(here, j, at(here, j) + weight * like(here, np.int32(at(counts, j) + passed)))


@jit
def draw_pairs(key, start, stop, words):
    """Draw 64 bits for each pair of neurons; the neurons' numbers are the halves, lower first."""
    state = key + np.uint64(start) * _GOLDEN + _GOLDEN  # counted up, which saves one of three products
    for i in range(stop - start):
        put(words, i, _mix(state) ^ _LOWERED)
        state += _GOLDEN


@jit
def count_events(entry, thresholds, now, first, length, numbers, counts):
    """Count the thresholds that each number reaches: those in `counts`, and those returned, which all have passed."""
    lowest, highest = _LARGEST, _SMALLEST
    for j in range(length):
        number = at(numbers, j)
        lowest = number if number < lowest else lowest
        highest = number if number > highest else highest
    for j in range(length):
        put(counts, j, 0)
    step, passed = at(entry, STEP), 0
    edges = moved(thresholds, at(entry, EDGES))
    for group in range(at(entry, GROUPS)):
        if highest < at(edges, 2 * group):
            break
        if lowest >= at(edges, 2 * group + 1):
            passed += GROUP
            continue
        start = at(entry, THRESHOLDS) + group * GROUP * step
        if step == 1:
            count_same(moved(thresholds, start), length, numbers, counts)
        else:
            count_each(moved(thresholds, start + first), step, length, numbers, counts)
    if highest >= at(entry, LOWEST_TOP):
        count_left_over(entry, thresholds, now, first, length, numbers, counts, passed)
    return passed


@jit
def count_left_over(entry, thresholds, now, first, length, numbers, counts, passed):
    """Count the events of numbers that are left over by a second number of each; see `DriveTable`."""
    step, rows = at(entry, STEP), at(entry, REMAINDER_ROWS)
    second_key = _join(now, _SECOND)
    for j in range(length):
        column = 0 if step == 1 else first + j
        if at(numbers, j) >= at(thresholds, at(entry, TOPS) + column):
            second = min(_mix(second_key + np.uint64(first + j) * _GOLDEN + _GOLDEN) >> _S32, _MOST)
            number, count = np.int32(np.int64(second) + _SMALLEST), 0
            while count < rows and number >= at(thresholds, at(entry, REMAINDERS) + count * step + column):
                count += 1
            put(counts, j, count - passed)


@jit
def count_same(group, length, numbers, counts):
    """Count the thresholds of a group that each number reaches, the same for all neurons."""
    a, b, c, d = at(group, 0), at(group, 1), at(group, 2), at(group, 3)
    for j in range(length):
        number = at(numbers, j)
        reached = np.int32(number >= a) + np.int32(number >= b) + np.int32(number >= c) + np.int32(number >= d)
        put(counts, j, at(counts, j) + reached)


@jit
def count_each(group, step, length, numbers, counts):
    """Count the thresholds of a group that each number reaches, a column of `group` for each neuron."""
    a, b, c, d = group, moved(group, step), moved(group, 2 * step), moved(group, 3 * step)
    for j in range(length):
        number = at(numbers, j)
        reached = np.int32(number >= at(a, j)) + np.int32(number >= at(b, j))
        reached += np.int32(number >= at(c, j)) + np.int32(number >= at(d, j))
        put(counts, j, at(counts, j) + reached)
