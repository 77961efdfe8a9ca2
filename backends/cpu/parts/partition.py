"""Who owns which neurons: the ranges of each part, and where its accumulators lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout
from snnsim.errors import ParameterError, whole
from snnsim.network.network import Network
from snnsim.system.machine import cores

#: Accumulators of a part: as many as 16 bits number.
LARGEST_PART = 2**16
#: Neurons whose states fill a line of the cache, or two.
_LINE = 16


@dataclass(frozen=True, eq=False)
class Partition:
    """Each population cut into contiguous ranges, one for each part; a part owns all synapses onto its ranges.

    A part has one accumulator for each receptor of each of its neurons, its plane: that of receptor r of neuron j of
    population p stands at ``base[part, p] + r * (high - low) + (j - low)``.

    Parameters
    ----------
    low, high : ndarray of int64, shape (parts, populations)
        First neuron of the range, and the one after the last; 0 and 0 for sources.
    base : ndarray of int64, shape (parts, populations)
        Where the accumulators of a population begin.
    sizes : ndarray of int64, shape (parts,)
        Accumulators of each part, at most `LARGEST_PART`.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    base: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def n_parts(self) -> int:
        """Number of parts."""
        return int(self.sizes.size)

    @classmethod
    def of(cls, network: Network, layout: Layout, multiple_of: int = 1) -> Partition:
        """Cut a network into the fewest parts that the plane's size allows.

        Parameters
        ----------
        network : Network
        layout : Layout
        multiple_of : int
            The number of parts is a multiple of this: of the threads, or of threads times ranks.

        Raises
        ------
        ParameterError
            `multiple_of` is no whole number above zero.
        """
        whole("multiple_of", multiple_of, at_least=1)
        sizes, receptors = np.zeros((2, len(network.populations)), np.int64)
        for place in layout.places:
            sizes[place.population], receptors[place.population] = place.size, place.n_receptors
        n_parts = multiple_of * max(1, -(-int(sizes @ receptors) // (LARGEST_PART * multiple_of)))
        while True:
            partition = cls._cut(sizes, receptors, n_parts)
            if partition.sizes.max() <= LARGEST_PART:
                return partition
            if n_parts > sizes.max():  # pairs of neurons cannot be cut further
                raise ParameterError(f"two neurons have more than {LARGEST_PART} receptors: {receptors.max()} each")
            n_parts += multiple_of

    @classmethod
    def _cut(cls, sizes: NDArray[np.int64], receptors: NDArray[np.int64], n_parts: int) -> Partition:
        # Edges lie between lines of the cache, so that no two threads write to one; those of small populations between
        # pairs of neurons, for which random numbers are drawn. Where it does not come out even, the parts that get more
        # are those whose turn it is, so that small populations spread.
        step = np.where(sizes >= 4 * _LINE * n_parts, _LINE, 2)
        steps = -(-sizes // step)
        turn = (np.cumsum(steps) - steps) % n_parts
        edges = np.minimum(step * ((np.arange(n_parts + 1)[:, None] * steps + turn) // n_parts), sizes)
        low, high = edges[:-1], edges[1:]
        planes = (high - low) * receptors
        ends = np.cumsum(planes, axis=1)
        return cls(low, high, ends - planes, ends[:, -1])


def paying_threads(network: Network) -> int:
    """Return how many of the cores a long run of a network keeps busy.

    Threads wait for each other once in the shortest delay, so each should have a microsecond of work until then. The
    estimate takes half a nanosecond a neuron and tick, two an addition, and ten spikes a second.
    """
    window = min((c.minimum_delay for c in network.connections if c.minimum_delay > 0), default=1)
    neurons = sum(population.size for population in network.populations if not population.is_source)
    synapses = sum(connection.expected for connection in network.connections)
    nanoseconds = window * (0.5 * neurons + 2.0 * synapses * 10.0 * network.dt)
    return max(1, min(cores(), int(nanoseconds / 1000.0)))
