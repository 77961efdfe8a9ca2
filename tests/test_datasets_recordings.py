"""Many recordings to spikes, and the files that hold them."""

import io
import json
import wave

import h5py
import numpy as np
import pytest

from snnsim.datasets import InnerEar, convert_recordings, write_spoken
from snnsim.errors import DataError, ParameterError
from snnsim.events import Events

EAR = InnerEar(channels=40)
LENGTHS = (900, 400, 650, 800, 500, 700, 450, 600, 850, 550, 750)


def sound(number, samples):
    return np.sin(0.3 * np.arange(samples)) + 0.3 * np.random.default_rng(number).standard_normal(samples)


SOUNDS = [(sound(number, samples), 8000) for number, samples in enumerate(LENGTHS)]


def as_wav(samples):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.round(8000 * samples).astype("<i2").tobytes())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def spikes():
    return convert_recordings(SOUNDS, EAR, seed=3, threads=1, progress=False)


def test_recordings_are_in_order_and_converted_alone(spikes):
    assert len(spikes) == len(LENGTHS)
    assert spikes.n_ticks == max(LENGTHS) * 3 + 1
    for number, (audio, rate) in enumerate(SOUNDS):
        alone = EAR.convert(audio, rate, seed=3, recording=number)
        assert np.array_equal(spikes[number].ticks, alone.ticks)
        assert np.array_equal(spikes[number].sources, alone.sources)
    assert spikes.ticks.size > 100


@pytest.mark.parametrize("threads", [2, 7, 100])
def test_threads_change_nothing(spikes, threads):
    assert convert_recordings(iter(SOUNDS), EAR, seed=3, threads=threads, progress=False) == spikes


def test_files_and_their_contents_are_sounds_too(tmp_path):
    contents = [as_wav(audio) for audio, _ in SOUNDS[:3]]
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    expected = convert_recordings(contents, EAR, progress=False)
    assert convert_recordings([paths[0], str(paths[1]), contents[2]], EAR, progress=False) == expected


def test_a_bar_is_shown(capsys):
    convert_recordings(SOUNDS[:2], EAR)
    assert "recordings" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [1, 2])
def test_the_recording_that_cannot_be_converted_is_named(tmp_path, threads):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(as_wav(SOUNDS[0][0])[:-10])
    with pytest.raises(DataError, match=r"broken\.wav: the file is cut short"):
        convert_recordings([*SOUNDS[:5], broken, *SOUNDS[5:]], EAR, threads=threads, progress=False)
    silent = tmp_path / "silent.wav"
    silent.write_bytes(as_wav(np.zeros(900)))
    with pytest.raises(DataError, match=r"silent\.wav: .*silent"):
        convert_recordings([silent], EAR, progress=False)
    with pytest.raises(DataError, match=r"recording 1: .*silent"):
        convert_recordings([SOUNDS[0], (np.zeros(900), 8000)], EAR, threads=threads, progress=False)


def test_nothing_to_convert():
    with pytest.raises(ParameterError, match="sounds is empty"):
        convert_recordings([], EAR)


# -- files -----------------------------------------------------------------------------------------------------------

LABELS = np.arange(len(LENGTHS)) % 3
SPEAKERS = np.arange(len(LENGTHS)) % 2
CLASSES = ("zero", "one", "two")


def write(path, events, **changes):
    options = {"classes": CLASSES, "speakers": SPEAKERS, **changes}
    labels = options.pop("labels", LABELS)
    write_spoken(path, events, labels, **options)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_layout_is_that_of_shd(tmp_path, spikes, dtype):
    path = tmp_path / "train.h5"
    write(
        path,
        spikes,
        dtype=dtype,
        meta_info={"gender": np.array(["male", "female"]), "age": np.array([30, 41])},
        ear=EAR,
    )
    with h5py.File(path) as file:
        times, units = file["spikes/times"], file["spikes/units"]
        assert h5py.check_vlen_dtype(times.dtype) == dtype
        assert h5py.check_vlen_dtype(units.dtype) == np.uint16
        assert times.shape == units.shape == file["labels"].shape == file["extra/speaker"].shape == (len(LENGTHS),)
        assert file["labels"].dtype == file["extra/speaker"].dtype == np.uint16
        assert np.array_equal(file["labels"], LABELS)
        assert np.array_equal(file["extra/speaker"], SPEAKERS)
        assert file["extra/keys"][:].tolist() == [b"zero", b"one", b"two"]
        assert file["extra/meta_info/gender"][:].tolist() == [b"male", b"female"]
        assert file["extra/meta_info/age"][:].tolist() == [30, 41]
        assert json.loads(file.attrs["inner_ear"])["hair_cell"]["fire"] == 50_000
        for number in range(len(LENGTHS)):
            assert np.array_equal(units[number], spikes[number].sources)
            assert np.array_equal(times[number], spikes[number].times.astype(dtype))
            assert np.all(np.diff(times[number]) >= 0)


def test_single_precision_keeps_every_tick(tmp_path, spikes):
    path = tmp_path / "train.h5"
    write(path, spikes, dtype=np.float32)
    with h5py.File(path) as file:
        for number, one in enumerate(spikes):
            assert np.array_equal(np.rint(file["spikes/times"][number].astype(float) / one.dt), one.ticks)


def test_tonic_reads_the_file(tmp_path, spikes):
    """A reader of the published files, on one of these."""
    path = tmp_path / "shd_train.h5"
    write(path, spikes)
    tonic_shd = pytest.importorskip("tonic.datasets.hsd", reason="tonic is not installed")
    reader = object.__new__(tonic_shd.SHD)
    with h5py.File(path) as file:
        reader.__dict__.update(
            location_on_system=str(tmp_path), data_filename="shd_train.h5", transform=None, target_transform=None,
            transforms=None, labels=file["labels"][()],
        )  # fmt: skip
    events, label = reader[4]
    assert label == LABELS[4]
    assert np.array_equal(events["x"], spikes[4].sources)
    assert np.abs(events["t"] - 1e6 * spikes[4].times).max() < 250


def test_recordings_without_spikes(tmp_path):
    silent = Events(np.array([5]), np.array([1]), np.array([0, 0, 1, 1]), 4, 10, 1e-3)
    write_spoken(tmp_path / "a.h5", silent, [0, 0, 0], classes=["only"])
    with h5py.File(tmp_path / "a.h5") as file:
        assert [row.size for row in file["spikes/times"]] == [0, 1, 0]
        assert file["extra/speaker"][:].tolist() == [0, 0, 0]


def test_a_file_is_whole_or_absent(tmp_path, spikes, monkeypatch):
    path = tmp_path / "train.h5"
    write(path, spikes)
    before = path.read_bytes()
    monkeypatch.setattr("snnsim.datasets.inner_ear.speech.json.dumps", lambda value: 1 / 0)
    for place in (path, tmp_path / "other.h5"):
        with pytest.raises(ZeroDivisionError):
            write(place, spikes[:11], ear=EAR)
    assert [entry.name for entry in tmp_path.iterdir()] == ["train.h5"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:-1]}, "labels has shape"),
        ({"labels": LABELS * 0.5}, "labels has shape .* float64"),
        ({"labels": LABELS + 1}, "labels: 3 lies outside 0 ... 2"),
        ({"labels": LABELS - 1}, "labels: -1"),
        ({"speakers": SPEAKERS[:3]}, "speakers has shape"),
        ({"meta_info": {"age": np.array([30])}}, r"meta_info\['age'\]"),
    ],
)
def test_numbers_that_do_not_fit(tmp_path, spikes, changes, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path / "train.h5", spikes, **changes)
    assert not list(tmp_path.iterdir())


def test_types_that_cannot_hold_the_times(tmp_path, spikes):
    with pytest.raises(ParameterError, match="dtype='int64'"):
        write(tmp_path / "train.h5", spikes, dtype=np.int64)
    long = Events(np.array([70_000]), np.array([0]), np.array([0, 1]), 4, 80_000, 1.0)
    with pytest.raises(DataError, match="float32"):
        write_spoken(tmp_path / "a.h5", long, [0], classes=["only"])
    wide = Events(np.array([0]), np.array([0]), np.array([0, 1]), 70_000, 2, 1.0)
    with pytest.raises(DataError, match="70,000 channels"):
        write_spoken(tmp_path / "a.h5", wide, [0], classes=["only"])
