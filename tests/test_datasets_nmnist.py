"""The N-MNIST reader: against the format, against tonic, and on damaged input."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from snnsim.datasets import load_nmnist, read_nmnist_bin
from snnsim.errors import DataError, ParameterError

DATA = Path(__file__).parents[2] / "shared" / "data"
REAL = DATA / "nmnist" / "nmnist_1000train_100test.zip"
needs_recordings = pytest.mark.skipif(not REAL.is_file(), reason="the N-MNIST subset is not beside the repository")


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SNNSIM_OFFLINE", "1")


def pack(t, x, y, p):
    """Write the 40-bit format the slow and obvious way."""
    return b"".join(
        (int(xx) << 32 | int(yy) << 24 | int(pp) << 23 | int(tt)).to_bytes(5, "big")
        for tt, xx, yy, pp in zip(t, x, y, p, strict=True)
    )


def recording(seed=0, events=200, last=300_000):
    random = np.random.default_rng(seed)
    columns = (np.sort(random.integers(0, last, events)), *random.integers(0, 34, (2, events)))
    return (*columns, random.integers(0, 2, events))


def layout(numbers=((5, 3), (1, 7), (12, 0)), split="Train", **settings):
    """Return {path: bytes} for pairs of (number, class)."""
    return {f"{split}/{label}/{number:05d}.bin": pack(*recording(number, **settings)) for number, label in numbers}


def write_zip(target, files):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


def write_folder(target, files):
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target


# -- one recording ---------------------------------------------------------------------------------------


def test_the_columns_come_back(tmp_path):
    columns = recording()
    content = pack(*columns)
    (tmp_path / "1.bin").write_bytes(content)
    for source in (content, tmp_path / "1.bin", str(tmp_path / "1.bin")):
        for got, expected in zip(read_nmnist_bin(source), columns, strict=True):
            assert np.array_equal(got, expected)
    assert all(column.size == 0 for column in read_nmnist_bin(b""))


def test_all_23_bits_of_time_count():
    t, *_ = read_nmnist_bin(pack([0, 255, 65_536, 2**23 - 1], [0] * 4, [0] * 4, [1] * 4))
    assert t.tolist() == [0, 255, 65_536, 2**23 - 1]


def test_overflow_marks_move_the_clock(tmp_path):
    content = pack([5, 0, 1, 0, 2], [1, 0, 2, 0, 3], [1, 240, 2, 240, 3], [0, 0, 1, 0, 1])
    t, x, _, _ = read_nmnist_bin(content)
    assert t.tolist() == [5, 8193, 16386]
    assert x.tolist() == [1, 2, 3]
    data = load_nmnist(write_zip(tmp_path / "a.zip", {"Train/0/1.bin": content, **layout()}))
    assert data[0].events.ticks.tolist() == [5, 8193, 16386]


@pytest.mark.skipif(not (DATA / "events").is_dir(), reason="the event recordings are not beside the repository")
def test_against_independent_decoding():
    expected = json.loads((DATA / "events" / "expected.json").read_text())["tonic_sample_nmnist.bin"]
    t, x, y, p = read_nmnist_bin(DATA / "events" / "tonic_sample_nmnist.bin")
    assert t.size == expected["n_events"]
    assert (int(x.astype(int).sum()), int(y.astype(int).sum())) == (expected["sum_x"], expected["sum_y"])
    first = np.stack((t, x, y, p), axis=1)[:3].tolist()
    assert first == expected["first3"]


@pytest.mark.filterwarnings("ignore")
def test_against_tonic(tmp_path):
    tonic_io = pytest.importorskip("tonic.io", reason="tonic is not installed (extra 'data')")
    content = pack(*recording(3))
    if REAL.is_file():
        with zipfile.ZipFile(REAL) as archive:
            content = archive.read("Train/0/00002.bin")
    (tmp_path / "1.bin").write_bytes(content)
    theirs = tonic_io.read_mnist_file(
        str(tmp_path / "1.bin"), np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    )
    for got, name in zip(read_nmnist_bin(content), "txyp", strict=True):
        assert np.array_equal(got, theirs[name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack(*recording())[:-2], "998 bytes are not a whole number of events.*cut short"),
        (pack([1, 2], [3, 34], [3, 3], [0, 1]), "event 1 lies at x=34, y=3.*another sensor"),
        (pack([1, 2], [3, 3], [100, 3], [0, 1]), "event 0 lies at x=3, y=100"),
        (pack([5, 9, 7], [3, 3, 3], [3, 3, 3], [0, 1, 0]), r"out of order at event 2 \(7 after 9.*sort=True"),
    ],
)
def test_damaged_recordings(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_nmnist_bin(content)
    archive = write_zip(tmp_path / "bad.zip", {**layout(), "Train/4/00007.bin": content})
    with pytest.raises(DataError, match=rf"bad\.zip:Train/4/00007\.bin: .*{message}") as caught:
        load_nmnist(archive)
    assert "\n" not in str(caught.value)


def test_missing_recording(tmp_path):
    with pytest.raises(DataError, match=r"gone\.bin: cannot be read"):
        read_nmnist_bin(tmp_path / "gone.bin")


# -- many recordings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [1e-6, 1e-4, 6.8e-3, 0.1, 0.34])
def test_recordings_in_the_official_order(tmp_path, dt):
    data = load_nmnist(write_zip(tmp_path / "a.zip", {**layout(), **layout(((3, 3),), "Test")}), dt=dt)
    assert data.labels.tolist() == [7, 3, 0]
    assert data.sensor_shape == (2, 34, 34)
    assert data.events.n_ticks == -(-340_000 // round(dt / 1e-6))
    for sample, number in zip(data, (1, 5, 12), strict=True):
        t, x, y, p = recording(number)
        expected = np.zeros((data.events.n_ticks, 2, 34, 34), int)
        np.add.at(expected, (t // round(dt / 1e-6), p, y, x), 1)
        if dt > 1e-4:
            assert np.array_equal(sample.frames()[0], expected)
        assert np.array_equal(np.sort(sample.events.ticks), np.sort(t // round(dt / 1e-6)))


def test_simultaneous_events_are_ordered_by_source(tmp_path):
    # 500 events of one microsecond: a run too long for insertion, on ticks too many for counting.
    _, x, y, p = recording(events=500)
    data = load_nmnist(write_zip(tmp_path / "a.zip", {"Train/1/1.bin": pack(np.full(500, 77), x, y, p)}))
    assert np.array_equal(data.events.sources, np.sort((p * 34 + y) * 34 + x))


def test_every_layout_gives_the_same(tmp_path):
    train, test = layout(), layout(((9, 9),), "Test")
    packed = {}
    for name, files in (("Train.zip", train), ("Test.zip", test)):
        buffer = io.BytesIO()
        write_zip(buffer, files)
        packed[name] = buffer.getvalue()
    junk = {"__MACOSX/Train/3/._00005.bin": b"x", "Readme.txt": b"hello"}
    both = {**train, **test, **junk}
    places = [
        write_folder(tmp_path / "plain", both),
        write_folder(tmp_path / "outer", {f"n-mnist/{name}": content for name, content in both.items()}),
        write_folder(tmp_path / "zips", packed),
        write_folder(tmp_path / "lower", {name.lower(): content for name, content in both.items()}),
        write_folder(tmp_path / "zips outer", {f"n-mnist/{name}": content for name, content in packed.items()}),
        write_zip(tmp_path / "plain.zip", both),
        write_zip(tmp_path / "outer.zip", {f"n-mnist/{name}": content for name, content in both.items()}),
        write_zip(tmp_path / "nested.zip", {**packed, **junk}),
        write_zip(tmp_path / "nested outer.zip", {f"n/{name}": content for name, content in packed.items()}),
        tmp_path / "zips" / "Train.zip",
    ]
    expected = load_nmnist(places[0])
    assert len(expected) == 3
    for place in places[1:]:
        got = load_nmnist(place)
        assert got.events == expected.events
        assert np.array_equal(got.labels, expected.labels)
    for place in places[:-1]:
        assert load_nmnist(place, split="test").labels.tolist() == [9]
    assert load_nmnist(places[0], limit=2).labels.tolist() == [7, 3]


def test_times_out_of_order_are_sorted_on_request(tmp_path):
    t, x, y, p = recording(events=300)
    mixed = np.random.default_rng(1).permutation(300)
    files = {"Train/1/1.bin": pack(t[mixed], x[mixed], y[mixed], p[mixed]), "Train/2/2.bin": pack(t, x, y, p)}
    data = load_nmnist(write_zip(tmp_path / "a.zip", files), sort=True)
    assert data[0].events == data[1].events
    ours = read_nmnist_bin(files["Train/1/1.bin"], sort=True)
    assert np.array_equal(ours[0], t)


def test_events_after_the_duration(tmp_path):
    where = write_zip(
        tmp_path / "a.zip", {**layout(), "Train/2/00020.bin": pack([10, 345_000], [1, 2], [1, 2], [0, 1])}
    )
    with pytest.raises(DataError, match=r"00020\.bin.*345,000 microseconds.*duration=0\.345001.*crop=True"):
        load_nmnist(where)
    assert load_nmnist(where, duration=0.345001).events.n_ticks == 345_001
    cropped = load_nmnist(where, crop=True)
    assert cropped.event_counts.tolist() == [200, 200, 200, 1]
    # Cut where the length ends, not where the last tick ends.
    short = load_nmnist(where, duration=0.15, dt=0.1, crop=True)
    assert short.events.n_ticks == 2
    assert short.event_counts[0] == np.sum(recording(1)[0] < 150_000)


def test_wrong_places(tmp_path):
    cases = [
        (tmp_path / "gone", "no such file or folder"),
        (
            write_folder(tmp_path / "other", {"a/b.txt": b"", "c.txt": b""}),
            r"no train split.*Train/<class.*found a, c\.txt",
        ),
        (write_folder(tmp_path / "empty", {"Train/1/readme.txt": b""}), "the train split is empty"),
        (write_folder(tmp_path / "flat", {"Train/readme.txt": b""}), "the train split is empty"),
        (write_folder(tmp_path / "named", {"Train/3/first.bin": b""}), r"first\.bin.*layout must be"),
        (write_zip(tmp_path / "other.zip", {"images/cat.png": b""}), "no train split.*found images"),
        (write_zip(tmp_path / "none.zip", {}), "no train split.*found nothing"),
        (write_zip(tmp_path / "empty.zip", {"Train/1/readme.txt": b""}), "the train split is empty"),
        (write_zip(tmp_path / "class.zip", {"Train/cat/1.bin": b""}), r"cat/1\.bin.*layout must be"),
        (write_folder(tmp_path / "x", {"a.zip": b"PK nonsense"}) / "a.zip", r"a\.zip: not a readable zip"),
        (write_folder(tmp_path / "y", {"Train.zip": b"nonsense"}), r"Train\.zip: not a readable zip"),
    ]
    for place, message in cases:
        with pytest.raises(DataError, match=message) as caught:
            load_nmnist(place)
        assert "\n" not in str(caught.value)


def test_a_zip_damaged_inside(tmp_path):
    where = write_zip(tmp_path / "a.zip", layout())
    content = bytearray(where.read_bytes())
    content[120:140] = bytes(20)
    where.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip:Train/3/00005\.bin: cannot be read.*get the file afresh"):
        load_nmnist(where)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "validation"}, "split='validation'.*'train', 'test'"),
        ({"dt": 1e-7}, "dt"),
        ({"dt": 1.5e-6}, "dt"),
        ({"dt": 0}, "dt"),
        ({"dt": float("nan")}, "dt"),
        ({"duration": -1.0}, r"duration=-1\.0"),
        ({"duration": 1e-9}, "duration=1e-09"),
        ({"limit": 0}, "limit=0"),
        ({"limit": 1.5}, r"limit=1\.5"),
    ],
)
def test_nonsense_arguments(tmp_path, settings, message):
    with pytest.raises(ParameterError, match=message):
        load_nmnist(write_zip(tmp_path / "a.zip", layout()), **settings)


def test_without_a_path_the_data_folder_is_used(tmp_path):
    with pytest.raises(DataError, match=r"Train\.zip is not in.*offline.*20959b8e626244a1b502305a9e6e2031"):
        load_nmnist()
    write_folder(tmp_path / "data" / "nmnist", layout())
    assert len(load_nmnist()) == 3


def test_cache_follows_content_and_settings(tmp_path):
    where = write_zip(tmp_path / "a.zip", layout())
    first = load_nmnist(where, cache=True)
    kept = list((tmp_path / "data" / "cache").glob("nmnist-train-*.h5"))
    assert len(kept) == 1
    assert load_nmnist(where, cache=True).events == first.events
    load_nmnist(where, cache=True, dt=1e-3)
    assert len(list((tmp_path / "data" / "cache").glob("*.h5"))) == 2
    write_zip(where, layout(((5, 3), (1, 7))))
    assert len(load_nmnist(where, cache=True)) == 2


# -- the real recordings ---------------------------------------------------------------------------------


@needs_recordings
def test_real_recordings_have_the_counts_that_were_measured():
    train, test = load_nmnist(REAL), load_nmnist(REAL, split="test")
    assert train.class_counts.tolist() == [97, 116, 99, 93, 105, 92, 94, 117, 87, 100]
    assert test.class_counts.tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    assert (train.events.ticks.size, test.events.ticks.size) == (4_133_231, 385_596)
    assert (train.events.ticks.max(), test.events.ticks.max()) == (315_109, 336_040)
    assert (train.event_counts.min(), train.event_counts.max()) == (1_112, 7_152)


@needs_recordings
def test_real_recordings_give_the_frames_of_the_columns():
    data = load_nmnist(REAL, split="test", dt=6.8e-3, limit=5)
    with zipfile.ZipFile(REAL) as archive:
        for number, sample in enumerate(data, start=1):
            t, x, y, p = read_nmnist_bin(archive.read(f"Test/{sample.labels[0]}/{number:05d}.bin"))
            expected = np.zeros((50, 2, 34, 34), int)
            np.add.at(expected, (t // 6800, p, y, x), 1)
            assert np.array_equal(sample.frames()[0], expected)


def test_an_event_at_the_end_of_the_duration_comes_too_late(tmp_path):
    def one(last):
        times = pack([0, last], [1, 2], [3, 4], [0, 1])
        return write_zip(tmp_path / f"{last}.zip", {"Train/0/00001.bin": times})

    inside = load_nmnist(one(299_999), split="train", dt=1e-3, duration=0.3)
    assert inside.events.ticks.tolist() == [0, 299]
    with pytest.raises(DataError, match=r"at 300,000 microseconds lies after the duration of 300,000"):
        load_nmnist(one(300_000), split="train", dt=1e-3, duration=0.3)


def test_a_recording_ends_with_its_last_event_whatever_the_window(tmp_path):
    where = write_zip(tmp_path / "n.zip", layout(last=250_000))
    sets = [load_nmnist(where, split="train", dt=10e-3, duration=duration) for duration in (0.25, 0.3, 0.5)]
    assert [data.events.n_ticks for data in sets] == [25, 30, 50]
    last = [events.ticks[-1] + 1 for events in sets[0].events]
    for data in sets:
        assert data.lengths.tolist() == last
