"""Random shifts: every event moves as its recording does, order is kept, keys decide."""

from __future__ import annotations

import numpy as np
import pytest

import snnsim as sn
from snnsim.datasets import RandomShift
from snnsim.errors import ParameterError

SHAPE = (2, 10, 12)


def batch(seed=0, recordings=6):
    counts = np.random.default_rng(seed).random((recordings, 5, *SHAPE)) < 0.1
    return sn.Events.from_dense(counts.astype(np.int64), 1e-3)


def test_a_recording_moves_as_a_whole():
    events = batch()
    moved = RandomShift(SHAPE, 2)(events, np.arange(6), seed=3, epoch=1)
    before, after = (e.to_dense(np.int64).reshape(6, 5, *SHAPE) for e in (events, moved))
    padded = np.pad(before, ((0, 0), (0, 0), (0, 0), (2, 2), (2, 2)))
    for i in range(6):
        places = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(padded[i, :, :, y : y + 10, x : x + 12], after[i])
        ]
        assert len(places) == 1


def test_order_is_kept():
    moved = RandomShift(SHAPE, 3)(batch(), np.arange(6), seed=0, epoch=0)
    checked = sn.Events(moved.ticks, moved.sources, moved.offsets, moved.n_sources, moved.n_ticks, moved.dt)
    assert checked == moved


def test_a_recording_moves_alike_in_every_batch():
    events, shift = batch(), RandomShift(SHAPE, 2)
    whole = shift(events, np.arange(6), seed=1, epoch=4)
    assert shift(events[[4, 1]], np.array([4, 1]), seed=1, epoch=4) == whole[[4, 1]]
    assert shift(events, np.arange(6), seed=1, epoch=5) != whole
    assert shift(events, np.arange(6), seed=2, epoch=4) != whole


def test_no_shift_changes_nothing():
    assert RandomShift(SHAPE, 0)(batch(), np.arange(6), seed=0, epoch=0) == batch()


def test_all_shifts_occur():
    one = sn.Events.from_ticks([0], [5 * 12 + 6], n_sources=240, dt=1e-3)
    many = one[np.zeros(400, int)]
    moved = RandomShift(SHAPE, 2)(many, np.arange(400), seed=0, epoch=0)
    places, counts = np.unique(moved.sources, return_counts=True)
    assert places.size == 25
    assert counts.min() > 4  # 16 expected; below 5 has a chance of 1e-3 at most over all places


@pytest.mark.parametrize(("shape", "pixels"), [((10, 12), 2), (SHAPE, 10), (SHAPE, -1)])
def test_bad_parameters(shape, pixels):
    with pytest.raises(ParameterError, match=r"sensor_shape|pixels"):
        RandomShift(shape, pixels)


def test_another_sensor():
    with pytest.raises(ParameterError, match="240 sources"):
        RandomShift((2, 34, 34))(batch(), np.arange(6), seed=0, epoch=0)
