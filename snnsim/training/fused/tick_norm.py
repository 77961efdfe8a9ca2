"""Batch norm one tick at a time, forward and backward.

SLTT (arXiv:2302.14311) sees one tick at a time, so a tick is normalised before the next one is known. Its own mean and
variance would do for that, but they differ from tick to tick, and a network that is evaluated, exported and run has one
factor and one shift: what was learned with the statistics of each tick is then another network. So training computes
what evaluation will compute, by the running statistics, and keeps the statistics of the tick for the gradient: batch
renormalisation (Ioffe 2017, arXiv:1702.03275). With mean m and deviation s of the tick, and M and S of the sequences
seen so far,

    ``y = w ((x - m) / s * r + d) + b``,  ``r = s / S``,  ``d = (m - M) / S``,

where no gradient goes into r and d. The very first batch has no others before it and takes r = 1, d = 0.

The running statistics are those of whole sequences, all ticks of all samples of a batch, up to the end of each sample.
Their average counts only batches that there were: of one, then of two, and so on towards the exponential one, so that
they hold from the first batch on, whatever the momentum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snnsim.training.compute.batch_statistics import Moments, check_batch, tick_moments
from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.parameters.batch_norm import TickBatchNorm
from snnsim.training.parameters.plan import Stage


@dataclass
class Normalised:
    """What the backward pass needs of some ticks.

    Parameters
    ----------
    standard : Tensor, shape (ticks, batch, channels, extent)
        By the statistics of the tick.
    inverse : Tensor, shape (ticks or 1, 1, channels, 1)
        What a drive is multiplied by before the factor.
    scale, shift : Tensor, shape (ticks, channels), or None
        r and d; None for 1 and 0.
    counts : Tensor, shape (ticks,), or None
        Values a channel; None without the statistics of the batch.
    inside : Tensor of bool, shape (ticks, batch), or None
        Which ticks belong to each sample; None for all.
    """

    standard: Tensor
    inverse: Tensor
    scale: Tensor | None
    shift: Tensor | None
    counts: Tensor | None
    inside: Tensor | None

    def chosen(self, ticks: list[int]) -> Normalised:
        """Return some of the ticks."""
        names = ("standard", "scale", "shift", "counts", "inside")
        parts = {name: part[ticks] for name in names if (part := getattr(self, name)) is not None}
        inverse = self.inverse if len(self.inverse) == 1 else self.inverse[ticks]
        return replace(self, inverse=inverse, **parts)


def normalise(
    norm: TickBatchNorm,
    affine: tuple[Tensor, Tensor],
    stage: Stage,
    drive: Tensor,
    batch: int,
    moments: Moments | None,
    inside: Tensor | None,
    keep: str | None,
    workspace: Workspace,
    workers: Workers,
) -> Normalised | None:
    """Normalise a drive in place.

    Parameters
    ----------
    norm : TickBatchNorm
        Holds the running statistics.
    affine : tuple of Tensor, shape (channels,)
        Factor and shift.
    stage : Stage
    drive : Tensor, shape (ticks * batch, neurons)
    batch : int
    moments : Moments, optional
        Where the statistics of the ticks are added, in training; None uses the running ones alone.
    inside : Tensor of bool, shape (ticks, batch), optional
        Which ticks belong to each sample; default all.
    keep : str or None
        Name of the buffer for what the backward pass needs; None where there will be none.
    """
    channels = stage.channels
    x = drive.view(-1, batch, channels, stage.size // channels)
    ticks, first = x.shape[0], moments is not None and not int(norm.batches)
    standard = None if keep is None else workspace.take(f"{keep}.standard", tuple(x.shape), x.dtype)
    running = norm.running_mean.view(1, 1, -1, 1), norm.inverse().view(1, 1, -1, 1)
    weight, bias = (one.detach().view(1, 1, -1, 1) for one in affine)
    if moments is None:

        def evaluated(low: int, high: int) -> None:
            part = x[low:high]
            part.sub_(running[0]).mul_(running[1])
            if standard is not None:
                standard[low:high] = part
            part.mul_(weight).add_(bias)

        workers.map(evaluated, ticks, 4 * drive.numel())
        return None if standard is None else Normalised(standard, running[1], None, None, None, inside)
    check_batch(stage, batch)
    counts = torch.empty(ticks, dtype=x.dtype)
    means, variances, scale, shift = (torch.empty(ticks, channels, dtype=x.dtype) for _ in range(4))
    own = torch.empty(ticks, 1, channels, 1, dtype=x.dtype)

    def work(low: int, high: int) -> None:
        part = x[low:high]
        count, mean, variance = tick_moments(part, None if inside is None else inside[low:high])
        counts[low:high], means[low:high] = count, mean.view(high - low, -1)
        variances[low:high] = variance.view(high - low, -1)
        own[low:high] = inverse = torch.rsqrt(variance + norm.epsilon)
        if standard is not None:
            torch.sub(part, mean, out=standard[low:high])
            standard[low:high].mul_(inverse)
        if first:
            part.sub_(mean).mul_(inverse * weight).add_(bias)
            return
        scale[low:high] = (running[1] / inverse).view(high - low, -1)
        shift[low:high] = ((mean - running[0]) * running[1]).view(high - low, -1)
        part.sub_(running[0]).mul_(running[1] * weight).add_(bias)

    workers.map(work, ticks, 4 * drive.numel())
    moments.add(counts, means, variances)
    if standard is None:
        return None
    if first:
        return Normalised(standard, own, None, None, counts, inside)
    return Normalised(standard, running[1], scale, shift, counts, inside)


def normalise_backward(factor: Tensor, saved: Normalised, gradient: Tensor, workers: Workers) -> tuple[Tensor, Tensor]:
    """Turn the gradient of the normalised drive into that of the drive, in place.

    Parameters
    ----------
    factor : Tensor, shape (channels,)
    saved : Normalised
    gradient : Tensor, shape (ticks * batch, neurons)
        Zero beyond the end of a sample.
    workers : Workers

    Returns
    -------
    weight, bias : Tensor, shape (channels,)
        Gradients of the two parameters.
    """
    g = gradient.view(saved.standard.shape)
    ticks, batch, channels, _ = g.shape
    of_weight = torch.empty(ticks, channels, dtype=g.dtype)
    of_bias = torch.empty(ticks, channels, dtype=g.dtype)
    weight = factor.detach().view(1, 1, -1, 1)

    def work(low: int, high: int) -> None:
        part, standard = g[low:high], saved.standard[low:high]
        total = part.sum(dim=(1, 3), keepdim=True)
        along = (part * standard).sum(dim=(1, 3), keepdim=True)
        of_bias[low:high] = total.view(-1, channels)
        if saved.scale is None or saved.shift is None:
            of_weight[low:high] = along.view(-1, channels)
        else:
            scaled = along.view(-1, channels) * saved.scale[low:high]
            of_weight[low:high] = scaled + of_bias[low:high] * saved.shift[low:high]
        if saved.counts is not None:
            count = saved.counts[low:high].clamp(min=1).view(-1, 1, 1, 1)
            part.sub_(total / count).sub_(standard * (along / count))
            if saved.inside is not None:
                part.mul_(saved.inside[low:high].view(-1, batch, 1, 1))
        part.mul_(weight * (saved.inverse if len(saved.inverse) == 1 else saved.inverse[low:high]))

    workers.map(work, ticks, 4 * gradient.numel())
    return of_weight.sum(0), of_bias.sum(0)
