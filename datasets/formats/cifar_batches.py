"""The Python batches of CIFAR-10, pickles that are read without running anything that stands in them.

A pickle may name any function of any module and have it called. Here only the few names that arrays are made of are
known, and they stand for plain records, not for NumPy's functions; any other name is an error.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DataError

#: Bytes of an image: red, green and blue, each row by row.
CHANNELS, SIDE = 3, 32
#: Largest file of a batch; the published ones have 31 MB.
MOST_BYTES = 2**28
#: How an unsigned byte is called in a pickle of an array.
_BYTE = ("u1", "|u1", "B", "uint8")


class _Array:
    """Stands for an array of NumPy: keeps the state that it is given."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Type:
    """Stands for a dtype of NumPy: keeps its code."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        """Forget the byte order, which a byte has not."""


def _array(*_: Any) -> _Array:
    return _Array()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Stand for how Python 3 writes bytes in old protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _KNOWN.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no batch needs and which is not looked up")
        return found


def read_cifar_batch(content: bytes, where: object) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels of one batch.

    Parameters
    ----------
    content : bytes
        Of the file.
    where : object
        The file, for messages.

    Returns
    -------
    images : ndarray of uint8, shape (samples, 3, 32, 32)
    labels : ndarray of int64, shape (samples,)

    Raises
    ------
    DataError
        The pickle is damaged, names anything that a batch does not need, or holds something else.
    """
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{where}: cannot be read as a batch of CIFAR-10 ({error}); get it afresh") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: holds a {type(found).__name__}; a batch of CIFAR-10 is a dict with data and labels")
    entries = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in found.items()}
    if "data" not in entries or "labels" not in entries:
        raise DataError(f"{where}: holds {', '.join(map(repr, entries)) or 'nothing'}; expected data and labels")
    images, labels = _pixels(entries["data"], where), entries["labels"]
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(images):
        raise DataError(f"{where}: labels must be a list of {len(images)} whole numbers, one an image")
    if labels and not 0 <= min(labels) <= max(labels) <= 9:
        raise DataError(f"{where}: labels lie in {min(labels)} ... {max(labels)}; CIFAR-10 has 0 to 9")
    return images, np.array(labels, np.int64)


def _pixels(data: Any, where: object) -> NDArray[np.uint8]:
    """Return the images of an array that is kept as a record of its state: version, shape, type, order, bytes."""
    size = CHANNELS * SIDE * SIDE
    state = data.state if isinstance(data, _Array) else None
    if isinstance(state, tuple) and len(state) == 5:
        _, shape, kind, fortran, content = state
        good = isinstance(shape, tuple) and len(shape) == 2 and type(shape[0]) is int and shape[1] == size
        good = good and isinstance(kind, _Type) and kind.code in _BYTE and not fortran
        if good and isinstance(content, bytes) and len(content) == shape[0] * size:
            return np.frombuffer(content, np.uint8).reshape(shape[0], CHANNELS, SIDE, SIDE)
    raise DataError(f"{where}: data must be an array of bytes (images, {size})")


def read_cifar_batches(path: str | Path, names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels of some batches, one after another.

    Parameters
    ----------
    path : path
        The folder that holds the batches, or one above it, or ``cifar-10-python.tar.gz``, of which nothing is unpacked
        to disk.
    names : tuple of str
        Of the batches, such as ``("data_batch_1", "data_batch_2")``.

    Raises
    ------
    DataError
        A batch is missing or cannot be read.
    """
    where, found = Path(path), []
    with _opened(where) as read:
        for name in names:
            content = read(name)
            if content is None:
                raise DataError(f"{where}: no {name} in it; expected the batches {', '.join(names)} of CIFAR-10")
            found.append(read_cifar_batch(content, f"{where}: {name}"))
    images, labels = zip(*found, strict=True)
    return np.concatenate(images), np.concatenate(labels)


@contextmanager
def _opened(where: Path) -> Iterator[Any]:
    if where.is_dir():
        yield lambda name: _in_folder(where, name)
        return
    if not where.is_file():
        raise DataError(
            f"{where}: no such file or folder; expected cifar-10-python.tar.gz, or the folder of its batches"
        )
    with _damage(where):
        archive = tarfile.open(where)  # noqa: SIM115 (closed below)
    with archive:
        with _damage(where):
            # Only the last part of a name counts: nothing is written under any of them.
            members = {member.name.rsplit("/", 1)[-1]: member for member in archive.getmembers() if member.isreg()}

        def read(name: str) -> bytes | None:
            member = members.get(name)
            if member is None:
                return None
            _check_size(where, name, member.size)
            with _damage(where):
                file = archive.extractfile(member)
                return None if file is None else file.read()

        yield read


@contextmanager
def _damage(where: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{where}: cannot be read ({error}); it may be cut short: delete it and get it afresh"
        ) from error


def _in_folder(folder: Path, name: str) -> bytes | None:
    for candidate in (folder / name, folder / "cifar-10-batches-py" / name):
        if candidate.is_file():
            _check_size(folder, name, candidate.stat().st_size)
            return candidate.read_bytes()
    return None


def _check_size(where: Path, name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise DataError(f"{where}: {name} has {size:,} bytes, more than any batch of CIFAR-10")
