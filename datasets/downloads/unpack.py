"""Unpack a published .gz or .zip beside itself, whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tqdm import tqdm

from snnsim.errors import DataError
from snnsim.storage.hdf5 import replacing

BLOCK = 1 << 20
#: Endings of files that hold one file, which has the name without them.
PACKED = (".gz", ".zip")


def unpacked_name(name: str) -> str:
    """Return the name of what is in a packed file, or the name itself where it is not packed."""
    for ending in PACKED:
        if name.lower().endswith(f".h5{ending}"):
            return name[: -len(ending)]
    return name


def unpack(packed: Path, *, progress: bool = True) -> Path:
    """Return the file that is in `packed`, unpacked beside it unless it is there and younger.

    Raises
    ------
    DataError
        The packed file is damaged, or holds something else.
    """
    target = packed.with_name(unpacked_name(packed.name))
    if target.is_file() and target.stat().st_mtime_ns >= packed.stat().st_mtime_ns:
        return target
    # A writer of another process has a temporary file of its own; who is last puts the same contents there.
    with _opened(packed, target.name) as content, replacing(target) as temporary, temporary.open("wb") as file:
        shown = None if progress else True  # None: only where standard error is a terminal
        with tqdm(unit="B", unit_scale=True, desc=f"unpack {packed.name}", disable=shown) as bar:
            while True:
                with _damage(packed):
                    block = content.read(BLOCK)
                if not block:
                    break
                file.write(block)
                bar.update(len(block))
    return target


@contextlib.contextmanager
def _opened(packed: Path, name: str) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with contextlib.ExitStack() as stack:
        with _damage(packed):
            if packed.suffix.lower() == ".gz":
                content: IO[bytes] | gzip.GzipFile = stack.enter_context(gzip.open(packed))
            else:
                archive = stack.enter_context(zipfile.ZipFile(packed))
                members = [entry for entry in archive.namelist() if entry.rsplit("/", 1)[-1].lower() == name.lower()]
                if not members:
                    found = ", ".join(archive.namelist()[:5]) or "nothing"
                    raise DataError(f"{packed}: no {name} in it, found {found}; get the file afresh")
                content = stack.enter_context(archive.open(members[0]))
        yield content


@contextlib.contextmanager
def _damage(packed: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataError(
            f"{packed}: cannot be unpacked ({error}); it may be cut short: delete it and get it afresh"
        ) from error
