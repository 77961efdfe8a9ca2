"""Chips as HDF5 files: what they are made of as JSON, cells as arrays."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.backends.crossbar.cells import CellState
from snnsim.backends.crossbar.tile import Tile
from snnsim.errors import DataError, ParameterError
from snnsim.storage import create_array, read_hdf5, write_hdf5

if TYPE_CHECKING:
    from snnsim.backends.crossbar.chip import Chip

KIND = "chip"
#: Classes come from here only, so that a file cannot name anything else.
_PACKAGE = "snnsim.backends.crossbar."


def save(chip: Chip, path: str | Path) -> None:
    """Save a chip: what it is made of, its cells as they were programmed, and its age."""
    with write_hdf5(path, KIND) as file:
        file.attrs.update(
            config=json.dumps(as_json(chip.config)), seed=chip.seed, read_seed=chip.read_seed, name=chip.name
        )
        for number, tile in sorted(chip.tiles.items()):
            group = file.create_group(f"tiles/{number}")
            group.attrs.update(
                seconds=tile.seconds,
                drift_seconds=tile.drift_seconds,
                cycle=tile.cycle,
                pulses=tile.pulses,
                saturated=tile.saturated,
                reads=tile.own_reads,
            )
            if tile.full_scale is not None:
                group["full_scale"] = np.asarray(tile.full_scale, np.float64)
            for part in dataclasses.fields(CellState):
                values = getattr(tile.state, part.name)
                if values is not None:
                    create_array(group, part.name, values.shape, values.dtype)[...] = values


def load(path: str | Path) -> Chip:
    """Load a chip; it goes on as the one that was saved."""
    from snnsim.backends.crossbar.chip import Chip, ChipConfig

    with read_hdf5(path, KIND) as file:
        try:
            config = from_json(json.loads(file.attrs["config"]))
        except (ValueError, TypeError, AttributeError, ImportError, KeyError, ParameterError) as error:
            raise DataError(f"{path}: what the chip is made of cannot be read ({error})") from error
        if not isinstance(config, ChipConfig):
            raise DataError(f"{path}: what the chip is made of is no ChipConfig")
        seeds = int(file.attrs["seed"]), int(file.attrs["read_seed"])
        chip = Chip(config, *seeds, name=str(file.attrs["name"]))
        for key, group in file.get("tiles", {}).items():
            parts = {
                part.name: (group[part.name][...] if part.name in group else None)
                for part in dataclasses.fields(CellState)
            }
            full_scale = group["full_scale"][...] if "full_scale" in group else None
            scale: Any = full_scale if full_scale is None or full_scale.ndim else float(full_scale)
            state = CellState(**parts)
            converters = chip.converters(int(key), state.conductance.shape[1] // 2, scale)
            tile = Tile(int(key), config, chip.seed, state, converters, scale, int(group.attrs["cycle"]))
            tile.seconds, tile.drift_seconds = (float(group.attrs[name]) for name in ("seconds", "drift_seconds"))
            for name, attribute in (("pulses", "pulses"), ("saturated", "saturated"), ("own_reads", "reads")):
                setattr(tile, name, int(group.attrs[attribute]))
            chip.tiles[int(key)] = tile
    return chip


def as_json(value: Any) -> Any:
    """Return a frozen dataclass of this package, with all that it holds, as plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        if not kind.__module__.startswith(_PACKAGE):
            raise ParameterError(f"{kind.__name__} is no part of a chip that can be saved")
        parts = {part.name: as_json(getattr(value, part.name)) for part in dataclasses.fields(value) if part.init}
        return {"class": f"{kind.__module__.removeprefix(_PACKAGE)}:{kind.__qualname__}", "parts": parts}
    if isinstance(value, (tuple, list)):
        return {"tuple": [as_json(one) for one in value]}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    raise ParameterError(f"{value!r} is no part of a chip that can be saved")


def from_json(value: Any) -> Any:
    """Return what `as_json` was given."""
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(from_json(one) for one in value["tuple"])
    if "array" in value:
        return np.asarray(value["array"], np.dtype(value["dtype"]))
    module, _, name = value["class"].partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise DataError(f"{value['class']!r} is no class of a chip")
    kind = getattr(importlib.import_module(_PACKAGE + module), name)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise DataError(f"{value['class']!r} is no class of a chip")
    return kind(**{key: from_json(part) for key, part in value["parts"].items()})
