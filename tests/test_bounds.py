"""Nothing is written where there is no room: what disagrees is an error of the library, with nothing left half done."""

import threading

import h5py
import numpy as np
import pytest

from snnsim import (
    IF,
    LIF,
    STDP,
    Dense,
    Events,
    FixedInDegree,
    FixedProbability,
    FixedTotalNumber,
    Input,
    Network,
    Normal,
    Poisson,
    Population,
    Projection,
    RewardModulatedSTDP,
    Simulation,
    Sparse,
    Trace,
    Uniform,
)
from snnsim.backends.contract.requests import TraceRequest
from snnsim.backends.cpu.long_run import long_run
from snnsim.backends.cpu.parts import build
from snnsim.backends.cpu.parts.build_kernels import count_listed, place_listed, sort_rows
from snnsim.backends.cpu.parts.checks import check_rows, check_segments
from snnsim.backends.cpu.plasticity.synapse_order import RowOrder
from snnsim.connectivity import Key
from snnsim.connectivity.draw_kernels import count_sources, longest_value, place
from snnsim.connectivity.draw_plan import Plan
from snnsim.errors import DataError, InternalError, ResourceError, SnnsimError
from snnsim.timebase import to_ticks

DT = 1e-3


def recurrent(threads=1, **options):
    """Return a simulation in which every neuron fires in most ticks."""
    populations = [Population("in", 4, Poisson(200.0)), Population("cells", 40, IF(bias=0.9, reset="zero"))]
    projections = [
        Projection("in", "cells", Dense(0.4)),
        Projection("cells", "cells", FixedInDegree(5, Normal(0.1, 0.1)), delay=Uniform(3e-3, 9e-3), **options),
    ]
    return Simulation(Network(populations, projections, dt=DT, seed=1), threads=threads)


# -- building ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [FixedInDegree(6), FixedProbability(0.5), FixedTotalNumber(60)])
def test_drawn_synapses_stay_in_their_rows(rule):
    """With a row counted too short all that is written lies in the arrays, and the others keep theirs."""
    plan = rule.plan((8,), (10,), Key(3, "x"))
    counts = np.zeros(8, np.int32)
    total = count_sources(plan.wiring, 0, 10, counts, plan.room())
    assert total == counts.sum()
    arenas = [np.full(total + 5, 77, np.int32) for _ in range(2)]
    starts = np.concatenate(([0], np.cumsum(counts)))[:-1]
    given = plan.wiring, plan.weights, plan.weights, 1.0, 0, 10, 0
    place(*given, starts.copy(), arenas[0], np.zeros(0), arenas[1], plan.room())
    for short in (1, total // 2, total):
        arenas = [np.full(total + 5, 77, np.int32) for _ in range(2)]
        with pytest.raises(InternalError, match="more synapses than were counted"):
            place(
                *given, starts.copy(), arenas[0][: total - short], np.zeros(0), arenas[1][: total - short], plan.room()
            )
        for arena in arenas:
            assert np.all(arena[total - short :] == 77)
    for wrong in (starts[:-1], np.append(starts, total)):
        with pytest.raises(InternalError, match="a source"):
            place(*given, wrong.copy(), arenas[0], np.zeros(0), arenas[1], plan.room())
    with pytest.raises(InternalError, match="other sources"):
        count_sources(plan.wiring, 0, 10, np.zeros(7, np.int32), plan.room())
    for drawn in (count_sources, longest_value):
        small = plan.room()
        small = type(small)(*(array[:-1] for array in small))
        last = counts if drawn is count_sources else plan.weights
        arguments = (plan.wiring, 0, 10, last, small) if drawn is count_sources else (plan.wiring, last, 0, 10, small)
        with pytest.raises(InternalError, match="than its projection has room for"):
            drawn(*arguments)


@pytest.mark.parametrize(("dtype", "longest"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_a_delay_that_does_not_fit_is_no_other_delay(dtype, longest):
    """It would come back as one of a few ticks."""
    plan = FixedInDegree(2).plan((3,), (4,), Key(3, "x"))
    counts = np.zeros(3, np.int32)
    total = count_sources(plan.wiring, 0, 4, counts, plan.room())
    starts = np.concatenate(([0], np.cumsum(counts)))[:-1]
    for ticks in (longest, longest + 1):
        delays = plan.weights._replace(a=float(ticks))
        arenas = np.zeros(total, np.uint16), np.zeros(0), np.zeros(total, dtype)
        given = plan.wiring, plan.weights, delays, 1.0, 0, 4, 0, starts.copy(), *arenas, plan.room()
        listed = np.array([0, 1]), np.array([0], np.int32), np.ones(1), np.array([ticks], np.int32), 0, 1, 0
        one = np.zeros(1, np.int64), np.zeros(1, np.uint16), np.zeros(0), np.zeros(1, dtype)
        if ticks > longest:
            with pytest.raises(InternalError, match="a delay is longer"):
                place(*given)
            with pytest.raises(InternalError, match="a delay is longer"):
                place_listed(*listed, *one)
            continue
        place(*given)
        place_listed(*listed, *one)
        assert np.all(arenas[2] == longest)
        assert one[3][0] == longest


def test_listed_synapses_stay_in_their_rows():
    offsets, targets = np.array([0, 2, 5]), np.array([0, 3, 1, 2, 3], np.int32)
    counts = np.zeros(2, np.int32)
    count_listed(offsets, targets, 1, 4, counts)
    assert counts.tolist() == [1, 3]
    with pytest.raises(InternalError, match="other sources"):
        count_listed(offsets, targets, 1, 4, np.zeros(3, np.int32))
    arena = np.full(6, 77, np.uint16)
    rest = np.ones(5), np.zeros(5, np.int32), 1, 4, 10
    place_listed(offsets, targets, *rest, np.array([0, 1]), arena[:4], np.zeros(0), np.zeros(0, np.int32))
    assert arena.tolist() == [12, 10, 11, 12, 77, 77]
    for room, starts in ((3, [0, 1]), (4, [0, 2]), (4, [-1, 1])):
        arena[:] = 77
        with pytest.raises(InternalError, match="more synapses than were counted"):
            place_listed(offsets, targets, *rest, np.array(starts), arena[:room], np.zeros(0), np.zeros(0, np.int32))
        assert np.all(arena[room:] == 77)
    for weights, delays in ((np.zeros(3), np.zeros(0, np.int32)), (np.zeros(0), np.zeros(3, np.int32))):
        with pytest.raises(InternalError, match="a weight or a delay each"):
            place_listed(offsets, targets, *rest, np.array([0, 1]), arena[:4], weights, delays)


def test_rows_that_are_sorted_lie_within_their_arrays():
    delays = np.array([3, 1, 2], np.int32)
    with pytest.raises(InternalError, match="more synapses than were counted"):
        sort_rows(np.array([0, 2, 4]), 0, 2, np.zeros(3, np.uint16), np.zeros(0), delays)
    with pytest.raises(InternalError, match="a weight or a delay each"):
        sort_rows(np.array([0, 2, 3]), 0, 2, np.zeros(3, np.uint16), np.zeros(2), delays)


@pytest.mark.parametrize("rule", [FixedProbability(0.4, Normal()), Sparse(np.arange(9), np.arange(9) % 4, 0.5)])
@pytest.mark.parametrize("error", [-1, 1])
def test_rows_that_were_counted_otherwise_are_refused(monkeypatch, rule, error):
    before = build._Builder._count

    def wrong(builder, member, n_sources):
        counts = before(builder, member, n_sources)
        counts[np.flatnonzero(counts)[0]] += error
        return counts

    monkeypatch.setattr(build._Builder, "_count", wrong)
    populations = [Population("in", 9, Poisson(10.0)), Population("out", 4, LIF())]
    net = Network(populations, [Projection("in", "out", rule, delay=DT)], dt=DT)
    with pytest.raises(InternalError, match=r"were counted.*please report"):
        Simulation(net, threads=1)


def test_rows_are_looked_through_before_they_are_read():
    rows, targets = np.array([0, 2, 2, 3]), np.array([0, 4, 3], np.uint16)
    check_rows(rows, targets, np.zeros(3), 0, 5)
    check_rows(rows, targets, np.zeros(0), 0, 5)
    for wrong in (
        (rows + 1, targets, np.zeros(3), 0, 5),
        (rows, targets[:2], np.zeros(2), 0, 5),
        (rows, targets, np.zeros(2), 0, 5),
        (np.array([0, 3, 2, 3]), targets, np.zeros(3), 0, 5),
        (rows, targets, np.zeros(3), 0, 4),
        (rows, targets, np.zeros(3), 1, 5),
        (rows, targets.astype(np.int32) - 1, np.zeros(3), 0, 5),
    ):
        with pytest.raises(InternalError):
            check_rows(*wrong)
    segments = np.array([3 + 256 * 2, 255, 1 + 256], np.uint16)
    check_segments(rows, np.array([0, 1, 1, 3]), segments, 256)
    for where, longest in (
        ([0, 1, 1, 3], 255),
        ([0, 1, 1, 2], 256),
        ([0, 2, 2, 3], 256),
        ([0, 2, 1, 3], 256),
        ([0, 1, 1, 4], 256),
        ([-1, 1, 1, 3], 256),
    ):
        with pytest.raises(InternalError):
            check_segments(rows, np.array(where), segments, longest)


@pytest.mark.parametrize("method", ["run", "run_samples"])
def test_lists_that_were_changed_reach_nothing_that_is_not_there(method):
    """A rule that gives more targets than its population has."""
    net = Network(
        [Population("in", 2, Input()), Population("out", 3, IF())],
        [Projection("in", "out", Sparse([0, 1], [0, 2]), delay=np.array([DT, 2 * DT]))],
        dt=DT,
    )
    events = Events.from_ticks([0], [0], n_sources=2, dt=DT, n_ticks=3)
    rule = net.projections[0].connectivity
    object.__setattr__(rule, "targets", np.array([0, 3], np.int32))
    with pytest.raises(SnnsimError):
        getattr(Simulation(net), method)(inputs=events)


# -- running ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_that_meets_a_box_too_small_ends_and_leaves_nothing_behind(threads):
    """The threads of other parts do not wait for the one that failed, and a new run is as if nothing had been."""
    sim = recurrent(threads)
    expected = sim.run(0.05, record=["cells", Trace("cells")])
    run, mail = sim.program._long, sim.program._long._mail
    run._mail = mail._replace(keys=mail.keys[:, :, :3], numbers=mail.numbers[:, :, :3])
    with pytest.raises(InternalError, match="fire more often in a window than their refractory times allow"):
        sim.run(0.05)
    with pytest.raises(SnnsimError, match="broken off"):
        sim.run(0.05)
    run._mail = mail
    sim.reset()
    again = sim.run(0.05, record=["cells", Trace("cells")])
    assert again.spikes["cells"] == expected.spikes["cells"]
    assert np.array_equal(again.traces["cells.membrane"], expected.traces["cells.membrane"])


def test_a_thread_that_fails_alone_stops_the_others(monkeypatch):
    """Also where memory runs out: an error of the library, from the thread in which it came up."""
    sim = recurrent(3)
    compiled, waiting = long_run.engine(), threading.Event()

    def fails(part, *given):
        if part.number == 1:
            waiting.wait(5)
            raise MemoryError
        waiting.set()
        return compiled(part, *given)

    monkeypatch.setattr(long_run, "engine", lambda: fails)
    with pytest.raises(ResourceError, match="no memory is left for the spikes of a run"):
        sim.run(0.05)


@pytest.mark.parametrize("method", ["run", "run_samples"])
def test_more_records_than_were_counted_are_refused(monkeypatch, method):
    net = Network([Population("in", 1, Input()), Population("out", 3, IF())], [Projection("in", "out", Dense())], dt=DT)
    events = Events.from_ticks([0], [0], n_sources=1, dt=DT, n_ticks=10)
    sim, before = Simulation(net), TraceRequest.records
    getattr(sim, method)(inputs=events, record=Trace("out", every=3))
    monkeypatch.setattr(TraceRequest, "records", lambda *given: before(*given) - 1)
    with pytest.raises(InternalError, match="more records than were counted"):
        getattr(sim, method)(inputs=events, record=Trace("out", every=3))


@pytest.mark.parametrize("source", [3, 10**9, -1])
@pytest.mark.parametrize("method", ["run", "run_samples"])
def test_events_of_sources_that_are_not_there_are_refused(method, source):
    """`Events` checks them; here its arrays are changed behind its back."""
    net = Network([Population("in", 3, Input()), Population("out", 2, IF())], [Projection("in", "out", Dense())], dt=DT)
    events = Events.from_ticks([0, 1], [0, 2], n_sources=3, dt=DT, n_ticks=5)
    changed = Events.unchecked(events.ticks, np.array([0, source], np.int32), events.offsets, 3, 5, DT)
    with pytest.raises(InternalError, match="an event comes from a source that is not there"):
        getattr(Simulation(net), method)(inputs=changed)


def test_plastic_synapses_go_from_one_order_to_the_other_within_their_arrays():
    order = RowOrder(np.array([0, 2, 5]), np.array([3, 5]))
    for n_values, n_part in ((7, 5), (8, 4)):
        for take in (order.into_part, order.out_of_part):
            with pytest.raises(InternalError, match="more plastic synapses than its projection"):
                take(*(np.zeros(n) for n in ((n_values, n_part) if take == order.into_part else (n_part, n_values))))
    order.into_part(np.arange(8.0), part := np.zeros(5))
    assert part.tolist() == [3, 4, 5, 6, 7]


# -- states from files ------------------------------------------------------------------------------------------------


def damaged(path, change):
    with h5py.File(path, "r+") as file:
        change(file["state"])


def set_data(group, name, values):
    values = np.asarray(values)
    del group[name]
    group[name] = values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.attrs.__setitem__("tick", -1), "tick -1"),
        (lambda state: state["counters"].__setitem__((0, 0), -1), "refractory ticks below zero"),
        (lambda state: set_data(state, "visited", np.zeros((1, 3), np.int64)), r"visited holds int64 \(1, 3\)"),
        (lambda state: set_data(state, "visited", np.zeros((1, 32), np.float64)), "visited holds float64"),
        (lambda state: state["visited"].__setitem__((0, 1), 10**6), "'cells' is not advanced to a tick from 0 to 30"),
        (lambda state: state["visited"].__setitem__((0, 1), -1), "'cells' is not advanced"),
        (lambda state: state["plastic/000000/flight_sources"].__setitem__(0, 400), "from a source that is not there"),
        (lambda state: state["plastic/000000/flight_sources"].__setitem__(0, -1), "from a source that is not there"),
        (lambda state: state["plastic/000000/flight_ticks"].__setitem__(0, 29), "not in order of sending"),
        (lambda state: state["plastic/000000/flight_ticks"].__setitem__(-1, 30), "not in order of sending"),
        (lambda state: state["plastic/000000/flight_before_ticks"].__setitem__(0, 30), "not in order of sending"),
        (lambda state: state["plastic/000000"].__delitem__("flight_ticks"), "are not complete"),
        (lambda state: set_data(state["plastic/000000"], "flight_ticks", [3]), "have shapes"),
        (lambda state: state["plastic/000000/pre_ticks"].__setitem__(0, 30), "spikes after tick 29"),
        (lambda state: state["plastic/000000/post_ticks"].__setitem__(0, 2**40), "spikes after tick 29"),
        (lambda state: set_data(state["plastic/000000"], "weights", np.zeros(7, np.float32)), "weights of shape"),
        (lambda state: set_data(state["plastic/000000"], "weights", np.zeros(200)), "weights are float64"),
    ],
)
def test_a_damaged_state_is_refused_before_its_numbers_are_places(plastic_backend, tmp_path, change, message):
    populations = [Population("in", 40, Poisson(300.0)), Population("cells", 5, LIF(refractory=2e-3))]
    rule = RewardModulatedSTDP(maximum=9.0)
    projection = Projection("in", "cells", Dense(0.3), delay=7e-3, plasticity=rule)
    net = Network(populations, [projection], dt=DT)
    sim = Simulation(net, visit="events", threads=1)
    sim.run(0.03)
    path = tmp_path / "state.h5"
    sim.save_checkpoint(path)
    Simulation.from_checkpoint(path, plastic_backend).run(0.01)
    damaged(path, change)
    with pytest.raises(DataError, match=f"(damaged: .*{message})|({message})"):
        Simulation.from_checkpoint(path, plastic_backend)


def test_a_state_that_waits_for_events_fits_populations_that_can(tmp_path):
    """One that has no closed form cannot have been left alone."""
    net = Network([Population("in", 2, Poisson(300.0)), Population("cells", 3, IF())], [], dt=DT)
    sim = Simulation(net)
    sim.run(0.01)
    sim.state.visited = np.full((1, 16), 9, np.int64)
    sim.save_checkpoint(tmp_path / "state.h5")
    with pytest.raises(DataError, match="'cells' is not advanced to a tick from 10 to 10"):
        Simulation.from_checkpoint(tmp_path / "state.h5")


# -- data and training ------------------------------------------------------------------------------------------------


def test_an_ear_with_no_room_for_its_spikes_is_an_error():
    from snnsim.datasets.inner_ear.kernels import bushy_cells

    probability, cell = np.full((1, 400), 0.9), (10, 3, 0.9, 0.9, 1.0)
    ticks, counts = np.full((1, 101), -1, np.int32), np.zeros(1, np.int64)
    bushy_cells(probability, np.ones(1, np.uint64), cell, ticks, counts)
    needed = int(counts[0])
    assert 0 < needed <= 100
    bushy_cells(probability, np.ones(1, np.uint64), cell, ticks[:, :needed].copy(), counts)
    with pytest.raises(InternalError, match="a bushy cell spikes more often"):
        bushy_cells(probability, np.ones(1, np.uint64), cell, ticks[:, : needed - 1].copy(), counts)


def test_frames_too_short_for_their_events_are_an_error():
    from snnsim.datasets.event_kernels import count_channels, count_events, decode_forty_bits

    events = Events.from_ticks([0, 4], [0, 2], n_sources=3, dt=DT)
    given = events.ticks, events.sources, events.offsets, np.array([0]), np.arange(3)
    count_channels(*given, frames := np.zeros((1, 5, 3), np.float32))
    assert frames.sum() == 2
    with pytest.raises(InternalError, match="events after its end"):
        count_channels(*given, np.zeros((1, 4, 3), np.float32))
    with pytest.raises(InternalError, match="events after its end"):
        count_events(events.ticks, events.sources, events.offsets, np.zeros((1, 4, 3)))
    raw = np.zeros(10, np.uint8)
    sensor = 34, 34, 240, 2**13
    rest = np.zeros(2, np.int64), np.zeros(1, np.bool_)
    decode_forty_bits(raw, np.array([0, 10]), *sensor, np.zeros(2, np.int64), np.zeros(2, np.int32), *rest)
    with pytest.raises(InternalError, match="more events than there is room for"):
        decode_forty_bits(raw, np.array([0, 10]), *sensor, np.zeros(1, np.int64), np.zeros(2, np.int32), *rest)


def test_training_lists_stay_in_their_room():
    from snnsim.training.compute.sparse_kernels import transpose_lists
    from snnsim.training.delays.shift_kernels import add_gradients, list_terms
    from snnsim.training.fused.membrane_kernels import fire_ticks

    begin, end, indices = np.array([0, 2]), np.array([2, 3]), np.array([0, 1, 1])
    starts = np.zeros(3, np.int64)
    assert transpose_lists(begin, end, indices, 0, 2, starts, np.zeros(3, np.int32)) == 3
    with pytest.raises(InternalError, match="more spikes than were counted"):
        transpose_lists(begin, end, indices, 0, 2, starts, np.zeros(2, np.int32))

    weights, delays, bump = np.ones((1, 2, 3)), np.full((1, 2, 3), 4.0), (True, 2.0, 2.0, 9, 1e-9)
    layout, taps = (20, 9, -1, 1), 3  # at 3, 4 and 5 ticks
    room = 2 * 3 * taps
    places, values, starts = np.zeros(room, np.int32), np.zeros(room), np.zeros((1, 4), np.int64)
    list_terms(weights, delays, bump, 2, layout, (0, 1, room), places, values, starts)
    assert starts[0, -1] == room
    add_gradients(values, weights, delays, bump, 2, 0, 1, starts, np.zeros((1, 2, 3)), np.zeros((0, 0, 0)))
    for capacity, size in ((room - 1, room), (room, room - 1)):
        with pytest.raises(InternalError, match="more taps than there is room for"):
            list_terms(weights, delays, bump, 2, layout, (0, 1, capacity), places[:size], values[:size], starts)
    starts[0, -1] = room - 1
    with pytest.raises(InternalError, match="other taps than on the way forth"):
        add_gradients(values, weights, delays, bump, 2, 0, 1, starts, np.zeros((1, 2, 3)), np.zeros((0, 0, 0)))

    drive, membrane, coefficients = np.zeros((2, 1, 3)), np.zeros((1, 3)), np.zeros((6, 3))
    flags, nothing = np.zeros(8, np.uint8), np.zeros((0, 0), np.uint8)
    for size, rows in ((16, 2), (15, 2), (16, 1)):
        lists = np.zeros(size, np.int64), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        if (size, rows) == (16, 2):
            fire_ticks(drive, membrane, coefficients, True, nothing, flags, *lists, 0, 1)
            continue
        with pytest.raises(InternalError, match="no room for all"):
            fire_ticks(drive, membrane, coefficients, True, nothing, flags, *lists, 0, 1)


def test_a_plan_and_its_delays_agree_on_rounding():
    """The longest delay, by which the type of all is chosen, is rounded as each of them is: half a tick to even."""
    for seconds in (254.5 * DT, 255.5 * DT, 0.4 * DT, 65_535.5 * DT):
        plan: Plan = FixedInDegree(2).plan((3,), (4,), Key(3, "x"))
        drawn = plan.drawn_delays(plan.weights._replace(a=seconds), DT)
        assert np.all(drawn == to_ticks(max(seconds, DT), DT, round=True))


@pytest.mark.slow
def test_learning_through_a_run_that_failed_leaves_nothing_to_the_next():
    sim = recurrent(2, plasticity=STDP(minimum=-1.0))
    sim.run(0.05)
    expected = sim.weights("cells->cells")
    run, mail = sim.program._long, sim.program._long._mail
    run._mail = mail._replace(keys=mail.keys[:, :, :3], numbers=mail.numbers[:, :, :3])
    with pytest.raises(InternalError):
        sim.run(0.05)
    run._mail = mail
    sim.reset()
    sim.run(0.05)
    assert np.array_equal(sim.weights("cells->cells"), expected)
