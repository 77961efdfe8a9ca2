"""Compiled reads: sum the active rows, add one normal number a column, convert, all in one pass over a vector.

Serial kernels on a range of vectors; a vector's result depends on nothing but the vector, its key and the array.
The short loops over arrays of fixed length are functions of their own, because so LLVM makes vectors of them.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.crossbar.array_read import normal_numbers, row_sums
from snnsim.backends.crossbar.array_read.normal_numbers import HALF
from snnsim.backends.crossbar.array_read.row_sums import STRIP, sum_records
from snnsim.numerics.compilation import kernel_with, leaf

#: Columns that are read together: those that share blocks of random bits.
WIDTH = 2 * HALF
#: Vectors whose sums are kept before noise is added to them.
TOGETHER = 64
#: What `check` and the kernels return where vectors are not as they must be.
BAD_OFFSETS, BAD_ROW = -1, -2

_block, _radius, _directions = leaf(normal_numbers.block), leaf(normal_numbers.radius), leaf(normal_numbers.directions)
_S32, _LOW_HALF = np.uint64(32), np.uint64(0xFFFFFFFF)
#: A float32 below 2**22 in size and this number: the sum has no places after the point.
_ROUNDING, _ONE = np.float32(1.5 * 2.0**23), np.float32(1.0)
_kernel = kernel_with(normal_numbers, row_sums)


@leaf
def _draw_bits(key, group, first, second):
    high, low = key >> _S32, key & _LOW_HALF
    start = np.uint64(group * HALF)
    for i in range(HALF):
        x, y = _block(start + np.uint64(i), high, low)
        first[i] = np.uint32(x)
        second[i] = np.uint32(y)


@leaf
def _make_normal(first, second, numbers):
    for i in range(HALF):
        size = _radius(first[i])
        cosine, sine = _directions(second[i])
        numbers[i] = size * cosine
        numbers[HALF + i] = size * sine


@_kernel
def draw(keys, out):
    """Fill ``out[v]`` with the normal numbers (float32) of key v."""
    columns = out.shape[1]
    first, second = np.empty(HALF, np.uint32), np.empty(HALF, np.uint32)
    numbers = np.empty(WIDTH, np.float32)
    for v in range(keys.size):
        for begin in range(0, columns, WIDTH):
            _draw_bits(keys[v], begin // WIDTH, first, second)
            _make_normal(first, second, numbers)
            for j in range(min(WIDTH, columns - begin)):
                out[v, begin + j] = numbers[j]


@_kernel
def check(offsets, rows, count):
    """Return 0, or `BAD_OFFSETS` or `BAD_ROW` where vectors do not name rows below `count`."""
    if offsets[0] != 0 or offsets[offsets.size - 1] != rows.size:
        return BAD_OFFSETS
    for v in range(offsets.size - 1):
        if offsets[v + 1] < offsets[v]:
            return BAD_OFFSETS
    worst = np.int64(0)
    for at in range(rows.size):
        worst |= rows[at] | (count - 1 - rows[at])  # negative where either is
    return BAD_ROW if worst < 0 else 0


@_kernel
def read_exactly(mean, variance, offsets, rows, keys, noisy, summing, converting, transfer, limit, begin, end, out):
    """Read vectors ``begin ... end - 1`` in float64 into `out`; return how many conversions saturated.

    Without `summing`, `out` holds the currents already. `transfer` has four rows: input scale, input shift, output
    scale, output shift of each converter.
    """
    columns = out.shape[1]
    first, second = np.empty(HALF, np.uint32), np.empty(HALF, np.uint32)
    numbers = np.empty(WIDTH, np.float32)
    spread = np.empty(columns)
    saturated = 0
    for v in range(begin, end):
        sums = out[v]
        if summing:
            sums[:] = 0.0
            _add_rows(mean, offsets[v], offsets[v + 1], rows, sums)
        if noisy:
            spread[:] = 0.0
            _add_rows(variance, offsets[v], offsets[v + 1], rows, spread)
            for low in range(0, columns, WIDTH):
                _draw_bits(keys[v], low // WIDTH, first, second)
                _make_normal(first, second, numbers)
                for j in range(min(WIDTH, columns - low)):
                    sums[low + j] += np.sqrt(spread[low + j]) * np.float64(numbers[j])
        if converting:
            for j in range(columns):
                code = np.rint(sums[j] * transfer[0, j] + transfer[1, j])
                held = min(max(code, -limit), limit)
                saturated += np.int64(held != code)
                sums[j] = held * transfer[2, j] + transfer[3, j]
    return saturated


@leaf
def _add_rows(matrix, low, high, rows, sums):
    for at in range(low, high):
        _add_row(matrix[rows[at]], sums)


@leaf
def _add_row(row, sums):
    for j in range(sums.size):
        sums[j] += row[j]


@leaf
def _sum_strip(records, rows, low, high, means, variances, out_means, out_variances):
    """Sum the records of rows ``rows[low:high]``; whole numbers, so that the order of rows does not matter."""
    most = records.shape[0]
    if high - low <= most:
        sum_records(records, rows, low, high, means, variances)
        for j in range(STRIP):
            out_means[j] = np.float32(means[j])
            out_variances[j] = np.float32(variances[j])
        return
    long_means, long_variances = np.zeros(STRIP, np.int64), np.zeros(STRIP, np.int64)
    for begin in range(low, high, most):  # rows named several times: more than 32 bits can hold
        sum_records(records, rows, begin, min(begin + most, high), means, variances)
        for j in range(STRIP):
            long_means[j] += means[j]
            long_variances[j] += variances[j]
    for j in range(STRIP):
        out_means[j] = np.float32(long_means[j])
        out_variances[j] = np.float32(long_variances[j])


@leaf
def _add_noise(means, variances, scales, numbers, currents):
    for j in range(WIDTH):
        currents[j] = means[j] * scales[0] + np.sqrt(variances[j] * scales[1]) * numbers[j]


@leaf
def _convert(currents, transfer, limit, beyond):
    """Convert in place; `beyond` is 1 where a code was held."""
    reach = limit + _ONE
    for j in range(WIDTH):
        code = currents[j] * transfer[0, j] + transfer[1, j]
        code = min(max(code, -reach), reach)
        code = np.float32(code + _ROUNDING) - _ROUNDING
        held = min(max(code, -limit), limit)
        beyond[j] = np.int32(held != code)
        currents[j] = held * transfer[2, j] + transfer[3, j]


@leaf
def _count(beyond, columns):
    total = 0
    for j in range(columns):
        total += beyond[j]
    return total


@leaf
def _copy(currents, columns, out):
    for j in range(columns):
        out[j] = currents[j]


@_kernel
def read_fixed(records, scales, offsets, rows, keys, converting, transfer, limit, begin, end, out):
    """Read vectors ``begin ... end - 1`` into `out`; return how many conversions saturated, or what is wrong.

    Parameters
    ----------
    records : ndarray of int32, shape (strips, rows, RECORD)
        Means and variances as whole numbers, small enough that so many of them as there are rows have a sum below
        2**31. There are strips for whole groups of WIDTH columns.
    scales : ndarray of float32, shape (2,)
        The uA and uA^2 of one.
    transfer : ndarray of float32, shape (groups, 4, WIDTH)
        Input scale, input shift, output scale, output shift of each converter.
    """
    wrong = check(offsets, rows, records.shape[1])
    if wrong:
        return wrong
    columns, groups = out.shape[1], records.shape[0] * STRIP // WIDTH
    first, second = np.empty(HALF, np.uint32), np.empty(HALF, np.uint32)
    numbers, currents, beyond = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32), np.zeros(WIDTH, np.int32)
    strip_means, strip_variances = np.empty(STRIP, np.int32), np.empty(STRIP, np.int32)
    together = min(TOGETHER, end - begin)
    means = np.empty((together, records.shape[0] * STRIP), np.float32)
    variances = np.empty_like(means)
    saturated = 0
    for chunk in range(begin, end, TOGETHER):
        count = min(TOGETHER, end - chunk)
        for strip in range(records.shape[0]):  # outside, so that the vectors find a strip in the cache
            place = strip * STRIP
            for v in range(count):
                low, high = offsets[chunk + v], offsets[chunk + v + 1]
                _sum_strip(
                    records[strip],
                    rows,
                    low,
                    high,
                    strip_means,
                    strip_variances,
                    means[v, place : place + STRIP],
                    variances[v, place : place + STRIP],
                )
        for v in range(count):
            for group in range(groups):
                place = group * WIDTH
                here = min(WIDTH, columns - place)
                _draw_bits(keys[chunk + v], group, first, second)
                _make_normal(first, second, numbers)
                _add_noise(means[v, place:], variances[v, place:], scales, numbers, currents)
                if converting:
                    _convert(currents, transfer[group], limit, beyond)
                    saturated += _count(beyond, here)
                _copy(currents, here, out[chunk + v, place:])
    return saturated
