"""What can be attached to a network while it trains: a chip that computes projections, noise on the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.training.parameters.plan import Link


class Spikes(Protocol):
    """What a chip is told of the spikes of a chunk; see `snnsim.training.compute.spike_lists.Signal`."""

    ticks: int
    batch: int
    scale: float
    lists: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]] | None

    def plain(self, dtype: torch.dtype) -> Tensor:
        """Return dense values of shape (ticks * batch, sources)."""


class Chip(Protocol):
    """A chip that computes some projections; see `snnsim.training.chips.in_the_loop`."""

    def __contains__(self, name: object) -> bool:
        """Whether it computes a projection."""

    def begin(self, training: bool, weights: Callable[[], dict[str, Tensor]], key: int) -> None:
        """Begin a call: program the chip where that is due, and draw the noise of the call from `key`."""

    def deliver(self, link: Link, signal: Spikes, drive: Tensor, fresh: bool) -> None:
        """Add what the chip reads for a chunk to `drive`, shape (rows, targets), or write it where `fresh`."""

    def state(self) -> dict[str, Tensor]:
        """Return what a training that goes on must know."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Bring the chip to where it was when `state` was called."""


class WeightNoise(Protocol):
    """Noise on the weights of some projections; see `snnsim.training.chips.noise_aware`."""

    def draw(self, training: bool, weights: Callable[[str], Tensor], key: int) -> None:
        """Draw the noise of a minibatch, a function of its key and of the weights; none outside training."""

    def added(self, name: str, weights: Tensor) -> Tensor:
        """Return the weights of a projection with the noise of the minibatch."""
