"""Batch norm of a population: factor, shift and running statistics, and what they amount to once learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TickBatchNorm(nn.Module):
    """Parameters and running statistics of one population.

    Parameters
    ----------
    channels : int
        Neurons, or channels of a convolution.
    dtype : torch.dtype
    momentum, epsilon : float
        As in ``torch.nn.BatchNorm2d``; the momentum is that of a batch, however many ticks it has.
    """

    running_mean: Tensor
    running_variance: Tensor
    batches: Tensor

    def __init__(self, channels: int, dtype: torch.dtype, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(channels, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=dtype))
        self.register_buffer("running_mean", torch.zeros(channels, dtype=dtype))
        self.register_buffer("running_variance", torch.ones(channels, dtype=dtype))
        #: Batches that the running statistics are of.
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def update(self, mean: Tensor, variance: Tensor) -> None:
        """Take the statistics of one batch (unbiased variance) into the running ones."""
        self.batches.add_(1)
        share = self.momentum / (1.0 - (1.0 - self.momentum) ** int(self.batches))
        self.running_mean.mul_(1 - share).add_(mean.to(self.running_mean.dtype), alpha=share)
        self.running_variance.mul_(1 - share).add_(variance.to(self.running_variance.dtype), alpha=share)

    def inverse(self) -> Tensor:
        """Return one over the running standard deviation, shape (channels,)."""
        return torch.rsqrt(self.running_variance + self.epsilon)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return factor and shift of each channel, in float64, that do what the running statistics do."""
        factor = self.weight.double() / torch.sqrt(self.running_variance.double() + self.epsilon)
        return factor.detach(), (self.bias.double() - self.running_mean.double() * factor).detach()
