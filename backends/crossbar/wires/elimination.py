"""The map from row voltages to column currents as a matrix, by eliminating one column of the crossbar after the other.

Seen from column j to the right, the crossbar is a network with one terminal a row. Its matrix of admittances is

    Y_j = A_j + Y_{j+1} W_{j+1},        W_j = (I + R Y_j)^-1,

with R a segment of the row wires and A_j what is left of column j when its own wire is eliminated. The same W bring the
currents of all columns from there on one segment nearer to the drivers. All these matrices are symmetric and positive,
so that no pivots are needed: about 2.5 columns x rows^3 operations, nearly all in products of matrices (BLAS).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Up to this size `inverse` leaves a matrix to LAPACK.
SMALL = 96
#: Where R Y is at least this much of one, Y W may be had as (I - W) / R: that many digits of 16 are lost.
LARGE = 1e-3


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
    from snnsim.backends.crossbar.wires.kernels import add_column

    m, columns = g.shape
    admittances, weights = np.zeros((m, m)), np.zeros((columns, m))  # weights: last column first
    columnwise = np.ascontiguousarray(g.T)
    for column in range(columns - 1, -1, -1):
        done = columns - column
        add_column(columnwise[column], between, admittances, weights[done - 1])
        resistance = wire if column else first
        if resistance == 0.0:
            continue
        seen = resistance * admittances
        size = seen.diagonal().mean()
        seen.flat[:: m + 1] += 1.0
        nearer = inverse(seen)
        weights[:done] = weights[:done] @ nearer
        if column == 0:
            break
        if size < LARGE:
            admittances = admittances @ nearer
        else:
            admittances = nearer * (-1.0 / resistance)
            admittances.flat[:: m + 1] += 1.0 / resistance
    return np.ascontiguousarray(weights[::-1].T)


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a symmetric positive definite matrix, by halves."""
    size = len(matrix)
    if size <= SMALL:
        return np.asarray(np.linalg.inv(matrix), np.float64)
    half = size // 2
    upper = inverse(matrix[:half, :half])
    coupled = matrix[half:, :half] @ upper
    lower = inverse(matrix[half:, half:] - coupled @ matrix[:half, half:])
    across = lower @ coupled
    result = np.empty_like(matrix)
    result[:half, :half] = upper + coupled.T @ across
    result[half:, :half] = -across
    result[:half, half:] = -across.T
    result[half:, half:] = lower
    return result
