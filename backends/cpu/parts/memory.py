"""How much memory the cpu backend will take: counted from the description, nothing is drawn."""

from __future__ import annotations

import math

import numpy as np

from snnsim.backends.contract.layout import Layout
from snnsim.backends.contract.memory import MemoryForecast, is_drawn, is_matrix, listed, neurons, state
from snnsim.backends.cpu.parts.partition import Partition, paying_threads
from snnsim.backends.cpu.parts.plasticity_records import RANKS
from snnsim.backends.cpu.parts.projection_groups import Group, groups_of
from snnsim.backends.cpu.parts.supported import unsupported
from snnsim.connectivity import Conv2d
from snnsim.errors import one_of, whole
from snnsim.network.connection import Connection
from snnsim.network.network import Network

#: Bytes an accumulator takes beside its sum, and a neuron beside its states: lists of whom to visit, counters.
_AN_ACCUMULATOR, _A_NEURON = 16, 24


def forecast(network: Network, *, dtype: str = "float32", threads: int | None = None, ranks: int = 1) -> MemoryForecast:
    """Return the memory that a long run takes in each process.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}
    threads : int, optional
        Default as many as a `Simulation` takes.
    ranks : int
        Processes that share the network.
    """
    one_of("dtype", dtype, ("float32", "float64"))
    threads = paying_threads(network) if threads is None else whole("threads", threads, at_least=1)
    if unsupported(network) is not None:
        return of_recordings(network, dtype)
    item = np.dtype(dtype).itemsize
    layout = Layout.of(network, [connection.likely_longest_delay for connection in network.connections])
    partition = Partition.of(network, layout, threads if ranks == 1 else ranks)
    groups = groups_of(network)
    last = max((c.likely_longest_delay for group in groups if group.delay < 0 for c in group.connections), default=0)
    delay_item = 1 if last < 2**8 else 2 if last < 2**16 else 4

    synapses = rows = plasticity = building = 0.0
    for group in groups:
        count = sum(connection.expected for connection in group.connections)
        synapses += count * (2 + (item if group.weight is None else 0) + (delay_item if group.delay < 0 else 0))
        n_rows = network.populations[group.source].size * partition.n_parts
        rows += n_rows * (8 + 4 * len(group.connections))
        if group.delay < 0:
            rows += n_rows * 8 + 2 * _segments(count, n_rows, max(c.likely_longest_delay for c in group.connections))
        if group.plastic:
            plasticity += _plasticity(group, count, n_rows, item)
    for connection in network.connections:
        if not is_drawn(connection.projection):
            building += listed(connection.projection) * connection.expected
    accumulators = int(partition.sizes.sum())
    held = layout.n_floats * item + layout.n_counters * (4 + _A_NEURON) + accumulators * (item + _AN_ACCUMULATOR)
    return MemoryForecast(
        network.name,
        neurons(network),
        round(sum(connection.expected for connection in network.connections)),
        round(synapses / ranks),
        round(rows / ranks),
        held,
        round(plasticity / ranks),
        round(building),
    )


def of_recordings(network: Network, dtype: str) -> MemoryForecast:
    """Return the memory of a network for recordings, with the state of one: rules keep their own forms."""
    item = np.dtype(dtype).itemsize
    synapses = rows = building = 0.0
    for connection in network.connections:
        projection, number = connection.projection, connection.expected
        if is_matrix(projection):
            number = _numbers(connection)
            synapses += number * item
            building += number * (item + (0 if isinstance(projection.connectivity.weights, np.ndarray) else 8))
        else:
            synapses += number * (item + (4 if connection.has_one_delay else 8))
            rows += 8 * (connection.source.size + 1)
            building += number * (item + listed(projection))
    return MemoryForecast(
        network.name,
        neurons(network),
        round(sum(connection.expected for connection in network.connections)),
        round(synapses),
        round(rows),
        state(network, np.dtype(dtype)),
        0,
        round(building),
    )


def _numbers(connection: Connection) -> float:
    """Return how many numbers a matrix holds, or the kernels of a convolution."""
    rule, source, target = connection.projection.connectivity, connection.source, connection.target
    if isinstance(rule, Conv2d):
        return math.prod(rule.kernel_shape(source.shape, target.shape))
    return source.size * target.size


def _segments(count: float, n_rows: int, longest: int) -> float:
    """Return how many segments the rows are, if all delays are equally likely.

    A row is pieces of one delay, and a gap takes a segment for every 255 ticks. With m pieces a row there are
    m (1 - x / longest) exp(-m x / longest) gaps longer than x, which is summed over x = 255, 510, ...
    """
    if longest == 0 or n_rows == 0 or count == 0:
        return 0.0
    pieces = longest * -math.expm1(count / n_rows * math.log1p(-1 / (longest + 1)))
    steps = longest / 255
    apart = -math.expm1(-pieces / steps)
    long_gaps = (1 - apart) / apart * (1 + math.expm1(-pieces) / (steps * apart))
    return n_rows * pieces * (1 + min(max(long_gaps, 0.0), steps))


def _plasticity(group: Group, count: float, n_rows: int, item: int) -> float:
    """Return the bytes of a plastic group beside its synapses, with its weights read out once."""
    connection = group.connections[0]
    assert connection.projection.plasticity is not None
    a_synapse = item + (2 * item if connection.projection.plasticity.eligibility is not None else 0)
    a_synapse += 8 if group.delay < 0 else 0  # its place in the order of the network
    a_target = 12 + 2 * item + 4 * (RANKS + 1) + item * RANKS
    return count * a_synapse + n_rows * (16 + 2 * item) + connection.target.size * a_target
