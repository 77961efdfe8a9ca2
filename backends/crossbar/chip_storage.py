"""Chips as HDF5 files: what they are made of as JSON, cells as arrays."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.backends.crossbar.cells import CellState
from snnsim.backends.crossbar.device_storage import from_dictionary, to_dictionary
from snnsim.backends.crossbar.tile import Tile
from snnsim.errors import DataError
from snnsim.storage import create_array, read_hdf5, write_hdf5

if TYPE_CHECKING:
    from snnsim.backends.crossbar.chip import Chip
    from snnsim.backends.crossbar.chip_config import ChipConfig

KIND = "chip"


def save(chip: Chip, path: str | Path) -> None:
    """Save a chip: what it is made of, its cells as they were programmed, and its age."""
    with write_hdf5(path, KIND) as file:
        file.attrs.update(seed=chip.seed, read_seed=chip.read_seed, name=chip.name)
        file["config"] = json.dumps(_parts(chip.config))  # longer than an attribute may be, with tables of measurements
        for number, tile in sorted(chip.tiles.items()):
            group = file.create_group(f"tiles/{number}")
            group.attrs.update(
                cycle=tile.cycle,
                pulses=tile.pulses,
                saturated=tile.saturated,
                reads=tile.own_reads,
            )
            group["seconds"], group["drift_seconds"] = tile.seconds, tile.drift_seconds
            if tile.full_scale is not None:
                group["full_scale"] = np.asarray(tile.full_scale, np.float64)
            for part in dataclasses.fields(CellState):
                values = getattr(tile.state, part.name)
                create_array(group, part.name, values.shape, values.dtype)[...] = values


def load(path: str | Path) -> Chip:
    """Load a chip; it goes on as the one that was saved."""
    from snnsim.backends.crossbar.chip import Chip
    from snnsim.backends.crossbar.chip_config import ChipConfig

    with read_hdf5(path, KIND) as file:
        try:
            given = json.loads(file["config"].asstr()[()])
            parts = {key: from_dictionary(part) if isinstance(part, dict) else part for key, part in given.items()}
            config = ChipConfig(**parts)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise DataError(f"{path}: what the chip is made of cannot be read ({error})") from error
        seeds = int(file.attrs["seed"]), int(file.attrs["read_seed"])
        chip = Chip(config, *seeds, name=str(file.attrs["name"]))
        for key, group in file.get("tiles", {}).items():
            arrays: dict[str, Any] = {part.name: group[part.name][...] for part in dataclasses.fields(CellState)}
            full_scale = group["full_scale"][...] if "full_scale" in group else None
            scale: Any = full_scale if full_scale is None or full_scale.ndim else float(full_scale)
            state = CellState(**arrays)
            converters = chip.converters(int(key), state.conductance.shape[1] // 2, scale)
            tile = Tile(int(key), config, chip.seed, state, converters, scale, int(group.attrs["cycle"]))
            tile.seconds, tile.drift_seconds = (group[name][()] for name in ("seconds", "drift_seconds"))
            for name, attribute in (("pulses", "pulses"), ("saturated", "saturated"), ("own_reads", "reads")):
                setattr(tile, name, int(group.attrs[attribute]))
            chip.tiles[int(key)] = tile
    return chip


def _parts(config: ChipConfig) -> dict[str, Any]:
    """Return what a chip is made of as plain values."""
    parts = {part.name: getattr(config, part.name) for part in dataclasses.fields(config)}
    return {key: to_dictionary(part) if dataclasses.is_dataclass(part) else part for key, part in parts.items()}
