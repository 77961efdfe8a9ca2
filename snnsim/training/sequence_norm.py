"""Batch norm with one mean and variance for all ticks of a batch, forward and backward.

The convention of DCLS-Delays (arXiv:2306.17670) and of multi-step layers elsewhere: ticks and samples are normalised
together, and the running statistics are updated once a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnsim.errors import ParameterError
from snnsim.training.normalisation import TickBatchNorm
from snnsim.training.sequence_kernels import tick_moments
from snnsim.training.threads import Workers


def standardise(norm: TickBatchNorm, drive: Tensor, training: bool, workers: Workers) -> Tensor:
    """Take mean and variance out of a drive, in place; factor and shift of the norm are left to the sweep.

    Parameters
    ----------
    norm : TickBatchNorm
    drive : Tensor, shape (ticks, batch, neurons)
    training : bool
        Use and remember the statistics of this batch, instead of the running ones.
    workers : Workers

    Returns
    -------
    inverse : Tensor, shape (neurons,)
        One over the standard deviation.
    """
    ticks, batch, n = drive.shape
    if training and ticks * batch < 2:
        raise ParameterError("batch norm needs two ticks or two samples in training; this batch has one of each")
    if not training:
        mean, inverse = norm.running_mean, torch.rsqrt(norm.running_variance + norm.epsilon)
    else:
        means, variances = torch.empty(ticks, n, dtype=drive.dtype), torch.empty(ticks, n, dtype=drive.dtype)

        arrays = drive.numpy(), means.numpy(), variances.numpy()
        workers.map(lambda low, high: tick_moments(*arrays, low, high), ticks, 3 * drive.numel())
        spread, mean = torch.var_mean(means, dim=0, correction=0)
        variance = variances.mean(0) + spread
        rows = ticks * batch
        norm.update(mean, variance * (rows / (rows - 1)))
        inverse = torch.rsqrt(variance + norm.epsilon)

    def work(low: int, high: int) -> None:
        drive[low:high].sub_(mean).mul_(inverse)

    workers.map(work, ticks, 2 * drive.numel())
    return inverse


def standardise_backward(
    norm: TickBatchNorm, standard: Tensor, inverse: Tensor, gradient: Tensor, training: bool, workers: Workers
) -> tuple[Tensor, Tensor]:
    """Turn the gradient of the normalised drive into that of the drive, in place.

    Parameters
    ----------
    norm : TickBatchNorm
    standard, gradient : Tensor, shape (ticks, batch, neurons)
    inverse : Tensor, shape (neurons,)
        As `standardise` returned it.
    training : bool
        As it was given to `standardise`.
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
    rows = ticks * batch
    scale = norm.weight.detach() * inverse

    def work(low: int, high: int) -> None:
        for tick in range(low, high):
            part = gradient[tick]
            if training:
                part.sub_(of_bias / rows).sub_(standard[tick] * (of_weight / rows))
            part.mul_(scale)

    workers.map(work, ticks, 4 * gradient.numel())
    return of_weight, of_bias
