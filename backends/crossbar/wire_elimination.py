"""The map from row voltages to column currents as a matrix, by eliminating one column of the crossbar after the other.

Seen from column j to the right, the crossbar is a network with one terminal a row, and Y_j is its matrix of admittances:

    Y_j = A_j + Y_{j+1} (I + R Y_{j+1})^-1,

with R a segment of the row wires and A_j what is left of column j when its own wire is eliminated. The same solution
brings the currents of all columns from there on one segment nearer to the drivers. Every matrix is positive and nothing is
subtracted, so that this works for any wires; it takes columns x rows^3 operations, in blocks that BLAS works on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def eliminate(g: Matrix, between: Matrix, first: float, wire: float) -> Matrix:
    """Return the column currents for 1 V on each connected row alone, the others at 0 V.

    Parameters
    ----------
    g : array, (m, columns)
        Conductances of the connected rows, microsiemens.
    between : array, (m,)
        Megaohm from the column's node at each of these rows to the next one of them, or to 0 V.
    first, wire : float
        Megaohm from the driver to the first node of a row, and of each further segment of it.

    Returns
    -------
    array, (m, columns)
        Microamperes a volt: ``currents = voltages @ result``.
    """
    from snnsim.backends.crossbar.wire_kernels import add_column

    m, columns = g.shape
    # Beside the admittances, the rows' weights in the currents of the columns done so far: one right-hand side.
    both = np.zeros((m, m + columns))
    for column in range(columns - 1, -1, -1):
        done = columns - column
        # Weights are kept last column first, so that a new one goes behind those that are there.
        add_column(np.ascontiguousarray(g[:, column]), between, both[:, :m], both[:, m + done - 1])
        resistance = wire if column else first
        if resistance > 0.0:
            seen = both[:, :m] * resistance
            seen.flat[:: m + 1] += 1.0
            both[:, : m + done] = np.linalg.solve(seen, both[:, : m + done])
    return both[:, m:][:, ::-1].copy()
