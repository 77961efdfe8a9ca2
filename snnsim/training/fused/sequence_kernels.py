"""Sweeps over whole samples, for networks with delays: spikes as bytes, membranes worked out again on the way back.

What is kept of a layer is its input alone (after batch norm, before its factor and shift), one number a neuron and
tick. The backward sweep computes the membranes of a sample from it once more, in memory that stays in the cache. The
recurrences are those of `snnsim.training.fused.membrane_kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.neurons import lif
from snnsim.numerics.compilation import kernel_with
from snnsim.training.fused import membrane_kernels
from snnsim.training.parameters import surrogates

kernel = kernel_with(lif, surrogates, membrane_kernels)

Coefficients = lif.Coefficients
advanced = membrane_kernels.advanced
back_through_tick = membrane_kernels.back_through_tick
slopes = membrane_kernels.slopes


@kernel
def fire_sequence(
    drive: Any,
    factor: Any,
    shift: Any,
    initial: Any,
    coefficients: Any,
    strict: bool,
    mask: Any,
    spikes: Any,
    low: int,
    high: int,
) -> None:
    """Sweep samples ``low ... high - 1`` forward over all ticks.

    Parameters
    ----------
    drive : ndarray, shape (ticks, batch, neurons)
        Input, which is multiplied by `factor` and moved by `shift`; not changed.
    factor, shift : ndarray, shape (neurons,)
    initial : ndarray, shape (neurons,)
        Membrane before the first tick.
    coefficients : ndarray, shape (6, neurons)
        Rows in the order of `snnsim.neurons.lif.Coefficients`.
    strict : bool
        Fire only above the threshold.
    mask : ndarray of uint8, shape (batch, neurons) or (0, 0)
        Spikes that dropout lets pass; empty for all.
    spikes : ndarray of uint8, shape (ticks, batch, neurons)
        Out.
    low, high : int
        Samples that this call owns.
    """
    ticks, _, n = drive.shape
    decay, gain, offset = coefficients[0], coefficients[1], coefficients[2]
    threshold, subtract, value = coefficients[3], coefficients[4], coefficients[5]
    masked = mask.shape[0] > 0
    v = np.empty_like(initial)
    for sample in range(low, high):
        v[:] = initial
        for tick in range(ticks):
            x, out = drive[tick, sample], spikes[tick, sample]
            for j in range(n):
                c = Coefficients(decay[j], gain[j], offset[j], threshold[j], subtract[j], value[j])
                _, out[j], v[j] = advanced(v[j], x[j] * factor[j] + shift[j], c, strict)
            if masked:
                for j in range(n):
                    out[j] &= mask[sample, j]


@kernel
def back_through_sequence(
    gradient: Any,
    drive: Any,
    factor: Any,
    shift: Any,
    initial: Any,
    coefficients: Any,
    strict: bool,
    mask: Any,
    kind: int,
    parameter: Any,
    keep_reset: bool,
    low: int,
    high: int,
) -> None:
    """BPTT through all ticks of samples ``low ... high - 1``.

    Parameters
    ----------
    gradient : ndarray, shape (ticks, batch, neurons)
        In: gradient of the spikes, before dropout's mask. Out: gradient of the membrane before the reset.
    drive, factor, shift, initial, coefficients, strict, mask
        As for `fire_sequence`.
    kind, parameter
        The surrogate.
    keep_reset : bool
        Let the gradient pass through the spike in the reset.
    low, high : int
        Samples that this call owns.
    """
    ticks, _, n = gradient.shape
    decay, gain, offset = coefficients[0], coefficients[1], coefficients[2]
    threshold, subtract, value = coefficients[3], coefficients[4], coefficients[5]
    masked = mask.shape[0] > 0
    reset_route = coefficients.dtype.type(1 if keep_reset else 0)
    membrane = np.empty((ticks, n), initial.dtype)
    v, work, after = np.empty_like(initial), np.empty_like(initial), np.empty_like(initial)
    for sample in range(low, high):
        v[:] = initial
        for tick in range(ticks):
            x, u = drive[tick, sample], membrane[tick]
            for j in range(n):
                c = Coefficients(decay[j], gain[j], offset[j], threshold[j], subtract[j], value[j])
                u[j], _, v[j] = advanced(v[j], x[j] * factor[j] + shift[j], c, strict)
        after[:] = 0
        for tick in range(ticks - 1, -1, -1):
            g, u = gradient[tick, sample], membrane[tick]
            if masked:
                for j in range(n):
                    g[j] *= mask[sample, j]
            slopes(work, u, threshold, kind, parameter)
            back_through_tick(g, u, after, work, coefficients, strict, reset_route)


@kernel
def tick_moments(values: Any, inside: Any, means: Any, variances: Any, low: int, high: int) -> None:
    """Write mean and variance over the batch of ticks ``low ... high - 1``.

    Parameters
    ----------
    values : ndarray, shape (ticks, batch, neurons)
    inside : ndarray of bool, shape (ticks, batch), or empty
        Which ticks belong to each sample; empty for all. A tick that is of none has zeros.
    means, variances : ndarray, shape (ticks, neurons)
        Out; variances are those of the batch itself (no correction).
    low, high : int
        Ticks that this call owns.
    """
    _, batch, n = values.shape
    ragged = inside.size > 0
    for tick in range(low, high):
        mean, variance = means[tick], variances[tick]
        mean[:] = 0
        variance[:] = 0
        count = 0
        for sample in range(batch):
            if ragged and not inside[tick, sample]:
                continue
            count += 1
            x = values[tick, sample]
            for j in range(n):
                mean[j] += x[j]
        share = means.dtype.type(1.0 / max(count, 1))
        for j in range(n):
            mean[j] *= share
        for sample in range(batch):
            if ragged and not inside[tick, sample]:
                continue
            x = values[tick, sample]
            for j in range(n):
                away = x[j] - mean[j]
                variance[j] += away * away
        for j in range(n):
            variance[j] *= share
