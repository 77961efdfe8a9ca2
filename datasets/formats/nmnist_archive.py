"""Find ``<Split>/<class>/<number>.bin`` in a folder, a zip, or a zip within either, without unpacking to disk."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from snnsim.errors import DataError

#: ``Train/7/00001.bin``, itself or inside enclosing folders.
_SAMPLE = re.compile(r"(?:^|.*/)(?P<split>[^/]+)/(?P<label>[0-9])/(?P<number>[0-9]+)\.bin$", re.IGNORECASE)
_RECORDING = re.compile(r"(?:^|.*/)(?P<split>[^/]+)/[^/]+/[^/]+\.bin$", re.IGNORECASE)
LAYOUT = "Train/<class 0-9>/<number>.bin and Test/<class 0-9>/<number>.bin"


@dataclass(frozen=True)
class Sample:
    """One recording: where it is and what the layout says about it."""

    number: int
    label: int
    size: int
    where: str | zipfile.ZipInfo
    archive: zipfile.ZipFile | None = None

    @property
    def name(self) -> str:
        """Name of the file for messages."""
        if isinstance(self.where, str):
            return self.where
        return f"{self.archive.filename if self.archive else ''}:{self.where.filename}"

    def read(self) -> bytes:
        """Return the bytes of the recording."""
        try:
            if isinstance(self.where, str):
                with open(self.where, "rb", buffering=0) as file:  # noqa: PTH123 (a Path costs as much as the read)
                    return file.read()
            assert self.archive is not None
            return self.archive.read(self.where)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{self.name}: cannot be read ({error}); get the file afresh") from error


@contextlib.contextmanager
def open_samples(path: str | Path, split: str) -> Iterator[list[Sample]]:
    """Yield the recordings of a split in the order of their numbers (then classes).

    Parameters
    ----------
    path : path
        A folder or a zip that holds `LAYOUT`, or ``Train.zip`` and ``Test.zip`` that do; one enclosing folder more
        does no harm.
    split : {"train", "test"}

    Raises
    ------
    DataError
        No such file, not a zip, another layout, or no recordings of that split.
    """
    where = Path(path)
    with contextlib.ExitStack() as stack:
        if where.is_dir():
            samples = _in_folder(where, split, stack)
        elif where.is_file():
            samples = _in_zip(_open_zip(where, str(where), stack), split, stack)
        else:
            raise DataError(f"{where}: no such file or folder; expected a folder or a zip with {LAYOUT}")
        yield sorted(samples, key=lambda sample: (sample.number, sample.label))


def _in_folder(folder: Path, split: str, stack: contextlib.ExitStack) -> list[Sample]:
    children = sorted(folder.iterdir())
    enclosed = [child for inner in children if inner.is_dir() for child in sorted(inner.iterdir())]
    candidates = [folder, *children, *enclosed]
    for candidate in candidates:
        if candidate.is_dir() and candidate.name.lower() == split and _has_class_folders(candidate):
            return _listed(candidate, split)
    for candidate in candidates:
        if candidate.is_file() and candidate.name.lower() == f"{split}.zip":
            return _in_zip(_open_zip(candidate, str(candidate), stack), split, stack)
    empty = [candidate for candidate in candidates if candidate.is_dir() and candidate.name.lower() == split]
    if empty:
        raise DataError(f"{empty[0]}: the {split} split is empty: no class folders 0 to 9 in it; unpack it afresh")
    raise _wrong_layout(str(folder), split, [child.name for child in children])


def _has_class_folders(folder: Path) -> bool:
    return any(child.is_dir() and re.fullmatch("[0-9]", child.name) for child in folder.iterdir())


def _listed(folder: Path, split: str) -> list[Sample]:
    samples = []
    for child in folder.iterdir():
        if not child.is_dir():
            continue
        with os.scandir(child) as entries:  # asks for sizes along with the names, which matters for 60,000 files
            for entry in entries:
                if entry.name.lower().endswith(".bin") and not entry.name.startswith("."):
                    number, label = _parse(f"{split}/{child.name}/{entry.name}", entry.path)
                    samples.append(Sample(number, label, entry.stat().st_size, entry.path))
    if not samples:
        raise DataError(f"{folder}: the {split} split is empty: no .bin files in its class folders; unpack it afresh")
    return samples


def _in_zip(archive: zipfile.ZipFile, split: str, stack: contextlib.ExitStack) -> list[Sample]:
    members = [info for info in archive.infolist() if not info.is_dir() and "__MACOSX" not in info.filename]
    samples = []
    for info in members:
        found = _RECORDING.match(info.filename)
        if found and found["split"].lower() == split:
            number, label = _parse(info.filename, f"{archive.filename}:{info.filename}")
            samples.append(Sample(number, label, info.file_size, info, archive))
    if samples:
        return samples
    for info in members:
        if info.filename.lower().rsplit("/", 1)[-1] == f"{split}.zip":
            return _in_zip(_unpacked(archive, info, stack), split, stack)
    if any(f"/{split}/" in f"/{name.lower()}" for name in archive.namelist()):
        raise DataError(f"{archive.filename}: the {split} split is empty: no .bin files in it; get the file afresh")
    raise _wrong_layout(str(archive.filename), split, sorted({name.split("/")[0] for name in archive.namelist()}))


def _unpacked(outer: zipfile.ZipFile, info: zipfile.ZipInfo, stack: contextlib.ExitStack) -> zipfile.ZipFile:
    # To a temporary file: an inner zip may be larger than memory, and seeking in a packed member starts over each time.
    name = f"{outer.filename}:{info.filename}"
    copy = stack.enter_context(TemporaryFile())  # noqa: SIM115 (the stack is the context manager)
    try:
        with outer.open(info) as packed:
            shutil.copyfileobj(packed, copy, 1 << 20)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{name}: cannot be unpacked ({error}); get the file afresh") from error
    copy.seek(0)
    inner = _open_zip(copy, name, stack)
    inner.filename = name
    return inner


def _open_zip(file: Path | IO[bytes], name: str, stack: contextlib.ExitStack) -> zipfile.ZipFile:
    try:
        return stack.enter_context(zipfile.ZipFile(file))
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{name}: not a readable zip file ({error}); it may be cut short: get it afresh") from error


def _parse(path: str, name: str) -> tuple[int, int]:
    found = _SAMPLE.match(path)
    if found is None:
        raise DataError(f"{name}: the layout must be {LAYOUT}; move this file away or rename it")
    return int(found["number"]), int(found["label"])


def _wrong_layout(name: str, split: str, found: list[str]) -> DataError:
    listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    return DataError(
        f"{name}: no {split} split in it: expected {LAYOUT}, or {split.capitalize()}.zip; found {listed or 'nothing'}"
    )
