"""Sweeps over the wires of a crossbar, for `kernels`, which says what they are parts of.

Arrays have one row a connected row of the crossbar and at least n columns, the first n of which count; those of the row
wires are filled up with rows without cells to a multiple of `SIDE_BY_SIDE`. Letters: g conductances, d what stands for
them in the preconditioner, `between` resistances along a column, q and w the factors 1 / (1 + R y) of column and row
wires, x potentials of row nodes.
"""

from __future__ import annotations

import numpy as np

from snnsim.numerics.specialise import specialised

#: Row wires swept side by side: each sweep is a chain of dependent sums, and four hide one another's latency.
SIDE_BY_SIDE = 4


def leaf(function):
    """Compile a leaf for arrays that lie apart: unless told so, the compiler leaves loops over many of them scalar."""
    return specialised(function, f"wires_{function.__name__}", distinct=True)


@leaf
def order(rows):
    """Sort a short list in place."""
    for i in range(1, rows.size):
        moved = rows[i]
        j = i
        while j > 0 and rows[j - 1] > moved:
            rows[j] = rows[j - 1]
            j -= 1
        rows[j] = moved


@leaf
def factor_columns(n, g, between, q, across, total, drop):
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
def factor_rows(n, d, first, wire, w):
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
def drive_rows(n, voltages, w, x):
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
def rows_backward(n, r, w, first, wire, s):
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
def rows_forward(n, s, w, first, wire):
    """Turn what `rows_backward` made of r into P^-1 r."""
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
def down_columns(n, g, q, x, carried):
    """Fill the Norton currents that the cells of each column send down its wire, seen after each row."""
    m = g.shape[0]
    for j in range(n):
        carried[0, j] = g[0, j] * x[0, j]
    for a in range(1, m):
        for j in range(n):
            carried[a, j] = g[a, j] * x[a, j] + carried[a - 1, j] * q[a - 1, j]


@leaf
def search(n, g, q, z, beta, p, r, weighted, carried):
    """Renew the direction p and P p, and do `down_columns` on it in the same pass."""
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
def up_columns(n, g, e, q, between, p, weighted, carried, v, image, sums):
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
def step(n, alpha, p, image, x, r):
    """Go so far in the direction p, and renew the residual."""
    m = p.shape[0]
    for a in range(m):
        for j in range(n):
            x[a, j] += alpha * p[a, j]
            r[a, j] -= alpha * image[a, j]


@leaf
def read_columns(n, g, across, x, currents):
    """Fill the column currents: row potentials weighted with F."""
    m = g.shape[0]
    for j in range(n):
        currents[j] = 0.0
    for a in range(m):
        for j in range(n):
            currents[j] += g[a, j] * across[a, j] * x[a, j]


@leaf
def allowed_energy(currents, total, tolerance):
    """Return the largest energy of the error that leaves every column within the tolerance of its own current."""
    allowed = np.inf
    for j in range(currents.size):
        if total[j] > 0.0:
            allowed = min(allowed, currents[j] * currents[j] / total[j])
    return tolerance * tolerance * allowed
