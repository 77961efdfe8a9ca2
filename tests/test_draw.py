"""Random wiring against a twin in plain NumPy, bit for bit; and what no drawing of it may take."""

import dataclasses
import itertools
import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from snnsim import (
    LIF,
    Dense,
    FixedInDegree,
    FixedProbability,
    FixedTotalNumber,
    Input,
    Kaiming,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    Sparse,
    Uniform,
)
from snnsim.backends.contract.layout import Layout
from snnsim.connectivity import Key
from snnsim.connectivity.draw_kernels import count_sources, place
from snnsim.connectivity.draw_plan import spread
from snnsim.errors import ParameterError
from snnsim.network import connection
from snnsim.numerics import elementary, rng
from snnsim.timebase import to_ticks

DT = 1e-3


# -- the twin: one target after another ----------------------------------------------------------------------


def twin_values(distribution, seed, stream, element, k, fan_in):
    """Return the values of number `k` of `element`, both arrays."""
    if isinstance(distribution, float):
        return np.full(np.broadcast(element, k).shape, distribution)
    if isinstance(distribution, Uniform):
        return distribution.low + (distribution.high - distribution.low) * rng.uniform(seed, stream, element, k)
    if isinstance(distribution, Kaiming):
        return distribution.gain * np.sqrt(3 / max(fan_in, 1)) * (2 * rng.uniform(seed, stream, element, k) - 1)
    if isinstance(distribution, LogNormal):
        variance = elementary.log_one_plus((distribution.sd / distribution.mean) ** 2)
        logarithm = elementary.log(np.float64(distribution.mean)) - variance / 2
        return elementary.exp(logarithm + np.sqrt(variance) * rng.normal(seed, stream, element, k))
    values = distribution.mean + distribution.sd * rng.normal(seed, stream, element, k)
    for attempt in range(1, 101):
        if np.all((values >= distribution.low) & (values <= distribution.high)):
            break
        again = distribution.mean + distribution.sd * rng.normal(seed, stream + (attempt << 32), element, k)
        values = np.where((values < distribution.low) | (values > distribution.high), again, values)
    for i in np.flatnonzero((values < distribution.low) | (values > distribution.high)):
        number = (np.broadcast_to(part, values.shape)[i] for part in (element, k))
        values[i] = twin_truncated(distribution, seed, stream, *number)
    return values


def twin_truncated(distribution, seed, stream, element, k):
    """Return a value within the bounds by rejection of proposals that lie there."""
    low, high = ((bound - distribution.mean) / distribution.sd for bound in (distribution.low, distribution.high))
    near, far = max(low, -high), max(high, -low)
    rate = 0.5 * (near + np.sqrt(near * near + 4.0))
    for attempt in itertools.count(101):
        first, second = (float(rng.uniform(seed, stream + (attempt << 32), element, 2 * k + i)) for i in (0, 1))
        if near > 0:
            within = 1.0 - elementary.exp(-rate * (far - near))
            x = min(near - elementary.log(np.float64(1.0 - first * within)) / rate, far)
            taken, x = second < elementary.exp(-0.5 * (x - rate) * (x - rate)), x if low > 0 else -x
        elif high - low > 1:
            x = rng.normal(seed, stream + (attempt << 32), element, k)
            taken = low <= x <= high
        else:
            x = low + first * (high - low)
            taken = second < elementary.exp(-0.5 * x * x)
        if taken:
            return np.clip(distribution.mean + distribution.sd * x, distribution.low, distribution.high)
    raise AssertionError


def twin_sources(rule, target, n, m, key):
    """Return the sources of a target in order of drawing."""
    stream = rng.stream_number(key.name, "wiring")
    if isinstance(rule, FixedProbability):
        if rule.probability == 0:
            return np.zeros(0, int)
        log_rest = -np.inf if rule.probability == 1 else elementary.log_one_plus(-rule.probability)
        sources, last = [], -1
        for k in itertools.count():
            gap = np.floor(elementary.log(1 - rng.uniform(key.seed, stream, target, k)) / log_rest)
            if last + 1 + gap >= n:
                return np.array(sources, int)
            last += 1 + int(gap)
            if rule.self_connections or last != target:
                sources.append(last)
    if isinstance(rule, FixedTotalNumber):
        draws = rng.uniform(key.seed, rng.stream_number(key.name, "targets"), 0, np.arange(rule.total))
        degree, choices = int(np.sum(np.floor(draws * m) == target)), n
    else:
        degree, choices = rule.in_degree, n - (not rule.self_connections and target < n)
    sources = np.floor(rng.uniform(key.seed, stream, target, np.arange(degree)) * choices).astype(int)
    return sources + (sources >= target) if choices < n else sources


def twin(rule, n, m, key, delay=None):
    """Return (source, target, weight, delay in ticks) of all synapses, sorted by pair, stable."""
    fan_in = {
        FixedProbability: lambda: rule.probability * (n * m - (not rule.self_connections) * min(n, m)) / m,
        FixedInDegree: lambda: rule.in_degree,
        FixedTotalNumber: lambda: rule.total / m,
    }[type(rule)]()
    parts = []
    for target in range(m):
        sources = twin_sources(rule, target, n, m, key)
        k = np.arange(sources.size)
        values = [
            twin_values(values, key.seed, rng.stream_number(key.name, name), target, k, fan_in)
            for values, name in ((rule.weights, "weights"), (delay or 1.0, "delays"))
        ]
        ticks = np.rint(np.maximum(values[1], DT) / DT)
        parts.append(np.stack([sources, np.full(sources.size, target), values[0], ticks], axis=1))
    joined = np.concatenate(parts)
    return joined[np.lexsort((joined[:, 1], joined[:, 0]))]


def network_of(rule, n, m, key, delay=DT):
    populations = [Population("a", n, Input()), Population("b", m, LIF())]
    return Network(populations, [Projection("a", "b", rule, delay=delay, name=key.name)], dt=DT, seed=key.seed)


@pytest.mark.parametrize(
    "rule",
    [
        FixedProbability(0.3, Normal(1.0, 0.4, low=0.0)),
        FixedProbability(0.02, Kaiming(2.0), self_connections=False),
        FixedProbability(1.0, Uniform(-1, 1), self_connections=False),
        FixedProbability(0.0, Normal()),
        FixedInDegree(13, Uniform(-3.0, 0.5)),
        FixedInDegree(70, LogNormal(2.0, 0.7), self_connections=False),
        FixedInDegree(0, Normal()),
        FixedTotalNumber(900, Normal(0.0, 1.0, -0.5, 0.5)),
        FixedInDegree(6, Normal(-1.0, 0.5, low=0.7)),
        FixedTotalNumber(3, 0.25),
        FixedTotalNumber(0, Kaiming()),
    ],
    ids=str,
)
@pytest.mark.parametrize(("n", "m"), [(31, 18), (18, 31), (2, 5), (23, None)])
@pytest.mark.parametrize("delay", [Normal(5e-3, 4e-3, low=1e-3, high=9e-3), Uniform(0, 20e-3), LogNormal(4e-3, 9e-3)])
def test_kernels_draw_what_the_definition_says(rule, n, m, delay):
    """Between two populations, and within one, where alone there are self-connections."""
    key = Key(2**40 + 11, "a to b")
    if m is None:
        m, ends = n, ("b", "b")
    else:
        ends = ("a", "b")
    projection = Projection(*ends, rule, delay=delay, name=key.name)
    network = network_of(rule, n, m, key).replaced(projections=[projection])
    if ends == ("a", "b") and not getattr(rule, "self_connections", True):
        rule = dataclasses.replace(rule, self_connections=True)
    drawn = network.synapses(network.projections[0])
    sources = np.repeat(np.arange(n), np.diff(drawn.offsets))
    found = np.stack([sources, drawn.targets, drawn.weights, drawn.delays], axis=1)
    expected = twin(rule, n, m, key, delay)
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
    assert network.connection(network.projections[0]).longest_delay == expected[:, 3].max(initial=0)


@pytest.mark.parametrize(
    "distribution",
    [
        Normal(1, 2),
        Normal(0, 1, 0.5, 0.6),
        Normal(0.2, 1.0, 4.0),
        Normal(0.2, 0.5, high=-2.0),
        Normal(3.0, 0.1, 2.9999, 3.0001),
        Uniform(-1, 3),
        LogNormal(0.3, 2),
        Kaiming(0.7),
    ],
    ids=str,
)
def test_lists_are_drawn_as_number_0_of_each_element(distribution):
    expected = twin_values(distribution, 5, 77, np.arange(999), np.zeros(999, int), 10)
    assert np.array_equal(distribution.draw(999, 5, 77, 10), expected)


# -- parts of a whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [FixedProbability(0.2), FixedInDegree(9), FixedTotalNumber(700)], ids=str)
def test_a_range_of_targets_drawn_alone_is_that_range_of_the_whole(rule):
    rule = dataclasses.replace(rule, weights=Normal())
    key, n, m = Key(1, "x"), 50, 60
    plan, whole = rule.plan((n,), (m,), key), rule.synapses((n,), (m,), key)
    sources = np.repeat(np.arange(n), np.diff(whole.offsets))
    for low, high in ((0, 1), (17, 44), (44, 60), (30, 30)):
        counts, room = np.zeros(n, np.int32), plan.room()
        mine = (whole.targets >= low) & (whole.targets < high)
        assert count_sources(plan.wiring, low, high, counts, room) == mine.sum()
        assert np.array_equal(counts, np.bincount(sources[mine], minlength=n))
        ends = np.concatenate(([0], np.cumsum(counts)))[:-1]
        targets, weights = np.empty(mine.sum(), np.uint16), np.empty(mine.sum())
        nothing = np.empty(0, np.uint8)
        place(plan.wiring, plan.weights, plan.weights, DT, low, high, 5, ends, targets, weights, nothing, room)
        assert np.array_equal(targets, whole.targets[mine] - low + 5)
        assert np.array_equal(weights, whole.weights[mine])


def test_many_targets_in_many_chunks_and_threads_have_the_counts_of_one_draw(monkeypatch):
    key = Key(3, "x")
    whole = FixedTotalNumber(50_000).plan((70,), (80,), key).wiring.degrees
    monkeypatch.setattr("snnsim.connectivity.draw_plan.CHUNK", 100)
    monkeypatch.setattr("snnsim.connectivity.draw_plan.cores", lambda: 3)
    assert np.array_equal(FixedTotalNumber(50_000).plan((70,), (80,), key).wiring.degrees, whole)
    network = network_of(FixedInDegree(40), 50, 60, key, LogNormal(4e-3, 9e-3))
    assert (
        network.connection(network.projections[0]).longest_delay
        == network.synapses(network.projections[0]).delays.max()
    )
    dense = network_of(Dense(), 50, 60, key, LogNormal(4e-3, 9e-3))
    assert dense.connection(dense.projections[0]).longest_delay == dense.synapses(dense.projections[0]).delays.max()
    assert spread(lambda x: x * x, list(range(7))) == [0, 1, 4, 9, 16, 25, 36]


# -- statistics of what is new -------------------------------------------------------------------------------


def test_in_degrees_of_a_fixed_total_number_are_multinomial():
    m, total = 60, 30_000
    degrees = np.stack([FixedTotalNumber(total).plan((9,), (m,), Key(s, "x")).wiring.degrees for s in range(40)])
    assert np.all(degrees.sum(axis=1) == total)
    scaled = (degrees - total / m) ** 2 / (total / m)
    assert stats.kstest(scaled.sum(axis=1), stats.chi2(m - 1).cdf).pvalue > 1e-3


def test_in_and_out_degrees_of_a_fixed_probability_are_binomial():
    n, m, p = 400, 300, 0.1
    drawn = FixedProbability(p).synapses((n,), (m,), Key(8, "x"))
    for degrees, of in ((np.diff(drawn.offsets), m), (np.bincount(drawn.targets, minlength=m), n)):
        assert abs(degrees.mean() - of * p) < 5 * np.sqrt(of * p * (1 - p) / degrees.size)
        assert degrees.var() / (of * p * (1 - p)) == pytest.approx(1, abs=5 * np.sqrt(2 / degrees.size))


def test_weights_delays_and_sources_are_independent():
    network = network_of(FixedInDegree(400, Normal()), 200, 100, Key(4, "x"), Normal(0.1, 0.02))
    drawn = network.synapses(network.projections[0])
    sources = np.repeat(np.arange(200), np.diff(drawn.offsets))
    columns = np.stack([sources, drawn.targets, drawn.weights, drawn.delays, np.abs(drawn.weights)])
    correlations = np.corrcoef(columns)[np.triu_indices(5, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(drawn.targets.size)


# -- large networks are described, not built -----------------------------------------------------------------


def test_a_network_of_ten_thousand_million_synapses_is_described_at_once():
    tracemalloc.start()
    start = time.perf_counter()
    try:
        n = 1_000_000
        rules = {"in": FixedInDegree(5000, Normal()), "all": FixedTotalNumber(5 * 10**9), "p": FixedProbability(0.005)}
        network = Network(
            [Population("a", n, LIF())],
            [Projection("a", "a", rule, delay=Normal(2e-3, 1e-3), name=name) for name, rule in rules.items()]
            + [Projection("a", "a", FixedTotalNumber(5 * 10**9), delay=DT, name="one")],
            dt=DT,
        )
        assert "5,000,000,000" in str(network)
        network.schedule()
        assert [network.connection(projection).minimum_delay for projection in network.projections] == [1] * 4
        _ = network.order
        assert network.connection(network.projection("one")).longest_delay == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 2
    assert peak < 2e6


def test_the_longest_delay_is_drawn_once_and_by_no_one_else(monkeypatch):
    network = network_of(FixedProbability(0.3), 50, 60, Key(0, "x"), Uniform(1e-3, 30e-3))
    calls = []
    drawn = 29
    monkeypatch.setattr(connection.Connection, "_longest_drawn", lambda one: calls.append(one) or drawn)
    assert [network.connection(network.projections[0]).longest_delay for _ in range(3)] == [drawn] * 3
    Layout.of(network)
    assert len(calls) == 1


def test_delays_given_one_by_one_are_looked_through_once(monkeypatch):
    looked = []
    monkeypatch.setattr(connection, "to_ticks", lambda *a, **k: looked.append(a) or to_ticks(*a, **k))
    network = network_of(OneToOne(), 9, 9, Key(0, "x"), np.arange(1, 10) * DT)
    for _ in range(3):
        assert network.connection(network.projections[0]).minimum_delay == 1
        assert network.connection(network.projections[0]).longest_delay == 9
        _ = network.order
    assert len(looked) == 1


def test_longest_delays_of_projections_without_synapses():
    for rule, n in ((FixedProbability(0.0), 5), (FixedTotalNumber(0), 5), (Sparse([], []), 5)):
        network = network_of(rule, n, n, Key(0, "x"), Uniform(1e-3, 2e-3))
        assert network.connection(network.projections[0]).longest_delay == 0


def test_a_drawn_delay_that_is_too_long_is_named():
    network = network_of(FixedInDegree(5), 5, 5, Key(0, "x"), LogNormal(1e8, 1.0))
    with pytest.raises(ParameterError, match=r"projection 'x': delay is \d+ ticks of dt=0\.001 s; at most 2147483647"):
        _ = network.connection(network.projections[0]).longest_delay
    with pytest.raises(ParameterError, match="projection 'x': delay is"):
        network.synapses(network.projections[0])
