"""What is done for every cell of a tile, compiled: random numbers.

The random bits are those of splitmix64 at the place (key, cell), as `snnsim.numerics.rng` mixes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.numerics import elementary, rng
from snnsim.numerics.compilation import kernel_with, leaf

_GOLDEN, _S11 = rng.GOLDEN, np.uint64(11)
_TO_UNIT = 2.0**-53
_mix: Any = leaf(rng.mix)
_log: Any = leaf(elementary.log)
_cosine: Any = leaf(elementary.cosine_of_turns)
_kernel: Any = kernel_with(rng, elementary)


@_kernel
def fill_uniform(key, cells, numbers):
    """Write a number in [0, 1) for each cell."""
    for i in range(cells.size):
        numbers[i] = np.float64(_mix(key + cells[i] * _GOLDEN + _GOLDEN) >> _S11) * _TO_UNIT


@_kernel
def fill_normal(key, cells, numbers):
    """Write a standard normal number for each cell, by Box and Muller's method from the places 2 c and 2 c + 1."""
    for i in range(cells.size):
        place = key + (cells[i] + cells[i]) * _GOLDEN
        first = np.float64(_mix(place + _GOLDEN) >> _S11) * _TO_UNIT
        second = np.float64(_mix(place + _GOLDEN + _GOLDEN) >> _S11) * _TO_UNIT
        numbers[i] = np.sqrt(-2.0 * _log(1.0 - first)) * _cosine(second)


@_kernel
def add_held(keys, cells, scale, numbers):
    """Add to each cell's number the sum over `keys` of uniform numbers of mean 0 and sd `scale`."""
    width = scale * np.sqrt(12.0) * _TO_UNIT
    half = 0.5 * scale * np.sqrt(12.0)
    for k in range(keys.size):
        key = keys[k]
        for i in range(cells.size):
            numbers[i] += np.float64(_mix(key + cells[i] * _GOLDEN + _GOLDEN) >> _S11) * width - half
