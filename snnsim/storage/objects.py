"""Trees of dataclasses in HDF5: each is a group with its type name and its fields; no pickle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from snnsim.errors import DataError, SnnsimError


def write_object(group: h5py.Group, item: Any, types: Mapping[str, Any]) -> None:
    """Write a dataclass of a known type, and what it is made of, into a group.

    Raises
    ------
    SnnsimError
        It, or a part of it, is of a type that is not in `types`.
    """
    name = type(item).__name__
    if types.get(name) is not type(item):
        again = "; it was registered again since, so make the network anew" if name in types else ""
        raise SnnsimError(
            f"cannot save a {name}: only models, sources and rules that are registered with snnsim{again}"
        )
    group.attrs["type"] = name
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        if value is None:
            continue
        if isinstance(value, np.ndarray):
            group.create_dataset(field.name, data=value)
        elif dataclasses.is_dataclass(value):
            write_object(group.create_group(field.name), value, types)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            folder = group.create_group(field.name)
            folder.attrs["type"] = "tuple"
            for i, entry in enumerate(value):
                write_object(folder.create_group(f"{i:06d}"), entry, types)
        else:
            group.attrs[f"field.{field.name}"] = value


def read_object(group: h5py.Group, types: Mapping[str, Any]) -> Any:
    """Read what `write_object` wrote.

    Raises
    ------
    DataError
        A type is not in `types`.
    """
    name = str(group.attrs["type"])
    if name == "tuple":
        return tuple(read_object(group[i], types) for i in group)
    if name not in types:
        raise DataError(
            f"{group.file.filename}:{group.name}: this snnsim does not know the type {name!r}; where it is a neuron of "
            "your own, run the code that registers it first"
        )
    values: dict[str, Any] = {}
    for key, value in group.attrs.items():
        if key.startswith("field."):
            plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
            values[key.removeprefix("field.")] = tuple(plain) if isinstance(plain, list) else plain
    for key, child in group.items():
        values[key] = child[()] if isinstance(child, h5py.Dataset) else read_object(child, types)
    return types[name](**values)
