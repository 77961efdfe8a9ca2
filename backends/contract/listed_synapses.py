"""How much memory a network takes whose synapses are listed one by one: counted from the description, nothing is drawn.

The figures are those that `tests/test_memory.py` measures.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.backends.contract.layout import Layout
from snnsim.backends.contract.memory import MemoryForecast
from snnsim.connectivity import Conv2d, Dense, FixedInDegree, FixedProbability, FixedTotalNumber, Sparse
from snnsim.connectivity.distributions import Distribution
from snnsim.network.network import Network
from snnsim.network.projection import Projection

#: Bytes that a synapse takes in the reference backend with plasticity, beside its traces.
_PLASTIC = 72


def forecast(network: Network, dtype: np.dtype[Any]) -> MemoryForecast:
    """Return the memory of a network in which every synapse is kept as `Network.synapses` lists it.

    Each has its target, its weight as given and in the precision of the run, and its delay where they differ.
    """
    synapses = rows = plasticity = building = count = 0.0
    for connection in network.connections:
        projection, number = connection.projection, connection.expected
        kept = 4 + _weight(projection) + (0 if connection.has_one_delay else 4) + _order(projection)
        count += number
        synapses += number * (kept + dtype.itemsize)
        rows += 8 * (connection.source.size + 1)
        building += number * (listed(projection) - kept)
        rule = projection.plasticity
        if rule is not None:
            traces = len(rule.pre_time_constants) + (rule.eligibility is not None)
            plasticity += number * (_PLASTIC + (2 + traces) * dtype.itemsize)
    return MemoryForecast(
        network.name,
        neurons(network),
        round(count),
        round(synapses),
        round(rows),
        state(network, dtype),
        round(plasticity),
        round(building),
    )


def neurons(network: Network) -> int:
    """Return the number of neurons, sources not counted."""
    return sum(population.size for population in network.populations if not population.is_source)


def state(network: Network, dtype: np.dtype[Any]) -> int:
    """Return the bytes of the state of one recording: neurons, receptors, counters, and input on its way."""
    layout = Layout.of(network, lambda connection: connection.likely_longest_delay)
    return layout.n_floats * dtype.itemsize + layout.n_counters * 4


def listed(projection: Projection) -> int:
    """Return the bytes of a synapse at the moment when it is listed: target, weight, delay, and what sorts them."""
    rule, delay = projection.connectivity, projection.delay
    if not isinstance(rule, (Dense, Sparse, FixedInDegree, FixedProbability, FixedTotalNumber)):
        size = 44  # coordinates of kernels and windows, in order of sources
    else:
        size = 4 + _weight(projection) + _order(projection)
    if isinstance(delay, float):
        return size
    return size + (20 if isinstance(delay, Distribution) else 36)


def _weight(projection: Projection) -> int:
    """Return the bytes of a weight in a list: none where it is the array that the network holds."""
    rule = projection.connectivity
    return 0 if isinstance(rule, Dense) and isinstance(rule.weights, np.ndarray) else 8


def _order(projection: Projection) -> int:
    """Return the bytes of the place of a synapse in the arrays of the user, where it is another one."""
    return 8 if isinstance(projection.connectivity, Sparse) else 0


def is_drawn(projection: Projection) -> bool:
    """Return whether a projection is drawn target by target, without a list."""
    return isinstance(projection.connectivity, (FixedInDegree, FixedProbability, FixedTotalNumber))


def is_matrix(projection: Projection) -> bool:
    """Return whether a projection can be kept as a matrix or as kernels."""
    return isinstance(projection.connectivity, (Dense, Conv2d)) and isinstance(projection.delay, float)
