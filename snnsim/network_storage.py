"""Networks in HDF5: each part is a group with its type name and its fields; no pickle."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnsim.connectivity import DISTRIBUTIONS, RULES
from snnsim.errors import DataError, SnnsimError
from snnsim.learnable import Learnable
from snnsim.network import Network, Population, Projection
from snnsim.neurons import MODELS, RECEPTORS, SOURCES, PoissonDrive
from snnsim.plasticity import PLASTICITY, Normalisation
from snnsim.storage import read_hdf5, write_hdf5

_TYPES: dict[str, Any] = {
    **MODELS,
    **SOURCES,
    **RULES,
    **DISTRIBUTIONS,
    **RECEPTORS,
    **PLASTICITY,
    **{kind.__name__: kind for kind in (PoissonDrive, Population, Projection, Learnable, Normalisation)},
}


def save(network: Network, path: str | Path) -> None:
    """Save a network to an HDF5 file, which is complete or not there at all."""
    with write_hdf5(path, "network") as file:
        write(network, file)


def load(path: str | Path) -> Network:
    """Load a network from a file that `save` wrote."""
    with read_hdf5(path, "network") as file:
        return read(file)


def write(network: Network, group: h5py.Group) -> None:
    """Write a network into an open group."""
    group.attrs.update(dt=network.dt, seed=network.seed, name=network.name, score=network.score)
    if network.extension is not None:
        group.attrs["extension"] = network.extension
    for kind, items in (("populations", network.populations), ("projections", network.projections)):
        folder = group.create_group(kind)
        for i, item in enumerate(items):
            _write_object(folder.create_group(f"{i:06d}"), item)


def read(group: h5py.Group) -> Network:
    """Read what `write` wrote."""
    try:
        parts = [[_read_object(group[kind][i]) for i in group[kind]] for kind in ("populations", "projections")]
        attributes = group.attrs
        dt, seed, name = float(attributes["dt"]), int(attributes["seed"]), str(attributes["name"])
        score, extension = str(attributes["score"]), attributes.get("extension")
    except (KeyError, OSError, TypeError) as error:
        reason = str(error).splitlines()[0].strip("'\"")
        raise DataError(f"{group.file.filename}: the network in it is damaged ({reason})") from error
    return Network(
        tuple(parts[0]),
        tuple(parts[1]),
        dt=dt,
        seed=seed,
        name=name,
        score=score,
        extension=None if extension is None else float(extension),
    )


def _write_object(group: h5py.Group, item: Any) -> None:
    name = type(item).__name__
    if _TYPES.get(name) is not type(item):
        raise SnnsimError(f"cannot save a {name}: only models, sources and rules that are registered with snnsim")
    group.attrs["type"] = name
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        if value is None:
            continue
        if isinstance(value, np.ndarray):
            group.create_dataset(field.name, data=value)
        elif dataclasses.is_dataclass(value):
            _write_object(group.create_group(field.name), value)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            folder = group.create_group(field.name)
            folder.attrs["type"] = "tuple"
            for i, entry in enumerate(value):
                _write_object(folder.create_group(f"{i:06d}"), entry)
        else:
            group.attrs[f"field.{field.name}"] = value


def _read_object(group: h5py.Group) -> Any:
    name = str(group.attrs["type"])
    if name == "tuple":
        return tuple(_read_object(group[i]) for i in group)
    if name not in _TYPES:
        raise DataError(f"{group.file.filename}:{group.name}: this snnsim does not know the type {name!r}")
    values: dict[str, Any] = {}
    for key, value in group.attrs.items():
        if key.startswith("field."):
            plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
            values[key.removeprefix("field.")] = tuple(plain) if isinstance(plain, list) else plain
    for key, child in group.items():
        values[key] = child[()] if isinstance(child, h5py.Dataset) else _read_object(child)
    return _TYPES[name](**values)
