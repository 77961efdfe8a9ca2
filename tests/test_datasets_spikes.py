"""Spike trains in the form of SHD: the reader against plain Python, frames, workers, and damaged files."""

import math
import multiprocessing
import operator
import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import Events
from snnsim.datasets import EventDataset, SpikesFile, read_spikes_hdf5
from snnsim.errors import DataError, ParameterError, ResourceError


def plain_ticks(times, dt, from_first=False, closed_end=True):
    """Return the tick of each time, one by one, in words a reader can follow."""
    origin = min(times) if from_first else 0.0
    exact = [(time - origin) / dt for time in times]
    border = [round(x) if abs(x - round(x)) <= 1e-9 else None for x in exact]
    ticks = [math.floor(x) if whole is None else whole for x, whole in zip(exact, border, strict=True)]
    if closed_end:
        latest = exact.index(max(exact))
        n_ticks = math.ceil(exact[latest]) if border[latest] is None else border[latest]
        ticks = [min(tick, max(n_ticks - 1, 0)) for tick in ticks]
    return ticks


def plain_events(trains, dt, **settings):
    """Return a sorted list of (tick, unit) for each sample."""
    made = []
    for times, units in trains:
        ticks = plain_ticks(times.tolist(), dt, **settings) if len(times) else []
        made.append(sorted(zip(ticks, units.tolist(), strict=True)))
    return made


def listed(events):
    return [list(zip(one.ticks.tolist(), one.sources.tolist(), strict=True)) for one in events]


# -- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "unit_kind"), [("float16", "uint16"), ("float32", "int32"), ("float64", "int64")])
@pytest.mark.parametrize("dt", [0.01, 1e-3, 1e-6])
def test_events_of_a_file(tmp_path, write_spikes, kind, unit_kind, dt):
    trains = write_spikes(tmp_path / "a.h5", 150, kind=kind, unit_kind=unit_kind)
    data = read_spikes_hdf5(tmp_path / "a.h5", dt=dt)
    assert listed(data.events) == plain_events(trains, dt)
    assert data.events.ticks.size == sum(times.size for times, _ in trains)
    assert data.sensor_shape == (700,)
    assert data.labels.tolist() == [i * 7 % 20 for i in range(150)]
    assert data.groups.tolist() == [(0, 1, 2, 6)[i % 4] for i in range(150)]
    assert data.classes[3] == "word 3"
    # Nothing was checked on the way: what is there must be what `Events` demands.
    Events(*(getattr(data.events, name) for name in ("ticks", "sources", "offsets", "n_sources", "n_ticks", "dt")))


TIMES = st.one_of(
    st.integers(0, 4000).map(lambda i: i / 2048),  # what half precision holds
    st.integers(0, 200).map(lambda i: i / 100),  # decimal fractions, on the borders of ticks
    st.floats(0, 2, allow_subnormal=False),
)
TRAIN = st.lists(st.tuples(TIMES, st.integers(0, 699)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(TRAIN, min_size=1, max_size=4),
    st.sampled_from([0.01, 0.005, 1e-3, 0.0125, 0.25, 1e-5]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_every_spike_is_kept_and_rounded_once(scratch, write_spikes, trains, dt, from_first, closed_end, in_order):
    columns = [tuple(zip(*(sorted(train) if in_order else train), strict=True)) for train in trains]
    kept = write_spikes(scratch, trains=columns, kind="float64")
    settings = {"from_first_event": from_first, "closed_end": closed_end}
    data = read_spikes_hdf5(scratch, dt=dt, sort=True, **settings)
    assert listed(data.events) == plain_events(kept, dt, from_first=from_first, closed_end=closed_end)
    assert data.event_counts.tolist() == [len(train) for train in trains]
    assert data.events.n_ticks == data.lengths.max()
    if closed_end and not from_first:
        # A recording has ceil(last / dt) ticks, and one where all happens at 0.
        exact = [max(times) / dt for times, _ in columns]
        whole = [abs(x - round(x)) <= 1e-9 for x in exact]
        expected = [max(round(x) if on else math.ceil(x), 1) for x, on in zip(exact, whole, strict=True)]
        assert data.lengths.tolist() == expected
    # Finer ticks made coarse later are the same as coarse ones from the start.
    fine = read_spikes_hdf5(scratch, dt=dt, sort=True, closed_end=closed_end)
    coarse = read_spikes_hdf5(scratch, dt=5 * dt, sort=True, closed_end=closed_end)
    # A time is on a border within a billionth of a tick, and coarse ticks are longer: between the two measures it is on
    # the border of coarse ones only.
    off = [abs(time / (5 * dt) - round(time / (5 * dt))) for times, _ in columns for time in times]
    if all(5 * x < 0.9e-9 or x > 1.1e-9 for x in off):
        assert fine.with_dt(5 * dt).events == coarse.events


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("spikes") / "a.h5"


def test_the_border_between_two_ticks(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", trains=[([0.0, 0.29, 0.3, 0.3], [1, 2, 3, 4])], kind="float64")
    ticks = [0, 29, 29, 29]  # the last tick holds its end
    assert read_spikes_hdf5(tmp_path / "a.h5").events.ticks.tolist() == ticks
    open_end = read_spikes_hdf5(tmp_path / "a.h5", closed_end=False)
    assert open_end.events.ticks.tolist() == [0, 29, 30, 30]
    assert open_end.lengths.tolist() == [31]
    first = read_spikes_hdf5(tmp_path / "a.h5", from_first_event=True, dt=0.1)
    assert first.events.ticks.tolist() == [0, 2, 2, 2]


def test_some_samples_in_any_order(tmp_path, write_spikes):
    trains = write_spikes(tmp_path / "a.h5", 200)
    file = SpikesFile(tmp_path / "a.h5")
    expected = plain_events(trains, 0.01)
    for which in (slice(3, 90), slice(None, None, -3), [5, 5, 1], [], 7, np.arange(200) % 3 == 0):
        numbers = np.atleast_1d(np.arange(200)[which] if not isinstance(which, list) else np.array(which, int))
        assert listed(file.events(which)) == [expected[i] for i in numbers]
    times, units, label = file[-1]
    assert times.tolist() == trains[-1][0].tolist()
    assert units.tolist() == trains[-1][1].tolist()
    assert label == 199 * 7 % 20
    with pytest.raises(IndexError, match="sample 200 of 200"):
        file[200]
    assert file.meta["age"].tolist() == [0, 1, 2, 3]
    assert "200 samples" in repr(file)
    file.close()
    assert len(file.events()) == 200  # opened again


def test_progress_and_limit(tmp_path, write_spikes, monkeypatch):
    write_spikes(tmp_path / "a.h5")
    monkeypatch.setattr("snnsim.datasets.formats.spike_trains.file.SHOWN_FROM", 1)
    assert len(read_spikes_hdf5(tmp_path / "a.h5", limit=5)) == 5
    assert len(read_spikes_hdf5(tmp_path / "a.h5", limit=50, progress=False)) == 12


def test_a_file_without_extras(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", units=70, speakers=None, keys=False)
    data = read_spikes_hdf5(tmp_path / "a.h5", n_units=70)
    assert data.groups is None
    assert data.sensor_shape == (70,)
    assert data.classes == tuple(str(i) for i in range(data.labels.max() + 1))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs.update(channels=70, description="words of nobody")
    data = read_spikes_hdf5(tmp_path / "a.h5")
    assert data.sensor_shape == (70,)
    assert data.source == "words of nobody"
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["channels"] = "many"
    with pytest.raises(DataError, match=r"a\.h5: the attribute channels='many' is no number"):
        read_spikes_hdf5(tmp_path / "a.h5")


def test_speakers_by_name_have_the_same_number_in_every_file(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", speakers=[b"george", b"theo", b"lucas"])
    write_spikes(tmp_path / "b.h5", speakers=[b"theo"])
    first, second = SpikesFile(tmp_path / "a.h5").groups, SpikesFile(tmp_path / "b.h5").groups
    assert np.unique(first).size == 3
    assert set(second) == {first[1]}
    assert first.min() >= 0


def test_length_of_the_samples(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", trains=[([0.1, 0.2], [1, 2]), ([0.1, 0.795], [3, 4])])
    where = tmp_path / "a.h5"
    assert read_spikes_hdf5(where, duration=1.5).events.n_ticks == 150
    with pytest.raises(DataError, match=r"a\.h5: sample 1 lasts 0\.8 s, longer than.* 0\.5;.*crop=True"):
        read_spikes_hdf5(where, duration=0.5)
    cropped = read_spikes_hdf5(where, duration=0.5, crop=True)
    assert cropped.event_counts.tolist() == [2, 1]
    assert cropped.events.n_ticks == 50


def test_names_and_cache(tmp_path, write_spikes, monkeypatch):
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "data"))
    where = tmp_path / "shd_train.h5"
    write_spikes(where)
    data = read_spikes_hdf5(where, cache=True)
    assert (data.name, data.source) == ("file-shd_train", "spikes read from the file shd_train.h5")
    assert read_spikes_hdf5(where, cache=True).events == data.events
    assert len(list((tmp_path / "data" / "cache").iterdir())) == 1
    read_spikes_hdf5(where, cache=True, dt=0.02)
    write_spikes(where, seed=1)
    assert read_spikes_hdf5(where, cache=True).events != data.events
    assert len(list((tmp_path / "data" / "cache").iterdir())) == 3
    assert read_spikes_hdf5(where, name="mine", source="made up").source == "made up"
    for name in ("SHD", "shd-train", "my_SSC"):
        with pytest.raises(ParameterError, match=f"name='{name}': load_shd and load_ssc alone"):
            read_spikes_hdf5(where, name=name)


# -- frames ----------------------------------------------------------------------------------------------


def test_frames_are_counts_padded_to_the_longest(tmp_path, write_spikes):
    trains = write_spikes(tmp_path / "a.h5", 30)
    data = read_spikes_hdf5(tmp_path / "a.h5").pooled(5)
    assert data.sensor_shape == (140,)
    expected = plain_events(trains, 0.01)
    seen = []
    for frames, lengths, labels in data.frame_batches(8):
        assert frames.dtype == np.float32
        numbers = range(len(seen), len(seen) + len(labels))
        counts = np.zeros((len(labels), max(expected[i][-1][0] + 1 for i in numbers), 140))
        for row, i in enumerate(numbers):
            for tick, unit in expected[i]:
                counts[row, tick, unit // 5] += 1
        assert np.array_equal(frames, counts)
        assert lengths.tolist() == [expected[i][-1][0] + 1 for i in numbers]
        seen += labels.tolist()
    assert seen == data.labels.tolist()
    batch = next(data.frame_batches(8))
    assert batch.mask.shape == batch.frames.shape[:2]
    assert batch.mask.sum(1).tolist() == batch.lengths.tolist()
    assert np.all(batch.mask[:, 0])
    assert not np.any(batch.frames[~batch.mask])


def test_frames_from_the_file_are_those_from_memory(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", 50)
    file = SpikesFile(tmp_path / "a.h5")
    for times in ({}, {"from_first_event": True, "dt": 0.005}, {"closed_end": False}):
        data = read_spikes_hdf5(tmp_path / "a.h5", **times).pooled(7)
        for epoch in (0, 1):
            ours = list(file.frame_batches(16, 3, epoch, pool=7, drop_last=True, **times))
            theirs = list(data.frame_batches(16, 3, epoch, drop_last=True))
            assert len(ours) == len(theirs) == 3
            for a, b in zip(ours, theirs, strict=True):
                assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_an_epoch_sees_every_sample_once_in_an_order_of_its_own(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", 50, classes=50)
    data = read_spikes_hdf5(tmp_path / "a.h5")

    def order(**settings):
        return np.concatenate([batch.labels for batch in data.frame_batches(7, **settings)]).tolist()

    assert sorted(order(seed=1)) == sorted(data.labels.tolist())
    assert order(seed=1) == order(seed=1) != order(seed=1, epoch=1)
    events = np.concatenate([labels for _, labels in data.batches(7, seed=1)])
    assert order(seed=1) == events.tolist()


def test_pooling_keeps_every_event(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", 20)
    data = read_spikes_hdf5(tmp_path / "a.h5")
    pooled = data.pooled(5)
    assert pooled.events.ticks.size == data.events.ticks.size
    dense = data.events.to_dense().reshape(20, -1, 140, 5).sum(-1)
    assert np.array_equal(pooled.events.to_dense(), dense)
    assert pooled.pooled(140).sensor_shape == (1,)
    for size, message in ((3, "size=3: 700 sources"), (0, "size=0"), (2.5, r"size=2\.5")):
        with pytest.raises(ParameterError, match=message):
            data.pooled(size)
    camera = EventDataset(Events.from_dense(np.ones((1, 2, 8)), 1e-3), [0], ("a",), (2, 2, 2), "toy", "made up")
    with pytest.raises(ParameterError, match=r"sensor_shape=\(2, 2, 2\)"):
        camera.pooled(2)


# -- several processes and threads -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("already_open", [False, True])
def test_worker_processes_open_the_file_for_themselves(tmp_path, write_spikes, method, already_open):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {method} processes")
    trains = write_spikes(tmp_path / "a.h5", 40)
    file = SpikesFile(tmp_path / "a.h5")
    if already_open:
        assert file[0][0].size == trains[0][0].size
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(operator.getitem, [(file, i) for i in range(40)], chunksize=5)
    for (times, units, _), (expected, numbers) in zip(found, trains, strict=True):
        assert np.array_equal(times, expected)
        assert np.array_equal(units, numbers)
    assert np.array_equal(file[1][0], trains[1][0])  # and the parent's is as it was


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork processes")
def test_a_file_open_in_the_parent_is_opened_again_in_a_fork(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5")
    file = SpikesFile(tmp_path / "a.h5")
    file[0]
    before = file._opened
    file._opened = (before[0] - 1, before[1])  # as a child sees it
    file[1]
    assert file._opened[1] is not before[1]
    assert not before[1]  # closed


def test_handles_are_not_pickled(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5")
    file = SpikesFile(tmp_path / "a.h5")
    file[0]
    copy = pickle.loads(pickle.dumps(file))
    assert copy._opened is None
    assert np.array_equal(copy[3][0], file[3][0])
    assert copy.labels.tolist() == file.labels.tolist()


def test_a_file_that_was_replaced_is_not_read_with_the_labels_of_before(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5")
    file = SpikesFile(tmp_path / "a.h5")
    write_spikes(tmp_path / "b.h5", seed=1)
    (tmp_path / "b.h5").replace(tmp_path / "a.h5")
    with pytest.raises(DataError, match=r"a\.h5: has changed since its labels were read"):
        file[0]


def test_threads_share_a_file(tmp_path, write_spikes):
    trains = write_spikes(tmp_path / "a.h5", 60)
    file = SpikesFile(tmp_path / "a.h5")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(file.__getitem__, range(60)))
    assert all(np.array_equal(got[0], expected[0]) for got, expected in zip(found, trains, strict=True))


def test_a_data_loader_of_torch(tmp_path, write_spikes):
    data = pytest.importorskip("torch.utils.data")
    trains = write_spikes(tmp_path / "a.h5", 20)
    file = SpikesFile(tmp_path / "a.h5")
    loader = data.DataLoader(file, batch_size=None, num_workers=2)
    for _ in range(2):
        assert [len(times) for times, _, _ in loader] == [times.size for times, _ in trains]


# -- what can be wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (([0.1, 0.2], [5, 700]), r"sample 2: spike 1 comes from unit 700, outside 0 \.\.\. 699; pass n_units"),
        (([0.1, 0.2], [-1, 7]), r"sample 2: spike 0 comes from unit -1"),
        (([0.1, float("nan")], [5, 6]), r"sample 2: spike 1 has the time nan"),
        (([0.1, float("inf")], [5, 6]), r"sample 2: spike 1 has the time inf"),
        (([-0.1, 0.1], [5, 6]), r"sample 2: spike 0 is at -0\.1 s, before the sample begins"),
        (([0.2, 0.1], [5, 6]), r"sample 2: times are out of order at spike 1 \(0\.1 after 0\.2 s\); pass sort=True"),
        (([0.1, 1e300], [5, 6]), r"sample 2: spike 1 is at 1e\+300 s, more ticks"),
        (([], []), r"sample 2 has no spikes; pass allow_empty=True"),
    ],
)
def test_samples_that_cannot_be(tmp_path, write_spikes, train, message):
    good = ([0.1], [5])
    write_spikes(tmp_path / "a.h5", trains=[good, good, train, good], kind="float64", unit_kind="int16")
    with pytest.raises(DataError, match=r"a\.h5: " + message) as caught:
        read_spikes_hdf5(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=message):
        list(SpikesFile(tmp_path / "a.h5").frame_batches(3, seed=0))


def test_what_can_be_accepted(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", trains=[([0.3, 0.1], [5, 6]), ([], []), ([0.1, 0.3], [6, 5])], kind="float64")
    data = read_spikes_hdf5(tmp_path / "a.h5", sort=True, allow_empty=True)
    assert data[0].events == data[2].events
    assert data.lengths.tolist() == [30, 1, 30]
    silent = data[[1, 1]]
    frames, lengths, _ = next(silent.frame_batches(2))
    assert frames.shape == (2, 1, 700)
    assert lengths.tolist() == [1, 1]


def test_a_longer_window_adds_nothing_to_a_sample(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", trains=[([0.1, 0.3], [5, 6]), ([0.1], [5])], kind="float64")
    data, wide = (read_spikes_hdf5(tmp_path / "a.h5", duration=duration) for duration in (None, 2.0))
    assert (data.events.n_ticks, wide.events.n_ticks) == (30, 200)
    assert data.lengths.tolist() == wide.lengths.tolist() == [30, 10]


def test_microseconds_in_a_file_of_seconds_are_questioned(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", trains=[([100.0, 335000.0], [5, 6])], kind="float64")
    with pytest.raises(ParameterError, match=r"a\.h5: times up to 335000 s .* in microseconds or milliseconds"):
        read_spikes_hdf5(tmp_path / "a.h5", dt=1e-3)
    assert read_spikes_hdf5(tmp_path / "a.h5", dt=1e-3, duration=335001.0).lengths.tolist() == [335_000_000]


def rewrite(path, **changes):
    with h5py.File(path, "a") as file:
        for name, value in changes.items():
            place = name.replace("__", "/")
            if place in file:
                del file[place]
            if value is not None:
                file[place] = value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spikes__units": None}, r"no spikes/units in it; a file of spike trains has.*found extra, labels, spikes"),
        ({"spikes": None, "labels": None}, "no spikes/times and no spikes/units and no labels in it"),
        ({"labels": np.zeros(0, int)}, "there are no samples in it"),
        ({"labels": np.zeros(5, int)}, "5 labels, but 12 samples in spikes/times"),
        ({"labels": np.zeros(12)}, "labels are float64"),
        ({"labels": np.full(12, -1)}, "sample 0 has the label -1"),
        ({"labels": np.arange(12) * 2}, "sample 11 has the label 22, but extra/keys names 20"),
        ({"spikes__times": np.zeros((12, 3))}, r"spikes/times is of type float64 and shape \(12, 3\)"),
        ({"spikes__units": np.zeros(12, int)}, "spikes/units is of type int64"),
        ({"extra__speaker": np.zeros(3, int)}, r"extra/speaker has shape \(3,\), but there are 12 samples"),
        ({"extra__speaker": np.zeros(12)}, "extra/speaker is float64"),
    ],
)
def test_files_of_another_form(tmp_path, write_spikes, changes, message):
    write_spikes(tmp_path / "a.h5")
    rewrite(tmp_path / "a.h5", **changes)
    with pytest.raises(DataError, match=r"a\.h5: " + message) as caught:
        read_spikes_hdf5(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_times_and_units_of_different_number(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["spikes/units"][4] = np.zeros(3, np.uint16)
        file["spikes/times"][4] = np.zeros(2, np.float16)
    with pytest.raises(DataError, match=r"a\.h5: sample 4: 2 times but 3 units"):
        read_spikes_hdf5(tmp_path / "a.h5")


def test_files_that_are_cut_short_or_foreign(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", 200)
    content = (tmp_path / "a.h5").read_bytes()
    for bad in (content[: len(content) // 2], content[:100], b"nonsense", b""):
        (tmp_path / "b.h5").write_bytes(bad)
        with pytest.raises(DataError, match=r"b\.h5: not a readable HDF5 file; it may be cut short"):
            SpikesFile(tmp_path / "b.h5")
    with pytest.raises(DataError, match=r"gone\.h5: no such file"):
        read_spikes_hdf5(tmp_path / "gone.h5")
    with h5py.File(tmp_path / "c.h5", "w"):
        pass
    with pytest.raises(DataError, match=r"c\.h5: no spikes/times.*found nothing"):
        read_spikes_hdf5(tmp_path / "c.h5")


def test_a_sample_that_is_damaged_on_the_disk(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5", 100)
    content = bytearray((tmp_path / "a.h5").read_bytes())
    place = content.index(b"GCOL")  # where HDF5 keeps arrays of their own length: the first of its collections
    content[place : place + 4] = b"\0\0\0\0"
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.h5: sample \d+: damaged .*get the file afresh") as caught:
        read_spikes_hdf5(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_more_than_fits_into_memory(tmp_path, write_spikes, monkeypatch):
    trains = write_spikes(tmp_path / "a.h5")
    total = sum(times.size for times, _ in trains)
    monkeypatch.setattr("snnsim.datasets.formats.spike_trains.file.available_memory", lambda: 12 * total - 1)
    with pytest.raises(ResourceError, match=rf"{total} spikes take .* of memory.*limit=.*frame_batches"):
        read_spikes_hdf5(tmp_path / "a.h5")
    assert sum(len(batch.labels) for batch in SpikesFile(tmp_path / "a.h5").frame_batches(2)) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dt": 0}, "dt=0"),
        ({"dt": float("nan")}, "dt=nan"),
        ({"limit": 0}, "limit=0"),
        ({"duration": 0.123}, r"duration=0\.123"),
        ({"duration": -1.0}, r"duration=-1\.0"),
        ({"n_units": 0}, "n_units=0"),
        ({"n_units": 1.5}, r"n_units=1\.5"),
    ],
)
def test_nonsense_arguments(tmp_path, write_spikes, arguments, message):
    write_spikes(tmp_path / "a.h5")
    with pytest.raises(ParameterError, match=message):
        read_spikes_hdf5(tmp_path / "a.h5", **arguments)


def test_nonsense_arguments_of_batches(tmp_path, write_spikes):
    write_spikes(tmp_path / "a.h5")
    file = SpikesFile(tmp_path / "a.h5")
    for arguments in ({"batch_size": 0}, {"batch_size": 2, "seed": -1}, {"batch_size": 2, "pool": 3}):
        with pytest.raises(ParameterError, match=next(reversed(arguments)).replace("pool", "size")):
            file.frame_batches(**arguments)
    with pytest.raises(ParameterError, match="dt=-1"):
        file.frame_batches(2, dt=-1)


def test_what_was_cut_off_and_kept_does_not_pass_for_a_whole_file(tmp_path, write_spikes, monkeypatch):
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "data"))
    write_spikes(tmp_path / "a.h5", trains=[([0.1, 0.3], [5, 6])], kind="float64")
    settings = {"duration": 0.2, "cache": True}
    assert read_spikes_hdf5(tmp_path / "a.h5", crop=True, **settings).events.ticks.tolist() == [10]
    with pytest.raises(DataError, match=r"sample 0 lasts 0\.3 s, longer than the duration of 0\.2"):
        read_spikes_hdf5(tmp_path / "a.h5", crop=False, **settings)
