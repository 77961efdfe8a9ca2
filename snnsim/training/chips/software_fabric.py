"""A fabric without a chip: products in NumPy, with lasting errors of the weights and noise of reading where wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.connectivity import Conv2d
from snnsim.errors import CapabilityError, DeviceError, NetworkError
from snnsim.numerics import rng
from snnsim.training.compute.frames import apply_frames
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.plan import MATRIX_RULES, Link
from snnsim.training.parameters.settings import names, number, seed_of


class SoftwareFabric:
    """The twin of a chip: exact by default.

    Parameters
    ----------
    model : TrainableNetwork
    projections : sequence of str, optional
        Default every one of the rules Dense, Sparse and Conv2d.
    spread : float
        Relative standard deviation of a lasting gain of each weight, log-normal of mean 1: the same seed has the same
        gains for ever.
    read_noise : float
        Standard deviation of the noise of a weight in one read, relative to the largest weight of the projection by
        size; the noise of a vector is that of its spikes together, drawn once an output, and depends on its key alone.
    seed : int
    """

    def __init__(
        self,
        model: TrainableNetwork,
        projections: Iterable[str] | None = None,
        *,
        spread: float = 0.0,
        read_noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        able = {name: link for name, link in model.links.items() if isinstance(link.rule, (*MATRIX_RULES, Conv2d))}
        self.links: dict[str, Link] = {}
        for name in able if projections is None else names("projections", projections):
            if name not in model.links:
                raise NetworkError(f"no projection {name!r}; there are: {', '.join(model.links)}")
            if name not in able:
                raise CapabilityError(f"projection {name!r} is a {type(model.links[name].rule).__name__}, not a matrix")
            self.links[name] = able[name]
        self.spread = number("spread", spread, zero=True)
        self.read_noise, self.seed = number("read_noise", read_noise, zero=True), seed_of("seed", seed)
        self._weights: dict[str, NDArray[np.float64]] = {}

    def __repr__(self) -> str:
        return f"SoftwareFabric(spread={self.spread!r}, read_noise={self.read_noise!r}, seed={self.seed})"

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the projections that it computes."""
        return tuple(self.links)

    def gains(self, projection: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the lasting gain of each weight of a projection."""
        stream = rng.stream_number("software fabric", projection)
        drawn = rng.normal(self.seed, stream, np.arange(int(np.prod(shape)))).reshape(shape)
        return rng.log_normal(drawn, self.spread)

    def program(self, weights: Mapping[str, NDArray[np.float64]]) -> None:
        """Keep the weights, each with its gain."""
        self._weights = {name: values * self.gains(name, values.shape) for name, values in weights.items()}

    def drive(
        self,
        projection: str,
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        indices: NDArray[Any],
        keys: NDArray[np.uint64],
    ) -> NDArray[np.float64]:
        """Return the products of spikes and weights; see `Fabric.drive`."""
        if projection not in self._weights:
            raise DeviceError(f"projection {projection!r} was not programmed", kind="refused")
        link, weights = self.links[projection], self._weights[projection]
        counts = _dense(begin, end, indices, int(np.prod(link.source_shape)))
        out = _product(link, torch.from_numpy(counts), torch.from_numpy(weights)).numpy()
        if self.read_noise:
            # Noise of the cells that were read adds up in squares: one draw an output has the same distribution.
            cells = _product(link, torch.from_numpy(counts), torch.ones(weights.shape, dtype=torch.float64)).numpy()
            deviation = self.read_noise * float(np.abs(weights).max(initial=0.0))
            stream = rng.stream_number("software fabric reads")
            drawn = rng.normal(self.seed, stream, keys[:, None], np.arange(out.shape[1])[None, :])
            out = out + deviation * np.sqrt(cells) * drawn
        return np.asarray(out)


def _dense(
    begin: NDArray[np.int64], end: NDArray[np.int64], indices: NDArray[Any], sources: int
) -> NDArray[np.float64]:
    """Return how often each source fires in each vector."""
    lengths = end - begin
    first = np.cumsum(lengths) - lengths
    places = np.arange(int(lengths.sum())) + np.repeat(begin - first, lengths)
    cells = np.repeat(np.arange(len(begin)), lengths) * sources + indices[places].astype(np.int64)
    return np.bincount(cells, minlength=len(begin) * sources).astype(np.float64).reshape(len(begin), sources)


def _product(link: Link, counts: Tensor, weights: Tensor) -> Tensor:
    with torch.no_grad():
        if isinstance(link.rule, Conv2d):
            return apply_frames(link, counts, weights, 1.0)
        return counts @ weights
