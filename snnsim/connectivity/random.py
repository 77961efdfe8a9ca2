"""Random wiring, the same for the same seed on every machine and in every order of building."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim import rng
from snnsim.connectivity.base import Connectivity, Key, Shape, Synapses, describe_values, size_of
from snnsim.connectivity.distributions import Values, as_values, resolve
from snnsim.connectivity.explicit import Sparse, row_offsets
from snnsim.errors import NetworkError, ParameterError, positive, whole


@dataclass(frozen=True, eq=False)
class _Random(Connectivity):
    def _normalise(self) -> None:
        weights = as_values(f"{type(self).__name__} weights", self.weights)
        if isinstance(weights, np.ndarray):
            raise ParameterError(
                f"{type(self).__name__} weights: one number or a Distribution (random synapses have no order of yours)"
            )
        object.__setattr__(self, "weights", weights)

    @abstractmethod
    def _pairs(self, n: int, m: int, key: Key) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return source and target of every synapse, in any order."""

    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Draw the synapses, sorted by (source, target)."""
        n, m = size_of(source), size_of(target)
        sources, targets = self._pairs(n, m, key)
        order = np.lexsort((targets, sources))
        stream = rng.stream_number(key.name, "weights")
        weights = resolve(self.weights, order.shape, key.seed, stream, order.size / m, "weights")
        return Synapses(
            row_offsets(sources[order], n),
            targets[order].astype(np.int32),
            np.ascontiguousarray(np.broadcast_to(weights, order.shape)),
        )

    def resolved(self, source: Shape, target: Shape, key: Key) -> Sparse:
        """Return the drawn synapses as `Sparse`."""
        drawn = self.synapses(source, target, key)
        sources = np.repeat(np.arange(size_of(source)), np.diff(drawn.offsets))
        return Sparse(sources, drawn.targets, drawn.weights)


@dataclass(frozen=True, eq=False)
class FixedProbability(_Random):
    """Each pair is connected with the same probability, independently.

    Parameters
    ----------
    probability : float
        Between 0 and 1.
    weights : float or Distribution
    self_connections : bool
        Whether neuron i of a population may connect to neuron i of the target.
    """

    probability: float = 0.1
    weights: Values = 1.0
    self_connections: bool = True

    def __post_init__(self) -> None:
        self._normalise()
        positive("FixedProbability probability", self.probability, zero=True)
        if self.probability > 1:
            raise ParameterError(f"FixedProbability probability={self.probability!r}: must lie between 0 and 1")

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Fits every pair of populations."""

    def _pairs(self, n: int, m: int, key: Key) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        p, stream = self.probability, rng.stream_number(key.name, "wiring")
        if p == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        if p == 1:
            pairs = np.arange(n * m)
        else:
            # Gaps between connected pairs are geometric: one random number a synapse instead of one a pair.
            mean = n * m * p
            draws = int(mean + 10 * np.sqrt(mean * (1 - p)) + 20)
            gaps = np.floor(np.log1p(-rng.uniform(key.seed, stream, np.arange(draws))) / np.log1p(-p))
            # A gap past the last pair ends the row of pairs; cut there, no sum of gaps overflows.
            pairs = np.cumsum(np.minimum(gaps, n * m).astype(np.int64) + 1) - 1
            pairs = pairs[pairs < n * m]
        sources, targets = np.divmod(pairs, m)
        if not self.self_connections:
            keep = sources != targets
            return sources[keep], targets[keep]
        return sources, targets

    def count(self, source: Shape, target: Shape) -> None:
        """Return None: chance decides."""

    def describe(self) -> str:
        """Return probability and weights."""
        return f"FixedProbability({self.probability:g}, {describe_values(self.weights)})"


@dataclass(frozen=True, eq=False)
class FixedInDegree(_Random):
    """Each target receives the same number of synapses, from sources drawn with replacement.

    Parameters
    ----------
    in_degree : int
        Synapses a target.
    weights : float or Distribution
    self_connections : bool
        Whether neuron i may be drawn as a source of neuron i.
    """

    in_degree: int = 1
    weights: Values = 1.0
    self_connections: bool = True

    def __post_init__(self) -> None:
        self._normalise()
        whole("FixedInDegree in_degree", self.in_degree)

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Check that there is a source to draw."""
        if not self.self_connections and size_of(source) < 2 and self.in_degree:
            raise NetworkError(f"{where}: FixedInDegree without self-connections needs two sources or more")

    def _pairs(self, n: int, m: int, key: Key) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        stream = rng.stream_number(key.name, "wiring")
        targets = np.repeat(np.arange(m), self.in_degree)
        unit = rng.uniform(key.seed, stream, np.arange(targets.size))
        if self.self_connections:
            return np.floor(unit * n).astype(np.int64), targets
        # Draw among the other n - 1 (all n where the target has no twin among the sources), then step over the target.
        twin = targets < n
        sources = np.floor(unit * np.where(twin, n - 1, n)).astype(np.int64)
        return sources + (twin & (sources >= targets)), targets

    def count(self, source: Shape, target: Shape) -> int:
        """Return in-degree times targets."""
        return self.in_degree * size_of(target)

    def describe(self) -> str:
        """Return in-degree and weights."""
        return f"FixedInDegree({self.in_degree}, {describe_values(self.weights)})"


@dataclass(frozen=True, eq=False)
class FixedTotalNumber(_Random):
    """A fixed number of synapses, source and target of each drawn independently with replacement.

    Parameters
    ----------
    total : int
        Number of synapses.
    weights : float or Distribution
    """

    total: int = 1
    weights: Values = 1.0

    def __post_init__(self) -> None:
        self._normalise()
        whole("FixedTotalNumber total", self.total)

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Fits every pair of populations."""

    def _pairs(self, n: int, m: int, key: Key) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        stream, element = rng.stream_number(key.name, "wiring"), np.arange(self.total)
        sources, targets = (np.floor(rng.uniform(key.seed, stream, element, i) * k) for i, k in ((0, n), (1, m)))
        return sources.astype(np.int64), targets.astype(np.int64)

    def count(self, source: Shape, target: Shape) -> int:
        """Return the total."""
        return self.total

    def describe(self) -> str:
        """Return total and weights."""
        return f"FixedTotalNumber({self.total}, {describe_values(self.weights)})"
