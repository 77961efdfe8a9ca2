"""Reading a tile: currents of the active rows, with read noise and converters.

Each active cell's read noise is an independent normal number. The sum of independent normal numbers is normal with the
sum of their variances, exactly; so a column gets one number with the summed variance in place of one a cell, at a cost
that does not depend on how many rows there are. `read_every_cell` draws one a cell, for checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.converter import Converters
from snnsim.errors import DataError, ParameterError

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
    threads: int | None = None,
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
    threads : int, optional

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
    means = _matrix("mean", mean)
    variances = None if variance is None else _variances(variance, means.shape)
    starts, rows = _vectors(offsets, rows_active, means.shape[0])
    out = np.empty((starts.size - 1, means.shape[1]))
    return out, _run(means, variances, starts, rows, keys, converters, out, True)


def finish(
    currents: ArrayLike,
    variance: ArrayLike | None,
    offsets: ArrayLike,
    rows_active: ArrayLike,
    keys: ArrayLike | None = None,
    converters: Converters | None = None,
    *,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], int]:
    """Add read noise to currents that come from elsewhere, as from a solver of the wires, and convert.

    As `read_sums`, with the noiseless sums given: `currents`, of shape (vectors, outputs), uA.
    """
    out = np.array(currents, np.float64, order="C")
    if out.ndim != 2 or not np.isfinite(out).all():
        raise DataError(f"currents of shape {out.shape}: must be finite and of shape (vectors, outputs)")
    variances = None if variance is None else _variances(variance, None)
    if variances is not None and variances.shape[1] != out.shape[1]:
        raise DataError(f"variance of shape {variances.shape}: must have the {out.shape[1]} outputs of the currents")
    starts, rows = _vectors(offsets, rows_active, None if variances is None else variances.shape[0])
    if starts.size - 1 != out.shape[0]:
        raise DataError(f"offsets of {starts.size} numbers: must be one more than the {out.shape[0]} vectors")
    return out, _run(None, variances, starts, rows, keys, converters, out, False)


class PreparedArray:
    """A tile as it is between two programmings: what reads need lies ready.

    Parameters
    ----------
    mean, variance, converters
        As of `read_sums`.
    """

    def __init__(self, mean: ArrayLike, variance: ArrayLike | None = None, converters: Converters | None = None) -> None:
        self.mean = _matrix("mean", mean)
        self.variance = None if variance is None else _variances(variance, self.mean.shape)
        self.converters = converters

    def read(
        self, offsets: ArrayLike, rows_active: ArrayLike, keys: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], int]:
        """Read vectors of active rows, as `read_sums` does."""
        return read_sums(self.mean, self.variance, offsets, rows_active, keys, self.converters)


def _run(
    means: NDArray[np.float64] | None,
    variances: NDArray[np.float64] | None,
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    keys: ArrayLike | None,
    converters: Converters | None,
    out: NDArray[np.float64],
    summing: bool,
) -> int:
    from snnsim.backends.crossbar.read_kernels import read_exactly

    used = _NO_KEYS if variances is None else _keys(keys, out.shape[0])
    transfer, limit = _transfer(converters, out.shape[1])
    return int(
        read_exactly(
            _NOTHING if means is None else means,
            _NOTHING if variances is None else variances,
            starts,
            rows,
            used,
            variances is not None,
            summing,
            converters is not None,
            transfer,
            limit,
            0,
            out.shape[0],
            out,
        )
    )


def _transfer(converters: Converters | None, outputs: int) -> tuple[NDArray[np.float64], float]:
    if converters is None:
        return _NOTHING, 0.0
    if converters.columns != outputs:
        raise ParameterError(f"converters: there are {converters.columns} for {outputs} outputs; must be one each")
    parts = (converters.input_scale, converters.offset, converters.output_scale, converters.output_shift)
    return np.ascontiguousarray(parts), float(converters.largest_code)


def _matrix(name: str, given: ArrayLike) -> NDArray[np.float64]:
    matrix = np.ascontiguousarray(given, np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise DataError(f"{name} of shape {matrix.shape}: must be (rows, outputs), with at least one of each")
    if not np.isfinite(matrix).all():
        raise DataError(f"{name}: there are values that are not finite")
    return matrix


def _variances(given: ArrayLike, shape: tuple[int, ...] | None) -> NDArray[np.float64]:
    matrix = _matrix("variance", given)
    if shape is not None and matrix.shape != shape:
        raise DataError(f"variance of shape {matrix.shape}: must be that of mean, {shape}")
    if (matrix < 0.0).any():
        raise DataError(f"variance: must be zero or above; found {matrix.min()!r}")
    return matrix


def _vectors(offsets: Any, rows: Any, count: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts, active = np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(rows, np.int64)
    if starts.ndim != 1 or not starts.size or active.ndim != 1:
        raise DataError("offsets and rows_active: must be one-dimensional, with one offset more than vectors")
    if starts[0] != 0 or starts[-1] != active.size or (np.diff(starts) < 0).any():
        raise DataError(f"offsets: must rise from 0 to the {active.size} active rows; found {starts[0]} to {starts[-1]}")
    if active.size and (active.min() < 0 or (count is not None and active.max() >= count)):
        raise DataError(f"rows_active: rows {active.min()} to {active.max()} named; there are 0 to {(count or 0) - 1}")
    return starts, active


def _keys(keys: ArrayLike | None, vectors: int) -> NDArray[np.uint64]:
    if keys is None:
        raise ParameterError("keys=None: an array with read noise needs one key a vector")
    given = np.ascontiguousarray(keys)
    if given.dtype.kind not in "ui" or given.shape != (vectors,):
        raise DataError(f"keys of shape {given.shape} and type {given.dtype}: must be {vectors} whole numbers")
    return given.astype(np.uint64)
