"""What a file of spike trains says of itself, checked: labels, classes, speakers, channels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DataError, whole
from snnsim.numerics.sampling import IntArray

LAYOUT = "spikes/times, spikes/units and labels"


class Description(NamedTuple):
    """All of a file but its spikes; see `SpikesFile`."""

    labels: IntArray
    classes: tuple[str, ...]
    groups: IntArray | None
    meta: dict[str, NDArray[Any]]
    n_units: int
    description: str


def describe(file: h5py.File, path: Path, n_units: int | None, usual_units: int) -> Description:
    """Check the layout of an open file and read everything but the spikes.

    Raises
    ------
    DataError
        The file is damaged, has another layout, or no samples.
    """
    try:
        labels = _labels(file, path)
        groups = _speakers(file, path, labels.size)
        classes = _classes(file, path, labels)
        meta = _meta(file)
        said = file.attrs.get("channels", usual_units)
        description = _text(file.attrs.get("description", ""))
    except (OSError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0].strip("'\"")
        raise DataError(f"{path}: the file is damaged or not complete ({reason}); get it afresh") from error
    try:
        units = whole("n_units", int(said) if n_units is None else n_units, at_least=1)
    except (TypeError, ValueError) as error:
        if n_units is not None:
            raise
        raise DataError(f"{path}: the attribute channels={said!r} is no number of channels") from error
    return Description(labels, classes, groups, meta, units, description)


def _labels(file: h5py.File, path: Path) -> IntArray:
    needed = ("spikes/times", "spikes/units", "labels")
    missing = [name for name in needed if not isinstance(_member(file, name), h5py.Dataset)]
    if missing:
        found = ", ".join(sorted(file)[:6]) or "nothing"
        raise DataError(
            f"{path}: no {' and no '.join(missing)} in it; a file of spike trains has {LAYOUT}; found {found}"
        )
    for name, kinds, what in (("times", "f", "floating-point seconds"), ("units", "iu", "whole numbers")):
        column = file[f"spikes/{name}"]
        kind = h5py.check_vlen_dtype(column.dtype)
        if not isinstance(kind, np.dtype) or kind.kind not in kinds or column.ndim != 1:
            raise DataError(
                f"{path}: spikes/{name} is of type {kind or column.dtype} and shape {column.shape}; it must hold an "
                f"array of {what} for each sample"
            )
    labels = file["labels"][()]
    if np.ndim(labels) != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise DataError(f"{path}: labels are {labels.dtype} of shape {labels.shape}; must be one whole number a sample")
    if not labels.size:
        raise DataError(f"{path}: there are no samples in it")
    for name in needed[:2]:
        if len(file[name]) != labels.size:
            raise DataError(f"{path}: {labels.size} labels, but {len(file[name])} samples in {name}")
    return np.asarray(labels, np.int64)


def _member(file: h5py.File, name: str) -> Any:
    return file.get(name)


def _classes(file: h5py.File, path: Path, labels: IntArray) -> tuple[str, ...]:
    if labels.min() < 0:
        raise DataError(f"{path}: sample {int(np.argmin(labels))} has the label {labels.min()}, which is below 0")
    keys = _member(file, "extra/keys")
    if keys is None:
        return tuple(str(number) for number in range(int(labels.max()) + 1))
    names = tuple(_text(name) for name in np.atleast_1d(keys[()]))
    if labels.max() >= len(names):
        worst = int(np.argmax(labels))
        raise DataError(f"{path}: sample {worst} has the label {labels[worst]}, but extra/keys names {len(names)}")
    return names


def _speakers(file: h5py.File, path: Path, samples: int) -> IntArray | None:
    speakers = _member(file, "extra/speaker")
    if speakers is None:
        return None
    values = speakers[()]
    if np.shape(values) != (samples,):
        raise DataError(f"{path}: extra/speaker has shape {np.shape(values)}, but there are {samples} samples")
    if values.dtype.kind in "iu":
        return np.asarray(values, np.int64)
    if values.dtype.kind not in "SUO":
        raise DataError(f"{path}: extra/speaker is {values.dtype}; speakers are whole numbers or names")
    names, inverse = np.unique(np.array([_text(name) for name in values]), return_inverse=True)
    return np.array([_number(name) for name in names], np.int64)[inverse]


def _number(name: str) -> int:
    """Return a number for a name, the same in every file."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def _meta(file: h5py.File) -> dict[str, NDArray[Any]]:
    found = _member(file, "extra/meta_info")
    if not isinstance(found, h5py.Group):
        return {}
    return {name: np.asarray(found[name][()]) for name in found if isinstance(found[name], h5py.Dataset)}


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
