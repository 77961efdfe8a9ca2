"""Column currents of a crossbar whose wires have resistance.

A row wire starts at its driver and a column wire ends at its sink, which holds 0 V::

    driver - R - node(i, 0) - R - node(i, 1) - ...            each row i
                     |             |
                  cell(i, 0)    cell(i, 1)
                     |             |
    node(0, j) - R - node(1, j) - ... - node(last, j) - R - sink      each column j

Rows that are not active are cut off from their cells by transistors (``unselected="gated"``), or are driven with 0 V
(``"grounded"``), where they take current out of the columns.

`exact_currents` and `fast_currents` solve the same equations by the same method (see `wire_kernels`) and differ in how
far they go: as far as double precision reaches, or until the error is proven to be below a tolerance.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from snnsim.backends.crossbar.number_checks import finite, settle_numbers
from snnsim.backends.crossbar.wires.solving import (
    EXACT,
    FAST,
    CurrentVoltage,
    Matrix,
    Solution,
    between,
    checked,
    checked_circuit,
    checked_conductance,
    linear,
    refuse,
    row_wire,
    settled,
    solve_range,
    whole_rows,
)
from snnsim.errors import ParameterError, one_of, positive, whole


@dataclass(frozen=True)
class Wires:
    """Resistances of the wires of a crossbar, and how to solve for what they do.

    Parameters
    ----------
    row, column : float
        Ohm of a segment between neighbouring cells; the first segment of a row, from its driver, and the last of a
        column, to its sink, are as long.
    driver, sink : float
        Ohm of the terminals, beyond these segments.
    unselected : {"gated", "grounded"}
        Rows that are not active: cut off from their cells, or driven with 0 V.
    solver : {"fast", "exact"}
        Until the error is proven to be below 1e-4 of each current, or to the end of double precision.
    """

    row: float
    column: float
    driver: float = 0.0
    sink: float = 0.0
    unselected: Literal["gated", "grounded"] = "gated"
    solver: Literal["fast", "exact"] = "fast"

    def __post_init__(self) -> None:
        settle_numbers(self)
        for name in ("row", "column", "driver", "sink"):
            positive(name, getattr(self, name), zero=True)
        one_of("unselected", self.unselected, ("gated", "grounded"))
        one_of("solver", self.solver, ("fast", "exact"))


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
        found = [settled(g, rows, voltage, wires, cell)[0] for rows in vectors]
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
        solve_range(g, begins, rows, settings, 0, vectors)
    else:
        edges = [vectors * k // threads for k in range(threads + 1)]
        with ThreadPoolExecutor(threads, "snnsim-wires") as pool:
            ranges = itertools.pairwise(edges)
            for part in [pool.submit(solve_range, g, begins, rows, settings, *edge) for edge in ranges]:
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
    from snnsim.backends.crossbar.wires import kernels as wire_kernels

    finite("voltage", voltage)
    matrix, begins, rows = checked(transfer, offsets, rows_active)
    currents = np.empty((begins.size - 1, matrix.shape[1]))
    what, vector = wire_kernels.sum_rows(matrix, begins, rows, float(voltage), currents)
    if what != wire_kernels.FINE:
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
    return (linear(g, rows, voltage, wires) if cell is None else settled(g, rows, voltage, wires, cell))[1]
