"""What connects two populations: a rule that gives, for each source, its targets, weights and delays.

Every rule expands to the same plain form, `Synapses`: rows of sources, each sorted as the rule says. Backends
may use a rule's structure (dense rows, convolution kernels) instead, and must then deliver the same sums.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity.distributions import Values
from snnsim.errors import NetworkError

if TYPE_CHECKING:
    from snnsim.connectivity.draw import Plan

Shape = tuple[int, ...]


class Key(NamedTuple):
    """Key of the random numbers of a projection."""

    seed: int
    name: str


@dataclass(frozen=True, eq=False)
class Synapses:
    """All synapses of a projection, row by row of sources; the arrays are read-only.

    Parameters
    ----------
    offsets : ndarray of int64, shape (sources + 1,)
        Where the row of each source starts.
    targets : ndarray of int32, shape (synapses,)
    weights : ndarray of float64, shape (synapses,)
    delays : ndarray of int32, shape (synapses,), or None
        Ticks of each synapse; None where the projection has one delay.
    once : bool
        A target counts at most one spike of this projection in a tick (max pooling).
    order : ndarray of int64, shape (synapses,), or None
        Which element of the user's arrays each synapse is; None where they are in the same order.
    """

    offsets: NDArray[np.int64]
    targets: NDArray[np.int32]
    weights: NDArray[np.float64]
    delays: NDArray[np.int32] | None = None
    once: bool = False
    order: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        # Read-only, since an array may be the one that the network holds; and so all are of one type to the kernels.
        for name in ("offsets", "targets", "weights", "delays", "order"):
            array = getattr(self, name)
            if array is not None:
                view = array.view()
                view.setflags(write=False)
                object.__setattr__(self, name, view)


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


def size_of(shape: Shape) -> int:
    """Return the number of neurons of a shape."""
    return math.prod(shape)


def describe_values(values: Values) -> str:
    """Return weights or delays in a few words."""
    if isinstance(values, np.ndarray):
        return f"array{values.shape} {values.min():.3g}…{values.max():.3g}" if values.size else "array(0)"
    return f"{values:.4g}" if isinstance(values, float) else repr(values)


def require_shape(expected: Shape, target: Shape, where: str, what: str) -> None:
    """Raise `NetworkError` unless the target has the expected shape."""
    if target != expected:
        raise NetworkError(f"{where}: {what} gives shape {expected}, but the target population has shape {target}")
