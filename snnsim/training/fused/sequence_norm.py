"""Batch norm with one mean and variance for all ticks of a batch, forward and backward.

The convention of DCLS-Delays (arXiv:2306.17670) and of multi-step layers elsewhere: ticks and samples are normalised
together, and the running statistics are updated once a batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snnsim.training.compute.batch_statistics import check_rows
from snnsim.training.compute.threads import Workers
from snnsim.training.fused.sequence_kernels import tick_moments
from snnsim.training.parameters.batch_norm import TickBatchNorm

_EVERY_ROW = np.zeros((0, 0), np.bool_)


def standardise(norm: TickBatchNorm, drive: Tensor, training: bool, inside: Tensor | None, workers: Workers) -> Tensor:
    """Take mean and variance out of a drive, in place; factor and shift of the norm are left to the sweep.

    Parameters
    ----------
    norm : TickBatchNorm
    drive : Tensor, shape (ticks, batch, neurons)
    training : bool
        Use and remember the statistics of this batch, instead of the running ones.
    inside : Tensor of bool, shape (ticks, batch), optional
        Which ticks belong to each sample; default all.
    workers : Workers

    Returns
    -------
    inverse : Tensor, shape (neurons,)
        One over the standard deviation.
    """
    ticks, batch, n = drive.shape
    rows = ticks * batch if inside is None else int(inside.sum())
    if training:
        check_rows(rows)
    if not training:
        mean, inverse = norm.running_mean, norm.inverse()
    else:
        means, variances = torch.empty(ticks, n, dtype=drive.dtype), torch.empty(ticks, n, dtype=drive.dtype)
        lasting = _EVERY_ROW if inside is None else inside.numpy()
        arrays = drive.numpy(), lasting, means.numpy(), variances.numpy()
        workers.map(lambda low, high: tick_moments(*arrays, low, high), ticks, 3 * drive.numel())
        if inside is None:
            spread, mean = torch.var_mean(means, dim=0, correction=0)
            variance = variances.mean(0) + spread
        else:
            shares = (inside.sum(1).to(drive.dtype) / rows).unsqueeze(1)
            mean = (shares * means).sum(0)
            variance = (shares * (variances + (means - mean).square())).sum(0)
        norm.update(mean, variance * (rows / (rows - 1)))
        inverse = torch.rsqrt(variance + norm.epsilon)

    def work(low: int, high: int) -> None:
        drive[low:high].sub_(mean).mul_(inverse)

    workers.map(work, ticks, 2 * drive.numel())
    return inverse


def standardise_backward(
    factor: Tensor,
    standard: Tensor,
    inverse: Tensor,
    gradient: Tensor,
    training: bool,
    inside: Tensor | None,
    workers: Workers,
) -> tuple[Tensor, Tensor]:
    """Turn the gradient of the normalised drive into that of the drive, in place.

    Parameters
    ----------
    factor : Tensor, shape (neurons,)
    standard, gradient : Tensor, shape (ticks, batch, neurons)
        The gradient is zero beyond the end of a sample.
    inverse : Tensor, shape (neurons,)
        As `standardise` returned it.
    training, inside
        As they were given to `standardise`.
    workers : Workers

    Returns
    -------
    weight, bias : Tensor, shape (neurons,)
        Gradients of the two parameters.
    """
    ticks, batch, n = gradient.shape
    along = torch.empty(ticks, n, dtype=gradient.dtype)
    total = torch.empty(ticks, n, dtype=gradient.dtype)

    def count(low: int, high: int) -> None:
        for tick in range(low, high):
            total[tick] = gradient[tick].sum(0)
            along[tick] = (gradient[tick] * standard[tick]).sum(0)

    workers.map(count, ticks, 3 * gradient.numel())
    of_bias, of_weight = total.sum(0), along.sum(0)
    rows = ticks * batch if inside is None else int(inside.sum())
    scale = factor.detach() * inverse

    def work(low: int, high: int) -> None:
        for tick in range(low, high):
            part = gradient[tick]
            if training:
                part.sub_(of_bias / rows).sub_(standard[tick] * (of_weight / rows))
                if inside is not None:
                    part.mul_(inside[tick].unsqueeze(1))
            part.mul_(scale)

    workers.map(work, ticks, 4 * gradient.numel())
    return of_weight, of_bias
