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

from snnsim.backends.crossbar.converter import Converters
from snnsim.errors import DataError, ParameterError, one_of

#: Most rows of a tile in the fast precision: so many variances of 16 bits have a sum below 2**31.
MOST_ROWS = 2**15
#: Largest variances below this, uA^2, are left to float64.
SMALLEST_VARIANCE = 1e-30
#: Columns to finish (about 3 ns each) below which handing work to a second thread (0.1 ms) does not pay.
WORTH_SHARING = 2**17
_INT64, _UINT64 = np.dtype(np.int64), np.dtype(np.uint64)
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
    means = _matrix("mean", mean)
    variances = None if variance is None else _variances(variance, means.shape)
    starts, rows = _vectors(offsets, rows_active, means.shape[0])
    out = np.empty((starts.size - 1, means.shape[1]))
    transfer, limit = _transfer(converters, means.shape[1])
    return out, _run(means, variances, starts, rows, keys, transfer, limit, out, threads)


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
    out = np.array(currents, np.float64, order="C")
    if out.ndim != 2 or not np.isfinite(out).all():
        raise DataError(f"currents of shape {out.shape}: must be finite and of shape (vectors, outputs)")
    variances = None if variance is None else _variances(variance, None)
    if variances is not None and variances.shape[1] != out.shape[1]:
        raise DataError(f"variance of shape {variances.shape}: must have the {out.shape[1]} outputs of the currents")
    starts, rows = _vectors(offsets, rows_active, None if variances is None else variances.shape[0])
    if starts.size - 1 != out.shape[0]:
        raise DataError(f"offsets of {starts.size} numbers: must be one more than the {out.shape[0]} vectors")
    transfer, limit = _transfer(converters, out.shape[1])
    return out, _run(None, variances, starts, rows, keys, transfer, limit, out, threads)


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
    means = _matrix("mean", mean)
    spreads = np.sqrt(_variances(variance, means.shape))
    starts, rows = _vectors(offsets, rows_active, means.shape[0])
    out = np.zeros((starts.size - 1, means.shape[1]))
    for v in range(out.shape[0]):
        active = rows[starts[v] : starts[v + 1]]
        cells = means[active] + spreads[active] * random.standard_normal((active.size, means.shape[1]))
        out[v] = cells.sum(axis=0)
    if converters is None:
        return out, 0
    before = converters.saturated
    return converters.convert(out), converters.saturated - before


class PreparedArray:
    """A tile as it is between two programmings: what reads need lies ready.

    Parameters
    ----------
    mean, variance, converters
        As of `read_sums`.
    precision : {"fast", "exact"}, optional
        ``"exact"`` adds in float64. ``"fast"`` holds means and variances as whole numbers, whose sums are exact, and
        goes on in float32: a mean is off by up to ``rows * 2**-32`` of the largest (1.2e-7 at 512 rows) and a
        variance by up to ``1 / 65534`` of the largest, in such a way that these do not add up in sums over rows.
        None: fast where there is noise, which hides the difference.

    Raises
    ------
    DataError, ParameterError
        As of `read_sums`; and if `precision` is ``"fast"`` for an array without noise or with more than 32768 rows.
    """

    def __init__(
        self,
        mean: ArrayLike,
        variance: ArrayLike | None = None,
        converters: Converters | None = None,
        *,
        precision: str | None = None,
    ) -> None:
        means = _matrix("mean", mean)
        variances = None if variance is None else _variances(variance, means.shape)
        self.rows, self.outputs = means.shape
        self.converters = converters
        one_of("precision", precision, ("fast", "exact", None))
        possible = variances is not None and self.rows <= MOST_ROWS and variances.max() > SMALLEST_VARIANCE
        if precision == "fast" and not possible:
            raise ParameterError(
                f"precision='fast': is for arrays with read noise and at most {MOST_ROWS} rows; use 'exact'"
            )
        self.precision = precision or ("fast" if possible else "exact")
        self._transfer, self._limit = _transfer(converters, self.outputs)
        self._mean, self._variance = means, variances
        if self.precision == "fast":
            assert variances is not None
            from snnsim.backends.crossbar.read_kernels import read_fixed

            records, scales = _records(means, variances)
            converting = converters is not None
            self._prepared = (records, scales, converting, _by_groups(self._transfer, converting, records), self._limit)
            self._kernel: Any = read_fixed

    def read(
        self,
        offsets: ArrayLike,
        rows_active: ArrayLike,
        keys: ArrayLike | None = None,
        *,
        out: NDArray[Any] | None = None,
        threads: int = 1,
    ) -> tuple[NDArray[Any], int]:
        """Read vectors of active rows.

        Parameters
        ----------
        offsets, rows_active, keys
            As of `read_sums`.
        out : ndarray of float32 or float64, shape (vectors, outputs), optional
            Where to write; None: a new array, of float32 in the fast precision.
        threads : int
            Threads to share the vectors, where they are enough for that to be worth it; results are the same.

        Returns
        -------
        currents : ndarray, shape (vectors, outputs)
            uA.
        saturated : int
            Conversions held at an outermost code.

        Raises
        ------
        DataError, ParameterError
            As `read_sums`.
        """
        starts, active = _whole("offsets", offsets), _whole("rows_active", rows_active)
        vectors = starts.size - 1
        if vectors < 0:
            _check_vectors(starts, active, self.rows)
        if self.precision == "exact":
            result = _place(out, (vectors, self.outputs), np.float64)
            return result, self._exactly(starts, active, keys, result, threads, True)
        used = _keys(keys, vectors)
        result = np.empty((vectors, self.outputs), np.float32) if out is None else _place(out, (vectors, self.outputs))
        given = (*self._prepared[:2], starts, active, used, *self._prepared[2:])
        if threads > 1 and (active.size / 20 + vectors) * self.outputs > WORTH_SHARING:
            saturated = _share(lambda begin, end: self._kernel(*given, begin, end, result), vectors, threads)
        else:
            saturated = self._kernel(*given, 0, vectors, result)
        if saturated < 0:
            _check_vectors(starts, active, self.rows)
        return result, saturated

    def finish(
        self, currents: ArrayLike, offsets: ArrayLike, rows_active: ArrayLike, keys: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], int]:
        """Add the noise of the active rows to currents from elsewhere, and convert, as the function `finish`."""
        starts, active = _vectors(offsets, rows_active, self.rows)
        result = np.array(currents, np.float64, order="C")
        if result.shape != (starts.size - 1, self.outputs) or not np.isfinite(result).all():
            raise DataError(
                f"currents of shape {result.shape}: must be finite, of shape {(starts.size - 1, self.outputs)}"
            )
        return result, self._exactly(starts, active, keys, result, 1, False)

    def _exactly(
        self,
        starts: NDArray[np.int64],
        active: NDArray[np.int64],
        keys: ArrayLike | None,
        out: NDArray[Any],
        threads: int,
        summing: bool,
    ) -> int:
        means = self._mean if summing else None
        return _run(means, self._variance, starts, active, keys, self._transfer, self._limit, out, threads)


def _run(
    means: NDArray[np.float64] | None,
    variances: NDArray[np.float64] | None,
    starts: NDArray[np.int64],
    active: NDArray[np.int64],
    keys: ArrayLike | None,
    transfer: NDArray[np.float64],
    limit: float,
    out: NDArray[Any],
    threads: int,
) -> int:
    """Read in float64 into `out`, which holds the currents where there are no means."""
    from snnsim.backends.crossbar import read_kernels

    kernels: Any = read_kernels  # their types are found at each call
    vectors = starts.size - 1
    matrix = variances if means is None else means
    if matrix is not None and kernels.check(starts, active, matrix.shape[0]) < 0:
        _check_vectors(starts, active, matrix.shape[0])
    used = _NO_KEYS if variances is None else _keys(keys, vectors)
    sums = out if out.dtype == np.float64 else np.empty(out.shape)

    def part(begin: int, end: int) -> int:
        return kernels.read_exactly(  # type: ignore[no-any-return]
            _NOTHING if means is None else means,
            _NOTHING if variances is None else variances,
            starts,
            active,
            used,
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
    saturated = _share(part, vectors, threads) if shared else part(0, vectors)
    if sums is not out:
        out[...] = sums
    return saturated


def _share(part: Callable[[int, int], int], vectors: int, threads: int) -> int:
    """Add up what ``part(begin, end)`` returns for ranges that cover the vectors; what is negative wins."""
    edges = [vectors * i // threads for i in range(threads + 1)]
    results = list(_pool(threads, os.getpid()).map(part, edges[:-1], edges[1:]))
    return min(results) if min(results) < 0 else sum(results)


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return threads; a forked process gets its own."""
    return ThreadPoolExecutor(threads, "snnsim-crossbar")


def _records(means: NDArray[np.float64], variances: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return means and variances as whole numbers in strips, and the uA and uA^2 of one."""
    from snnsim.backends.crossbar.read_kernels import WIDTH
    from snnsim.backends.crossbar.strips import RECORD, STRIP

    rows, outputs = means.shape
    # The next float32 up: a step that was rounded down would bring sums of few large rows beyond int32.
    mean_step = np.nextafter(np.float32((np.abs(means).max() or 1.0) / ((2**31 - 1) // rows - 1)), np.float32(np.inf))
    variance_step = np.float32(variances.max() / 65534)
    strips = -(-outputs // WIDTH) * (WIDTH // STRIP)
    records = np.zeros((strips, rows, RECORD), np.int32)
    whole_means = np.zeros((rows, strips * STRIP), np.int32)
    whole_means[:, :outputs] = np.rint(means / mean_step)
    records[:, :, :STRIP] = whole_means.reshape(rows, strips, STRIP).transpose(1, 0, 2)
    # What rounding leaves of a row is carried to the next, so that sums over many rows are right: a column's cells may
    # all be smaller than a step.
    whole_variances = np.zeros((rows, strips * STRIP), np.uint16)
    rounded = np.rint(np.cumsum(variances / variance_step, axis=0))
    whole_variances[:, :outputs] = np.diff(rounded, axis=0, prepend=0.0)
    narrow = records[:, :, STRIP:].view(np.uint16) if records.flags.c_contiguous else None
    assert narrow is not None
    narrow[...] = whole_variances.reshape(rows, strips, STRIP).transpose(1, 0, 2)
    return records, np.array([mean_step, variance_step], np.float32)


def _by_groups(transfer: NDArray[np.float64], converting: bool, records: NDArray[Any]) -> NDArray[np.float32]:
    """Return the transfer of converters as `read_fixed` takes it."""
    from snnsim.backends.crossbar.read_kernels import WIDTH
    from snnsim.backends.crossbar.strips import STRIP

    groups = records.shape[0] * STRIP // WIDTH
    padded = np.zeros((4, groups * WIDTH), np.float32)
    if converting:
        padded[:, : transfer.shape[1]] = transfer
    return np.ascontiguousarray(padded.reshape(4, groups, WIDTH).transpose(1, 0, 2))


def _place(out: NDArray[Any] | None, shape: tuple[int, int], kind: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
    if out is None:
        return np.empty(shape, kind)
    if out.shape != shape or out.dtype not in (np.float32, np.float64) or not out.flags.c_contiguous:
        raise DataError(
            f"out of shape {out.shape} and type {out.dtype}: must be contiguous, float32 or float64, of shape {shape}"
        )
    return out


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
    starts, active = _whole("offsets", offsets), _whole("rows_active", rows)
    _check_vectors(starts, active, count)
    return starts, active


def _check_vectors(starts: NDArray[np.int64], active: NDArray[np.int64], count: int | None) -> None:
    """Raise where vectors do not name rows below `count` (None: any)."""
    if not starts.size:
        raise DataError("offsets: there must be one more than vectors, so at least one")
    if starts[0] != 0 or starts[-1] != active.size or (np.diff(starts) < 0).any():
        raise DataError(
            f"offsets: must rise from 0 to the {active.size} active rows; found {starts[0]} to {starts[-1]}"
        )
    if active.size and (active.min() < 0 or (count is not None and active.max() >= count)):
        allowed = "0 or above" if count is None else f"0 to {count - 1}"
        raise DataError(f"rows_active: found rows {active.min()} to {active.max()}; must be {allowed}")


def _whole(name: str, given: Any) -> NDArray[np.int64]:
    if type(given) is np.ndarray and given.dtype is _INT64 and given.ndim == 1 and given.flags.c_contiguous:
        return given  # the usual case, at once: reads of single vectors take a few microseconds
    numbers = np.asarray(given)
    if numbers.ndim != 1:
        raise DataError(f"{name} of shape {numbers.shape}: must be one-dimensional")
    if numbers.size and numbers.dtype.kind not in "iu":
        raise DataError(f"{name} of type {numbers.dtype}: must be whole numbers")
    return np.ascontiguousarray(numbers, np.int64)


def _keys(keys: ArrayLike | None, vectors: int) -> NDArray[np.uint64]:
    if keys is None:
        raise ParameterError("keys=None: an array with read noise needs one key a vector")
    if type(keys) is np.ndarray and keys.dtype is _UINT64 and keys.shape == (vectors,) and keys.flags.c_contiguous:
        return keys
    given = np.ascontiguousarray(keys)
    if given.dtype.kind not in "ui" or given.shape != (vectors,):
        raise DataError(f"keys of shape {given.shape} and type {given.dtype}: must be {vectors} whole numbers")
    return given.astype(np.uint64, copy=False)
