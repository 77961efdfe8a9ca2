"""Seconds to ticks: what is on the grid passes unchanged, what is not is an error that says so."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import snnsim as sn
import snnsim.plot
from snnsim.errors import ParameterError, exactly
from snnsim.events import Events
from snnsim.timebase import check_dt, check_same_dt, same_dt, tick_count, tick_ratio, to_seconds, to_ticks

STEPS = [1e-3, 1e-4, 1e-6, 5e-4, 1 / 3, 0.7e-3, 1.0]


@given(st.integers(0, 10**13), st.sampled_from(STEPS))
def test_seconds_of_ticks_come_back_as_the_same_ticks(tick, dt):
    assert tick_count(to_seconds(tick, dt), dt) == tick


@given(st.lists(st.floats(0, 1e3), max_size=20), st.sampled_from(STEPS))
def test_rounding_moves_by_half_a_tick_at_most(seconds, dt):
    ticks = to_ticks(seconds, dt, round="nearest")
    assert ticks.dtype == np.int64
    assert ticks.shape == (len(seconds),)
    assert np.all(np.abs(ticks * dt - np.array(seconds)) <= dt * 0.5000001)


def test_decimal_fractions_are_on_the_grid():
    # 0.3 / 0.1 is 2.9999999999999996 in binary.
    assert to_ticks([0.1, 0.3, 0.7, 1.1], 0.1).tolist() == [1, 3, 7, 11]
    assert tick_count(3600.0, 1e-6) == 3_600_000_000


def test_halves_round_to_even():
    assert to_ticks([0.5, 1.5, 2.5], 1.0, round="nearest").tolist() == [0, 2, 2]


def test_shapes_and_kinds_are_kept():
    assert to_ticks(np.zeros((2, 0)), 1e-3).shape == (2, 0)
    assert to_ticks([[1.0, 2.0]], 0.5).tolist() == [[2, 4]]
    assert isinstance(to_seconds(3, 0.5), float)
    assert to_seconds(np.array([1, 2]), 0.5).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (0.0015, r"delay=0\.0015 s is not a whole number of ticks of dt=0\.001 s \(1\.5 ticks\).*round=True"),
        (1.00001e-3, r"delay=0\.00100001 s is not a whole number"),
        (-0.001, r"delay=-0\.001 s is negative"),
        (np.nan, r"delay: not a finite number of seconds: nan"),
        ([0.0, np.inf], r"delay: not a finite number of seconds: inf"),
        ([0.001, 0.0007], r"delay=0\.0007 s"),
        (1e17, r"delay=1e\+17 s is more ticks of 0\.001 s than fit in 64 bits"),
        ("soon", r"delay='soon' is not a number of seconds"),
    ],
)
def test_a_time_that_does_not_fit_is_named(seconds, message):
    with pytest.raises(ParameterError, match=message):
        to_ticks(seconds, 1e-3, name="delay", round=False)


def test_rounding_is_advised_only_where_the_caller_can_ask_for_it():
    with pytest.raises(ParameterError, match=r"choose a multiple of dt or a finer dt$"):
        to_ticks(0.0015, 1e-3)
    with pytest.raises(ParameterError, match=r"a finer dt, or pass round=True$"):
        tick_count(0.0015, 1e-3, round=False)


@given(st.floats(1e-9, 10.0), st.integers(1, 1000))
def test_ticks_that_differ_by_rounding_are_the_same(dt, parts):
    made = dt * parts / parts
    assert same_dt(made, dt)
    assert same_dt(float(np.float32(dt)), dt)
    check_same_dt(made, dt, "events")
    for factor in (1 + 2e-6, 1 - 2e-6, 2.0, 0.5):
        assert not same_dt(dt * factor, dt)
        with pytest.raises(ParameterError) as caught:
            check_same_dt(dt * factor, dt, "events")
        found, expected = re.search(r"ticks of (\S+) s, the network has dt=(\S+) s", str(caught.value)).groups()
        assert found != expected


def test_the_way_to_the_right_ticks_is_one_that_can_be_gone():
    events = Events.from_ticks([3, 5], [0, 0], n_sources=1, dt=1e-4)
    with pytest.raises(ParameterError, match=r"use events\.with_dt\(0\.0003\)"):
        check_same_dt(events.dt, 3e-4, "events")
    assert same_dt(events.with_dt(0.0003).dt, 3e-4)
    for dt in (0.5e-4, 2.5e-4):
        with pytest.raises(ParameterError, match=rf"make them with dt={dt:g}"):
            check_same_dt(events.dt, dt, "events")


@pytest.mark.parametrize("dt", [0.0, -1e-3, np.nan, np.inf, "1 ms", None])
def test_a_tick_needs_a_positive_length(dt):
    with pytest.raises(ParameterError, match="dt="):
        check_dt(dt)


def test_ratio_of_ticks():
    assert tick_ratio(1e-3, 1e-6) == 1000
    assert tick_ratio(0.3, 0.1) == 3
    with pytest.raises(ParameterError, match=r"dt=0\.0005 s is finer than the ticks of 0\.001 s"):
        tick_ratio(5e-4, 1e-3)
    with pytest.raises(ParameterError, match=r"dt=0\.0025 s is not a whole multiple of 0\.001 s \(it is 2\.5 times\)"):
        tick_ratio(2.5e-3, 1e-3)


DT = 1e-3


def simulation(delay=DT, refractory=0.0, times=(DT,), **plasticity):
    rule = None if not plasticity else sn.STDP(normalisation=sn.Normalisation(1.0, **plasticity))
    populations = [
        sn.Population("in", 1, sn.Scripted(times, [0] * len(times))),
        sn.Population("out", 1, sn.LIF(refractory=refractory)),
    ]
    projection = sn.Projection("in", "out", sn.Dense(0.5), delay=delay, plasticity=rule)
    return sn.Simulation(sn.Network(populations, [projection], dt=DT), "reference")


@pytest.mark.parametrize(
    "make",
    [
        lambda: simulation(delay=1.5 * DT),
        lambda: simulation(refractory=1.5 * DT),
        lambda: simulation(times=[1.5 * DT]),
        lambda: simulation(every=1.5 * DT),
        lambda: simulation().run(1.5 * DT),
        lambda: simulation().run(DT, stream="out.h5", checkpoint="c.h5", checkpoint_every=1.5 * DT),
        lambda: sn.plot.population_activity(simulation().run(0.1, record="out"), bin_width=1.5 * DT),
    ],
)
def test_no_call_is_told_to_pass_what_it_does_not_take(make):
    with pytest.raises(ParameterError, match=r"0\.0015 s is not a whole number of ticks.*or a finer dt$"):
        make()
    with pytest.raises(ParameterError, match=r"or pass round=True$"):
        Events.from_times([1.5 * DT], [0], n_sources=1, dt=DT)


def test_events_run_in_a_network_whose_dt_differs_by_rounding(backend):
    rounded = 0.3e-3 / 3
    assert rounded != 1e-4
    network = sn.Network(
        [sn.Population("in", 2, sn.Input()), sn.Population("out", 2, sn.LIF())],
        [sn.Projection("in", "out", sn.Dense(0.6))],
        dt=1e-4,
    )
    given = [Events.from_ticks([1, 2, 5], [0, 1, 1], n_sources=2, n_ticks=9, dt=dt) for dt in (1e-4, rounded)]
    assert Events.concatenate(given).dt == 1e-4
    sim = sn.Simulation(network, backend)
    for events in given:
        sim.reset()
        for result in (sim.run_samples(events, record=("in", "out")), sim.run(inputs=events, record=("in", "out"))):
            assert result.spikes["in"] == given[0]
            assert result.spikes["out"].ticks.size
            assert result.spikes["out"].dt == 1e-4


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_of_a_message_read_the_same_only_where_they_are(first, second):
    assert float(exactly(first)) == first
    assert (exactly(first) == exactly(second)) == (repr(first) == repr(second))
    assert exactly(math.nextafter(first, math.inf)) != exactly(first)


def in_single(ticks, dt, computed):
    """Times of float32: as near as it comes, or worked out in float32."""
    return (
        (np.asarray(ticks).astype(np.float32) * np.float32(dt)) if computed else (np.asarray(ticks) * dt).astype("f4")
    )


@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=20), st.sampled_from([1e-4, 5e-4, 1e-3]), st.booleans())
def test_scripted_times_of_float32_are_whole_ticks(ticks, dt, computed):
    """float32 tells 30 s to 2 us: times as precise as that are taken as the ticks they mean."""
    source = sn.Scripted(in_single(sorted(ticks), dt, computed), np.zeros(len(ticks), np.int64))
    source.check_dt(dt, "p")
    assert np.array_equal(to_ticks(source.times, dt), sorted(ticks))


@given(st.integers(0, 4096), st.sampled_from([1e-4, 1e-3]), st.sampled_from([np.float32, torch.tensor]))
def test_delays_of_float32_are_the_decimals_they_stand_for(ticks, dt, kind):
    """One number and an array, of numpy and of torch."""
    seconds = ticks * dt
    for shape in ((), (2, 2)):
        given = np.full(shape, seconds, np.float32) if kind is np.float32 else torch.full(shape, seconds)
        delay = sn.Projection("a", "b", sn.Dense(1.0), delay=given).delay
        assert np.array_equal(to_ticks(delay, dt), np.full(shape, ticks))
        assert np.all(np.asarray(delay) == np.round(seconds, 4))


def test_float32_does_not_hide_a_time_between_ticks():
    """Half a tick is refused in whatever precision."""
    with pytest.raises(ParameterError, match="Scripted times"):
        sn.Scripted(np.array([0.0105], np.float32), [0]).check_dt(1e-3, "p")
    delayed = sn.Projection("a", "b", sn.Dense(1.0), delay=np.array([[0.0105]], np.float32))
    with pytest.raises(ParameterError, match="delay"):
        to_ticks(delayed.delay, 1e-3, name="delay")
