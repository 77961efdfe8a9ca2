"""Readers of images: IDX, batches of CIFAR-10 that run nothing, folders of PNG and JPEG; downloads; the data sets."""

import gzip
import hashlib
import http.server
import importlib
import io
import pickle
import struct
import tarfile
import threading
import zipfile
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from snnsim.datasets import (
    DATASETS,
    ImageDataset,
    load_cifar10,
    load_fashion_mnist,
    load_mnist,
    read_idx,
    read_idx_images,
    read_image_folder,
)
from snnsim.datasets.formats.cifar_batches import read_cifar_batch
from snnsim.errors import DataError, ParameterError


def idx(array):
    """Write IDX by its description, apart from the reader."""
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    head = bytes([0, 0, codes[array.dtype.str[1:]], array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def pair(samples=40, seed=0, side=28):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (samples, side, side), np.uint8), (np.arange(samples) % 10).astype(np.uint8)


# -- IDX ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_of_every_type_is_read(tmp_path, kind, packed):
    array = (np.random.default_rng(0).normal(size=(3, 4, 5)) * 50).astype(kind)
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    found = read_idx(path)
    assert np.array_equal(found, array)
    assert found.dtype == array.dtype


def test_idx_of_known_bytes(tmp_path):
    """The example of the published description: two images of 2 x 3."""
    (tmp_path / "a").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(12)]))
    assert read_idx(tmp_path / "a").tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


WHOLE = idx(np.arange(24, dtype=np.uint8).reshape(4, 6))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with the bytes of an empty file"),
        (b"<html>", r"a web page, by its first bytes"),
        (b"\0\0\x07\x01" + WHOLE[4:], "begins with the bytes 00 00 07 01"),
        (b"\0\0\x08\x00" + WHOLE[4:], "number of dimensions"),
        (WHOLE[:9], "ends within its header"),
        (WHOLE[:-1], "holds 23 bytes of numbers, its header says 24"),
        (WHOLE + b"x", "holds more bytes of numbers"),
        (b"\0\0\x08\x02" + b"\xff" * 8, "more than any such file does"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_idx_file_is_named(tmp_path, content, message, packed):
    path = tmp_path / ("bad.gz" if packed else "bad")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_damaged_packing_is_named(tmp_path):
    packed = gzip.compress(WHOLE)
    for content in (packed[:-9], packed[:20] + b"\xff\xff" + packed[22:], b"no gzip at all"):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz"):
            read_idx(tmp_path / "a.gz")
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "b")


def test_images_and_labels_must_belong_together(tmp_path):
    images, labels = pair()
    write = lambda name, array: (tmp_path / name).write_bytes(idx(array))  # noqa: E731
    write("images", images)
    write("labels", labels)
    found = read_idx_images(tmp_path / "images", tmp_path / "labels")
    assert np.array_equal(found.images[:, 0], images)
    assert np.array_equal(found.labels, labels)
    assert found.classes == tuple("0123456789")
    write("short", labels[:-1])
    with pytest.raises(DataError, match="39 labels for the 40 images"):
        read_idx_images(tmp_path / "images", tmp_path / "short")
    with pytest.raises(DataError, match="labels: label 9 is none of the 3 classes"):
        read_idx_images(tmp_path / "images", tmp_path / "labels", classes=("a", "b", "c"))
    with pytest.raises(DataError, match=r"images are bytes"):
        read_idx_images(tmp_path / "labels", tmp_path / "labels")
    with pytest.raises(DataError, match=r"labels are bytes"):
        read_idx_images(tmp_path / "images", tmp_path / "images")


# -- batches of CIFAR-10 -----------------------------------------------------------------------------------


def batch(samples=20, seed=0, protocol=2):
    data = np.random.default_rng(seed).integers(0, 256, (samples, 3072), np.uint8)
    labels = [i % 10 for i in range(samples)]
    content = {b"data": data, b"labels": labels, b"batch_label": b"a batch", b"filenames": [b"x.png"] * samples}
    return data, labels, pickle.dumps(content, protocol)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_a_batch_is_read_without_numpys_own_functions(protocol):
    data, labels, content = batch(protocol=protocol)
    images, found = read_cifar_batch(content, "batch")
    assert np.array_equal(images.reshape(20, -1), data)
    assert found.tolist() == labels


def test_a_batch_as_python_2_wrote_it():
    """Text in the opcodes of Python 2, and array functions under the names that they had."""
    data = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8)
    body = (
        b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89T" + struct.pack("<I", data.size) + data.tobytes() + b"tbU\x06labels]q\x02(K\x03K\x07eu."
    )
    images, labels = read_cifar_batch(body, "batch")
    assert np.array_equal(images.reshape(-1), data)
    assert labels.tolist() == [3, 7]


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_what_a_pickle_would_run_is_not_run(tmp_path):
    import os
    import subprocess

    marker = tmp_path / "ran"
    commands = [
        Evil(os.system, f"touch {marker}"),
        Evil(subprocess.call, ["touch", str(marker)]),
        Evil(eval, f"open({str(marker)!r}, 'w')"),
        Evil(getattr, "text", "upper"),
    ]
    for command in commands:
        for content in (command, {b"data": command, b"labels": []}, [command]):
            with pytest.raises(DataError, match=r"it names .* which is not looked up"):
                read_cifar_batch(pickle.dumps(content, 2), "batch")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a batch"),
        (b"no pickle", "cannot be read as a batch"),
        (batch()[2][:-500], "cannot be read as a batch"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({b"data": 1}), "expected data and labels"),
        (pickle.dumps({b"data": [1], b"labels": [1]}), r"data must be an array of bytes \(images, 3072\)"),
        (pickle.dumps({b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]}, 2), "data must be an array"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.float64), b"labels": [1, 2]}, 2), "data must be an array"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, 2), "list of 2 whole numbers"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 10]}, 2), "labels lie in 1 ... 10"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, "x"]}, 2), "list of 2 whole numbers"),
    ],
)
def test_a_bad_batch_is_named(content, message):
    with pytest.raises(DataError, match=message) as error:
        read_cifar_batch(content, "data_batch_3")
    assert "data_batch_3" in str(error.value)


def small_cifar(monkeypatch, train=100, test=20, **changes):
    card = replace(DATASETS["cifar10"], samples={"train": train, "test": test}, **changes)
    put(monkeypatch, {**DATASETS, "cifar10": card})
    return card


def put(monkeypatch, cards):
    for module in ("sets.cifar10", "sets.mnist", "downloads.download"):
        monkeypatch.setattr(importlib.import_module(f"snnsim.datasets.{module}"), "DATASETS", cards)


NAMES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def archive(names=NAMES):
    """A tar.gz as it is published, with a member that would lie outside of any folder it was unpacked into."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in [("../evil", b"x"), *((name, batch(seed=i)[2]) for i, name in enumerate(names))]:
            entry = tarfile.TarInfo(name if name.startswith("..") else f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def test_cifar10_from_archive_and_folders(tmp_path, monkeypatch):
    small_cifar(monkeypatch)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(archive())
    folder = tmp_path / "unpacked" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for i, name in enumerate(NAMES):
        (folder / name).write_bytes(batch(seed=i)[2])
    before = sorted(tmp_path.rglob("*"))
    expected = np.concatenate([batch(seed=i)[0] for i in range(5)])
    for path in (tmp_path, tmp_path / "cifar-10-python.tar.gz", folder, folder.parent):
        data = load_cifar10(path=path)
        assert np.array_equal(data.images.reshape(100, -1), expected)
        assert data.classes[6] == "frog"
        assert np.array_equal(load_cifar10("test", path=path).images.reshape(20, -1), batch(seed=5)[0])
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "evil").exists()
    assert len(load_cifar10(path=tmp_path, limit=7)) == 7


def test_missing_batches_classes_and_damage_are_named(tmp_path, monkeypatch):
    small_cifar(monkeypatch)
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(archive(NAMES[:3]))
    with pytest.raises(DataError, match="no data_batch_4 in it"):
        load_cifar10(path=path)
    path.write_bytes(archive()[:-4000])
    with pytest.raises(DataError, match="cannot be read"):
        load_cifar10(path=path)
    path.write_bytes(b"<html>")
    with pytest.raises(DataError, match="cannot be read"):
        load_cifar10(path=path)
    with pytest.raises(DataError, match="no such file or folder"):
        load_cifar10(path=tmp_path / "none")
    small_cifar(monkeypatch, train=101)
    path.write_bytes(archive())
    with pytest.raises(DataError, match="holds 100 images, the train split of cifar10 has 101"):
        load_cifar10(path=path)
    small_cifar(monkeypatch, test=3)
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "test_batch").write_bytes(batch(3)[2])
    with pytest.raises(DataError, match="has no image of 'cat', 'deer'"):
        load_cifar10("test", path=folder)


# -- folders -----------------------------------------------------------------------------------------------


def picture(array, kind):
    out = io.BytesIO()
    PIL.Image.fromarray(array).save(out, kind)
    return out.getvalue()


@pytest.fixture
def folders(tmp_path):
    """Two classes of colour images as PNG, whose pixels are known, with names that sort as numbers do not."""
    generator, expected = np.random.default_rng(0), {}
    for name in ("cat", "dog"):
        (tmp_path / "images" / "train" / name).mkdir(parents=True)
        for number in (2, 10, 1):
            expected[name, number] = generator.integers(0, 256, (5, 7, 3), np.uint8)
            path = tmp_path / "images" / "train" / name / f"{number}.png"
            path.write_bytes(picture(expected[name, number], "PNG"))
    (tmp_path / "images" / "train" / "cat" / "notes.txt").write_text("no image")
    return tmp_path / "images", expected


def test_folders_and_archives_give_the_same_images(folders, tmp_path):
    path, expected = folders
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as zipped, tarfile.open(tmp_path / "t.tar.xz", "w:xz") as tar:
        for file in sorted(path.rglob("*.*")):
            zipped.write(file, file.relative_to(path))
            tar.add(file, f"./above/{file.relative_to(path)}")
    for where in (path, tmp_path / "z.zip", tmp_path / "t.tar.xz"):
        found = read_image_folder(where, folder="train")
        assert found.classes == ("cat", "dog")
        assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
        for image, key in zip(found.images, [(n, k) for n in ("cat", "dog") for k in (1, 2, 10)], strict=True):
            assert np.array_equal(image, expected[key].transpose(2, 0, 1))
    assert read_image_folder(path / "train", limit=2).class_counts.tolist() == [2, 2]
    other = read_image_folder(path, folder="train", classes=("dog", "cat"), channels=1)
    assert other.shape == (1, 5, 7)
    assert other.labels.tolist() == [0, 0, 0, 1, 1, 1]
    gray = np.array(PIL.Image.fromarray(expected["dog", 1]).convert("L"))
    assert np.array_equal(other.images[0, 0], gray)


def test_jpeg_is_read_as_pillow_reads_it(tmp_path):
    (tmp_path / "a").mkdir()
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 3
    (tmp_path / "a" / "x.jpeg").write_bytes(picture(smooth, "JPEG"))
    found = read_image_folder(tmp_path)
    assert found.shape == (1, 32, 32)
    assert np.abs(found.images[0, 0].astype(int) - smooth).max() <= 8  # lossy


def test_bad_folders_are_named(folders, tmp_path):
    path, _ = folders
    with pytest.raises(DataError, match=r"no images of 'bird' in 'train'; .* there: cat, dog"):
        read_image_folder(path, folder="train", classes=("cat", "bird"))
    with pytest.raises(DataError, match="no images in 'test'"):
        read_image_folder(path, folder="test")
    with pytest.raises(DataError, match="no such file or folder"):
        read_image_folder(tmp_path / "none")
    with pytest.raises(ParameterError, match="channels=2"):
        read_image_folder(path, channels=2)
    with pytest.raises(ParameterError, match="names of folders, each once"):
        read_image_folder(path, folder="train", classes=("cat", "cat"))
    (path / "train" / "dog" / "3.png").write_bytes(picture(np.zeros((5, 8, 3), np.uint8), "PNG"))
    with pytest.raises(DataError, match=r"dog/3.png is 8 x 5 pixels, those before it 7 x 5"):
        read_image_folder(path, folder="train")
    whole = (path / "train" / "cat" / "1.png").read_bytes()
    for content in (b"", b"<html>", whole[: len(whole) // 2]):
        (path / "train" / "cat" / "1.png").write_bytes(content)
        with pytest.raises(DataError, match=r"cat/1.png: cannot be read"):
            read_image_folder(path, folder="train")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(DataError, match=r"cut\.zip"):
        read_image_folder(tmp_path / "cut.zip")


# -- downloads ---------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = self.server.contents.get(self.path.strip("/"))
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.server.asked.append((self.path.strip("/"), start))
        if content is None:
            self.send_error(404)
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"one"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        last = self.server.cut.pop(0) if self.server.cut else None
        self.wfile.write(content[start:last])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A server with small files under the names of MNIST and CIFAR-10, and cards that name it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("SNNSIM_OFFLINE", raising=False)
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "data"))
    images, labels = pair()
    contents = {"cifar-10-python.tar.gz": archive()}
    for part in ("train", "t10k"):
        contents[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images))
        contents[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.contents, server.asked, server.cut = contents, [], []
        base = f"http://127.0.0.1:{server.server_port}"
        cards = dict(DATASETS)
        for name in ("mnist", "fashion_mnist", "cifar10"):
            files = tuple(
                replace(
                    file,
                    mirrors=(f"{base}/gone/{file.name}", f"{base}/{file.name}"),
                    size=len(contents[file.name]),
                    sha256=hashlib.sha256(contents[file.name]).hexdigest(),
                    md5=None,
                )
                for file in DATASETS[name].files
            )
            samples = {"train": 100, "test": 20} if name == "cifar10" else {"train": 40, "test": 40}
            cards[name] = replace(DATASETS[name], files=files, samples=samples)
        put(monkeypatch, cards)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_downloads_use_the_next_mirror_go_on_and_happen_once(published, tmp_path, monkeypatch):
    size = len(published.contents["train-images-idx3-ubyte.gz"])
    published.cut = [size // 2]
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    data = load_mnist(progress=False)
    images, labels = pair()
    assert np.array_equal(data.images[:, 0], images)
    assert np.array_equal(data.labels, labels)
    asked = [start for name, start in published.asked if name == "train-images-idx3-ubyte.gz"]
    assert len(asked) == 2
    assert 0 < asked[1] <= size // 2
    assert ("gone/train-images-idx3-ubyte.gz", 0) in published.asked
    published.asked.clear()
    monkeypatch.setenv("SNNSIM_OFFLINE", "1")
    assert np.array_equal(load_mnist(progress=False).images, data.images)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz is not in .*offline"):
        load_mnist("test", progress=False)
    assert not published.asked


def test_a_forged_file_is_refused_and_nothing_is_left(published, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    name = "cifar-10-python.tar.gz"
    published.contents[name] = published.contents[name][:-1] + b"!"
    with pytest.raises(DataError, match=r"no mirror gave the file(.|\n)*sha256"):
        load_cifar10(progress=False)
    assert [path.name for path in (tmp_path / "data" / "cifar10").iterdir()] == []


def test_cifar10_is_downloaded_once_for_both_splits(published):
    assert len(load_cifar10(progress=False)) == 100
    assert len(load_cifar10("test", progress=False)) == 20
    assert len(load_fashion_mnist("test", limit=3, progress=False)) == 3
    assert sum(name == "cifar-10-python.tar.gz" for name, _ in published.asked) == 1


def test_other_files_under_the_names_of_mnist_are_refused(tmp_path, monkeypatch):
    images, labels = pair()
    put(monkeypatch, {**DATASETS, "mnist": replace(DATASETS["mnist"], samples={"train": 40, "test": 40})})
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    assert load_mnist(path=tmp_path).classes == tuple("0123456789")
    with pytest.raises(DataError, match=r"no t10k-images-idx3-ubyte.gz or t10k-images-idx3-ubyte in it"):
        load_mnist("test", path=tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels % 8))
    with pytest.raises(DataError, match="has no label of '8', '9'"):
        load_mnist(path=tmp_path)
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx(images[:, :14]))
    with pytest.raises(DataError, match=r"of shape \(1, 14, 28\)"):
        load_mnist(path=tmp_path)
    with pytest.raises(ParameterError, match="split='validation'"):
        load_mnist("validation", path=tmp_path)
    with pytest.raises(ParameterError, match="limit=0"):
        load_mnist(path=tmp_path, limit=0)


# -- real data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "load"), [("mnist", load_mnist), ("fashion-mnist", load_fashion_mnist)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_published_files_are_those_of_the_manifest(shared_data, name, load, split):
    card = DATASETS[name.replace("-", "_")]
    for file in card.files:
        path = shared_data / name / file.name
        assert path.stat().st_size == file.size
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    data = load(split, path=shared_data / name)
    assert data.images.shape == (card.samples[split], 1, 28, 28)
    if name == "fashion-mnist":
        assert set(data.class_counts) == {card.samples[split] // 10}
    else:
        # LeCun's own counts of the classes.
        counts = {"train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]}
        assert data.class_counts.tolist() == counts.get(split, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
        if split == "train":
            mean, deviation = data.statistics()
            assert mean[0] == pytest.approx(0.1307, abs=5e-5)  # as published with many programs
            assert deviation[0] == pytest.approx(0.3081, abs=5e-5)
            assert data.labels[:5].tolist() == [5, 0, 4, 1, 9]


@pytest.mark.slow
def test_the_jpeg_archive_of_cifar10(shared_data):
    from snnsim.datasets.sets.cifar10 import CLASSES

    path = shared_data / "cifar10" / "cifar10_jpeg_60000.tar.xz"
    data = read_image_folder(path, folder="test", classes=CLASSES, limit=50, progress=False)
    assert data.images.shape == (500, 3, 32, 32)
    assert set(data.class_counts) == {50}


# -- the data set ------------------------------------------------------------------------------------------


def test_image_data_sets():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (50, 2, 3, 4), np.uint8)
    data = ImageDataset(images, np.arange(50) % 5, tuple("abcde"), "made", "up")
    mean, deviation = data.statistics()
    assert mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)))
    assert deviation == pytest.approx((images / 255).std(axis=(0, 2, 3)))
    first, second = data.split(0.6, seed=1)
    assert first.class_counts.tolist() == [6] * 5
    assert len(second) == 20
    assert sum(test.size for _, test in data.folds(5, seed=0)) == 50
    assert np.array_equal(data[-1].images, images[49:])
    assert np.array_equal(data[[3, 1]].images, images[[3, 1]])
    assert len(data[[]]) == 0
    assert "50 images of 2x3x4" in data.summary()
    for wrong, message in (
        (lambda: ImageDataset(images[0], [0], ("a",), "", ""), "expected uint8"),
        (lambda: ImageDataset(images.astype(float), np.zeros(50, int), ("a",), "", ""), "expected uint8"),
        (lambda: ImageDataset(images, np.zeros(49, int), ("a",), "", ""), "50 samples"),
        (lambda: ImageDataset(images, np.ones(50, int), ("a",), "", ""), "1 is not one of the 1 classes"),
        (lambda: ImageDataset(images, np.zeros(50), ("a",), "", ""), "must be whole numbers"),
    ):
        with pytest.raises(DataError, match=message):
            wrong()
