"""Data sets kept as HDF5, found again by what they were made from and how.

The file name holds a hash of the key, so that a cache of other contents or other settings is never found. What was
made with settings that are no longer used stays on disk until it is deleted; any file of the folder may be.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.downloads.data_folder import data_folder
from snnsim.errors import DataError, ParameterError
from snnsim.storage.hdf5 import SCHEMA, read_hdf5

#: Files up to this size are hashed whole; of larger ones only size, modification time and both ends count.
WHOLE = 64 << 20
END = 1 << 20


def fingerprint(path: str | Path) -> str:
    """Return a short text that changes with the contents of a file or a folder.

    A file of up to 64 MiB is hashed whole. Of a larger one, size, time of modification, and the first and last
    mebibyte are; a zip keeps the checksums of all its members at its end, so that a change within shows as well. Of a
    folder, the names, sizes and times of modification of all files below it are.

    Raises
    ------
    DataError
        No such file or folder.
    """
    where = Path(path)
    digest = hashlib.sha256()
    if where.is_dir():
        for file in sorted(where.rglob("*")):
            if file.is_file():
                status = file.stat()
                digest.update(
                    f"{file.relative_to(where).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
                )
        return f"folder:{digest.hexdigest()}"
    if not where.is_file():
        raise DataError(f"{where}: no such file or folder")
    status = where.stat()
    with where.open("rb") as opened:
        if status.st_size <= WHOLE:
            return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
        digest.update(f"{status.st_size}\0{status.st_mtime_ns}\0".encode())
        digest.update(opened.read(END))
        opened.seek(-END, 2)
        digest.update(opened.read(END))
    return f"ends:{digest.hexdigest()}"


def cached(
    build: Callable[[], EventDataset], *, name: str, key: Mapping[str, Any], folder: str | Path | None = None
) -> EventDataset:
    """Return the data set kept under `key`, or build it and keep it.

    Parameters
    ----------
    build : callable
        Makes the data set.
    name : str
        Start of the file name.
    key : mapping of str to str, number, bool, None, or lists of these
        Everything the result depends on: contents of the sources (see `fingerprint`), every setting, and a version
        number of the code that builds it.
    folder : path, optional
        Where to keep it; by default ``cache`` in the data folder (see `snnsim.datasets.data_folder`).

    Returns
    -------
    EventDataset

    Warns
    -----
    RuntimeWarning
        The cache file is damaged and was built again, or cannot be written.
    """
    try:
        text = json.dumps({**key, "schema": SCHEMA}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"key={dict(key)!r}: must hold only text, finite numbers, bools and lists ({error})"
        ) from error
    where = Path(folder) if folder is not None else data_folder() / "cache"
    path = where / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.h5"
    if path.is_file():
        try:
            with read_hdf5(path, "dataset") as file:
                if file.attrs.get("key") != text:
                    raise DataError(f"{path}: holds another key than its name says")
            return EventDataset.load(path)
        except (DataError, OSError) as error:
            warnings.warn(f"damaged cache file is built again: {error}", RuntimeWarning, stacklevel=2)
    dataset = build()
    try:
        if folder is None:
            where.mkdir(parents=True, exist_ok=True)
        dataset.save(path, key=text)
    except (OSError, ParameterError) as error:
        warnings.warn(
            f"{path}: the cache cannot be written ({error}); set SNNSIM_DATA to another folder, or pass cache=False",
            RuntimeWarning,
            stacklevel=2,
        )
    return dataset
