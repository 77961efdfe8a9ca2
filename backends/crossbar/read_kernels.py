"""Compiled reads: sum the active rows, add one normal number a column, convert, all in one pass over a vector.

Serial kernels on a range of vectors; a vector's result depends on nothing but the vector, its key and the array.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.crossbar import normal_numbers
from snnsim.backends.crossbar.normal_numbers import HALF
from snnsim.compilation import kernel_with, leaf

_block, _radius, _directions = leaf(normal_numbers.block), leaf(normal_numbers.radius), leaf(normal_numbers.directions)
_S32, _LOW_HALF = np.uint64(32), np.uint64(0xFFFFFFFF)
_kernel = kernel_with(normal_numbers)


@leaf
def _draw(key, group, first, second, numbers):
    """Fill `numbers` with the ``2 * HALF`` normal numbers of a group of places; `first`, `second`: room for HALF."""
    high, low = key >> _S32, key & _LOW_HALF
    start = np.uint64(group * HALF)
    for i in range(HALF):
        x, y = _block(start + np.uint64(i), high, low)
        first[i] = np.uint32(x)
        second[i] = np.uint32(y)
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
    numbers = np.empty(2 * HALF, np.float32)
    for v in range(keys.size):
        for begin in range(0, columns, 2 * HALF):
            _draw(keys[v], begin // (2 * HALF), first, second, numbers)
            count = min(2 * HALF, columns - begin)
            out[v, begin : begin + count] = numbers[:count]


@_kernel
def read_exactly(mean, variance, offsets, rows, keys, noisy, summing, converting, transfer, limit, begin, end, out):
    """Read vectors ``begin ... end - 1`` in float64 into `out`; return how many conversions saturated.

    Without `summing`, `out` holds the currents already. `transfer` has four rows: input scale, input shift, output
    scale, output shift of each converter.
    """
    columns = out.shape[1]
    first, second = np.empty(HALF, np.uint32), np.empty(HALF, np.uint32)
    numbers = np.empty(2 * HALF, np.float32)
    spread = np.empty(columns)
    saturated = 0
    for v in range(begin, end):
        sums = out[v]
        if summing:
            sums[:] = 0.0
            for at in range(offsets[v], offsets[v + 1]):
                row = mean[rows[at]]
                for j in range(columns):
                    sums[j] += row[j]
        if noisy:
            spread[:] = 0.0
            for at in range(offsets[v], offsets[v + 1]):
                row = variance[rows[at]]
                for j in range(columns):
                    spread[j] += row[j]
            for low in range(0, columns, 2 * HALF):
                _draw(keys[v], low // (2 * HALF), first, second, numbers)
                for j in range(min(2 * HALF, columns - low)):
                    sums[low + j] += np.sqrt(spread[low + j]) * numbers[j]
        if converting:
            for j in range(columns):
                code = np.rint(sums[j] * transfer[0, j] + transfer[1, j])
                held = min(max(code, -limit), limit)
                saturated += np.int64(held != code)
                sums[j] = held * transfer[2, j] + transfer[3, j]
    return saturated
