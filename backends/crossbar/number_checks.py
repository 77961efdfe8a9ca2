"""Checks of the numbers that cells, arrays and converters are made of."""

from __future__ import annotations

import math
from dataclasses import fields
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DataError, ParameterError, whole

Floats = NDArray[np.float64]
_FLOAT64, _INT64 = np.dtype(np.float64), np.dtype(np.int64)
#: Tiles that a chip can have.
MOST_TILES = 2**31


def finite(name: str, value: object) -> None:
    """Raise `ParameterError` unless `value` is a finite number."""
    try:
        good = isinstance(value, Real) and math.isfinite(value)
    except (TypeError, OverflowError):
        good = False
    if not good:
        raise ParameterError(f"{name}={value!r}: must be a finite number")


def number(name: str, value: object) -> None:
    """Raise `ParameterError` unless `value` is a real number, which may be infinite."""
    if not isinstance(value, Real) or value != value:
        raise ParameterError(f"{name}={value!r}: must be a number")


def number_array(name: str, given: Any, error: type[ParameterError] | type[DataError] = ParameterError) -> Floats:
    """Return an array of float64, or raise `ParameterError` (or another one) where these are no real numbers."""
    if type(given) is np.ndarray and given.dtype is _FLOAT64:
        return given  # the usual case
    try:
        array = np.asarray(given)
        good = array.dtype.kind in "fiu"
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise error(f"{name}={str(given)[:60]!r}: must be numbers")
    return np.asarray(array, np.float64)


def whole_numbers(name: str, given: Any) -> NDArray[np.int64]:
    """Return a list of int64."""
    if type(given) is np.ndarray and given.dtype is _INT64 and given.ndim == 1 and given.flags.c_contiguous:
        return given  # the usual case, at once: reads of single vectors take a few microseconds
    try:
        numbers = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}={str(given)[:60]!r}: must be whole numbers in one row") from error
    if numbers.ndim != 1:
        raise DataError(f"{name} of shape {numbers.shape}: must be one-dimensional")
    if numbers.size and numbers.dtype.kind not in "iu":
        raise DataError(f"{name} of type {numbers.dtype}: must be whole numbers")
    return np.ascontiguousarray(numbers, np.int64)


def settle_numbers(part: Any) -> None:
    """Make Python's own of the NumPy numbers in the fields of a frozen dataclass, which else count in their own bits.

    Raises
    ------
    ParameterError
        A field holds an array where one number is meant.
    """
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, np.ndarray):
            raise ParameterError(f"{field.name}={value!r}: must be one value, not an array")
        if isinstance(value, np.generic):
            object.__setattr__(part, field.name, value.item())
        elif isinstance(value, tuple) and any(isinstance(one, np.generic) for one in value):
            plain = tuple(one.item() if isinstance(one, np.generic) else one for one in value)
            object.__setattr__(part, field.name, plain)


def number_tuple(name: str, values: tuple[float, ...], *, at_least: int = 1) -> None:
    """Raise `ParameterError` unless `values` is a tuple of enough finite numbers."""
    if not isinstance(values, tuple) or len(values) < at_least:
        raise ParameterError(f"{name}={values!r}: must be a tuple of {at_least} or more numbers")
    for place, value in enumerate(values):
        finite(f"{name}[{place}]", value)


def tile_number(tile: object) -> int:
    """Return the number of a tile, which goes into that of each of its cells, or raise `ParameterError`."""
    number = whole("tile", tile)
    if number >= MOST_TILES:
        raise ParameterError(f"tile={number}: numbers of tiles are below {MOST_TILES}")
    return number
