"""What connects two populations: a rule that gives, for each source, its targets, weights and delays.

Every rule expands to the same plain form, `Synapses`: rows of sources, each sorted as the rule says. Backends
may use a rule's structure (dense rows, convolution kernels) instead, and must then deliver the same sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from snnsim.connectivity.distributions import Values
from snnsim.connectivity.draw_plan import Plan
from snnsim.connectivity.synapses import Key, Shape, Synapses
from snnsim.errors import NetworkError


class Connectivity(ABC):
    """Base of all connection rules; concrete rules are frozen dataclasses."""

    #: Weights or delays of this rule, one number or one a synapse, where the rule has them.
    weights: Values

    @abstractmethod
    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Raise `NetworkError` where the rule does not fit the shapes of the two populations."""

    @abstractmethod
    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Return all synapses, without delays."""

    @abstractmethod
    def count(self, source: Shape, target: Shape) -> int | None:
        """Return the number of synapses, or None where only building tells."""

    def between_populations(self) -> Connectivity:
        """Return the rule as it acts where source and target are not one population."""
        return self

    def plan(self, source: Shape, target: Shape, key: Key) -> Plan | None:
        """Return how the synapses are drawn, or None where they are given one by one."""
        return None

    def expected(self, source: Shape, target: Shape) -> float:
        """Return the number of synapses, of random rules the mean; nothing is built."""
        count = self.count(source, target)
        assert count is not None
        return float(count)

    def describe(self) -> str:
        """Return the rule in one line."""
        return type(self).__name__

    def resolved(self, source: Shape, target: Shape, key: Key) -> Connectivity:
        """Return the same rule with distributions replaced by the drawn arrays; random wiring becomes `Sparse`."""
        return self


def describe_values(values: Values) -> str:
    """Return weights or delays in a few words."""
    if isinstance(values, np.ndarray):
        return f"array{values.shape} {values.min():.3g}…{values.max():.3g}" if values.size else "array(0)"
    return f"{values:.4g}" if isinstance(values, float) else repr(values)


def require_shape(expected: Shape, target: Shape, where: str, what: str) -> None:
    """Raise `NetworkError` unless the target has the expected shape."""
    if target != expected:
        raise NetworkError(f"{where}: {what} gives shape {expected}, but the target population has shape {target}")
