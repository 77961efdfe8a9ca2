"""Seconds to ticks: what is on the grid passes unchanged, what is not is an error that says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnsim.errors import ParameterError
from snnsim.timebase import check_dt, tick_count, tick_ratio, to_seconds, to_ticks

STEPS = [1e-3, 1e-4, 1e-6, 5e-4, 1 / 3, 0.7e-3, 1.0]


@given(st.integers(0, 10**13), st.sampled_from(STEPS))
def test_seconds_of_ticks_come_back_as_the_same_ticks(tick, dt):
    assert tick_count(to_seconds(tick, dt), dt) == tick


@given(st.lists(st.floats(0, 1e3), max_size=20), st.sampled_from(STEPS))
def test_rounding_moves_by_half_a_tick_at_most(seconds, dt):
    ticks = to_ticks(seconds, dt, round=True)
    assert ticks.dtype == np.int64
    assert ticks.shape == (len(seconds),)
    assert np.all(np.abs(ticks * dt - np.array(seconds)) <= dt * 0.5000001)


def test_decimal_fractions_are_on_the_grid():
    # 0.3 / 0.1 is 2.9999999999999996 in binary.
    assert to_ticks([0.1, 0.3, 0.7, 1.1], 0.1).tolist() == [1, 3, 7, 11]
    assert tick_count(3600.0, 1e-6) == 3_600_000_000


def test_halves_round_to_even():
    assert to_ticks([0.5, 1.5, 2.5], 1.0, round=True).tolist() == [0, 2, 2]


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
        to_ticks(seconds, 1e-3, name="delay")


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
