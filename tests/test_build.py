"""Building: what stands in the rows of all parts is exactly `Network.synapses`, in the order that is promised."""

import itertools
import time

import numpy as np
import pytest

from snnsim import (
    LIF,
    Conv2d,
    Dense,
    Exponential,
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
    SumPool2d,
    Uniform,
)
from snnsim.backends.contract.layout import Layout
from snnsim.backends.cpu.parts import build
from snnsim.backends.cpu.parts.build import build_parts
from snnsim.backends.cpu.parts.build_kernels import sort_rows
from snnsim.backends.cpu.parts.partition import Partition, paying_threads
from snnsim.backends.cpu.parts.projection_groups import groups_of
from snnsim.circuits import brunel, vogels_abbott_cuba
from snnsim.connectivity import RULES

DT = 1e-3
SHAPE = (2, 6, 6)


def rules(weights):
    """Return every rule between populations of shape (2, 6, 6); `weights` where one is allowed."""
    generator = np.random.default_rng(5)
    listed = generator.integers(0, 72, (2, 300))
    return {
        "Dense": Dense(weights),
        "Sparse": Sparse(*listed, weights),
        "OneToOne": OneToOne(weights),
        "Conv2d": Conv2d(Normal(), padding=1, kernel=3),
        "SumPool2d": SumPool2d(1, weights=0.3),
        "FixedProbability": FixedProbability(0.3, weights),
        "FixedInDegree": FixedInDegree(9, weights, self_connections=False),
        "FixedTotalNumber": FixedTotalNumber(700, weights),
    }


def built(network, multiple_of, dtype="float64", threads=2):
    layout = Layout.of(network)
    partition = Partition.of(network, layout, multiple_of)
    stores = build_parts(network, partition, groups_of(network), range(partition.n_parts), dtype, threads)
    return partition, stores


def rows_of(network, partition, store, part):
    """Yield (group, source, plane indices, weights, delays) of every row of a part."""
    for g, group in enumerate(groups_of(network)):
        n = network.populations[group.source].size
        offsets = store.rows[store.row_start[g] :][: n + 1]
        assert offsets[0] == 0
        for source in range(n):
            row = slice(offsets[source], offsets[source + 1])
            count = row.stop - row.start
            targets = store.targets[store.target_start[g] :][row]
            if group.weight is None:
                weights = store.weights[store.weight_start[g] :][row]
            else:
                assert store.weight_start[g] == -1
                weights = np.full(count, group.weight, store.weights.dtype)
            if group.delay < 0:
                delays = store.delays[store.delay_start[g] :][row].astype(np.int64)
            else:
                assert store.delay_start[g] == -1
                delays = np.full(count, group.delay)
            yield group, source, targets.astype(np.int64), weights, delays


def unpacked(network, partition, stores):
    """Return for each projection its synapses as (source, target, delay, weight), sorted but for what is equal."""
    found = [[] for _ in network.projections]
    for part, store in enumerate(stores):
        low, high, base = partition.low[part], partition.high[part], partition.base[part]
        for group, source, places, weights, delays in rows_of(network, partition, store, part):
            assert np.all(np.diff(delays * 2**20 + places) >= 0), "rows are not sorted by delay and place"
            left = np.ones(places.size, bool)
            for number in group.numbers:
                projection = network.projections[number]
                p = network.population_number(projection.target)
                begin = base[p] + network.connection(projection).receptor_number * (high[p] - low[p])
                mine = (places >= begin) & (places < begin + high[p] - low[p])
                left &= ~mine
                targets = places[mine] - begin + low[p]
                found[number] += zip(
                    [source] * targets.size,
                    targets.tolist(),
                    delays[mine].tolist(),
                    weights[mine].tolist(),
                    strict=True,
                )
            assert not left.any(), "synapses that belong to no projection"
    return [sorted(synapses, key=lambda synapse: synapse[:3]) for synapses in found]


def expected(network, dtype):
    """Return the same from `Network.synapses`."""
    result = []
    for projection in network.projections:
        s = network.synapses(projection)
        sources = np.repeat(np.arange(s.offsets.size - 1), np.diff(s.offsets)).tolist()
        delays = np.full(s.targets.size, network.connection(projection).minimum_delay) if s.delays is None else s.delays
        synapses = zip(sources, s.targets.tolist(), delays.tolist(), s.weights.astype(dtype).tolist(), strict=True)
        result.append(sorted(synapses, key=lambda synapse: synapse[:3]))
    return result


def network_of(projections, seed=3):
    two = (Exponential(5e-3, "fast"), Exponential(9e-3, "slow"))
    populations = [
        Population("in", SHAPE, Input()),
        Population("a", SHAPE, LIF(receptors=two)),
        Population("b", SHAPE, LIF()),
    ]
    return Network(populations, projections, dt=DT, seed=seed)


def test_every_rule_has_its_case():
    assert set(rules(1.0)) == set(RULES) - {"MaxPool2d"}


@pytest.mark.parametrize("name", rules(1.0))
@pytest.mark.parametrize("weights", [0.7, Normal(0.5, 0.2, low=0.0)])
@pytest.mark.parametrize("delay", [2e-3, Uniform(1e-3, 12e-3)])
def test_rows_of_all_parts_are_the_synapses(name, weights, delay):
    network = network_of([Projection("in", "a", rules(weights)[name], delay=delay, receptor="slow")])
    for n_parts, dtype in ((1, "float64"), (2, "float32"), (3, "float64")):
        partition, stores = built(network, n_parts, dtype)
        assert unpacked(network, partition, stores) == expected(network, dtype)
        assert sum(store.n_synapses for store in stores) == network.synapses(network.projections[0]).targets.size
        degrees = sum(store.out_degrees[0] for store in stores)
        assert np.array_equal(degrees, np.diff(network.synapses(network.projections[0]).offsets))


@pytest.mark.parametrize("n_parts", [1, 2, 3])
def test_merged_groups_hold_the_synapses_of_their_projections(n_parts):
    sparse = rules(Normal())["Sparse"]
    array = Sparse(sparse.sources, sparse.targets, np.linspace(-1, 1, 300))
    delays = np.random.default_rng(0).integers(1, 300, 300) * DT
    network = network_of(
        [
            Projection("a", "b", FixedProbability(0.2, Normal()), delay=LogNormal(5e-3, 4e-3)),
            Projection("a", "a", array, delay=delays, receptor="slow"),
            Projection("a", "a", FixedTotalNumber(400, Kaiming()), delay=Normal(5e-3, 4e-3), name="more"),
            Projection("a", "b", OneToOne(), delay=DT, name="one"),
            Projection("a", "a", Dense(1.0), delay=DT, name="dense"),
            Projection("b", "b", FixedInDegree(4, Uniform()), delay=DT),
        ]
    )
    assert [group.numbers for group in groups_of(network)] == [(0, 1, 2), (3, 4), (5,)]
    partition, stores = built(network, n_parts, "float32")
    assert unpacked(network, partition, stores) == expected(network, "float32")
    assert stores[0].delays.dtype == np.uint16
    for number, projection in enumerate(network.projections):
        degrees = sum(store.out_degrees[number] for store in stores)
        assert np.array_equal(degrees, np.diff(network.synapses(projection).offsets))


def test_projections_merge_only_where_the_order_of_adding_stays():
    def groups(*projections):
        network = network_of(
            [Projection(*ends, rule, name=str(i), **rest) for i, (ends, rule, rest) in enumerate(projections)]
        )
        return [group.numbers for group in groups_of(network)]

    to_a, to_b, rule = ("in", "a"), ("in", "b"), OneToOne(0.5)
    slow = {"receptor": "slow"}
    assert groups((to_a, rule, {}), (to_b, rule, {}), (to_a, rule, slow)) == [(0, 1, 2)]
    assert groups((to_a, rule, {}), (to_a, rule, {})) == [(0,), (1,)]
    assert groups((to_a, rule, {}), (to_b, OneToOne(0.4), {}), (to_a, rule, slow)) == [(0, 2), (1,)]
    assert groups((to_a, rule, {}), (to_a, rule, {"delay": DT}), (to_a, rule, slow)) == [(0, 2), (1,)]
    # The third reaches what the second does, so it cannot stand in the first group, before it.
    assert groups((to_a, rule, {}), (to_b, OneToOne(0.4), {}), (to_b, rule, {})) == [(0,), (1,), (2,)]
    # ... and the fourth joins the third, not the first.
    assert groups((to_a, rule, {}), (to_b, OneToOne(0.4), {}), (to_b, rule, {}), (to_a, rule, slow)) == [
        (0,),
        (1,),
        (2, 3),
    ]
    # Groups of one source stand together.
    assert groups((("b", "a"), rule, {"delay": DT}), (to_a, rule, {}), (("b", "b"), rule, {"delay": DT})) == [
        (1,),
        (0, 2),
    ]


def test_equal_pairs_stay_in_order_of_drawing():
    network = network_of([Projection("in", "a", FixedInDegree(200, Normal()), delay=2e-3)])
    partition, stores = built(network, 2)
    s = network.synapses(network.projections[0])
    low = partition.low[:, 1]
    for source in range(72):
        rows = [list(rows_of(network, partition, store, part))[source] for part, store in enumerate(stores)]
        mine = slice(s.offsets[source], s.offsets[source + 1])
        assert np.array_equal(np.concatenate([row[2] + low[i] for i, row in enumerate(rows)]), s.targets[mine])
        assert np.array_equal(np.concatenate([row[3] for row in rows]), s.weights[mine])


def test_parts_do_not_depend_on_threads_nor_on_what_else_is_built():
    network = network_of(
        [
            Projection("a", "b", FixedProbability(0.4, Normal()), delay=Uniform(1e-3, 5e-3)),
            Projection("in", "a", Dense()),
        ]
    )
    layout = Layout.of(network)
    partition = Partition.of(network, layout, 3)
    together = build_parts(network, partition, groups_of(network), [0, 1, 2], "float32", 3)
    for part in range(3):
        (alone,) = build_parts(network, partition, groups_of(network), [part], "float32", 1)
        for name in ("rows", "targets", "weights", "delays", "row_start", "target_start"):
            assert np.array_equal(getattr(alone, name), getattr(together[part], name))


@pytest.mark.parametrize(
    ("ticks", "dtype"),
    [(255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.int32), (2**24 + 3, np.int32)],
)
def test_delays_take_the_smallest_type_that_holds_them(ticks, dtype):
    delays = np.random.default_rng(1).integers(1, ticks, 300)
    delays[17] = ticks
    rule = rules(Normal())["Sparse"]
    network = network_of([Projection("in", "a", rule, delay=delays * DT)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layout, "of", classmethod(lambda cls, net: small_layout(net)))
        partition, stores = built(network, 1)
    assert stores[0].delays.dtype == dtype
    assert unpacked(network, partition, stores) == expected(network, "float64")


def small_layout(network):
    """Lay out the same populations without projections: a ring for long delays would not fit."""
    return of_layout(Network(network.populations, [], dt=DT))


of_layout = Layout.of


def test_sorting_is_stable_for_long_and_short_delays():
    generator = np.random.default_rng(2)
    for highest in (3, 200, 255, 256, 40_000, 2**30):
        rows = np.array([0, 0, 1, 40, 3000])
        delays = generator.integers(0, highest, 3000).astype(np.int32)
        targets, weights = np.arange(3000, dtype=np.uint16), generator.normal(size=3000)
        order = np.concatenate(
            [a + np.argsort(delays[a:b], kind="stable") for a, b in itertools.pairwise(rows)]
        ).astype(int)
        after = targets.copy(), weights.copy(), delays.copy()
        sort_rows(rows, 0, 4, *after)
        assert np.array_equal(after[0], targets[order])
        assert np.array_equal(after[1], weights[order])
        assert np.array_equal(after[2], delays[order])


def test_a_bar_shows_the_time_left(capfd):
    network = network_of([Projection("a", "b", FixedProbability(0.4), delay=DT)])
    layout = Layout.of(network)
    build_parts(network, Partition.of(network, layout), groups_of(network), [0], "float32", progress=True)
    error = capfd.readouterr().err
    assert "building synapses 100%" in error
    assert "left" in error


def test_what_fails_in_one_part_stops_the_others(monkeypatch):
    """An error, or Ctrl-C."""
    monkeypatch.setattr("snnsim.connectivity.draw_plan.CHUNK", 10)
    network = network_of([Projection("a", "b", FixedInDegree(10, Normal()), delay=DT)])
    layout = Layout.of(network)
    partition = Partition.of(network, layout, 2)
    before, ranges = build.place, []

    def fail_in_the_first_part(*arguments):
        ranges.append(arguments[4:6])
        if arguments[4] == 0:
            raise KeyboardInterrupt
        time.sleep(0.02)
        return before(*arguments)

    monkeypatch.setattr(build, "place", fail_in_the_first_part)
    with pytest.raises(KeyboardInterrupt):
        build_parts(network, partition, groups_of(network), [0, 1], "float32", threads=2)
    assert len(ranges) < 20  # of 36 targets of the second part, one at a time


def test_a_small_network_takes_no_more_threads_than_have_something_to_do(monkeypatch):
    monkeypatch.setattr("snnsim.backends.cpu.parts.partition.cores", lambda: 8)
    small = Network([Population("a", 100, LIF())], [Projection("a", "a", FixedInDegree(10, 0.1), delay=1e-4)], dt=1e-4)
    assert paying_threads(small) == 1
    assert 1 < paying_threads(vogels_abbott_cuba()) < 8
    assert paying_threads(brunel()) == 8
