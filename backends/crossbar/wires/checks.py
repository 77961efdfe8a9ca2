"""What solving for the wires of a crossbar takes, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.number_checks import finite, number_array
from snnsim.backends.crossbar.wires.resistances import Matrix, Wires
from snnsim.errors import ParameterError


def checked_conductance(conductance: ArrayLike) -> Matrix:
    """Return the conductances as the kernels take them."""
    g = np.ascontiguousarray(number_array("conductance", conductance))
    if g.ndim != 2 or g.size == 0:
        raise ParameterError(f"conductance has the shape {g.shape}: must be (rows, columns), at least one of each")
    return g


def checked(
    conductance: ArrayLike, offsets: ArrayLike, rows_active: ArrayLike
) -> tuple[Matrix, NDArray[np.int64], NDArray[np.int64]]:
    """Return contiguous arrays; what is in them is checked where it is read."""
    begins, rows = whole_rows("offsets", offsets), whole_rows("rows_active", rows_active)
    if rows.ndim != 1 or begins.ndim != 1 or begins.size == 0 or begins[0] != 0 or begins[-1] != rows.size:
        raise ParameterError(
            f"offsets (shape {begins.shape}) must begin with 0 and end with the number of active rows ({rows.size})"
        )
    if begins.size > 2 and np.any(begins[1:] < begins[:-1]):
        raise ParameterError("offsets fall; they must rise from vector to vector, or stay")
    return checked_conductance(conductance), begins, rows


def checked_circuit(voltage: float, wires: Wires) -> float:
    """Return the voltage, or raise `ParameterError` unless it and the wires are such."""
    finite("voltage", voltage)
    if not isinstance(wires, Wires):
        raise ParameterError(f"wires={wires!r}: expected Wires(row, column)")
    return float(voltage)


def whole_rows(name: str, given: ArrayLike) -> NDArray[np.int64]:
    """Return whole numbers as an array, or raise `ParameterError`."""
    try:
        numbers = np.asarray(given)
        good = numbers.dtype.kind in "iu" or not numbers.size
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ParameterError(f"{name}={str(given)[:60]!r}: must be whole numbers")
    return np.ascontiguousarray(numbers, np.int64)


def refuse(what: int, vector: int, g: Matrix, begins: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Raise the error for what a kernel found."""
    from snnsim.backends.crossbar.wires import kernels

    if what == kernels.REFUSED_CELL:
        bad = np.argwhere(~(np.isfinite(g) & (g >= 0)))
        row, column = bad[0]
        raise ParameterError(
            f"conductance[{row}, {column}]={g[row, column]!r}: must be finite and zero or above ({len(bad)} are not)"
        )
    active = rows[begins[vector] : begins[vector + 1]]
    outside = active[(active < 0) | (active >= g.shape[0])]
    if outside.size:
        raise ParameterError(f"rows_active: row {outside[0]} in vector {vector}; rows are 0 ... {g.shape[0] - 1}")
    values, counts = np.unique(active, return_counts=True)
    raise ParameterError(
        f"rows_active: row {values[counts > 1][0]} is listed {counts.max()} times in vector {vector}; a row is on "
        "or off"
    )
