"""What reads take, checked: each function returns arrays as the kernels want them, or raises `DataError`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.number_checks import number_array, whole_numbers
from snnsim.errors import DataError, ParameterError, whole

_UINT64 = np.dtype(np.uint64)


def checked_matrix(name: str, given: ArrayLike) -> NDArray[np.float64]:
    """Return a matrix of finite float64."""
    matrix = np.ascontiguousarray(number_array(name, given, DataError))
    if matrix.ndim != 2 or not matrix.size:
        raise DataError(f"{name} of shape {matrix.shape}: must be (rows, outputs), with at least one of each")
    if not np.isfinite(matrix).all():
        raise DataError(f"{name}: there are values that are not finite")
    return matrix


def checked_variances(given: ArrayLike, shape: tuple[int, ...] | None) -> NDArray[np.float64]:
    """Return a matrix of finite float64, zero or above, of that shape."""
    matrix = checked_matrix("variance", given)
    if shape is not None and matrix.shape != shape:
        raise DataError(f"variance of shape {matrix.shape}: must be that of mean, {shape}")
    if (matrix < 0.0).any():
        raise DataError(f"variance: must be zero or above; found {matrix.min()!r}")
    return matrix


def checked_vectors(offsets: Any, rows: Any, count: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return offsets and rows of vectors that name rows below `count` (None: any)."""
    starts, active = whole_numbers("offsets", offsets), whole_numbers("rows_active", rows)
    check_vectors(starts, active, count)
    return starts, active


def check_vectors(starts: NDArray[np.int64], active: NDArray[np.int64], count: int | None) -> None:
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


def several(threads: int) -> bool:
    """Return whether work may be shared, or raise `ParameterError` where that is no number of threads."""
    # One thread is looked at first: a read of one vector takes a few microseconds.
    return not (type(threads) is int and threads == 1) and whole("threads", threads, at_least=1) > 1


def checked_keys(keys: ArrayLike | None, vectors: int) -> NDArray[np.uint64]:
    """Return one key of uint64 a vector."""
    if keys is None:
        raise ParameterError("keys=None: an array with read noise needs one key a vector")
    if type(keys) is np.ndarray and keys.dtype is _UINT64 and keys.shape == (vectors,) and keys.flags.c_contiguous:
        return keys
    try:
        given = np.ascontiguousarray(keys)
    except (TypeError, ValueError):
        given = np.empty(0, object)
    if given.dtype.kind not in "ui" or given.shape != (vectors,):
        raise DataError(f"keys of shape {given.shape} and type {given.dtype}: must be {vectors} whole numbers")
    return given.astype(np.uint64, copy=False)
