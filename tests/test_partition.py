"""Partitions: every neuron has one owner, planes have no holes, parts are balanced and fit in 16 bits."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snnsim import LIF, Exponential, Input, Network, Population
from snnsim.backends.contract.layout import Layout
from snnsim.backends.cpu.parts.partition import LARGEST_PART, Partition
from snnsim.errors import ParameterError


def network_of(sizes, receptors):
    populations = [Population("in", 7, Input())]
    for i, (size, count) in enumerate(zip(sizes, receptors, strict=True)):
        populations.append(
            Population(f"p{i}", size, LIF(receptors=tuple(Exponential(5e-3, f"r{r}") for r in range(count))))
        )
    return Network(populations, [], dt=1e-3)


def unevenness(sizes, receptors, n_parts):
    """Accumulators that a part may have more or fewer than its share: two pairs or two lines of each population."""
    neurons = np.where(sizes >= 64 * n_parts, 32, 4)
    return int(neurons @ receptors)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40_000), st.integers(1, 3)), min_size=1, max_size=6),
    st.integers(1, 9),
)
@example([(169, 1)], 2)
def test_every_accumulator_has_one_place(populations, multiple_of):
    sizes, receptors = (np.array(values) for values in zip(*populations, strict=True))
    network = network_of(sizes, receptors)
    parts = Partition.of(network, Layout.of(network), multiple_of)
    n = parts.n_parts
    assert n % multiple_of == 0
    assert parts.low.shape == parts.high.shape == parts.base.shape == (n, sizes.size + 1)
    assert not parts.low[:, 0].any()
    assert not parts.high[:, 0].any()
    assert np.all(parts.low[0] == 0)
    assert np.array_equal(parts.high[-1, 1:], sizes)
    assert np.array_equal(parts.low[1:], parts.high[:-1])
    lengths = parts.high - parts.low
    assert lengths.min() >= 0
    ends = parts.base + lengths * np.array([0, *receptors])
    assert np.array_equal(ends[:, :-1], parts.base[:, 1:])
    assert np.array_equal(ends[:, -1], parts.sizes)
    assert parts.sizes.max() <= LARGEST_PART
    inner = parts.low[:, 1:]
    assert np.all((inner % 2 == 0) | (inner == sizes))
    total = int(sizes @ receptors)
    assert abs(parts.sizes - total / n).max() <= unevenness(sizes, receptors, n)
    if n > multiple_of:  # one step fewer would not have fitted
        fewer = n - multiple_of
        assert total / fewer > LARGEST_PART - unevenness(sizes, receptors, fewer)


def test_small_populations_spread_over_the_parts():
    network = network_of([6] * 40, [1] * 40)
    sizes = Partition.of(network, Layout.of(network), 4).sizes
    assert sizes.max() - sizes.min() <= 2


def test_more_parts_than_pairs_leaves_some_empty():
    network = network_of([3], [1])
    parts = Partition.of(network, Layout.of(network), 5)
    assert parts.sizes.sum() == 3
    assert sorted(parts.sizes.tolist()) == [0, 0, 0, 1, 2]


@pytest.mark.parametrize("multiple_of", [0, -1, 1.5, True])
def test_nonsense_is_refused(multiple_of):
    network = network_of([3], [1])
    with pytest.raises(ParameterError, match="multiple_of"):
        Partition.of(network, Layout.of(network), multiple_of)
