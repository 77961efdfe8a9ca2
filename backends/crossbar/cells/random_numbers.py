"""Random numbers of cells: a pure function of seed, purpose, tile, cycle, row and column.

A cell's numbers do not depend on the shape of its tile, on the order of evaluation, or on other cells.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from snnsim.numerics import rng

Cells = NDArray[np.uint64]


def cell_numbers(rows: NDArray[np.int64] | int, columns: int) -> Cells:
    """Return the number of each cell of some rows (or of rows 0 to that number), shape (rows, columns)."""
    chosen = np.arange(rows) if isinstance(rows, int) else rows
    first: Cells = chosen.astype(np.uint64) << np.uint64(32)
    return np.add(first[:, None], np.arange(columns, dtype=np.uint64), dtype=np.uint64)


@functools.lru_cache(maxsize=4096)
def purpose_key(seed: int, purpose: str, *numbers: int) -> np.uint64:
    """Return the key of what is drawn for a purpose, mixed with whole numbers such as tile and cycle."""
    with np.errstate(over="ignore"):
        key = rng.stream_key(rng.seed_key(seed), rng.stream_number("crossbar", purpose))
        for number in numbers:
            key = rng.stream_key(key, number)
    return key


def uniform(key: np.uint64, cells: Cells) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each cell."""
    # Numba is imported only where something is drawn: an ideal chip starts without it.
    from snnsim.backends.crossbar.cells.kernels import fill_uniform

    numbers = np.empty(cells.shape)
    fill_uniform(key, cells.ravel(), numbers.reshape(-1))
    return numbers


def normal(key: np.uint64, cells: Cells) -> NDArray[np.float64]:
    """Return a standard normal number for each cell."""
    from snnsim.backends.crossbar.cells.kernels import fill_normal

    numbers = np.empty(cells.shape)
    fill_normal(key, cells.ravel(), numbers.reshape(-1))
    return numbers
