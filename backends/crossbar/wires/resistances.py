"""Resistances of the wires of a crossbar, in ohm as given and in megaohm as they go into the equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.number_checks import settle_numbers
from snnsim.errors import one_of, positive

Matrix = NDArray[np.float64]
#: To megaohm, which times microsiemens has no unit.
_MEGA = 1e-6


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


def between(connected: NDArray[np.int64], rows: int, wires: Wires) -> Matrix:
    """Return the megaohms of each column from one connected row to the next, and from the last to 0 V."""
    lengths: Matrix = np.diff(connected, append=rows) * (wires.column * _MEGA)
    lengths[-1] += wires.sink * _MEGA
    return lengths


def row_wire(wires: Wires) -> tuple[float, float]:
    """Return the megaohms from driver to first node, and of each further segment of a row."""
    return (wires.driver + wires.row) * _MEGA, wires.row * _MEGA


def circuit(wires: Wires, voltage: float) -> tuple[bool, float, float, float, float, float]:
    """Return what `solve` of the kernels takes of a circuit: grounded, volt, and megaohms of rows and columns."""
    column, sink = wires.column * _MEGA, wires.sink * _MEGA
    return wires.unselected == "grounded", float(voltage), *row_wire(wires), column, sink
