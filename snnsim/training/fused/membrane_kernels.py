"""The sweep of a leaky integrate-and-fire membrane over a chunk of ticks, forward and backward.

LIF, IF (decay 1, gain 1) and LI (no threshold) are one recurrence and share the kernels. The arithmetic is that of
`snnsim.neurons.lif`, compiled. With u the membrane before the reset and v after it, the backward sweep of tick t is

    dL/du[t] = dL/ds[t] * s'(u[t]) + dL/dv[t] * dv/du[t],    dL/dv[t] = decay * dL/du[t + 1]

and SLTT is the same without the second term (Meng et al. 2023, arXiv:2302.14311, equations 9 to 12).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.errors import InternalError
from snnsim.neurons import lif
from snnsim.numerics.compilation import kernel_with, leaf
from snnsim.training.parameters import surrogates

kernel = kernel_with(lif, surrogates)

Coefficients = lif.Coefficients
integrate = leaf(lif.integrate)
distance = leaf(lif.distance)
reset = leaf(lif.reset)
triangle = leaf(surrogates.triangle)
rectangle = leaf(surrogates.rectangle)
arc_tangent = leaf(surrogates.arc_tangent)
logistic = leaf(surrogates.logistic)
fast_sigmoid = leaf(surrogates.fast_sigmoid)


@kernel
def list_set(flags: Any, indices: Any, position: int) -> int:
    """Append the places of non-zero flags to `indices` and return where the list ends; eight flags a look.

    Every place of a group is written and only a set flag keeps it: a branch a flag would cost more.
    """
    words = flags.view(np.uint64)
    for word in range(words.shape[0]):
        if words[word] != 0:
            for j in range(8 * word, 8 * word + 8):
                indices[position] = j
                position += flags[j]
    return position


@leaf
def check_room(rows: Any, n: Any, flags: Any, indices: Any, begin: Any, end: Any) -> None:
    """Raise `InternalError` where lists of `rows` rows do not fit."""
    if n > flags.shape[0] or rows * flags.shape[0] > indices.shape[0] or rows > min(begin.shape[0], end.shape[0]):
        raise InternalError("spikes of a chunk have no room for all of them")


@leaf
def advanced(v: Any, x: Any, c: Any, strict: bool) -> Any:
    """Return the membrane of a neuron before the reset, whether it fires, and the membrane after the tick."""
    (u,) = integrate(v, x, c)
    above = distance(u, c)
    fires = above > 0 if strict else above >= 0
    (after,) = reset(u, np.float32(fires), c)
    return u, fires, after


@leaf
def back_through_tick(
    g: Any, u: Any, after: Any, slope: Any, coefficients: Any, strict: bool, reset_route: Any
) -> None:
    """Turn dL/ds of a sample's neurons into dL/du, and dL/dv after the tick into that before it, in place."""
    decay, threshold, subtract, value = coefficients[0], coefficients[3], coefficients[4], coefficients[5]
    one = coefficients.dtype.type(1)
    for j in range(g.shape[0]):
        above = u[j] - threshold[j]
        fires = above > 0 if strict else above >= 0
        landing = subtract[j] * above + (one - subtract[j]) * value[j]
        through = subtract[j] if fires else one
        through += reset_route * (landing - u[j]) * slope[j]
        g[j] = g[j] * slope[j] + after[j] * through
        after[j] = decay[j] * g[j]


@kernel
def fire_ticks(
    drive: Any,
    membrane: Any,
    coefficients: Any,
    strict: bool,
    mask: Any,
    flags: Any,
    indices: Any,
    begin: Any,
    end: Any,
    low: int,
    high: int,
) -> None:
    """Sweep samples ``low ... high - 1`` forward over all ticks of a chunk.

    Parameters
    ----------
    drive : ndarray, shape (ticks, batch, neurons)
        In: the summed input. Out: the membrane u before the reset.
    membrane : ndarray, shape (batch, neurons)
        Membrane after the last tick; advanced in place.
    coefficients : ndarray, shape (6, neurons)
        Rows in the order of `snnsim.neurons.lif.Coefficients`.
    strict : bool
        Fire only above the threshold.
    mask : ndarray of uint8, shape (batch, neurons) or (0, 0)
        Spikes that dropout lets pass; empty for all.
    flags : ndarray of uint8, shape (neurons rounded up to 8,)
        Work space of this call, zero at the end.
    indices : ndarray of int, shape (ticks * batch * len(flags),)
        Out: the list of row ``tick * batch + sample`` starts at ``row * len(flags)``.
    begin, end : ndarray of int64, shape (ticks * batch,)
        Out: where each list starts and ends.
    low, high : int
        Samples that this call owns.
    """
    ticks, batch, n = drive.shape
    check_room(ticks * batch, n, flags, indices, begin, end)
    decay, gain, offset = coefficients[0], coefficients[1], coefficients[2]
    threshold, subtract, value = coefficients[3], coefficients[4], coefficients[5]
    masked = mask.shape[0] > 0
    for sample in range(low, high):
        v = membrane[sample]
        for tick in range(ticks):
            x = drive[tick, sample]
            for j in range(n):
                c = Coefficients(decay[j], gain[j], offset[j], threshold[j], subtract[j], value[j])
                x[j], flags[j], v[j] = advanced(v[j], x[j], c, strict)
            if masked:
                for j in range(n):
                    flags[j] &= mask[sample, j]
            row = tick * batch + sample
            begin[row] = row * flags.shape[0]
            end[row] = list_set(flags, indices, begin[row])


@kernel
def integrate_ticks(drive: Any, membrane: Any, coefficients: Any, low: int, high: int) -> None:
    """Sweep a readout that never fires over samples ``low ... high - 1``; see `fire_ticks`."""
    for sample in range(low, high):
        v = membrane[sample]
        for tick in range(drive.shape[0]):
            x = drive[tick, sample]
            for j in range(x.shape[0]):
                x[j] = coefficients[0, j] * v[j] + (coefficients[1, j] * x[j] + coefficients[2, j])
                v[j] = x[j]


@kernel
def list_spikes(
    membrane: Any,
    threshold: Any,
    strict: bool,
    mask: Any,
    flags: Any,
    indices: Any,
    begin: Any,
    end: Any,
    a: int,
    b: int,
) -> None:
    """List the spikes of rows ``a ... b - 1`` again from the membranes before the reset; see `fire_ticks`."""
    batch, n = membrane.shape[1], membrane.shape[2]
    check_room(b, n, flags, indices, begin, end)
    masked = mask.shape[0] > 0
    for row in range(a, b):
        u = membrane[row // batch, row % batch]
        for j in range(n):
            above = u[j] - threshold[j]
            flags[j] = above > 0 if strict else above >= 0
        if masked:
            for j in range(n):
                flags[j] &= mask[row % batch, j]
        begin[row] = row * flags.shape[0]
        end[row] = list_set(flags, indices, begin[row])


@kernel
def slopes(out: Any, membrane: Any, threshold: Any, kind: int, parameter: Any) -> None:
    """Write the surrogate of that `Surrogate.number`; a loop each, so that each is vectorised."""
    n = out.shape[0]
    if kind == 0:
        for j in range(n):
            out[j] = triangle(membrane[j] - threshold[j], parameter)
    elif kind == 1:
        for j in range(n):
            out[j] = rectangle(membrane[j] - threshold[j], parameter)
    elif kind == 2:
        for j in range(n):
            out[j] = arc_tangent(membrane[j] - threshold[j], parameter)
    elif kind == 3:
        for j in range(n):
            out[j] = logistic(membrane[j] - threshold[j], parameter)
    else:
        for j in range(n):
            out[j] = fast_sigmoid(membrane[j] - threshold[j], parameter)


@kernel
def spatial_ticks(
    gradient: Any,
    membrane: Any,
    coefficients: Any,
    mask: Any,
    scale: Any,
    kind: int,
    parameter: Any,
    low: int,
    high: int,
) -> None:
    """SLTT: turn dL/ds into dL/du within each tick, rows ``low ... high - 1``.

    Parameters
    ----------
    gradient : ndarray, shape (ticks, batch, neurons)
        In: gradient of the spikes that left the population. Out: gradient of the membrane before the reset.
    membrane : ndarray, shape (ticks, batch, neurons)
        Membrane before the reset.
    coefficients : ndarray, shape (6, neurons)
    mask : ndarray of uint8, shape (batch, neurons) or (0, 0)
    scale : float
        Size of a spike that dropout let pass.
    kind, parameter
        The surrogate.
    low, high : int
        Rows that this call owns.
    """
    batch, n = gradient.shape[1], gradient.shape[2]
    threshold = coefficients[3]
    masked = mask.shape[0] > 0
    work = np.empty_like(threshold)
    for row in range(low, high):
        g, u = gradient[row // batch, row % batch], membrane[row // batch, row % batch]
        if masked:
            for j in range(n):
                g[j] *= scale * mask[row % batch, j]
        slopes(work, u, threshold, kind, parameter)
        for j in range(n):
            g[j] *= work[j]


@kernel
def temporal_ticks(
    gradient: Any,
    membrane: Any,
    carry: Any,
    coefficients: Any,
    mask: Any,
    scale: Any,
    kind: int,
    parameter: Any,
    strict: bool,
    keep_reset: bool,
    low: int,
    high: int,
) -> None:
    """BPTT: the backward sweep of samples ``low ... high - 1`` over all ticks of a chunk, last tick first.

    Parameters
    ----------
    gradient, membrane, coefficients, mask, scale, kind, parameter
        As for `spatial_ticks`.
    carry : ndarray, shape (batch, neurons)
        dL/dv after the chunk's last tick; on return, before its first.
    strict : bool
        Fire only above the threshold.
    keep_reset : bool
        Let the gradient pass through the spike in the reset.
    low, high : int
        Samples that this call owns.
    """
    ticks, _, n = gradient.shape
    threshold = coefficients[3]
    masked = mask.shape[0] > 0
    reset_route = coefficients.dtype.type(1 if keep_reset else 0)
    work = np.empty_like(threshold)
    for sample in range(low, high):
        after = carry[sample]
        for tick in range(ticks - 1, -1, -1):
            g, u = gradient[tick, sample], membrane[tick, sample]
            if masked:
                for j in range(n):
                    g[j] *= scale * mask[sample, j]
            slopes(work, u, threshold, kind, parameter)
            back_through_tick(g, u, after, work, coefficients, strict, reset_route)


@kernel
def leak_ticks(gradient: Any, carry: Any, coefficients: Any, low: int, high: int) -> None:
    """BPTT through a readout that never fires; see `temporal_ticks`."""
    for sample in range(low, high):
        after = carry[sample]
        for tick in range(gradient.shape[0] - 1, -1, -1):
            g = gradient[tick, sample]
            for j in range(g.shape[0]):
                g[j] += after[j]
                after[j] = coefficients[0, j] * g[j]
