"""Noise-aware training: weights that are disturbed in every minibatch learn to bear disturbance.

Fresh Gaussian noise is added to the weights for the forward and the backward pass of a minibatch, and the gradients are
applied to the weights without it (Joshi et al. 2020, doi:10.1038/s41467-020-16108-9; with noise in multilayer
perceptrons, Murray and Edwards 1994, doi:10.1109/72.317730). It needs no chip, and prepares a network for all chips of
a kind, where training in the loop fits it to one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.errors import NetworkError, ParameterError
from snnsim.numerics import rng
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.settings import names, number

#: Weights of a projection to the standard deviation of their noise, in the same units.
Sigma = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class WeightNoise:
    """What `noise_aware` attaches to a network."""

    def __init__(self, model: TrainableNetwork, sigma: float | Sigma, projections: Iterable[str] | None) -> None:
        if not callable(sigma):
            sigma = number("sigma", sigma, zero=True)
        with_weights = [name for name, link in model.links.items() if link.has_weights]
        self.names = tuple(with_weights) if projections is None else names("projections", projections)
        for name in self.names:
            if name not in with_weights:
                raise NetworkError(f"noise: no projection {name!r} with weights; there are: {', '.join(with_weights)}")
        self.sigma = sigma
        self._now: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        sigma = getattr(self.sigma, "__qualname__", type(self.sigma).__name__) if callable(self.sigma) else self.sigma
        return f"WeightNoise({sigma}; {', '.join(self.names)})"

    def draw(self, training: bool, weights: Callable[[str], Tensor], key: int) -> None:
        """Draw the noise of a minibatch, a function of its key and of the weights; none outside training."""
        self._now = {}
        if not training:
            return
        for name in self.names:
            values = weights(name).detach()
            word = int(rng.bits(key, rng.stream_number("weight noise", name), 0))
            generator = torch.Generator().manual_seed(word % 2**63)
            noise = torch.randn(values.shape, generator=generator, dtype=values.dtype)
            self._now[name] = noise * self._deviation(name, values)

    def _deviation(self, name: str, weights: Tensor) -> Tensor | float:
        if not callable(self.sigma):
            return float(self.sigma) * float(weights.abs().max())
        given = np.asarray(self.sigma(weights.double().numpy()), np.float64)
        try:
            deviation = np.broadcast_to(given, tuple(weights.shape))
        except ValueError as error:
            raise ParameterError(
                f"sigma of projection {name!r} has shape {given.shape}; its weights have {tuple(weights.shape)}"
            ) from error
        if not np.all(np.isfinite(deviation) & (deviation >= 0)):
            raise ParameterError(f"sigma of projection {name!r}: must be finite numbers, zero or above")
        return torch.tensor(deviation, dtype=weights.dtype)

    def added(self, name: str, weights: Tensor) -> Tensor:
        """Return the weights of a projection with the noise of the minibatch."""
        noise = self._now.get(name)
        return weights if noise is None else weights + noise


@contextlib.contextmanager
def noise_aware(
    model: TrainableNetwork, sigma: float | Sigma = 0.05, *, projections: Iterable[str] | None = None
) -> Iterator[WeightNoise]:
    """Disturb the weights of a network in every minibatch of training, as long as the block lasts.

    ::

        with noise_aware(model, 0.05):
            train(model, data, epochs=10)

    Parameters
    ----------
    model : TrainableNetwork
    sigma : float or callable
        Standard deviation: relative to the largest weight of a projection by size, or a function of its weights, such
        as `programming_noise` makes of a device.
    projections : sequence of str, optional
        Default all that have weights.

    Notes
    -----
    Evaluation has no noise. The noise is a function of the seed of training, the epoch and the minibatch, so that a
    training that is resumed draws the same.
    """
    if not isinstance(model, TrainableNetwork):
        raise ParameterError(f"model={type(model).__name__}: expected a TrainableNetwork")
    if model.chip is not None or model.weight_noise is not None:
        raise ParameterError("model: a chip, or noise on the weights, is attached to it already")
    model.weight_noise = noise = WeightNoise(model, sigma, projections)
    try:
        yield noise
    finally:
        model.weight_noise = None


def programming_noise(device: Any) -> Sigma:
    """Return what the noise of programming a device amounts to on weights, for `noise_aware`.

    A weight is the difference of two cells, one of which is at `g_min`; the largest weight by size takes the whole
    range. Both cells have noise.

    Parameters
    ----------
    device : snnsim.backends.crossbar.device.device.Device
        Or anything with `g_min`, `g_max` and ``programming.sigma(targets)``, in uS.
    """
    if device.programming is None:
        raise ParameterError("device: has no noise of programming; there is nothing to train for")
    low, span = float(device.g_min), float(device.g_max) - float(device.g_min)

    def programming_noise_of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        size = np.abs(weights)
        largest = float(size.max(initial=0.0)) or 1.0
        first = np.asarray(device.programming.sigma(low + span * size / largest), np.float64)
        second = np.asarray(device.programming.sigma(np.full(1, low)), np.float64)
        return np.asarray(np.sqrt(first**2 + second**2) * (largest / span))

    return programming_noise_of
