"""Solving for what the wires of a crossbar do: checks, scratch memory, and what to do without a proof.

The parts that `wires` is made of; see there for what the arguments mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.number_checks import finite, number_array
from snnsim.errors import ParameterError

if TYPE_CHECKING:
    from snnsim.backends.crossbar.wires.currents import Wires

Matrix = NDArray[np.float64]
#: Currents (uA) of cells of given conductances (uS) at given voltages (V): arrays of one shape.
CurrentVoltage = Callable[[Matrix, Matrix], Matrix]

#: Relative error of each column current that `exact_currents` proves before rounding, and that `fast_currents` does.
EXACT, FAST = 1e-12, 1e-4
#: Steps of the iteration after which wires are eliminated instead. Wires of metal take 1 to 20.
MOST_STEPS = 500
#: Cells that are not linear: change of every voltage, of that at the drivers, at which they are settled; most rounds.
SETTLED, MOST_ROUNDS = 1e-12, 100
#: To megaohm, which times microsiemens has no unit.
_MEGA = 1e-6
#: Scratch memory of each thread, of the largest call so far: asking the system anew takes longer than solving.
_scratch = threading.local()


class Solution(NamedTuple):
    """Column currents and how well they are known.

    Attributes
    ----------
    currents : array, (vectors, columns)
        Microamperes.
    bounds : array, (vectors,)
        Proven bound of the relative error of a vector's worst column, before rounding; 0 where it was eliminated.
    steps : array, (vectors,)
        Steps of the iteration; -1 where the wires were eliminated instead.
    """

    currents: Matrix
    bounds: Matrix
    steps: NDArray[np.int64]


def linear(g: Matrix, rows: NDArray[np.int64], voltage: float, wires: Wires) -> tuple[Matrix, Matrix]:
    """Return the currents of one vector, and the voltages across cells."""
    from snnsim.backends.crossbar.wires import kernels as wire_kernels

    begins = np.array((0, rows.size))
    found = Solution(np.empty((1, g.shape[1])), np.empty(1), np.empty(1, np.int64))
    across, space = np.zeros(g.shape), _space(g, begins, wires)
    what, vector = wire_kernels.solve(
        g, begins, rows, 0, 1, *_settings(wires, voltage), EXACT, MOST_STEPS, *found, across, space
    )
    if what == wire_kernels.UNCERTAIN:
        raise ParameterError(
            f"wires={wires!r}: no voltages proven to {EXACT:g} after {MOST_STEPS} steps; resistances this large next "
            "to the cells' are beyond this method (the currents of linear cells can still be had)"
        )
    if what != wire_kernels.FINE:
        refuse(what, vector, g, begins, rows)
    return found.currents[0], across


def settled(
    g: Matrix, active: NDArray[np.int64], voltage: float, wires: Wires, cell: CurrentVoltage
) -> tuple[Matrix, Matrix]:
    """Return the same for cells that do not obey Ohm's law."""
    rows = np.ascontiguousarray(active, np.int64)
    across = np.full(g.shape, float(voltage))
    # A cell without voltage has the conductance it has just beside.
    least, change = 1e-9 * abs(voltage), np.inf
    for _ in range(MOST_ROUNDS):
        asked = np.where(np.abs(across) < least, least, across)
        before = across
        currents, across = linear(g if least == 0 else cell(g, asked) / asked, rows, voltage, wires)
        change = float(np.max(np.abs(across - before)))
        if change <= SETTLED * abs(voltage):
            return currents, across
    raise ParameterError(
        f"cell={cell!r}: voltages still change by {change:.2g} V after {MOST_ROUNDS} rounds; its current must rise "
        "with the voltage, and not too steeply for wires of this resistance"
    )


def solve_range(
    g: Matrix,
    begins: NDArray[np.int64],
    rows: NDArray[np.int64],
    settings: tuple[float, Wires, float, Solution],
    begin: int,
    end: int,
) -> None:
    """Solve the vectors `begin` to `end`; those without a proof in time by elimination."""
    from snnsim.backends.crossbar.wires import kernels as wire_kernels

    voltage, wires, tolerance, found = settings
    passed, more = _settings(wires, voltage), (np.empty((0, 0)), _space(g, begins[begin : end + 1], wires))
    while begin < end:
        what, vector = wire_kernels.solve(g, begins, rows, begin, end, *passed, tolerance, MOST_STEPS, *found, *more)
        if what == wire_kernels.FINE:
            return
        if what != wire_kernels.UNCERTAIN:
            refuse(what, vector, g, begins, rows)
        found.currents[vector] = eliminated(g, rows[begins[vector] : begins[vector + 1]], voltage, wires)
        found.bounds[vector], found.steps[vector] = 0.0, -1
        begin = vector + 1


def _space(g: Matrix, begins: NDArray[np.int64], wires: Wires) -> Matrix:
    """Return scratch memory for `wire_kernels.solve`."""
    from snnsim.backends.crossbar.wires.kernels import ARRAYS
    from snnsim.backends.crossbar.wires.sweeps import SIDE_BY_SIDE

    rows, columns = g.shape
    connected = rows if wires.unselected == "grounded" else min(rows, int(np.diff(begins).max(initial=1)))
    padded = -(-connected // SIDE_BY_SIDE) * SIDE_BY_SIDE
    # No power of two: places one row apart would share the same few lines of the first cache.
    stride = -(-columns // 8) * 8 + 8
    size = ARRAYS * padded * stride
    held: Matrix | None = getattr(_scratch, "held", None)
    if held is None or held.size < size:
        held = _scratch.held = np.empty(size)
    return held[:size].reshape(ARRAYS, padded, stride)


def eliminated(g: Matrix, active: NDArray[np.int64], voltage: float, wires: Wires) -> Matrix:
    """Return the currents of one vector by eliminating the wires."""
    from snnsim.backends.crossbar.wires.elimination import eliminate

    connected = np.sort(active) if wires.unselected == "gated" else np.arange(g.shape[0])
    matrix = eliminate(g[connected], between(connected, g.shape[0], wires), *row_wire(wires))
    currents: Matrix = voltage * matrix[np.isin(connected, active)].sum(axis=0)
    return currents


def between(connected: NDArray[np.int64], rows: int, wires: Wires) -> Matrix:
    """Return the megaohms of each column from one connected row to the next, and from the last to 0 V."""
    lengths: Matrix = np.diff(connected, append=rows) * (wires.column * _MEGA)
    lengths[-1] += wires.sink * _MEGA
    return lengths


def row_wire(wires: Wires) -> tuple[float, float]:
    """Return the megaohms from driver to first node, and of each further segment of a row."""
    return (wires.driver + wires.row) * _MEGA, wires.row * _MEGA


def _settings(wires: Wires, voltage: float) -> tuple[bool, float, float, float, float, float]:
    column, sink = wires.column * _MEGA, wires.sink * _MEGA
    return wires.unselected == "grounded", float(voltage), *row_wire(wires), column, sink


def checked_conductance(conductance: ArrayLike) -> Matrix:
    """Return the conductances as `wire_kernels` takes them."""
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
    from snnsim.backends.crossbar.wires.currents import Wires

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
    from snnsim.backends.crossbar.wires import kernels as wire_kernels

    if what == wire_kernels.REFUSED_CELL:
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
