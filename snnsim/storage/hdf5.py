"""HDF5 files that are complete or absent: written beside their place, then renamed into it.

Every file carries its kind and a schema number, so that a reader can tell a wrong file from a damaged
one, and an old one from a new one. No pickle anywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnsim.errors import DataError, ParameterError
from snnsim.version import __version__

#: Raise this when the layout of a kind changes; readers name both numbers in their error.
SCHEMA = 2
#: Numbers in a chunk of an array that is compressed.
_CHUNK = 2**16


def as_path(path: Any) -> Path:
    """Return a path, or raise `ParameterError` for what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"path={path!r}: expected a path, as a text or a Path")
    return Path(path)


def make_folder(folder: Path) -> None:
    """Make a folder where it is missing: the last of its path alone, for a whole path is sooner a slip than a wish.

    Raises
    ------
    ParameterError
        The folder that it would be in is missing, or it cannot be made.
    """
    if folder.is_dir():
        return
    if not folder.absolute().parent.is_dir():
        raise ParameterError(f"{folder}: there is no folder {folder.absolute().parent} to make it in")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ParameterError(f"{folder}: cannot be made ({error.strerror})") from error


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends without an error.

    Its folder is made where it is missing, see `make_folder`.
    """
    target = as_path(path)
    if not target.name or target.is_dir():
        raise ParameterError(f"{path}: is a folder; give the name of a file")
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
        _settle(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can tell."""
    with contextlib.suppress(OSError):  # a file system, or a system, that does not open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(path: str | Path) -> None:
    """Remove what writers of `path` that were killed left behind; nobody may be writing it now."""
    target = Path(path)
    if target.parent.is_dir():
        for entry in target.parent.iterdir():
            if entry.name.startswith(f".{target.name}.") and entry.name.endswith(".partial"):
                entry.unlink(missing_ok=True)


@contextlib.contextmanager
def write_hdf5(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open a new HDF5 file of a kind for writing; it appears under `path` only when it is whole."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(kind=f"snnsim.{kind}", schema=SCHEMA, snnsim_version=__version__)
        yield file


@contextlib.contextmanager
def _damage(where: Path) -> Iterator[None]:
    """Turn what HDF5 raises on missing or unreadable parts into a `DataError` that names the file."""
    try:
        yield
    except (KeyError, OSError) as error:
        reason = str(error).splitlines()[0].strip("'\"")
        raise DataError(f"{where}: the file is damaged or not complete ({reason})") from error


@contextlib.contextmanager
def read_hdf5(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading and check that it is of that kind and of a schema known here."""
    where = as_path(path)
    if not where.is_file():
        raise DataError(f"{where}: {'is a folder' if where.is_dir() else 'no such file'}")
    try:
        file = h5py.File(where, "r")
    except OSError as error:
        raise DataError(f"{where}: not a readable HDF5 file; it may be cut short or of another format") from error
    with file, _damage(where):
        found = file.attrs.get("kind")
        if found != f"snnsim.{kind}":
            raise DataError(f"{where}: expected a file of kind 'snnsim.{kind}', found {found!r}")
        if file.attrs.get("schema") != SCHEMA:
            raise DataError(
                f"{where}: written with schema {file.attrs.get('schema')}, this snnsim reads schema {SCHEMA}; "
                "update snnsim, or write the file again with this version"
            )
        yield file


def create_array(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any) -> h5py.Dataset:
    """Create a compressed array, to be filled at once or from front to back."""
    if 0 in shape:
        return group.create_dataset(name, shape, dtype)
    chunks, room = [], _CHUNK
    for extent in reversed(shape):
        chunks.append(max(1, min(extent, room)))
        room //= chunks[-1]
    # With the bytes of numbers sorted by place, ascending ticks take a fifth of their size.
    return group.create_dataset(
        name, shape, dtype, chunks=tuple(reversed(chunks)), compression="lzf", shuffle=np.dtype(dtype).itemsize > 1
    )


def write_names(group: h5py.Group, name: str, names: tuple[str, ...]) -> None:
    """Write a list of names of any length; an attribute would end at 64 KiB."""
    group.create_dataset(name, data=list(names), shape=(len(names),), dtype=h5py.string_dtype())


def read_names(group: h5py.Group, name: str) -> tuple[str, ...]:
    """Read what `write_names` wrote."""
    return tuple(group[name].asstr()[()])
