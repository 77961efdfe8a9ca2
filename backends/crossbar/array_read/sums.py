"""Reading a tile: currents of the active rows, with read noise and converters.

Each active cell's read noise is an independent normal number. The sum of independent normal numbers is normal with the
sum of their variances, exactly; so a column gets one number with the summed variance in place of one a cell, at a cost
that does not depend on how many rows there are. `read_every_cell` draws one a cell, for checks.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.array_read.checks import (
    check_vectors,
    checked_keys,
    checked_matrix,
    checked_variances,
    checked_vectors,
    several,
)
from snnsim.backends.crossbar.array_read.converter import Converters
from snnsim.backends.crossbar.number_checks import number_array
from snnsim.errors import DataError, ParameterError

#: Columns to finish (about 3 ns each) below which handing work to a second thread (0.1 ms) does not pay.
WORTH_SHARING = 2**17
_NOTHING = np.zeros((1, 1))
_NO_KEYS = np.zeros(1, np.uint64)


def read_sums(
    mean: ArrayLike,
    variance: ArrayLike | None,
    offsets: ArrayLike,
    rows_active: ArrayLike,
    keys: ArrayLike | None = None,
    converters: Converters | None = None,
    *,
    threads: int = 1,
) -> tuple[NDArray[np.float64], int]:
    """Sum the active rows of a tile in float64, add read noise, and convert.

    Parameters
    ----------
    mean : array_like of float, shape (rows, outputs)
        Current of each cell (or pair of cells) when its row is on, uA.
    variance : array_like of float, shape (rows, outputs), optional
        Variance of one read of it, uA^2; None: no read noise.
    offsets : array_like of int, shape (vectors + 1,)
        Vector v's active rows are ``rows_active[offsets[v]:offsets[v + 1]]``.
    rows_active : array_like of int
        A row that is named twice is read twice, with independent noise.
    keys : array_like of uint64, shape (vectors,), optional
        Of the noise: output j of vector v draws from ``(keys[v], j)``. Needed with `variance`.
    converters : Converters, optional
        One for each output; None: currents as they are.
    threads : int
        Threads to share the vectors; results are the same.

    Returns
    -------
    currents : ndarray of float64, shape (vectors, outputs)
        uA.
    saturated : int
        Conversions held at an outermost code.

    Raises
    ------
    DataError
        If shapes do not fit, rows lie outside the array, or values are not finite.
    ParameterError
        If keys are missing or converters do not fit.
    """
    means = checked_matrix("mean", mean)
    variances = None if variance is None else checked_variances(variance, means.shape)
    starts, rows = checked_vectors(offsets, rows_active, means.shape[0])
    out = np.empty((starts.size - 1, means.shape[1]))
    used = None if variances is None else checked_keys(keys, starts.size - 1)
    transfer, limit = transfer_of(converters, means.shape[1])
    shared = threads if several(threads) else 1
    return out, run_exactly(means, variances, starts, rows, used, transfer, limit, out, shared)


def finish(
    currents: ArrayLike,
    variance: ArrayLike | None,
    offsets: ArrayLike,
    rows_active: ArrayLike,
    keys: ArrayLike | None = None,
    converters: Converters | None = None,
    *,
    threads: int = 1,
) -> tuple[NDArray[np.float64], int]:
    """Add read noise to currents that come from elsewhere, as from a solver of the wires, and convert.

    As `read_sums`, with the noiseless sums given: `currents`, of shape (vectors, outputs), uA.
    """
    out = np.array(number_array("currents", currents, DataError), order="C")
    if out.ndim != 2 or not np.isfinite(out).all():
        raise DataError(f"currents of shape {out.shape}: must be finite and of shape (vectors, outputs)")
    variances = None if variance is None else checked_variances(variance, None)
    if variances is not None and variances.shape[1] != out.shape[1]:
        raise DataError(f"variance of shape {variances.shape}: must have the {out.shape[1]} outputs of the currents")
    starts, rows = checked_vectors(offsets, rows_active, None if variances is None else variances.shape[0])
    if starts.size - 1 != out.shape[0]:
        raise DataError(f"offsets of {starts.size} numbers: must be one more than the {out.shape[0]} vectors")
    used = None if variances is None else checked_keys(keys, out.shape[0])
    transfer, limit = transfer_of(converters, out.shape[1])
    shared = threads if several(threads) else 1
    return out, run_exactly(None, variances, starts, rows, used, transfer, limit, out, shared)


def read_every_cell(
    mean: ArrayLike,
    variance: ArrayLike,
    offsets: ArrayLike,
    rows_active: ArrayLike,
    random: np.random.Generator,
    converters: Converters | None = None,
) -> tuple[NDArray[np.float64], int]:
    """Read with one normal number for each active cell: slow, and what `read_sums` has to be equal to on average.

    As `read_sums`; numbers come from `random`.
    """
    means = checked_matrix("mean", mean)
    spreads = np.sqrt(checked_variances(variance, means.shape))
    starts, rows = checked_vectors(offsets, rows_active, means.shape[0])
    out = np.zeros((starts.size - 1, means.shape[1]))
    for v in range(out.shape[0]):
        active = rows[starts[v] : starts[v + 1]]
        cells = means[active] + spreads[active] * random.standard_normal((active.size, means.shape[1]))
        out[v] = cells.sum(axis=0)
    if converters is None:
        return out, 0
    before = converters.saturated
    return converters.convert(out), converters.saturated - before


def run_exactly(
    means: NDArray[np.float64] | None,
    variances: NDArray[np.float64] | None,
    starts: NDArray[np.int64],
    active: NDArray[np.int64],
    keys: NDArray[np.uint64] | None,
    transfer: NDArray[np.float64],
    limit: float,
    out: NDArray[Any],
    threads: int,
) -> int:
    """Read in float64 into `out`, which holds the currents where there are no means; `keys` go with variances."""
    from snnsim.backends.crossbar.array_read import kernels

    compiled: Any = kernels  # their types are found at each call
    vectors = starts.size - 1
    matrix = variances if means is None else means
    if matrix is not None and compiled.check(starts, active, matrix.shape[0]) < 0:
        check_vectors(starts, active, matrix.shape[0])
    sums = out if out.dtype == np.float64 else np.empty(out.shape)

    def part(begin: int, end: int) -> int:
        return compiled.read_exactly(  # type: ignore[no-any-return]
            _NOTHING if means is None else means,
            _NOTHING if variances is None else variances,
            starts,
            active,
            _NO_KEYS if keys is None else keys,
            variances is not None,
            means is not None,
            limit > 0,
            transfer,
            limit,
            begin,
            end,
            sums,
        )

    shared = threads > 1 and (active.size / 10 + vectors) * out.shape[1] > WORTH_SHARING
    saturated = share(part, vectors, threads) if shared else part(0, vectors)
    if sums is not out:
        out[...] = sums
    return saturated


def share(part: Callable[[int, int], int], vectors: int, threads: int) -> int:
    """Add up what ``part(begin, end)`` returns for ranges that cover the vectors; what is negative wins."""
    edges = [vectors * i // threads for i in range(threads + 1)]
    results = list(_pool(threads, os.getpid()).map(part, edges[:-1], edges[1:]))
    return min(results) if min(results) < 0 else sum(results)


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return threads; a forked process gets its own."""
    return ThreadPoolExecutor(threads, "snnsim-crossbar")


def transfer_of(converters: Converters | None, outputs: int) -> tuple[NDArray[np.float64], float]:
    """Return input scale and shift, output scale and shift of converters, and their largest code (0: none)."""
    if converters is None:
        return _NOTHING, 0.0
    if not isinstance(converters, Converters):
        raise ParameterError(f"converters={converters!r}: must be None, or as ADC(...).converters(...) makes them")
    if converters.columns != outputs:
        raise ParameterError(f"converters: there are {converters.columns} for {outputs} outputs; must be one each")
    parts = (converters.input_scale, converters.offset, converters.output_scale, converters.output_shift)
    return np.ascontiguousarray(parts), float(converters.largest_code)
