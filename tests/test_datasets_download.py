"""Downloads, against a small server on this machine that can be made to fail in the ways real ones do."""

import gzip
import hashlib
import http.server
import importlib
import io
import os
import threading
import zipfile
from dataclasses import dataclass, field, replace

import pytest

from snnsim.datasets import (
    DATASETS,
    RemoteFile,
    data_folder,
    download,
    fetch,
    load_shd,
    load_ssc,
    open_shd,
    open_ssc,
    read_spikes_hdf5,
)
from snnsim.datasets.downloads.manifest import read_manifest
from snnsim.errors import DataError, ParameterError

CONTENT = bytes(range(256)) * 4000


@dataclass
class Behaviour:
    """What the server sends and how it misbehaves; `requests` is what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[str, str | None, int]] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        behaviour = self.server.behaviour
        wanted = self.headers.get("Range")
        content, status, start = behaviour.content, 200, 0
        fresh = self.headers.get("If-Range") in (None, behaviour.etag)
        if behaviour.statuses:
            status, content = behaviour.statuses.pop(0), b"<html>no</html>"
        elif wanted and behaviour.ranges and fresh:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            status = 206 if start < len(content) else 416
        behaviour.requests.append((self.path, wanted, status))
        self.send_response(status)
        if behaviour.etag:
            self.send_header("ETag", behaviour.etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(content)}")
            content, start = b"", 0
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour.break_after and status in (200, 206):
            body = body[: behaviour.break_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    behaviour: Behaviour


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SNNSIM_OFFLINE", raising=False)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.behaviour = Behaviour()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(server, path="file.bin"):
    return f"http://127.0.0.1:{server.server_port}/{path}"


def remote(server, **changes):
    known = RemoteFile("file.bin", (address(server),), size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    return replace(known, **changes)


def get(file, folder, **settings):
    return fetch(file, folder, **{"progress": False, "pause": 0.0, "timeout": 5.0, **settings})


def test_a_whole_download(server, tmp_path):
    target = get(remote(server), tmp_path / "new folder")
    assert target.read_bytes() == CONTENT
    assert get(remote(server), tmp_path / "new folder") == target  # there already: no second request
    assert server.behaviour.requests == [("/file.bin", None, 200)]
    assert sorted(path.name for path in target.parent.iterdir()) == [".file.bin.checked", "file.bin"]


def test_the_progress_bar(server, tmp_path):
    assert get(remote(server), tmp_path, progress=True).read_bytes() == CONTENT


@pytest.mark.parametrize("hashes", [{"sha256": None, "md5": hashlib.md5(CONTENT).hexdigest().upper()}, {"size": None}])
def test_md5_alone_and_unknown_size(server, tmp_path, hashes):
    assert get(remote(server, **hashes), tmp_path).read_bytes() == CONTENT


def test_an_interruption_is_resumed(server, tmp_path):
    server.behaviour.break_after = [300_000, 400_000]
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    assert [request[1:] for request in server.behaviour.requests] == [
        (None, 200),
        ("bytes=300000-", 206),
        ("bytes=700000-", 206),
    ]


def test_what_has_arrived_outlives_the_run(server, tmp_path):
    server.behaviour.break_after = [300_000]
    with pytest.raises(DataError, match=r"broke off after 300,000 of 1,024,000 bytes"):
        get(remote(server), tmp_path, attempts=1)
    assert not (tmp_path / "file.bin").exists()
    assert get(remote(server), tmp_path, attempts=1).read_bytes() == CONTENT
    assert server.behaviour.requests[-1][1:] == ("bytes=300000-", 206)


def test_a_changed_file_is_started_over(server, tmp_path):
    server.behaviour.content, server.behaviour.etag = b"old" * 200_000, '"old"'
    server.behaviour.break_after = [300_000]
    with pytest.raises(DataError):
        get(remote(server, size=None), tmp_path, attempts=1)
    server.behaviour.content, server.behaviour.etag = CONTENT, '"one"'
    assert get(remote(server), tmp_path, attempts=1).read_bytes() == CONTENT
    assert server.behaviour.requests[-1][1:] == ("bytes=300000-", 200)


def test_a_changed_file_of_a_server_without_versions_is_found_by_its_hash(server, tmp_path):
    server.behaviour.etag = None
    (tmp_path / "file.bin.part").write_bytes(b"old" * 100_000)
    assert get(remote(server), tmp_path, attempts=1).read_bytes() == CONTENT
    assert [request[2] for request in server.behaviour.requests] == [206, 200]


def test_without_a_hash_foreign_bytes_are_never_continued(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"old" * 100_000)
    assert get(remote(server, sha256=None), tmp_path, verify=False).read_bytes() == CONTENT
    assert server.behaviour.requests == [("/file.bin", None, 200)]


def test_a_server_without_ranges(server, tmp_path):
    server.behaviour.ranges = False
    server.behaviour.break_after = [300_000]
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    assert [request[2] for request in server.behaviour.requests] == [200, 200]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_whole_already(server, tmp_path, size):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert get(remote(server, size=size), tmp_path).read_bytes() == CONTENT
    assert [request[2] for request in server.behaviour.requests] == ([416] if size is None else [])


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_too_long(server, tmp_path, size):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    assert get(remote(server, size=size), tmp_path).read_bytes() == CONTENT


def test_corrupted_content(server, tmp_path):
    server.behaviour.content = CONTENT[:-1] + b"x"
    found = hashlib.sha256(server.behaviour.content).hexdigest()
    with pytest.raises(DataError, match=f"sha256 {found}, expected {hashlib.sha256(CONTENT).hexdigest()}"):
        get(remote(server), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    assert not (tmp_path / "file.bin.part").exists()


def test_a_web_page_instead_of_the_file(server, tmp_path):
    server.behaviour.content = b"<html>please sign in</html>"
    with pytest.raises(DataError, match="a web page"):
        get(remote(server, size=None), tmp_path)
    with pytest.raises(DataError, match="offers 27 bytes, expected 1,024,000"):
        get(remote(server), tmp_path)


def test_the_second_mirror_serves_when_the_first_is_down(server, tmp_path):
    with Server(("127.0.0.1", 0), Handler) as gone:
        dead = address(gone)
    file = remote(server, mirrors=(dead, address(server, "other.bin")))
    assert get(file, tmp_path, attempts=1).read_bytes() == CONTENT
    assert [request[0] for request in server.behaviour.requests] == ["/other.bin"]


def test_the_second_mirror_continues_what_the_first_began(server, tmp_path):
    server.behaviour.break_after = [300_000]
    file = remote(server, mirrors=(address(server), address(server, "other.bin")))
    assert get(file, tmp_path, attempts=1).read_bytes() == CONTENT
    assert server.behaviour.requests[-1] == ("/other.bin", "bytes=300000-", 206)


def test_the_error_lists_every_mirror_and_its_reason(server, tmp_path):
    server.behaviour.statuses = [404, 503, 503]
    file = remote(server, mirrors=(address(server, "a"), address(server, "b")))
    with pytest.raises(DataError) as caught:
        get(file, tmp_path, attempts=2)
    message = str(caught.value)
    assert f"{address(server, 'a')}: HTTP 404" in message
    assert f"{address(server, 'b')}: HTTP 503" in message
    assert file.sha256 in message
    assert len(server.behaviour.requests) == 3  # what is not there is not asked for twice


def test_a_passing_failure_is_tried_again(server, tmp_path):
    server.behaviour.statuses = [503, 429]
    assert get(remote(server), tmp_path).read_bytes() == CONTENT


def test_offline(server, tmp_path, monkeypatch):
    file = remote(server)
    monkeypatch.setenv("SNNSIM_OFFLINE", "1")
    with pytest.raises(DataError) as caught:
        get(file, tmp_path)
    for part in ("file.bin", str(tmp_path), "1,024,000 bytes", file.sha256, "SNNSIM_OFFLINE"):
        assert part in str(caught.value)
    assert not server.behaviour.requests
    (tmp_path / "file.bin").write_bytes(CONTENT)
    assert get(file, tmp_path).read_bytes() == CONTENT
    (tmp_path / "file.bin").unlink()
    assert get(file, tmp_path, offline=False).read_bytes() == CONTENT
    monkeypatch.setenv("SNNSIM_OFFLINE", "0")
    (tmp_path / "file.bin").unlink()
    assert get(file, tmp_path).read_bytes() == CONTENT


def test_a_wrong_file_put_there_by_hand(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"has 14 bytes, expected 1,024,000; delete it.*verify=False"):
        get(remote(server), tmp_path)
    assert get(remote(server), tmp_path, verify=False).read_bytes() == b"something else"


def test_a_file_changed_after_it_was_checked(server, tmp_path):
    target = get(remote(server), tmp_path)
    target.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(DataError, match="sha256"):
        get(remote(server), tmp_path)


def test_a_file_without_a_known_hash_is_refused(server, tmp_path):
    file = remote(server, sha256=None)
    with pytest.raises(ParameterError, match=r"no hash of file\.bin.*verify=False"):
        get(file, tmp_path)
    assert get(file, tmp_path, verify=False).read_bytes() == CONTENT


# -- the manifest ----------------------------------------------------------------------------------------


def test_the_manifest_knows_every_file_by_hash():
    assert set(DATASETS) == {"nmnist", "digits", "shd", "ssc", "mnist", "fashion_mnist", "cifar10"}
    for card in DATASETS.values():
        assert card.licence
        assert card.doi
        assert {"train", "test"} <= set(card.samples) <= {"train", "validation", "test"}
        for file in card.files:
            assert file.hash is not None
            assert set(file.splits) <= set(card.samples)
    assert {file.name for file in DATASETS["nmnist"].files if file.splits} == {"Train.zip", "Test.zip"}
    assert dict(DATASETS["shd"].samples) == {"train": 8_156, "test": 2_264}
    assert dict(DATASETS["ssc"].samples) == {"train": 75_466, "validation": 9_981, "test": 20_382}
    for name in ("shd", "ssc"):
        assert DATASETS[name].licence == "CC BY 4.0"
        assert DATASETS[name].doi == "10.1109/TNNLS.2020.3044364"
        for split in DATASETS[name].samples:
            assert sum(split in file.splits for file in DATASETS[name].files) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../escape.zip"}, r"name='\.\./escape\.zip'"),
        ({"name": ".."}, "name="),
        ({"mirrors": ("file:///etc/passwd",)}, "mirrors: 'file:"),
        ({"sha256": "1234"}, "sha256='1234'"),
        ({"md5": "g" * 32}, "md5="),
    ],
)
def test_nonsense_in_a_manifest(changes, message):
    with pytest.raises(ParameterError, match=message):
        RemoteFile(**{"name": "a.zip", "mirrors": ("https://127.0.0.1/a.zip",), **changes})


def test_download_by_name(server, tmp_path, monkeypatch):
    digest = hashlib.sha256(CONTENT).hexdigest()
    cards = read_manifest(f"""
        [toy]
        title = "Toy"
        samples = {{ train = 1, test = 1 }}
        sensor_shape = [1]
        licence = "CC0"
        citation = "nobody"
        doi = "none"
        homepage = "none"
        download = "two files"
        files = [
          {{ name = "Train.zip", splits = ["train"], sha256 = "{digest}", mirrors = ["{address(server, "train")}"] }},
          {{ name = "Test.zip", splits = ["test"], sha256 = "{digest}", mirrors = ["{address(server, "test")}"] }},
          {{ name = "both.zip", sha256 = "{digest}", mirrors = ["{address(server, "both")}"] }},
        ]
        """)
    monkeypatch.setattr(importlib.import_module("snnsim.datasets.downloads.download"), "DATASETS", cards)
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path))
    assert data_folder() == tmp_path

    def asked():
        paths = [path for path, _, _ in server.behaviour.requests]
        server.behaviour.requests.clear()
        return paths

    assert download("toy", splits=["test"], progress=False) == tmp_path / "toy"
    assert asked() == ["/test"]
    download("toy", progress=False)
    assert asked() == ["/train"]
    download("toy", files=["both.zip"], folder=tmp_path / "else", progress=False)
    assert asked() == ["/both"]
    download("toy", folder=tmp_path / "else", progress=False)
    (tmp_path / "unpacked" / "Train").mkdir(parents=True)
    download("toy", splits=["train"], folder=tmp_path / "unpacked", progress=False)
    assert asked() == []
    with pytest.raises(ParameterError, match=r"name='nmnist'.*'toy'"):
        download("nmnist")
    with pytest.raises(ParameterError, match=r"splits='validation'.*'train', 'test'"):
        download("toy", splits=["validation"])
    with pytest.raises(ParameterError, match=r"files='a\.zip'.*'Train\.zip'"):
        download("toy", files=["a.zip"])


# -- packed spike trains ---------------------------------------------------------------------------------


def zipped(content, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def published(server, tmp_path, monkeypatch, write_spikes):
    """Publish small files as SHD and SSC on the server; what it sends is the training split of SHD."""
    write_spikes(tmp_path / "original.h5", 40)
    contents = {"shd_train.h5.gz": gzip.compress((tmp_path / "original.h5").read_bytes())}
    write_spikes(tmp_path / "valid.h5", 9, classes=35)
    contents["ssc_valid.h5.zip"] = zipped((tmp_path / "valid.h5").read_bytes(), "ssc_valid.h5")
    cards = {name: DATASETS[name] for name in ("shd", "ssc")}
    for name, samples in (("shd", {"train": 40, "test": 7}), ("ssc", {"train": 9, "validation": 9, "test": 9})):
        files = tuple(
            replace(
                file,
                mirrors=(address(server, file.name),),
                md5=hashlib.md5(contents.get(file.name, b"")).hexdigest(),
            )
            for file in cards[name].files
        )
        cards[name] = replace(cards[name], samples=samples, files=files)
    for module in ("downloads.download", "sets.shd_ssc"):
        monkeypatch.setattr(importlib.import_module(f"snnsim.datasets.{module}"), "DATASETS", cards)
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "data"))
    server.behaviour.content = contents["shd_train.h5.gz"]
    return contents


def test_shd_is_downloaded_and_unpacked_once(server, published, tmp_path, monkeypatch):
    data = load_shd()
    assert data.events == read_spikes_hdf5(tmp_path / "original.h5").events
    assert (data.name, len(data), len(data.classes), data.sensor_shape) == ("shd-train", 40, 20, (700,))
    for part in ("Spiking Heidelberg Digits", "Cramer", "10.1109/TNNLS.2020.3044364", "CC BY 4.0", "train split"):
        assert part in data.source
    folder = tmp_path / "data" / "shd"
    names = {".shd_train.h5.gz.checked", "shd_train.h5", "shd_train.h5.gz"}
    assert {path.name for path in folder.iterdir()} == names
    monkeypatch.setenv("SNNSIM_OFFLINE", "1")
    (folder / "shd_train.h5.gz").unlink()
    assert load_shd(cache=True).events == data.events
    assert load_shd(cache=True, dt=0.02).events == data.events.with_dt(0.02)
    assert len(open_shd()) == 40
    assert [request[0] for request in server.behaviour.requests] == ["/shd_train.h5.gz"]


def test_ssc_comes_as_a_zip_and_has_a_validation_split(server, published, tmp_path):
    server.behaviour.content = published["ssc_valid.h5.zip"]
    data = load_ssc("validation")
    assert data.events == read_spikes_hdf5(tmp_path / "valid.h5").events
    assert (data.name, len(data.classes)) == ("ssc-validation", 35)
    assert "validation split" in data.source
    assert len(next(open_ssc("validation").frame_batches(4)).labels) == 4


def test_an_interrupted_download_of_shd_goes_on(server, published, tmp_path):
    half = len(published["shd_train.h5.gz"]) // 2
    server.behaviour.break_after = [half]
    assert len(load_shd()) == 40
    assert server.behaviour.requests[-1][1:] == (f"bytes={half}-", 206)


def test_shd_offline(server, published, tmp_path, monkeypatch):
    monkeypatch.setenv("SNNSIM_OFFLINE", "1")
    with pytest.raises(DataError, match=r"shd_train\.h5\.gz is not in .*offline.*md5"):
        load_shd()
    folder = tmp_path / "data" / "shd"
    folder.mkdir(parents=True)
    (folder / "shd_train.h5.zip").write_bytes(zipped((tmp_path / "original.h5").read_bytes(), "inner/shd_train.h5"))
    assert len(load_shd()) == 40  # put there by hand, packed in the other way
    assert not server.behaviour.requests


def test_files_put_anywhere(published, tmp_path):
    content = (tmp_path / "original.h5").read_bytes()
    expected = read_spikes_hdf5(tmp_path / "original.h5").events
    forms = {"h5": content, "h5.gz": gzip.compress(content), "h5.zip": zipped(content, "shd_train.h5")}
    for ending, packed in forms.items():
        folder = tmp_path / ending
        folder.mkdir()
        (folder / f"shd_train.{ending}").write_bytes(packed)
        assert load_shd(path=folder).events == expected
        assert load_shd(path=folder / f"shd_train.{ending}").events == expected
    with pytest.raises(DataError, match=r"no shd_test\.h5, shd_test\.h5\.gz or shd_test\.h5\.zip in it"):
        load_shd("test", path=tmp_path / "h5")


def test_a_newer_packed_file_is_unpacked_again(published, tmp_path, write_spikes):
    where = tmp_path / "shd_train.h5.gz"
    where.write_bytes(published["shd_train.h5.gz"])
    before = load_shd(path=where)
    os.utime(tmp_path / "shd_train.h5", (1, 1))
    write_spikes(tmp_path / "other.h5", 40, seed=5)
    where.write_bytes(gzip.compress((tmp_path / "other.h5").read_bytes()))
    assert load_shd(path=where).events != before.events


@pytest.mark.parametrize("ending", ["gz", "zip"])
def test_a_damaged_packed_file_leaves_nothing_behind(published, tmp_path, ending):
    content = (tmp_path / "original.h5").read_bytes()
    whole = gzip.compress(content) if ending == "gz" else zipped(content, "shd_train.h5")
    middle = len(whole) // 2
    bad = {"cut": whole[:middle], "changed": whole[:middle] + bytes(50) + whole[middle + 50 :], "foreign": b"nonsense"}
    for name, damaged in bad.items():
        folder = tmp_path / f"{ending} {name}"
        folder.mkdir()
        (folder / f"shd_train.h5.{ending}").write_bytes(damaged)
        with pytest.raises(DataError, match=rf"shd_train\.h5\.{ending}: cannot be unpacked .*get it afresh"):
            load_shd(path=folder)
        assert [path.name for path in folder.iterdir()] == [f"shd_train.h5.{ending}"]


def test_another_file_is_never_called_shd(published, tmp_path, write_spikes):
    write_spikes(tmp_path / "shd_train.h5", 39)
    with pytest.raises(DataError, match=r"39 samples of 20 classes.*SHD has 40 of 20; .*read_spikes_hdf5"):
        load_shd(path=tmp_path)
    write_spikes(tmp_path / "shd_train.h5", 40, classes=10)
    with pytest.raises(DataError, match="40 samples of 10 classes"):
        load_shd(path=tmp_path / "shd_train.h5")
    (tmp_path / "empty.h5.zip").write_bytes(zipped(b"", "readme.txt"))
    with pytest.raises(DataError, match=r"no empty\.h5 in it, found readme\.txt"):
        load_shd(path=tmp_path / "empty.h5.zip")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_shd("validation"), "split='validation'.*'train', 'test'"),
        (lambda: load_ssc("valid"), "split='valid'.*'train', 'validation', 'test'"),
        (lambda: load_shd(dt=0), "dt=0"),
        (lambda: load_shd(limit=-1), "limit=-1"),
        (lambda: load_shd(duration=0.0155), r"duration=0\.0155"),
    ],
)
def test_nonsense_for_shd(server, published, call, message):
    with pytest.raises(ParameterError, match=message):
        call()
    assert not server.behaviour.requests  # asked before anything is downloaded
