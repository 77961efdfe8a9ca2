"""Currents of a crossbar whose wires have resistance: conjugate gradients on the row nodes, with a proven error.

Of the two sets of nodes, those of the row wires (potential u) are kept and those of the column wires (v) eliminated,
column by column. A column turns the potentials u of its m row nodes into cell currents ``c = A u``, where A is what is
left of a chain of m cells to one wire after eliminating the wire: a symmetric positive matrix that is applied in two
sweeps, never formed. So the row nodes obey

    M u = b,    M = L + A,

with L the resistances of the row wires (drivers included) and A one block a column. The preconditioner is ``P = L + D``
with D diagonal: one tridiagonal system a row wire, again two sweeps. Two choices of D come with a proven bound:

- D = F, the row sums of A: what each cell would carry if all row nodes of a column had one potential. A - F is then
  the matrix of a network between row nodes (eliminating nodes of a network of resistors leaves a network of
  resistors), so M >= P, and the energy of the error e of u is at most that of the residual r: <e, M e> <= <r, P^-1 r>.
- D = G, the cells as they are: M >= P / (1 + mu) where mu bounds what a column wire drops, and
  <e, M e> <= (1 + mu) <r, P^-1 r>. Where columns drop most of the voltage this is the better one.

A column current is a weighted sum of u with the column's F as weights, and so its error is at most the square root of
(sum of those weights) x <e, M e>, by Cauchy and Schwarz and M >= A. That is what `solve` compares with its tolerance.

All sweeps are written with admittances seen into a wire and factors w = 1 / (1 + R y) between 0 and 1: sums and
products of numbers that are not negative, valid for R = 0 too. Conductances are microsiemens, resistances megaohms (so
that their product has no unit), currents microamperes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.backends.crossbar.wires import sweeps
from snnsim.backends.crossbar.wires.sweeps import (
    SIDE_BY_SIDE,
    allowed_energy,
    down_columns,
    drive_rows,
    factor_columns,
    factor_rows,
    order,
    read_columns,
    rows_backward,
    rows_forward,
    search,
    step,
    up_columns,
)
from snnsim.numerics.compilation import kernel_with

kernel: Any = kernel_with(sweeps)

#: What `solve` found. REFUSED_*: an input is not allowed; UNCERTAIN: the bound did not get below the tolerance.
FINE, REFUSED_ROW, REFUSED_TWICE, REFUSED_CELL, UNCERTAIN = 0, 1, 2, 3, 4
#: D = F is taken where uniform row potentials keep at least this share across the cells farthest from the sink.
SHARE_ACROSS = 0.15
#: Arrays of a value a connected cell that `solve` works in.
ARRAYS = 11


@kernel
def solve(
    conductance,
    offsets,
    rows_active,
    begin,
    end,
    grounded,
    voltage,
    row_first,
    row_wire,
    column_wire,
    sink,
    tolerance,
    most_steps,
    currents,
    bounds,
    steps,
    across_cells,
    workspace,
):
    """Solve the vectors `begin` to `end`; return (what was found, vector) of the first that is not fine.

    Parameters
    ----------
    conductance : array, (rows, columns)
        Microsiemens.
    offsets, rows_active : array of int64
        Active rows of all vectors, one after the other.
    begin, end : int
        Vectors to solve.
    grounded : bool
        Are the other rows driven with 0 V (else cut off)?
    voltage : float
        Of active rows, volt.
    row_first, row_wire, column_wire, sink : float
        Megaohm: from driver to first node; each further segment of a row; a segment of a column; beyond its last
        segment.
    tolerance : float
        Relative error of each column current that the bound has to reach.
    most_steps : int
        Steps after which to give up.
    currents : array, (vectors, columns)
        Filled: microamperes.
    bounds : array, (vectors,)
        Filled: bound of the relative error of the worst column.
    steps : array of int64, (vectors,)
        Filled: steps taken.
    across_cells : array, (rows, columns) or (0, 0)
        Where it has rows, filled with the voltage across each connected cell of vector `begin`; zero elsewhere.
    workspace : array, (ARRAYS, rows of the vector with most rows connected, columns and more)
        Scratch, from `space`.
    """
    n_rows, n = conductance.shape
    padded = workspace.shape[1]
    all_g, all_q, all_t, all_e = workspace[0], workspace[1], workspace[2], workspace[3]
    all_w, all_x, all_r, all_s = workspace[4], workspace[5], workspace[6], workspace[7]
    all_p, all_pp, all_c = workspace[8], workspace[9], workspace[10]
    total, line, sums = np.empty(n), np.empty(n), np.empty(n)
    present, voltages, between = np.empty(padded, np.int64), np.empty(padded), np.empty(padded)
    for vector in range(begin, end):
        first_active, last_active = offsets[vector], offsets[vector + 1]
        currents[vector, :] = 0.0
        bounds[vector] = 0.0
        steps[vector] = 0
        active = last_active - first_active
        if active > n_rows:
            return REFUSED_TWICE, vector
        # Which rows are connected, in order, and what drives them.
        m = n_rows if grounded else active
        if grounded:
            voltages[:] = 0.0
            for k in range(first_active, last_active):
                row = rows_active[k]
                if row < 0 or row >= n_rows:
                    return REFUSED_ROW, vector
                if voltages[row] != 0.0:
                    return REFUSED_TWICE, vector
                voltages[row] = 1.0
            for a in range(m):
                present[a] = a
        else:
            for k in range(active):
                row = rows_active[first_active + k]
                if row < 0 or row >= n_rows:
                    return REFUSED_ROW, vector
                present[k] = row
                voltages[k] = 1.0
            order(present[:m])
            for k in range(1, m):
                if present[k] == present[k - 1]:
                    return REFUSED_TWICE, vector
        if active == 0:
            continue
        filled = -(-m // SIDE_BY_SIDE) * SIDE_BY_SIDE
        for a in range(m):
            below = present[a + 1] if a + 1 < m else n_rows
            between[a] = (below - present[a]) * column_wire
        between[m - 1] += sink
        g, q, across, e = all_g[:filled], all_q[:filled], all_t[:filled], all_e[:filled]
        w, x, r, s = all_w[:filled], all_x[:filled], all_r[:filled], all_s[:filled]
        p, weighted, carried = all_p[:filled], all_pp[:filled], all_c[:filled]
        for a in range(m):
            row = present[a]
            bad = False
            for j in range(n):
                value = conductance[row, j]
                bad |= not (value >= 0.0 and value < np.inf)
                g[a, j] = value
            if bad:
                return REFUSED_CELL, vector
        for a in range(m, filled):  # wires without cells, to fill the last four
            voltages[a] = 0.0
            r[a, :] = 0.0
            s[a, :] = 0.0
            e[a, :] = 0.0
        # Potentials and currents for 1 V: the network is linear, and the voltage a factor.
        least, drop = factor_columns(n, g[:m], between, q, across, total, line)
        factor = 1.0
        if least < SHARE_ACROSS:
            factor = 1.0 + drop
            for a in range(m):
                for j in range(n):
                    s[a, j] = g[a, j]
                    e[a, j] = 0.0
        else:
            for a in range(m):
                for j in range(n):
                    s[a, j] = g[a, j] * across[a, j]
                    e[a, j] = g[a, j] - s[a, j]
        factor_rows(n, s, row_first, row_wire, w)
        drive_rows(n, voltages, w, x)
        # r = b - M x with P x = b: what P does not know of A.
        p[:] = 0.0
        weighted[:] = 0.0
        down_columns(n, g[:m], q, x, carried)
        up_columns(n, g[:m], e, q, between, x, weighted, carried, line, r, sums)
        for a in range(m):
            for j in range(n):
                r[a, j] = -r[a, j]
        energy = rows_backward(n, r, w, row_first, row_wire, s)
        read_columns(n, g[:m], across, x, currents[vector])
        allowed = allowed_energy(currents[vector], total, tolerance)
        taken, beta = 0, 0.0
        while True:
            if factor * energy <= allowed or (taken & (taken - 1)) == 0:
                # Judged by earlier currents so far; those of now may ask for more, or for less.
                if taken > 0:
                    read_columns(n, g[:m], across, x, currents[vector])
                    allowed = allowed_energy(currents[vector], total, tolerance)
                if factor * energy <= allowed:
                    break
            if taken == most_steps:
                break
            rows_forward(n, s, w, row_first, row_wire)
            search(n, g[:m], q, s, beta, p, r, weighted, carried)
            curvature = up_columns(n, g[:m], e, q, between, p, weighted, carried, line, s, sums)
            if not curvature > 0.0:
                break
            step(n, energy / curvature, p[:m], s, x, r)
            for a in range(m, filled):
                s[a, :] = 0.0
            before = energy
            energy = rows_backward(n, r, w, row_first, row_wire, s)
            beta = energy / before
            taken += 1
        read_columns(n, g[:m], across, x, currents[vector])
        allowed = allowed_energy(currents[vector], total, 1.0)
        bounds[vector] = np.sqrt(factor * energy / allowed) if allowed > 0.0 else np.inf
        steps[vector] = taken
        if across_cells.shape[0] > 0 and vector == begin:
            across_cells[:] = 0.0
            down_columns(n, g[:m], q, x, carried)
            line[:] = 0.0
            for a in range(m - 1, -1, -1):
                for j in range(n):
                    line[j] = (line[j] + between[a] * carried[a, j]) * q[a, j]
                    across_cells[present[a], j] = voltage * (x[a, j] - line[j])
        for j in range(n):
            currents[vector, j] *= voltage
        if not bounds[vector] <= tolerance:
            return UNCERTAIN, vector
    return FINE, -1


@kernel
def add_column(g, between, admittances, weights):
    """Add a column's matrix A to the admittances of the rows, and fill in the row sums of A.

    Parameters
    ----------
    g : array, (m,)
        Conductances of its cells, microsiemens.
    between : array, (m,)
        Megaohm from its node at each row to the next one, or to 0 V.
    admittances : array, (m, m)
        Microsiemens; added to.
    weights : array, (m,)
        Microsiemens; filled.
    """
    m = g.size
    factor, up, down, path = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    carried = 0.0
    for a in range(m):
        up[a] = carried
        factor[a] = 1.0 / (1.0 + between[a] * (carried + g[a]))
        carried = (carried + g[a]) * factor[a]
    kept, carried = 1.0, np.inf  # what the node below sees to 0 V
    for a in range(m - 1, -1, -1):
        kept *= factor[a]
        weights[a] = g[a] * kept
        if between[a] > 0.0:
            down[a] = 1.0 / between[a] if carried == np.inf else carried / (1.0 + between[a] * carried)
        else:
            down[a] = carried
        carried = down[a] + g[a]
    for b in range(m):
        if down[b] == np.inf:
            admittances[b, b] += g[b]
            path[b] = 1.0
            continue
        own = up[b] + down[b] + g[b]
        admittances[b, b] += g[b] * ((up[b] + down[b]) / own)
        # From row b's node up the wire: a current into it there, and the potential that it makes at row a.
        path[b] = 1.0
        for a in range(b):
            path[a] *= factor[b - 1]
            coupled = g[a] * g[b] * path[a] / own
            admittances[a, b] -= coupled
            admittances[b, a] -= coupled


@kernel
def sum_rows(transfer, offsets, rows_active, voltage, currents):
    """Fill the currents with sums of rows of a transfer matrix; return (what was found, vector), as `solve`."""
    n_rows, n = transfer.shape
    on = np.zeros(n_rows, np.bool_)
    for vector in range(offsets.size - 1):
        out = currents[vector]
        out[:] = 0.0
        for k in range(offsets[vector], offsets[vector + 1]):
            row = rows_active[k]
            if row < 0 or row >= n_rows:
                return REFUSED_ROW, vector
            if on[row]:
                return REFUSED_TWICE, vector
            on[row] = True
            for j in range(n):
                out[j] += transfer[row, j]
        for k in range(offsets[vector], offsets[vector + 1]):
            on[rows_active[k]] = False
        for j in range(n):
            out[j] *= voltage
    return FINE, -1
