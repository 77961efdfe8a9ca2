"""The cells of a tile as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.number_checks import Floats
from snnsim.errors import ParameterError

#: Cells that are treated together: their intermediate results stay in the processor's cache.
BLOCK = 2**12


@dataclass
class CellState:
    """Cells of a tile; all arrays have shape (rows, columns).

    Parameters
    ----------
    conductance : ndarray of float64
        uS just after programming, or of a pristine cell.
    target : ndarray of float64
        uS that were asked for, before levels; NaN: never programmed.
    exponent : ndarray of float64
        The cell's own number in the drift model.
    gain : ndarray of float64
        Lasting factor on what programming aims at.
    stuck : ndarray of int8
        1 stuck on, -1 stuck off, 0 neither.
    iterations : ndarray of int32
        Attempts of the last programming.
    """

    conductance: Floats
    target: Floats
    exponent: Floats
    gain: Floats
    stuck: NDArray[np.int8]
    iterations: NDArray[np.int32]

    def rows(self, rows: slice) -> CellState:
        """Return some rows, in the same memory."""
        return CellState(
            self.conductance[rows],
            self.target[rows],
            self.exponent[rows],
            self.gain[rows],
            self.stuck[rows],
            self.iterations[rows],
        )


def unwritten(shape: tuple[int, ...]) -> CellState:
    """Return cells never programmed, whose conductance is still to be written."""
    return CellState(
        np.empty(shape),
        np.full(shape, np.nan),
        np.zeros(shape),
        np.ones(shape),
        np.zeros(shape, np.int8),
        np.zeros(shape, np.int32),
    )


def copied(before: CellState, shape: tuple[int, ...]) -> CellState:
    """Return a copy of cells, or raise `ParameterError` unless they are of that shape."""
    if not isinstance(before, CellState):
        raise ParameterError(f"before={before!r}: expected a CellState, as program returns it")
    if before.conductance.shape != shape:
        raise ParameterError(f"before has cells of shape {before.conductance.shape}: targets have {shape}")
    return CellState(
        before.conductance.copy(),
        before.target.copy(),
        before.exponent.copy(),
        before.gain.copy(),
        before.stuck.copy(),
        before.iterations.copy(),
    )


def blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut rows into pieces whose intermediate results stay in the processor's cache."""
    step = max(1, BLOCK // shape[1])
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))
