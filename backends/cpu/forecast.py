"""How much memory the cpu backend will take for a long run: counted from the description, nothing is drawn."""

from __future__ import annotations

import functools
import math

import numpy as np

from snnsim.backends.cpu.groups import Group, groups_of
from snnsim.backends.cpu.learning_parts import RANKS
from snnsim.backends.cpu.long_run import unsupported
from snnsim.backends.cpu.partition import Partition, paying_threads
from snnsim.backends.layout import Layout
from snnsim.connectivity import Conv2d, Dense, FixedInDegree, FixedProbability, FixedTotalNumber
from snnsim.delays import likely_longest
from snnsim.errors import one_of, whole
from snnsim.memory import MemoryForecast
from snnsim.network import Network, Projection

#: Bytes a synapse of a projection that is not random takes as a list: source, target, weight, delay and their order.
_LISTED = {"Sparse": 48}
_LISTED_OTHERWISE = 24
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
    item = np.dtype(dtype).itemsize
    longest = functools.cache(lambda projection: likely_longest(network, projection))
    layout = Layout.of(network, longest)
    partition = Partition.of(network, layout, threads if ranks == 1 else ranks)
    groups = groups_of(network)
    own_delays = [network.projections[i] for group in groups if group.delay < 0 for i in group.projections]
    last = max((longest(projection) for projection in own_delays), default=0)
    delay_item = 1 if last < 2**8 else 2 if last < 2**16 else 4

    synapses = rows = plasticity = building = 0.0
    if unsupported(network) is not None:
        synapses, rows = _tables(network, item)
        groups = []
    for group in groups:
        members = [network.projections[i] for i in group.projections]
        count = sum(expected(network, projection) for projection in members)
        synapses += count * (2 + (item if group.weight is None else 0) + (delay_item if group.delay < 0 else 0))
        n_rows = network.populations[group.source].size * partition.n_parts
        rows += n_rows * (8 + 4 * len(members))
        if group.delay < 0:
            rows += n_rows * 8 + 2 * _segments(count, n_rows, max(longest(projection) for projection in members))
        if group.plastic:
            plasticity += _plasticity(network, group, count, n_rows, item)
    for projection in network.projections:
        building += _as_list(projection) * expected(network, projection)
    accumulators = int(partition.sizes.sum())
    state = layout.n_floats * item + layout.n_counters * (4 + _A_NEURON) + accumulators * (item + _AN_ACCUMULATOR)
    return MemoryForecast(
        network.name,
        sum(population.size for population in network.populations if not population.is_source),
        round(sum(expected(network, projection) for projection in network.projections)),
        round(synapses / ranks),
        round(rows / ranks),
        state,
        round(plasticity / ranks),
        round(building),
    )


def expected(network: Network, projection: Projection) -> float:
    """Return the expected number of synapses of a projection."""
    source, target = network.population(projection.source), network.population(projection.target)
    return projection.connectivity.expected(source.shape, target.shape)


def _tables(network: Network, item: int) -> tuple[float, float]:
    """Return the bytes of synapses and rows where a network cannot go in parts, and keeps the rules' own forms."""
    synapses = rows = 0.0
    for projection in network.projections:
        rule, one_delay = projection.connectivity, isinstance(projection.delay, float)
        source, target = network.population(projection.source), network.population(projection.target)
        if isinstance(rule, Dense) and one_delay:
            synapses += source.size * target.size * item
        elif isinstance(rule, Conv2d) and one_delay:
            synapses += math.prod(rule.kernel_shape(source.shape, target.shape)) * item
        else:
            synapses += expected(network, projection) * (item + (4 if one_delay else 8))
            rows += 8 * (source.size + 1)
    return synapses, rows


def _segments(count: float, n_rows: int, longest: int) -> float:
    """Return how many pieces of one delay the rows are, if all delays are equally likely: at most as many."""
    if longest == 0 or n_rows == 0:
        return 0.0
    return n_rows * longest * -float(np.expm1(count / n_rows * np.log1p(-1 / (longest + 1))))


def _plasticity(network: Network, group: Group, count: float, n_rows: int, item: int) -> float:
    """Return the bytes of a plastic group beside its synapses, with its weights read out once."""
    projection = network.projections[group.projections[0]]
    assert projection.plasticity is not None
    a_synapse = item + (2 * item if projection.plasticity.eligibility is not None else 0)
    a_synapse += 8 if group.delay < 0 else 0  # its place in the order of the network
    a_target = 12 + 2 * item + 4 * (RANKS + 1) + item * RANKS
    return count * a_synapse + n_rows * (16 + 2 * item) + network.population(projection.target).size * a_target


def _as_list(projection: Projection) -> int:
    """Return the bytes of a synapse while it stands in a list."""
    rule = projection.connectivity
    if isinstance(rule, (FixedInDegree, FixedProbability, FixedTotalNumber)):
        return 0
    return _LISTED.get(type(rule).__name__, _LISTED_OTHERWISE)
