"""Sweeps of a population over ticks and samples by the loops of its own model; see `snnsim.training.fused.model_rows`.

What is kept of a population is its input alone, and its states before the first tick: the states in between are worked
out again on the way back, in memory that stays in the cache. Chunks of ticks and whole samples share the kernels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from snnsim.numerics.specialise import digest, specialised
from snnsim.training.fused import membrane_kernels
from snnsim.training.fused.membrane_kernels import check_room, list_set
from snnsim.training.fused.model_rows import Rows

# The names of the loops stand for those of a model; `sweeps_of` puts them in.
fire: Any = None
advance: Any = None
back: Any = None
back_within: Any = None


def list_ticks(
    drive: Any,
    factor: Any,
    shift: Any,
    states: Any,
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
    """Sweep samples ``low ... high - 1`` forward over all ticks and list their spikes.

    Parameters
    ----------
    drive : ndarray, shape (ticks, batch, neurons)
        Input, which is multiplied by `factor` and moved by `shift`; not changed.
    factor, shift : ndarray, shape (neurons,)
    states : ndarray, shape (batch, states, neurons)
        After the last tick; advanced in place.
    coefficients : ndarray, shape (fields, neurons)
    strict : bool
        Fire only above the threshold.
    mask : ndarray of uint8, shape (batch, neurons) or (0, 0)
        Spikes that dropout lets pass; empty for all.
    flags, indices, begin, end
        As for `snnsim.training.fused.membrane_kernels.fire_ticks`.
    low, high : int
        Samples that this call owns.
    """
    ticks, batch, n = drive.shape
    check_room(ticks * batch, n, flags, indices, begin, end)
    masked = mask.shape[0] > 0
    for sample in range(low, high):
        for tick in range(ticks):
            fire(states[sample], drive[tick, sample], factor, shift, coefficients, strict, flags)
            if masked:
                for j in range(n):
                    flags[j] &= mask[sample, j]
            row = tick * batch + sample
            begin[row] = row * flags.shape[0]
            end[row] = list_set(flags, indices, begin[row])


def write_ticks(
    drive: Any,
    factor: Any,
    shift: Any,
    states: Any,
    coefficients: Any,
    strict: bool,
    mask: Any,
    out: Any,
    low: int,
    high: int,
) -> None:
    """Sweep samples forward and write spikes as bytes, or the first state of a readout; see `list_ticks`.

    Parameters
    ----------
    out : ndarray, shape (ticks, batch, neurons)
    """
    masked = mask.shape[0] > 0
    for sample in range(low, high):
        for tick in range(drive.shape[0]):
            fire(states[sample], drive[tick, sample], factor, shift, coefficients, strict, out[tick, sample])
            if masked:
                for j in range(drive.shape[2]):
                    out[tick, sample, j] *= mask[sample, j]


def back_through_ticks(
    gradient: Any,
    drive: Any,
    factor: Any,
    shift: Any,
    states: Any,
    coefficients: Any,
    strict: bool,
    mask: Any,
    scale: Any,
    route: Any,
    parameter: Any,
    carry: Any,
    total: Any,
    low: int,
    high: int,
) -> None:
    """BPTT: sweep samples ``low ... high - 1`` backward over all ticks, last tick first.

    Parameters
    ----------
    gradient : ndarray, shape (ticks, batch, neurons)
        In: dL/dspike, after dropout (dL/dstate of a readout). Out: dL/ddrive, behind `factor` and `shift`.
    states : ndarray, shape (batch, states, neurons)
        Before the first tick; not changed.
    drive, factor, shift, coefficients, strict, mask
        As for `list_ticks`.
    scale : float
        Size of a spike that dropout let pass.
    route : float
        1 lets the gradient pass through the spike in the reset, 0 does not.
    parameter : float
        Of the surrogate.
    carry : ndarray, shape (batch, states, neurons)
        dL/dstates after the last tick; on return, before the first.
    total : ndarray of float64, shape (groups, coefficients that are learned, neurons)
        dL/dcoefficients is added: samples are divided evenly into groups, each with a sum of its own.
    low, high : int
        Samples that this call owns.
    """
    ticks, _, n = drive.shape
    masked = mask.shape[0] > 0
    before = np.empty((ticks, states.shape[1], n), states.dtype)
    now = np.empty((states.shape[1], n), states.dtype)
    for sample in range(low, high):
        now[:] = states[sample]
        for tick in range(ticks):
            before[tick] = now
            advance(now, drive[tick, sample], factor, shift, coefficients, strict)
        for tick in range(ticks - 1, -1, -1):
            g, x = gradient[tick, sample], drive[tick, sample]
            if masked:
                for j in range(n):
                    g[j] *= scale * mask[sample, j]
            after, own = carry[sample], total[sample * total.shape[0] // drive.shape[1]]
            back(before[tick], x, factor, shift, coefficients, strict, route, parameter, after, g, own)


def back_within_ticks(
    gradient: Any,
    chosen: Any,
    drive: Any,
    factor: Any,
    shift: Any,
    states: Any,
    coefficients: Any,
    strict: bool,
    mask: Any,
    scale: Any,
    parameter: Any,
    total: Any,
    low: int,
    high: int,
) -> None:
    """SLTT: turn dL/dspike into dL/ddrive within single ticks; see `back_through_ticks`.

    Parameters
    ----------
    gradient : ndarray, shape (len(chosen), batch, neurons)
    chosen : ndarray of int64
        Ticks that are gone back through, ascending.
    """
    n = drive.shape[2]
    masked = mask.shape[0] > 0
    now = np.empty((states.shape[1], n), states.dtype)
    unused = np.empty((states.shape[1], n), states.dtype)
    route = states.dtype.type(0)
    for sample in range(low, high):
        now[:] = states[sample]
        start = 0
        for number in range(chosen.shape[0]):
            for tick in range(start, chosen[number]):
                advance(now, drive[tick, sample], factor, shift, coefficients, strict)
            start = chosen[number]
            g, x = gradient[number, sample], drive[start, sample]
            if masked:
                for j in range(n):
                    g[j] *= scale * mask[sample, j]
            own = total[sample * total.shape[0] // drive.shape[1]]
            back_within(now, x, factor, shift, coefficients, strict, route, parameter, unused, g, own)


class Sweeps:
    """The kernels of a model, kept on disk under the name of its loops."""

    def __init__(self, rows: Rows) -> None:
        self.list_ticks = _with_loops(list_ticks, rows)
        self.write_ticks = _with_loops(write_ticks, rows)
        self.back_through_ticks = _with_loops(back_through_ticks, rows)
        self.back_within_ticks = _with_loops(back_within_ticks, rows)


@functools.cache
def sweeps_of(rows: Rows) -> Sweeps:
    """Return the kernels of a model, compiled when they are first called."""
    return Sweeps(rows)


def _with_loops(template: Any, rows: Rows) -> Any:
    loops = {"fire": rows.fire, "advance": rows.advance, "back": rows.back, "back_within": rows.back_within}
    name = f"{template.__name__}_{rows.name}_{digest([membrane_kernels])}"
    return specialised(template, name, cache=True, **loops)
