"""The cache: found by key alone, rebuilt when damaged, never in the way."""

import os

import h5py
import numpy as np
import pytest

from snnsim import Events
from snnsim.datasets import EventDataset, cached, fingerprint
from snnsim.errors import DataError, ParameterError


class Builder:
    """Builds a small data set and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        events = Events.from_dense(np.ones((2, 3, 4), int), 1e-3)
        return EventDataset(events, [0, 1], ("a", "b"), (4,), "toy", f"build {self.calls}")


def test_built_once_for_each_key(tmp_path):
    build = Builder()
    for _ in range(3):
        data = cached(build, name="toy", key={"content": "abc", "dt": 1e-3}, folder=tmp_path)
    assert build.calls == 1
    assert data.source == "build 1"
    # The order of the key's parts does not matter, everything else does.
    cached(build, name="toy", key={"dt": 1e-3, "content": "abc"}, folder=tmp_path)
    assert build.calls == 1
    for key in ({"content": "abc", "dt": 2e-3}, {"content": "abd", "dt": 1e-3}, {"content": "abc"}):
        cached(build, name="toy", key=key, folder=tmp_path)
    assert build.calls == 4


def test_the_data_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "here"))
    cached(Builder(), name="toy", key={})
    assert [path.name[:4] for path in (tmp_path / "here" / "cache").iterdir()] == ["toy-"]


@pytest.mark.parametrize("damage", ["cut", "nonsense", "labels", "key"])
def test_a_damaged_file_is_built_again(tmp_path, damage):
    build = Builder()
    cached(build, name="toy", key={"a": 1}, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "nonsense":
        path.write_bytes(b"nonsense")
    else:
        with h5py.File(path, "r+") as file:
            if damage == "labels":
                file["labels"][...] = 7
            else:
                file.attrs["key"] = "another"
    with pytest.warns(RuntimeWarning, match="damaged cache file is built again"):
        data = cached(build, name="toy", key={"a": 1}, folder=tmp_path)
    assert data.source == "build 2"
    assert cached(build, name="toy", key={"a": 1}, folder=tmp_path).source == "build 2"


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match=r"cannot be written.*SNNSIM_DATA"):
        data = cached(Builder(), name="toy", key={}, folder=tmp_path / "file" / "cache")
    assert len(data) == 2


@pytest.mark.parametrize("value", [np.arange(3), float("nan"), object()])
def test_a_key_must_be_plain(tmp_path, value):
    with pytest.raises(ParameterError, match="key="):
        cached(Builder(), name="toy", key={"value": value}, folder=tmp_path)


def test_fingerprints_follow_contents(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    first = fingerprint(file)
    os.utime(file, (1, 1))
    assert fingerprint(file) == first  # a small file counts by its bytes alone
    file.write_bytes(b"two")
    assert fingerprint(file) != first
    with pytest.raises(DataError, match="no such file"):
        fingerprint(tmp_path / "b")


def test_fingerprints_of_large_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.setattr("snnsim.datasets.cache.WHOLE", 10)
    monkeypatch.setattr("snnsim.datasets.cache.END", 4)
    file = tmp_path / "a"
    seen = set()
    for content, time in ((b"x" * 20, 1), (b"x" * 20, 2), (b"x" * 21, 1), (b"y" + b"x" * 19, 1), (b"x" * 19 + b"y", 1)):
        file.write_bytes(content)
        os.utime(file, (time, time))
        seen |= {fingerprint(file), fingerprint(tmp_path)}
    assert len(seen) == 8  # a folder goes by names, sizes and times, so that two of its five are the same
