"""Connections given one by one: dense matrices, sparse lists, one-to-one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.connectivity.base import Connectivity, describe_values
from snnsim.connectivity.distributions import Values, as_values, resolve
from snnsim.connectivity.synapses import Key, Shape, Synapses
from snnsim.errors import NetworkError, ParameterError
from snnsim.numerics import rng


@dataclass(frozen=True, eq=False)
class Dense(Connectivity):
    """Every source to every target.

    Parameters
    ----------
    weights : float, array of shape (sources, targets), or Distribution
        Row i holds the weights from source i (the transpose of ``torch.nn.Linear.weight``).
    """

    weights: Values = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", as_values("Dense weights", self.weights))

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Check the shape of a weight array."""
        expected = (math.prod(source), math.prod(target))
        if isinstance(self.weights, np.ndarray) and self.weights.shape != expected:
            hint = "; transpose it" if self.weights.shape == expected[::-1] else ""
            raise NetworkError(
                f"{where}: Dense weights have shape {self.weights.shape}, expected (sources, targets) {expected}{hint}"
            )

    def matrix(self, source: Shape, target: Shape, key: Key) -> NDArray[np.float64]:
        """Return the weights as an array of shape (sources, targets)."""
        shape = (math.prod(source), math.prod(target))
        stream = rng.stream_number(key.name, "weights")
        return np.ascontiguousarray(
            np.broadcast_to(resolve(self.weights, shape, key.seed, stream, shape[0], "Dense weights"), shape)
        )

    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Return all pairs in order."""
        n, m = math.prod(source), math.prod(target)
        targets = np.tile(np.arange(m, dtype=np.int32), n)
        return Synapses(np.arange(n + 1, dtype=np.int64) * m, targets, self.matrix(source, target, key).reshape(-1))

    def count(self, source: Shape, target: Shape) -> int:
        """Return sources times targets."""
        return math.prod(source) * math.prod(target)

    def resolved(self, source: Shape, target: Shape, key: Key) -> Dense:
        """Draw the weights."""
        return replace(self, weights=self.matrix(source, target, key))

    def describe(self) -> str:
        """Return the weights in a few words."""
        return f"Dense({describe_values(self.weights)})"


@dataclass(frozen=True, eq=False)
class OneToOne(Connectivity):
    """Source i to target i.

    Parameters
    ----------
    weights : float, array of shape (sources,), or Distribution
    """

    weights: Values = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", as_values("OneToOne weights", self.weights))

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Check that both populations are equally large."""
        n, m = math.prod(source), math.prod(target)
        if n != m:
            raise NetworkError(f"{where}: OneToOne needs populations of one size, got {n} and {m}")
        if isinstance(self.weights, np.ndarray) and self.weights.shape != (n,):
            raise NetworkError(f"{where}: OneToOne weights have shape {self.weights.shape}, expected ({n},)")

    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Return one synapse a source."""
        n = math.prod(source)
        weights = resolve(self.weights, (n,), key.seed, rng.stream_number(key.name, "weights"), 1.0, "weights")
        full = np.ascontiguousarray(np.broadcast_to(weights, (n,)))
        return Synapses(np.arange(n + 1, dtype=np.int64), np.arange(n, dtype=np.int32), full)

    def count(self, source: Shape, target: Shape) -> int:
        """Return the number of sources."""
        return math.prod(source)

    def resolved(self, source: Shape, target: Shape, key: Key) -> OneToOne:
        """Draw the weights."""
        return replace(self, weights=self.synapses(source, target, key).weights)

    def describe(self) -> str:
        """Return the weights in a few words."""
        return f"OneToOne({describe_values(self.weights)})"


@dataclass(frozen=True, eq=False)
class Sparse(Connectivity):
    """Connections listed one by one; several between one source and one target are allowed.

    Parameters
    ----------
    sources, targets : array of int, shape (synapses,)
        Flat numbers of source and target, in any order. Synapses of one source act in the order of their
        targets, equal pairs in the order given.
    weights : float, array of shape (synapses,), or Distribution
    """

    sources: NDArray[np.int64]
    targets: NDArray[np.int32]
    weights: Values = 1.0

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(self, sources: ArrayLike, targets: ArrayLike, weights: Values | ArrayLike = 1.0) -> None: ...

    def __post_init__(self) -> None:
        sources, targets = np.atleast_1d(np.asarray(self.sources)), np.atleast_1d(np.asarray(self.targets))
        if sources.ndim != 1 or sources.shape != targets.shape:
            raise ParameterError(
                f"Sparse: sources {sources.shape} and targets {targets.shape} must be flat and equally long"
            )
        if sources.size and (sources.dtype.kind not in "iu" or targets.dtype.kind not in "iu"):
            raise ParameterError("Sparse: sources and targets must be whole numbers")
        if sources.size and (sources.min() < 0 or targets.min() < 0):
            raise ParameterError("Sparse: sources and targets must be zero or above")
        if targets.size and targets.max() >= 2**31:
            raise ParameterError("Sparse: target numbers must fit in 32 bits")
        weights = as_values("Sparse weights", self.weights)
        if isinstance(weights, np.ndarray) and weights.shape != sources.shape:
            raise ParameterError(f"Sparse: weights have shape {weights.shape}, expected one number or {sources.shape}")
        for name, given, dtype in (("sources", sources, np.int64), ("targets", targets, np.int32)):
            kept = given.astype(dtype)  # a copy, as `as_values` makes one
            kept.setflags(write=False)
            object.__setattr__(self, name, kept)
        object.__setattr__(self, "weights", weights)

    @classmethod
    def from_matrix(cls, matrix: Any) -> Sparse:
        """Make from a dense array or a SciPy sparse matrix of shape (sources, targets); zeros are no synapses."""
        if hasattr(matrix, "tocoo"):
            coordinates = matrix.tocoo()
            return cls(coordinates.row, coordinates.col, np.asarray(coordinates.data, np.float64))
        array = np.asarray(matrix, np.float64)
        if array.ndim != 2:
            raise ParameterError(f"matrix has shape {array.shape}, expected (sources, targets)")
        sources, targets = np.nonzero(array)
        return cls(sources, targets.astype(np.int32), array[sources, targets])

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Check that the numbers exist in the populations."""
        for name, numbers, shape in (("source", self.sources, source), ("target", self.targets, target)):
            if numbers.size and numbers.max() >= math.prod(shape):
                raise NetworkError(
                    f"{where}: Sparse names {name} {numbers.max()}, the population has {math.prod(shape)}"
                )

    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Return the listed synapses."""
        n = math.prod(source)
        stream = rng.stream_number(key.name, "weights")
        fan_in = self.sources.size / math.prod(target)
        weights = resolve(self.weights, self.sources.shape, key.seed, stream, fan_in, "weights")
        order = np.lexsort((self.targets, self.sources))
        return Synapses(
            row_offsets(self.sources[order], n),
            self.targets[order],
            np.broadcast_to(weights, self.sources.shape)[order],
            order=order,
        )

    def count(self, source: Shape, target: Shape) -> int:
        """Return the number of listed synapses."""
        return int(self.sources.size)

    def resolved(self, source: Shape, target: Shape, key: Key) -> Sparse:
        """Draw the weights."""
        stream = rng.stream_number(key.name, "weights")
        fan_in = self.sources.size / math.prod(target)
        weights = resolve(self.weights, self.sources.shape, key.seed, stream, fan_in, "weights")
        return replace(self, weights=np.array(np.broadcast_to(weights, self.sources.shape)))

    def describe(self) -> str:
        """Return the number of synapses and the weights."""
        return f"Sparse({self.sources.size}, {describe_values(self.weights)})"


def row_offsets(sources: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return where the row of each of `n` sources starts in an ascending list of sources."""
    return np.searchsorted(np.asarray(sources), np.arange(n + 1)).astype(np.int64)
