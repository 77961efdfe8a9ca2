"""Recordings as events: order, batches, coarser ticks, and files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnsim import Events
from snnsim.errors import DataError, ParameterError

DT = 1e-3
recordings = st.lists(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 4)), max_size=30), min_size=1, max_size=5)


def batch_of(lists):
    parts = [
        Events.from_ticks([t for t, _ in one], [s for _, s in one], n_sources=5, n_ticks=20, dt=DT) for one in lists
    ]
    return Events.concatenate(parts)


@given(recordings)
def test_a_batch_holds_exactly_what_was_put_in(lists):
    batch = batch_of(lists)
    assert len(batch) == len(lists)
    for one, events in zip(lists, batch, strict=True):
        assert list(zip(events.ticks.tolist(), events.sources.tolist(), strict=True)) == sorted(one)
    assert batch.recordings.tolist() == [i for i, one in enumerate(lists) for _ in one]


@given(recordings)
def test_dense_counts_and_back(lists):
    batch = batch_of(lists)
    dense = batch.to_dense(np.int64)
    assert dense.shape == (len(lists), 20, 5)
    for i, one in enumerate(lists):
        for tick, source in set(one):
            assert dense[i, tick, source] == one.count((tick, source))
    assert dense.sum() == batch.ticks.size
    assert Events.from_dense(dense, DT) == batch
    assert batch.density == pytest.approx(dense.mean())


@given(recordings, st.integers(1, 20))
def test_counts_are_those_of_the_dense_form(lists, windows):
    batch = batch_of(lists)
    dense = batch.to_dense(np.int64)
    assert np.array_equal(batch.counts(), dense.sum(axis=1))
    parts = np.arange(20) * windows // 20
    expected = [[one[parts == part].sum(axis=0) for part in range(windows)] for one in dense]
    assert np.array_equal(batch.counts(windows), np.reshape(expected, (len(lists), -1)))


@pytest.mark.parametrize("windows", [0, 21, 1.5])
def test_counts_of_more_windows_than_ticks_are_refused(windows):
    with pytest.raises(ParameterError, match="windows"):
        batch_of([[(0, 0)]]).counts(windows)


@given(recordings, st.data())
def test_any_choice_of_recordings_is_the_same_as_one_by_one(lists, data):
    batch = batch_of(lists)
    chosen = data.draw(st.lists(st.integers(-len(lists), len(lists) - 1), max_size=6))
    picked = batch[chosen]
    assert len(picked) == len(chosen)
    assert all(picked[i] == batch[which] for i, which in enumerate(chosen))
    mask = np.arange(len(lists)) % 2 == 0
    assert batch[mask] == batch[np.flatnonzero(mask)] == batch[::2]
    assert batch[1:] == batch[list(range(1, len(lists)))]
    assert batch[::-1] == batch[list(range(len(lists)))[::-1]]


@given(recordings, st.integers(1, 7))
def test_coarser_ticks_keep_every_event_in_order(lists, ratio):
    batch = batch_of(lists)
    coarse = batch.with_dt(ratio * DT)
    assert coarse.n_ticks == -(-20 // ratio)
    for one, events in zip(lists, coarse, strict=True):
        expected = sorted((tick // ratio, source) for tick, source in one)
        assert list(zip(events.ticks.tolist(), events.sources.tolist(), strict=True)) == expected


@given(recordings, st.integers(0, 25), st.integers(1, 25))
def test_cropping_is_slicing_of_time(lists, start, length):
    batch = batch_of(lists)
    padded = np.pad(batch.to_dense(), ((0, 0), (0, 60), (0, 0)))
    assert np.array_equal(batch.crop(length, start).to_dense(), padded[:, start : start + length])


@given(recordings)
def test_binarised_is_one_where_anything_was(lists):
    batch = batch_of(lists)
    assert np.array_equal(batch.binarised().to_dense(), np.minimum(batch.to_dense(), 1))


def test_the_same_event_in_two_recordings_is_not_merged():
    batch = batch_of([[(3, 1)], [(3, 1), (3, 1)], []])
    assert np.diff(batch.binarised().offsets).tolist() == [1, 1, 0]


def test_times_in_any_order_are_sorted():
    events = Events.from_times([0.003, 0.001, 0.001], [0, 4, 2], n_sources=5, dt=DT)
    assert events.ticks.tolist() == [1, 1, 3]
    assert events.sources.tolist() == [2, 4, 0]
    assert events.n_ticks == 4
    assert events.duration == pytest.approx(0.004)
    assert events.times == pytest.approx([0.001, 0.001, 0.003])


def test_events_cannot_be_hashed_and_compare_by_content():
    assert batch_of([[(1, 1)]]) == batch_of([[(1, 1)]])
    assert batch_of([[(1, 1)]]) != batch_of([[(1, 2)]])
    assert batch_of([[(1, 1)]]) != "events"
    with pytest.raises(TypeError):
        hash(batch_of([[]]))


@pytest.mark.parametrize(
    ("ticks", "sources", "offsets", "message"),
    [
        ([5, 3], [0, 0], [0, 2], r"recording 0 is not in order of \(tick, source\) at event 1.*from_times"),
        ([3, 3], [2, 1], [0, 2], r"recording 0 is not in order"),
        ([1, 2, 9, 8], [0, 0, 0, 0], [0, 2, 4], r"recording 1 is not in order of \(tick, source\) at event 1"),
        ([-1], [0], [0, 1], r"tick -1 lies outside 0 \.\.\. 9"),
        ([10], [0], [0, 1], r"tick 10 lies outside 0 \.\.\. 9"),
        ([1], [3], [0, 1], r"source 3 lies outside 0 \.\.\. 2"),
        ([1], [-1], [0, 1], r"source -1 lies outside"),
        ([1, 2], [0], [0, 2], r"\(2,\) ticks but \(1,\) sources"),
        ([1], [0], [0, 2], r"offsets must run from 0 to the number of events, 1"),
        ([1, 2], [0, 0], [0, 2, 1, 2], r"offsets must not fall"),
        ([0.5], [0], [0, 1], r"ticks must be whole numbers, not float64"),
        ([1], [0.5], [0, 1], r"sources must be whole numbers, not float64"),
        ([1], [2**40], [0, 1], r"fit in 32 bits"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(ticks, sources, offsets, message):
    with pytest.raises(DataError, match=message):
        Events(np.array(ticks), np.array(sources), np.array(offsets), 3, 10, DT)


def test_a_fall_between_recordings_is_no_fall():
    batch = Events(np.array([5, 1, 1]), np.array([0, 0, 0]), np.array([0, 1, 1, 3]), 1, 6, DT)
    assert np.diff(batch.offsets).tolist() == [1, 0, 2]


def test_seconds_given_as_ticks_are_refused():
    with pytest.raises(DataError, match=r"ticks must be whole numbers, not float64; Events\.from_times takes seconds"):
        Events.from_ticks([0.001, 0.002], [0, 0], n_sources=1, dt=DT)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Events.from_times([-0.1], [0], n_sources=1, dt=DT), ParameterError, r"times=-0\.1 s is negative"),
        (lambda: Events.from_times([0.0015], [0], n_sources=1, dt=DT), ParameterError, r"times=0\.0015 s"),
        (lambda: Events.from_times([0], [0], n_sources=0, dt=DT), DataError, "n_sources=0"),
        (lambda: Events.from_times([0], [0], n_sources=1, dt=0), ParameterError, r"dt=0"),
        (lambda: Events.from_dense([[[-1]]], DT), ParameterError, "whole numbers, zero or above"),
        (lambda: Events.from_dense([[[np.nan]]], DT), ParameterError, "whole numbers, zero or above"),
        (lambda: Events.from_dense([[[np.inf]]], DT), ParameterError, "whole numbers, zero or above and below"),
        (lambda: Events.from_dense([[[1e12]]], DT), ParameterError, r"below 2\*\*31"),
        (lambda: Events.from_dense([[["a"]]], DT), ParameterError, "counts of type <U1"),
        (lambda: Events.from_dense([[[1j]]], DT), ParameterError, "counts of type complex128"),
        (lambda: Events.from_dense([[[1], [1, 2]]], DT), DataError, "events: counts: "),
        (lambda: batch_of([[]]).with_lengths([[1], [2, 3]]), DataError, "events: lengths: "),
        (
            lambda: Events.from_times([1j], [0], n_sources=1, dt=DT),
            ParameterError,
            r"times=\[1j\] is not a number of s",
        ),
        (lambda: Events.from_times(["0.1"], [0], n_sources=1, dt=DT), ParameterError, "is not a number of seconds"),
        (lambda: Events.from_times([True], [0], n_sources=1, dt=DT), ParameterError, "is not a number of seconds"),
        (lambda: Events.load(None), ParameterError, "path=None: expected a path"),
        (lambda: Events.from_dense([[1]], DT), ParameterError, r"shape \(1, 1\); expected \(recordings, ticks"),
        (lambda: Events.concatenate([]), ParameterError, "batches is empty"),
        (lambda: Events.concatenate([1]), ParameterError, "must be a sequence of Events"),
        (lambda: Events.from_ticks([0], [0], n_sources=2.5, dt=DT), DataError, r"n_sources=2\.5: must be a whole"),
        (lambda: Events.from_ticks([0], [0], n_sources=1, n_ticks="1", dt=DT), DataError, "n_ticks='1'"),
        (lambda: batch_of([[]]).crop(2.5), ParameterError, r"n_ticks=2\.5: must be a whole number"),
        (lambda: batch_of([[]]).crop(0), ParameterError, "n_ticks=0"),
        (lambda: batch_of([[]]).with_dt(0.0005), ParameterError, "finer"),
        (lambda: batch_of([[]])[3], IndexError, "recording 3 of 1"),
        (lambda: batch_of([[]])[[[0]]], IndexError, r"shape \(1, 1\)"),
    ],
)
def test_nonsense_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_batches_may_come_from_a_generator():
    batch = batch_of([[(1, 2)], []])
    assert Events.concatenate(one for one in (batch, batch)) == Events.concatenate([batch, batch])


def test_batches_that_differ_do_not_join():
    other = Events.from_ticks([], [], n_sources=4, n_ticks=2, dt=DT)
    with pytest.raises(ParameterError, match=r"batches differ: 5 sources at 0\.001 s, 4 at 0\.001 s"):
        Events.concatenate([batch_of([[]]), other])


@pytest.mark.parametrize("lists", [[[(1, 2), (1, 2), (4, 0)], []], [[]]])
def test_a_file_gives_back_the_same_events(tmp_path, lists):
    batch = batch_of(lists)
    batch.save(tmp_path / "deep" / "events.h5")
    assert Events.load(tmp_path / "deep" / "events.h5") == batch


def test_one_recording_is_cropped_as_it_is_in_a_batch():
    lists = [[(0, 1), (2, 0), (2, 0), (3, 4), (5, 2)], [(2, 3)]]
    for start, n_ticks in ((0, 1), (2, 1), (2, 2), (4, 9), (7, 3)):
        assert batch_of(lists)[0].crop(n_ticks, start) == batch_of(lists).crop(n_ticks, start)[0]


def test_no_recordings_have_no_lengths():
    none = Events([], [], [0], 3, 5, DT, lengths=[])
    assert (len(none), none.lengths.size) == (0, 0)
    assert none == Events([], [], [0], 3, 5, DT)
