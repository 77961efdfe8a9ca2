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

import functools

import numpy as np

from snnsim.backends.cpu._jit import specialised
from snnsim.compilation import compiled

#: What `solve` found. REFUSED_*: an input is not allowed; UNCERTAIN: the bound did not get below the tolerance.
FINE, REFUSED_ROW, REFUSED_TWICE, REFUSED_CELL, UNCERTAIN = 0, 1, 2, 3, 4
#: D = F is taken where uniform row potentials keep at least this share across the cells farthest from the sink.
SHARE_ACROSS = 0.15
#: Row wires swept side by side: each sweep is a chain of dependent sums, and four hide one another's latency.
SIDE_BY_SIDE = 4
#: Arrays of a value a connected cell that `solve` works in.
ARRAYS = 11


kernel = functools.partial(compiled, cache=True, nogil=True, error_model="numpy")


def leaf(function):
    """Compile a leaf for arrays that lie apart: unless told so, the compiler leaves loops over many of them scalar."""
    return specialised(function, f"wires{function.__name__}", distinct=True)


@leaf
def _order(rows):
    """Sort a short list in place."""
    for i in range(1, rows.size):
        moved = rows[i]
        j = i
        while j > 0 and rows[j - 1] > moved:
            rows[j] = rows[j - 1]
            j -= 1
        rows[j] = moved


@leaf
def _factor_columns(n, g, between, q, across, total, drop):
    """Fill the factors q of the column wires and what uniform row potentials leave across cells.

    `across` (m, n): voltage across a cell where all row nodes of its column are at 1 V. `total` (n,): the column's
    current then. Returned: the smallest entry of `across`; the bound mu.
    """
    m = g.shape[0]
    for j in range(n):
        total[j] = 0.0
        drop[j] = 0.0
    for a in range(m):
        resistance = between[a]
        for j in range(n):
            y = g[a, j] + total[j]
            factor = 1.0 / (1.0 + resistance * y)
            q[a, j] = factor
            total[j] = y * factor
    below = 0.0
    for a in range(m - 1, -1, -1):
        below += between[a]
        if a == m - 1:
            for j in range(n):
                across[a, j] = q[a, j]
        else:
            for j in range(n):
                across[a, j] = q[a, j] * across[a + 1, j]
        for j in range(n):
            drop[j] += below * g[a, j]
    least, most = 1.0, 0.0
    for j in range(n):
        least = min(least, across[0, j])
        most = max(most, drop[j])
    return least, most


@leaf
def _factor_rows(n, d, first, wire, w):
    """Fill the factors w of the row wires, whose nodes have conductance d to elsewhere."""
    m = d.shape[0]
    for base in range(0, m, SIDE_BY_SIDE):
        y0, y1, y2, y3 = 0.0, 0.0, 0.0, 0.0
        for j in range(n - 1, -1, -1):
            resistance = wire if j > 0 else first
            y0 += d[base, j]
            y1 += d[base + 1, j]
            y2 += d[base + 2, j]
            y3 += d[base + 3, j]
            w0 = 1.0 / (1.0 + resistance * y0)
            w1 = 1.0 / (1.0 + resistance * y1)
            w2 = 1.0 / (1.0 + resistance * y2)
            w3 = 1.0 / (1.0 + resistance * y3)
            w[base, j] = w0
            w[base + 1, j] = w1
            w[base + 2, j] = w2
            w[base + 3, j] = w3
            y0 *= w0
            y1 *= w1
            y2 *= w2
            y3 *= w3


@leaf
def _drive_rows(n, voltages, w, x):
    """Fill x with the potentials of the preconditioner's rows under their drivers' voltages."""
    m = w.shape[0]
    for base in range(0, m, SIDE_BY_SIDE):
        x0, x1, x2, x3 = voltages[base], voltages[base + 1], voltages[base + 2], voltages[base + 3]
        for j in range(n):
            x0 *= w[base, j]
            x1 *= w[base + 1, j]
            x2 *= w[base + 2, j]
            x3 *= w[base + 3, j]
            x[base, j] = x0
            x[base + 1, j] = x1
            x[base + 2, j] = x2
            x[base + 3, j] = x3


@leaf
def _rows_backward(n, r, w, first, wire, s):
    """Take the sources r of each row to its driver's end, in s; return <r, P^-1 r>."""
    m = r.shape[0]
    energy = 0.0
    for base in range(0, m, SIDE_BY_SIDE):
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        e0, e1, e2, e3 = 0.0, 0.0, 0.0, 0.0
        for j in range(n - 1, 0, -1):
            s0 += r[base, j]
            s1 += r[base + 1, j]
            s2 += r[base + 2, j]
            s3 += r[base + 3, j]
            s[base, j] = s0
            s[base + 1, j] = s1
            s[base + 2, j] = s2
            s[base + 3, j] = s3
            t0 = s0 * w[base, j]
            t1 = s1 * w[base + 1, j]
            t2 = s2 * w[base + 2, j]
            t3 = s3 * w[base + 3, j]
            e0 += s0 * t0
            e1 += s1 * t1
            e2 += s2 * t2
            e3 += s3 * t3
            s0, s1, s2, s3 = t0, t1, t2, t3
        energy += wire * ((e0 + e1) + (e2 + e3))
        for a in range(base, base + SIDE_BY_SIDE):
            carried = r[a, 0]
            if n > 1:
                carried += s[a, 1] * w[a, 1]
            s[a, 0] = carried
            energy += first * carried * carried * w[a, 0]
    return energy


@leaf
def _rows_forward(n, s, w, first, wire):
    """Turn what `_rows_backward` made of r into P^-1 r."""
    m = s.shape[0]
    for base in range(0, m, SIDE_BY_SIDE):
        z0 = first * s[base, 0] * w[base, 0]
        z1 = first * s[base + 1, 0] * w[base + 1, 0]
        z2 = first * s[base + 2, 0] * w[base + 2, 0]
        z3 = first * s[base + 3, 0] * w[base + 3, 0]
        s[base, 0] = z0
        s[base + 1, 0] = z1
        s[base + 2, 0] = z2
        s[base + 3, 0] = z3
        for j in range(1, n):
            z0 = (z0 + wire * s[base, j]) * w[base, j]
            z1 = (z1 + wire * s[base + 1, j]) * w[base + 1, j]
            z2 = (z2 + wire * s[base + 2, j]) * w[base + 2, j]
            z3 = (z3 + wire * s[base + 3, j]) * w[base + 3, j]
            s[base, j] = z0
            s[base + 1, j] = z1
            s[base + 2, j] = z2
            s[base + 3, j] = z3


@leaf
def _down_columns(n, g, q, x, carried):
    """Fill the Norton currents that the cells of each column send down its wire, seen after each row."""
    m = g.shape[0]
    for j in range(n):
        carried[0, j] = g[0, j] * x[0, j]
    for a in range(1, m):
        for j in range(n):
            carried[a, j] = g[a, j] * x[a, j] + carried[a - 1, j] * q[a - 1, j]


@leaf
def _search(n, g, q, z, beta, p, r, weighted, carried):
    """Renew the direction p and P p, and do `_down_columns` on it in the same pass."""
    m = g.shape[0]
    for a in range(m):
        for j in range(n):
            p[a, j] = z[a, j] + beta * p[a, j]
            weighted[a, j] = r[a, j] + beta * weighted[a, j]
        if a == 0:
            for j in range(n):
                carried[a, j] = g[a, j] * p[a, j]
        else:
            for j in range(n):
                carried[a, j] = g[a, j] * p[a, j] + carried[a - 1, j] * q[a - 1, j]


@leaf
def _up_columns(n, g, e, q, between, p, weighted, carried, v, image, sums):
    """Fill ``image = weighted + (A - D) p`` with e = G - D, and return <p, image>; `weighted` is P p or zero."""
    m = g.shape[0]
    for j in range(n):
        v[j] = 0.0
        sums[j] = 0.0
    for a in range(m - 1, -1, -1):
        resistance = between[a]
        for j in range(n):
            v[j] = (v[j] + resistance * carried[a, j]) * q[a, j]
            image[a, j] = weighted[a, j] + (e[a, j] * p[a, j] - g[a, j] * v[j])
            sums[j] += p[a, j] * image[a, j]
    return sums.sum()


@leaf
def _step(n, alpha, p, image, x, r):
    m = p.shape[0]
    for a in range(m):
        for j in range(n):
            x[a, j] += alpha * p[a, j]
            r[a, j] -= alpha * image[a, j]


@leaf
def _read_columns(n, g, across, x, currents):
    """Fill the column currents: row potentials weighted with F."""
    m = g.shape[0]
    for j in range(n):
        currents[j] = 0.0
    for a in range(m):
        for j in range(n):
            currents[j] += g[a, j] * across[a, j] * x[a, j]


@leaf
def _allowed(currents, total, tolerance):
    """Return the largest energy of the error that leaves every column within the tolerance of its own current."""
    allowed = np.inf
    for j in range(currents.size):
        if total[j] > 0.0:
            allowed = min(allowed, currents[j] * currents[j] / total[j])
    return tolerance * tolerance * allowed


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
            _order(present[:m])
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
        least, drop = _factor_columns(n, g[:m], between, q, across, total, line)
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
        _factor_rows(n, s, row_first, row_wire, w)
        _drive_rows(n, voltages, w, x)
        # r = b - M x with P x = b: what P does not know of A.
        p[:] = 0.0
        weighted[:] = 0.0
        _down_columns(n, g[:m], q, x, carried)
        _up_columns(n, g[:m], e, q, between, x, weighted, carried, line, r, sums)
        for a in range(m):
            for j in range(n):
                r[a, j] = -r[a, j]
        energy = _rows_backward(n, r, w, row_first, row_wire, s)
        _read_columns(n, g[:m], across, x, currents[vector])
        allowed = _allowed(currents[vector], total, tolerance)
        taken, beta = 0, 0.0
        while True:
            if factor * energy <= allowed or (taken & (taken - 1)) == 0:
                # Judged by earlier currents so far; those of now may ask for more, or for less.
                if taken > 0:
                    _read_columns(n, g[:m], across, x, currents[vector])
                    allowed = _allowed(currents[vector], total, tolerance)
                if factor * energy <= allowed:
                    break
            if taken == most_steps:
                break
            _rows_forward(n, s, w, row_first, row_wire)
            _search(n, g[:m], q, s, beta, p, r, weighted, carried)
            curvature = _up_columns(n, g[:m], e, q, between, p, weighted, carried, line, s, sums)
            if not curvature > 0.0:
                break
            _step(n, energy / curvature, p[:m], s, x, r)
            for a in range(m, filled):
                s[a, :] = 0.0
            before = energy
            energy = _rows_backward(n, r, w, row_first, row_wire, s)
            beta = energy / before
            taken += 1
        _read_columns(n, g[:m], across, x, currents[vector])
        allowed = _allowed(currents[vector], total, 1.0)
        bounds[vector] = np.sqrt(factor * energy / allowed) if allowed > 0.0 else np.inf
        steps[vector] = taken
        if across_cells.shape[0] > 0 and vector == begin:
            across_cells[:] = 0.0
            _down_columns(n, g[:m], q, x, carried)
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
