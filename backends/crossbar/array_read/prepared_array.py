"""A tile made ready for many reads, in whole numbers where noise hides the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.array_read import sums
from snnsim.backends.crossbar.array_read.checks import (
    check_vectors,
    checked_keys,
    checked_matrix,
    checked_variances,
    checked_vectors,
    several,
)
from snnsim.backends.crossbar.array_read.converter import Converters
from snnsim.backends.crossbar.array_read.sums import run_exactly, transfer_of
from snnsim.backends.crossbar.number_checks import number_array, whole_numbers
from snnsim.errors import DataError, ParameterError, one_of

#: Most rows of a tile in the fast precision: so many variances of 16 bits have a sum below 2**31.
MOST_ROWS = 2**15
#: Largest variances below this, uA^2, are left to float64.
SMALLEST_VARIANCE = 1e-30


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
        means = checked_matrix("mean", mean)
        variances = None if variance is None else checked_variances(variance, means.shape)
        self.rows, self.outputs = means.shape
        self.converters = converters
        one_of("precision", precision, ("fast", "exact", None))
        possible = variances is not None and self.rows <= MOST_ROWS and variances.max() > SMALLEST_VARIANCE
        if precision == "fast" and not possible:
            raise ParameterError(
                f"precision='fast': is for arrays with read noise and at most {MOST_ROWS} rows; use 'exact'"
            )
        self.precision = precision or ("fast" if possible else "exact")
        self._transfer, self._limit = transfer_of(converters, self.outputs)
        self._mean, self._variance = means, variances
        if self.precision == "fast":
            assert variances is not None
            from snnsim.backends.crossbar.array_read.kernels import read_fixed

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
        starts, active = whole_numbers("offsets", offsets), whole_numbers("rows_active", rows_active)
        vectors = starts.size - 1
        if vectors < 0:
            check_vectors(starts, active, self.rows)
        if out is not None:
            _check_place(out, (vectors, self.outputs))
        used = None if self._variance is None else checked_keys(keys, vectors)
        return self.read_known(starts, active, used, out=out, threads=threads if several(threads) else 1)

    def read_known(
        self,
        starts: NDArray[np.int64],
        active: NDArray[np.int64],
        keys: NDArray[np.uint64] | None,
        *,
        out: NDArray[Any] | None = None,
        threads: int = 1,
    ) -> tuple[NDArray[Any], int]:
        """Read as `read` does, with arrays that are known to be of these types; rows are checked where they are read.

        A read of one vector takes a few microseconds, and looking at its arrays once more would take as long.
        """
        vectors = starts.size - 1
        if self.precision == "exact":
            result = np.empty((vectors, self.outputs)) if out is None else out
            return result, self._exactly(starts, active, keys, result, threads, True)
        result = np.empty((vectors, self.outputs), np.float32) if out is None else out
        given = (*self._prepared[:2], starts, active, keys, *self._prepared[2:])
        if threads > 1 and (active.size / 20 + vectors) * self.outputs > sums.WORTH_SHARING:
            saturated = sums.share(lambda begin, end: self._kernel(*given, begin, end, result), vectors, threads)
        else:
            saturated = self._kernel(*given, 0, vectors, result)
        if saturated < 0:
            check_vectors(starts, active, self.rows)
        return result, saturated

    def finish(
        self, currents: ArrayLike, offsets: ArrayLike, rows_active: ArrayLike, keys: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], int]:
        """Add the noise of the active rows to currents from elsewhere, and convert, as the function `finish`."""
        starts, active = checked_vectors(offsets, rows_active, self.rows)
        result = np.array(number_array("currents", currents, DataError), order="C")
        if result.shape != (starts.size - 1, self.outputs) or not np.isfinite(result).all():
            raise DataError(
                f"currents of shape {result.shape}: must be finite, of shape {(starts.size - 1, self.outputs)}"
            )
        used = None if self._variance is None else checked_keys(keys, starts.size - 1)
        return result, self._exactly(starts, active, used, result, 1, False)

    def _exactly(
        self,
        starts: NDArray[np.int64],
        active: NDArray[np.int64],
        keys: NDArray[np.uint64] | None,
        out: NDArray[Any],
        threads: int,
        summing: bool,
    ) -> int:
        means = self._mean if summing else None
        return run_exactly(means, self._variance, starts, active, keys, self._transfer, self._limit, out, threads)


def _records(means: NDArray[np.float64], variances: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return means and variances as whole numbers in strips, and the uA and uA^2 of one."""
    from snnsim.backends.crossbar.array_read.kernels import WIDTH
    from snnsim.backends.crossbar.array_read.row_sums import RECORD, STRIP

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
    from snnsim.backends.crossbar.array_read.kernels import WIDTH
    from snnsim.backends.crossbar.array_read.row_sums import STRIP

    groups = records.shape[0] * STRIP // WIDTH
    padded = np.zeros((4, groups * WIDTH), np.float32)
    if converting:
        padded[:, : transfer.shape[1]] = transfer
    return np.ascontiguousarray(padded.reshape(4, groups, WIDTH).transpose(1, 0, 2))


def _check_place(out: object, shape: tuple[int, int]) -> None:
    if not isinstance(out, np.ndarray):
        raise DataError(f"out={out!r}: must be an array to write to, or None")
    if out.shape != shape or out.dtype not in (np.float32, np.float64) or not out.flags.c_contiguous:
        raise DataError(
            f"out of shape {out.shape} and type {out.dtype}: must be contiguous, float32 or float64, of shape {shape}"
        )
