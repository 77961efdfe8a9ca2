"""Batch norm with the statistics of each tick, forward and backward, and what it amounts to once learned.

In training every tick is normalised by its own mean and variance over the batch (and over the image, for
convolutions), and the running statistics are updated once a tick, in order, so that their effective momentum over a
sequence is 1 - (1 - m)^T: the convention of SLTT (arXiv:2302.14311), which must see one tick at a time. Networks that
normalise over ticks and batch together are another model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snnsim.errors import ParameterError
from snnsim.training.plan import Stage
from snnsim.training.threads import Workers
from snnsim.training.workspace import Workspace


class TickBatchNorm(nn.Module):
    """Parameters and running statistics of one population.

    Parameters
    ----------
    channels : int
        Neurons, or channels of a convolution.
    dtype : torch.dtype
    momentum, epsilon : float
        As in ``torch.nn.BatchNorm2d``.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, dtype: torch.dtype, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(channels, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=dtype))
        self.register_buffer("running_mean", torch.zeros(channels, dtype=dtype))
        self.register_buffer("running_variance", torch.ones(channels, dtype=dtype))

    def update(self, mean: Tensor, variance: Tensor) -> None:
        """Take the statistics of one tick (unbiased variance) into the running ones."""
        self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
        self.running_variance.mul_(1 - self.momentum).add_(variance, alpha=self.momentum)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return factor and shift of each channel, in float64, that do what the running statistics do."""
        factor = self.weight.double() / torch.sqrt(self.running_variance.double() + self.epsilon)
        return factor.detach(), (self.bias.double() - self.running_mean.double() * factor).detach()


@dataclass
class Normalised:
    """What the backward pass needs of one chunk."""

    standard: Tensor
    inverse: Tensor
    training: bool


def check_batch(stage: Stage, batch: int) -> None:
    """Raise `ParameterError` where a tick has one value a channel, which has no variance."""
    if batch * (stage.size // stage.channels) < 2:
        raise ParameterError(
            f"batch norm of {stage.name!r} needs two samples or more a batch in training; this batch has one"
        )


def normalise(
    norm: TickBatchNorm,
    stage: Stage,
    drive: Tensor,
    batch: int,
    training: bool,
    keep: str | None,
    workspace: Workspace,
    workers: Workers,
) -> Normalised | None:
    """Normalise a drive in place.

    Parameters
    ----------
    norm : TickBatchNorm
    stage : Stage
    drive : Tensor, shape (ticks * batch, neurons)
    batch : int
    training : bool
        Use and remember the statistics of each tick, instead of the running ones.
    keep : str or None
        Name of the buffer for what the backward pass needs; None where there will be none.
    """
    channels = stage.channels
    x = drive.view(-1, batch, channels, stage.size // channels)
    ticks = x.shape[0]
    standard = None if keep is None else workspace.take(f"{keep}.standard", tuple(x.shape), x.dtype)
    inverse = torch.empty(ticks, 1, channels, 1, dtype=x.dtype)
    means = torch.empty(ticks, channels, dtype=x.dtype)
    variances = torch.empty(ticks, channels, dtype=x.dtype)
    if training:
        check_batch(stage, batch)
    weight, bias = norm.weight.detach().view(1, 1, -1, 1), norm.bias.detach().view(1, 1, -1, 1)

    def work(low: int, high: int) -> None:
        part = x[low:high]
        if training:
            variance, mean = torch.var_mean(part, dim=(1, 3), correction=0, keepdim=True)
            count = part.shape[1] * part.shape[3]
            means[low:high] = mean.view(high - low, -1)
            variances[low:high] = variance.view(high - low, -1) * (count / (count - 1))
        else:
            mean = norm.running_mean.view(1, 1, -1, 1)
            variance = norm.running_variance.view(1, 1, -1, 1)
        inverse[low:high] = torch.rsqrt(variance + norm.epsilon)
        part.sub_(mean).mul_(inverse[low:high])
        if standard is not None:
            standard[low:high] = part
        part.mul_(weight).add_(bias)

    workers.map(work, ticks, 4 * drive.numel())
    if training:
        for tick in range(ticks):
            norm.update(means[tick], variances[tick])
    return None if standard is None else Normalised(standard, inverse, training)


def normalise_backward(
    norm: TickBatchNorm, saved: Normalised, gradient: Tensor, workers: Workers
) -> tuple[Tensor, Tensor]:
    """Turn the gradient of the normalised drive into that of the drive, in place.

    Returns
    -------
    weight, bias : Tensor, shape (channels,)
        Gradients of the two parameters.
    """
    g = gradient.view(saved.standard.shape)
    ticks, batch, channels, extent = g.shape
    of_weight = torch.empty(ticks, channels, dtype=g.dtype)
    of_bias = torch.empty(ticks, channels, dtype=g.dtype)
    weight = norm.weight.detach().view(1, 1, -1, 1)

    def work(low: int, high: int) -> None:
        part, standard = g[low:high], saved.standard[low:high]
        total = part.sum(dim=(1, 3), keepdim=True)
        along = (part * standard).sum(dim=(1, 3), keepdim=True)
        of_bias[low:high], of_weight[low:high] = total.view(-1, channels), along.view(-1, channels)
        if saved.training:
            count = batch * extent
            part.sub_(total / count).sub_(standard * (along / count))
        part.mul_(weight * saved.inverse[low:high])

    workers.map(work, ticks, 4 * gradient.numel())
    return of_weight.sum(0), of_bias.sum(0)
