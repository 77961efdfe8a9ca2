"""HDF5 files that are complete or absent: written beside their place, then renamed into it.

Every file carries its kind and a schema number, so that a reader can tell a wrong file from a damaged
one, and an old one from a new one. No pickle anywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from snnsim.errors import DataError, ParameterError

#: Raise this when the layout of a kind changes; readers name both numbers in their error.
SCHEMA = 1


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends without an error."""
    target = Path(path)
    if not target.name or target.is_dir():
        raise ParameterError(f"{path}: is a folder; give the name of a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def write_hdf5(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open a new HDF5 file of a kind for writing; it appears under `path` only when it is whole."""
    from snnsim import __version__

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
    where = Path(path)
    if not where.is_file():
        raise DataError(f"{where}: no such file")
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
