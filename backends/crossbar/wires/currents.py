"""Column currents of a crossbar whose wires have resistance.

A row wire starts at its driver and a column wire ends at its sink, which holds 0 V::

    driver - R - node(i, 0) - R - node(i, 1) - ...            each row i
                     |             |
                  cell(i, 0)    cell(i, 1)
                     |             |
    node(0, j) - R - node(1, j) - ... - node(last, j) - R - sink      each column j

Rows that are not active are cut off from their cells by transistors (``unselected="gated"``), or are driven with 0 V
(``"grounded"``), where they take current out of the columns.

`exact_currents` and `fast_currents` solve the same equations by the same method (see `kernels`) and differ in how
far they go: as far as double precision reaches, or until the error is proven to be below a tolerance.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.number_checks import finite
from snnsim.backends.crossbar.wires.checks import checked, checked_circuit, checked_conductance, refuse, whole_rows
from snnsim.backends.crossbar.wires.resistances import Matrix, Wires, between, circuit, row_wire
from snnsim.errors import ParameterError, positive, whole

#: Currents (uA) of cells of given conductances (uS) at given voltages (V): arrays of one shape.
CurrentVoltage = Callable[[Matrix, Matrix], Matrix]

#: Relative error of each column current that `exact_currents` proves before rounding, and that `fast_currents` does.
EXACT, FAST = 1e-12, 1e-4
#: Steps of the iteration after which wires are eliminated instead. Wires of metal take 1 to 20.
MOST_STEPS = 500
#: Cells that are not linear: change of every voltage, of that at the drivers, at which they are settled; most rounds.
SETTLED, MOST_ROUNDS = 1e-12, 100
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


def exact_currents(
    conductance: ArrayLike,
    offsets: ArrayLike,
    rows_active: ArrayLike,
    voltage: float,
    wires: Wires,
    *,
    cell: CurrentVoltage | None = None,
    threads: int = 1,
) -> Matrix:
    """Return the column currents of each vector of active rows, to the end of double precision.

    Parameters
    ----------
    conductance : array, (rows, columns)
        Microsiemens; zero is no cell.
    offsets, rows_active : array of int
        The active rows of vector k are ``rows_active[offsets[k] : offsets[k + 1]]``, in any order, none twice.
    voltage : float
        Of active rows, volt.
    wires : Wires
        Its `solver` is not looked at.
    cell : callable, optional
        ``cell(conductance, voltage)`` is the current (uA) of cells that do not obey Ohm's law. Solved with the
        conductances current / voltage, round after round, until no voltage changes.
    threads : int
        Vectors are shared among so many; the result is the same for any number.

    Returns
    -------
    array, (vectors, columns)
        Microamperes into the sinks.

    Raises
    ------
    ParameterError
        A conductance is negative or not finite, a row does not exist or is listed twice, shapes do not fit; cells do
        not settle.
    """
    voltage = checked_circuit(voltage, wires)
    if cell is not None:
        g, begins, listed = checked(conductance, offsets, rows_active)
        vectors = [listed[a:b] for a, b in itertools.pairwise(begins)]
        found = [_settled(g, rows, voltage, wires, cell)[0] for rows in vectors]
        return np.array(found).reshape(len(vectors), g.shape[1])
    return solve_wires(conductance, offsets, rows_active, voltage, wires, tolerance=EXACT, threads=threads).currents


def fast_currents(
    conductance: ArrayLike,
    offsets: ArrayLike,
    rows_active: ArrayLike,
    voltage: float,
    wires: Wires,
    *,
    tolerance: float = FAST,
    transfer: Matrix | None = None,
    threads: int = 1,
) -> Matrix:
    """Return the column currents, each with a relative error that is proven to be at most `tolerance`.

    As `exact_currents`, and besides:

    Parameters
    ----------
    tolerance : float
        Largest relative error of any column current, proven for every vector from its own residual. Errors found are
        some hundred times smaller.
    transfer : array, (rows, columns), optional
        With grounded rows: what `transfer_matrix` returned for these conductances and wires; currents are sums of its
        rows then, without error.
    """
    positive("tolerance", tolerance)
    voltage, tolerance = checked_circuit(voltage, wires), float(tolerance)
    if transfer is not None:
        if wires.unselected != "grounded":
            raise ParameterError("transfer: only grounded rows have one matrix for all vectors; wires are 'gated'")
        return apply_transfer(transfer, offsets, rows_active, voltage)
    return solve_wires(conductance, offsets, rows_active, voltage, wires, tolerance=tolerance, threads=threads).currents


def solve_wires(
    conductance: ArrayLike,
    offsets: ArrayLike,
    rows_active: ArrayLike,
    voltage: float,
    wires: Wires,
    *,
    tolerance: float = EXACT,
    threads: int = 1,
) -> Solution:
    """Return column currents with their bounds; parameters as for `fast_currents`."""
    g, begins, rows = checked(conductance, offsets, rows_active)
    vectors = begins.size - 1
    found = Solution(np.empty((vectors, g.shape[1])), np.empty(vectors), np.empty(vectors, np.int64))
    settings = (voltage, wires, tolerance, found)
    threads = min(whole("threads", threads, at_least=1), max(1, vectors))
    if threads == 1:
        _solve_range(g, begins, rows, settings, 0, vectors)
    else:
        edges = [vectors * k // threads for k in range(threads + 1)]
        with ThreadPoolExecutor(threads, "snnsim-wires") as pool:
            ranges = itertools.pairwise(edges)
            for part in [pool.submit(_solve_range, g, begins, rows, settings, *edge) for edge in ranges]:
                part.result()
    return found


def transfer_matrix(conductance: ArrayLike, wires: Wires) -> Matrix:
    """Return the matrix from row voltages to column currents of a crossbar whose inactive rows are grounded.

    Parameters
    ----------
    conductance : array, (rows, columns)
        Microsiemens.
    wires : Wires
        With ``unselected="grounded"``.

    Returns
    -------
    array, (rows, columns)
        Microamperes a volt: ``currents = voltages @ result`` for any voltages of the rows.
    """
    from snnsim.backends.crossbar.wires.elimination import eliminate

    checked_circuit(0.0, wires)
    if wires.unselected != "grounded":
        raise ParameterError(
            f"wires.unselected={wires.unselected!r}: which rows are cut off changes with every vector, and the matrix "
            "with it; only 'grounded' rows have one"
        )
    g = checked_conductance(conductance)
    every = np.arange(g.shape[0])
    return eliminate(g, between(every, g.shape[0], wires), *row_wire(wires))


def apply_transfer(transfer: Matrix, offsets: ArrayLike, rows_active: ArrayLike, voltage: float) -> Matrix:
    """Return the column currents (vectors, columns), microamperes, from what `transfer_matrix` returned."""
    from snnsim.backends.crossbar.wires import kernels

    finite("voltage", voltage)
    matrix, begins, rows = checked(transfer, offsets, rows_active)
    currents = np.empty((begins.size - 1, matrix.shape[1]))
    what, vector = kernels.sum_rows(matrix, begins, rows, float(voltage), currents)
    if what != kernels.FINE:
        refuse(what, vector, matrix, begins, rows)
    return currents


def cell_voltages(
    conductance: ArrayLike,
    rows_active: ArrayLike,
    voltage: float,
    wires: Wires,
    *,
    cell: CurrentVoltage | None = None,
) -> Matrix:
    """Return the voltage across each cell, (rows, columns), in volt: what the wires leave of `voltage`.

    Cells of rows that are cut off have zero. Parameters as for `exact_currents`, for one vector.
    """
    voltage = checked_circuit(voltage, wires)
    listed = whole_rows("rows_active", rows_active)
    g, _, rows = checked(conductance, (0, listed.size), listed)
    return (_linear(g, rows, voltage, wires) if cell is None else _settled(g, rows, voltage, wires, cell))[1]


def _linear(g: Matrix, rows: NDArray[np.int64], voltage: float, wires: Wires) -> tuple[Matrix, Matrix]:
    """Return the currents of one vector, and the voltages across cells."""
    from snnsim.backends.crossbar.wires import kernels

    begins = np.array((0, rows.size))
    found = Solution(np.empty((1, g.shape[1])), np.empty(1), np.empty(1, np.int64))
    across, space = np.zeros(g.shape), _space(g, begins, wires)
    what, vector = kernels.solve(
        g, begins, rows, 0, 1, *circuit(wires, voltage), EXACT, MOST_STEPS, *found, across, space
    )
    if what == kernels.UNCERTAIN:
        raise ParameterError(
            f"wires={wires!r}: no voltages proven to {EXACT:g} after {MOST_STEPS} steps; resistances this large next "
            "to the cells' are beyond this method (the currents of linear cells can still be had)"
        )
    if what != kernels.FINE:
        refuse(what, vector, g, begins, rows)
    return found.currents[0], across


def _settled(
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
        currents, across = _linear(g if least == 0 else cell(g, asked) / asked, rows, voltage, wires)
        change = float(np.max(np.abs(across - before)))
        if change <= SETTLED * abs(voltage):
            return currents, across
    raise ParameterError(
        f"cell={cell!r}: voltages still change by {change:.2g} V after {MOST_ROUNDS} rounds; its current must rise "
        "with the voltage, and not too steeply for wires of this resistance"
    )


def _solve_range(
    g: Matrix,
    begins: NDArray[np.int64],
    rows: NDArray[np.int64],
    settings: tuple[float, Wires, float, Solution],
    begin: int,
    end: int,
) -> None:
    """Solve the vectors `begin` to `end`; those without a proof in time by elimination."""
    from snnsim.backends.crossbar.wires import kernels

    voltage, wires, tolerance, found = settings
    passed, more = circuit(wires, voltage), (np.empty((0, 0)), _space(g, begins[begin : end + 1], wires))
    while begin < end:
        what, vector = kernels.solve(g, begins, rows, begin, end, *passed, tolerance, MOST_STEPS, *found, *more)
        if what == kernels.FINE:
            return
        if what != kernels.UNCERTAIN:
            refuse(what, vector, g, begins, rows)
        found.currents[vector] = _eliminated(g, rows[begins[vector] : begins[vector + 1]], voltage, wires)
        found.bounds[vector], found.steps[vector] = 0.0, -1
        begin = vector + 1


def _space(g: Matrix, begins: NDArray[np.int64], wires: Wires) -> Matrix:
    """Return scratch memory for `kernels.solve`."""
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


def _eliminated(g: Matrix, active: NDArray[np.int64], voltage: float, wires: Wires) -> Matrix:
    """Return the currents of one vector by eliminating the wires."""
    from snnsim.backends.crossbar.wires.elimination import eliminate

    connected = np.sort(active) if wires.unselected == "gated" else np.arange(g.shape[0])
    matrix = eliminate(g[connected], between(connected, g.shape[0], wires), *row_wire(wires))
    currents: Matrix = voltage * matrix[np.isin(connected, active)].sum(axis=0)
    return currents
