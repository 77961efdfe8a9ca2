"""Random wiring, the same for the same seed on every machine and in every order of building.

Each rule draws target by target (see `snnsim.connectivity.draw_kernels`), so that a part of a network can be built on
its own, and synapses are placed as they are drawn.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from snnsim.connectivity.base import Connectivity, describe_values
from snnsim.connectivity.distributions import Values, as_values, recipe_of
from snnsim.connectivity.draw_plan import Plan, chance_wiring, counted_wiring, fixed_wiring
from snnsim.connectivity.draw_records import Wiring
from snnsim.connectivity.explicit import Sparse
from snnsim.connectivity.synapses import Key, Shape, Synapses
from snnsim.errors import NetworkError, ParameterError, positive, whole
from snnsim.numerics import elementary, rng


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
    def _wiring(self, n: int, m: int, key: Key) -> Wiring:
        """Return how `n` sources are wired to `m` targets."""

    @abstractmethod
    def expected(self, source: Shape, target: Shape) -> float:
        """Return the mean number of synapses."""

    def plan(self, source: Shape, target: Shape, key: Key) -> Plan:
        """Return how the synapses are drawn."""
        n, m = math.prod(source), math.prod(target)
        fan_in = self.expected(source, target) / m
        stream = rng.stream_number(key.name, "weights")
        assert not isinstance(self.weights, np.ndarray)
        weights = recipe_of(self.weights, key.seed, stream, fan_in)
        return Plan(self._wiring(n, m, key), weights, fan_in)

    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Draw the synapses, sorted by (source, target)."""
        return self.plan(source, target, key).expand()

    def resolved(self, source: Shape, target: Shape, key: Key) -> Sparse:
        """Return the drawn synapses as `Sparse`."""
        drawn = self.synapses(source, target, key)
        sources = np.repeat(np.arange(math.prod(source)), np.diff(drawn.offsets))
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
        Whether a neuron may connect to itself; without effect between two populations.
    """

    probability: float = 0.1
    weights: Values = 1.0
    self_connections: bool = True

    def __post_init__(self) -> None:
        self._normalise()
        positive("FixedProbability probability", self.probability, zero=True)
        if self.probability > 1:
            raise ParameterError(f"FixedProbability probability={self.probability!r}: must lie between 0 and 1")
        object.__setattr__(self, "probability", float(self.probability))

    def between_populations(self) -> FixedProbability:
        """Return the rule with all pairs."""
        return self if self.self_connections else replace(self, self_connections=True)

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Fits every pair of populations."""

    def _wiring(self, n: int, m: int, key: Key) -> Wiring:
        log_rest = -math.inf if self.probability == 1 else elementary.log_one_plus(-self.probability)
        return chance_wiring(key.seed, key.name, n, m, log_rest, self.self_connections)

    def expected(self, source: Shape, target: Shape) -> float:
        """Return pairs times probability."""
        n, m = math.prod(source), math.prod(target)
        return self.probability * (n * m - (0 if self.self_connections else min(n, m)))

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
        Whether a neuron may be drawn as a source of itself; without effect between two populations.
    """

    in_degree: int = 1
    weights: Values = 1.0
    self_connections: bool = True

    def __post_init__(self) -> None:
        self._normalise()
        whole("FixedInDegree in_degree", self.in_degree)

    def between_populations(self) -> FixedInDegree:
        """Return the rule with all pairs."""
        return self if self.self_connections else replace(self, self_connections=True)

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Check that there is a source to draw."""
        if not self.self_connections and math.prod(source) < 2 and self.in_degree:
            raise NetworkError(f"{where}: FixedInDegree without self-connections needs two sources or more")

    def _wiring(self, n: int, m: int, key: Key) -> Wiring:
        return fixed_wiring(key.seed, key.name, n, m, self.in_degree, self.self_connections)

    def expected(self, source: Shape, target: Shape) -> float:
        """Return in-degree times targets."""
        return float(self.count(source, target))

    def count(self, source: Shape, target: Shape) -> int:
        """Return in-degree times targets."""
        return self.in_degree * math.prod(target)

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

    def _wiring(self, n: int, m: int, key: Key) -> Wiring:
        return counted_wiring(key.seed, key.name, n, m, self.total)

    def expected(self, source: Shape, target: Shape) -> float:
        """Return the total."""
        return float(self.total)

    def count(self, source: Shape, target: Shape) -> int:
        """Return the total."""
        return self.total

    def describe(self) -> str:
        """Return total and weights."""
        return f"FixedTotalNumber({self.total}, {describe_values(self.weights)})"
