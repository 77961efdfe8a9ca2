"""Mean and variance of a batch: of each tick, and of all ticks together."""

from __future__ import annotations

import torch
from torch import Tensor

from snnsim.errors import ParameterError
from snnsim.training.parameters.batch_norm import TickBatchNorm
from snnsim.training.parameters.plan import Stage


class Moments:
    """Mean and variance of the ticks of a batch, tick by tick.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        self._count = 0.0
        self._sums, self._squares = torch.zeros(2, channels, dtype=torch.float64)

    def add(self, counts: Tensor, means: Tensor, variances: Tensor) -> None:
        """Add ticks: how many values each has, shape (ticks,), and their moments, shape (ticks, channels)."""
        weights, own = counts.double().unsqueeze(1), means.double()
        self._count += float(counts.sum())
        self._sums += (weights * own).sum(0)
        self._squares += (weights * (variances.double() + own.square())).sum(0)

    def into(self, norm: TickBatchNorm) -> None:
        """Take what was added into the running statistics."""
        if self._count < 2:
            return
        mean = self._sums / self._count
        spread = (self._squares / self._count - mean.square()).clamp_(min=0)
        norm.update(mean, spread * (self._count / (self._count - 1)))


def check_batch(stage: Stage, batch: int) -> None:
    """Raise `ParameterError` where a tick has one value a channel, which has no variance."""
    if batch * (stage.size // stage.channels) < 2:
        raise ParameterError(
            f"batch norm of {stage.name!r} needs two samples or more a batch in training; this batch has one"
        )


def tick_moments(x: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the values of each tick and channel are.

    Parameters
    ----------
    x : Tensor, shape (ticks, batch, channels, extent)
    inside : Tensor of bool, shape (ticks, batch), or None

    Returns
    -------
    counts : Tensor, shape (ticks,)
    mean, variance : Tensor, shape (ticks, 1, channels, 1)
        Over samples and extent; variance without Bessel's correction. Zero where there are none.
    """
    ticks, batch, _, extent = x.shape
    if inside is None:
        variance, mean = torch.var_mean(x, dim=(1, 3), correction=0, keepdim=True)
        return torch.full((ticks,), batch * extent, dtype=x.dtype), mean, variance
    mask = inside.view(ticks, batch, 1, 1)
    counts = inside.sum(1).to(x.dtype) * extent
    each = counts.clamp(min=1).view(-1, 1, 1, 1)
    mean = torch.where(mask, x, 0.0).sum(dim=(1, 3), keepdim=True) / each
    variance = torch.where(mask, x - mean, 0.0).square().sum(dim=(1, 3), keepdim=True) / each
    return counts, mean, variance


def check_rows(rows: int) -> None:
    """Raise `ParameterError` where a batch has one value a neuron, which has no variance."""
    if rows < 2:
        raise ParameterError("batch norm needs two ticks or two samples in training; this batch has one of each")
