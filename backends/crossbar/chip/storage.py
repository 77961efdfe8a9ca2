"""Chips in HDF5: what they are made of as JSON, cells as arrays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from snnsim.backends.crossbar.cells import CellState
from snnsim.backends.crossbar.chip.config import ChipConfig
from snnsim.backends.crossbar.chip.part_storage import from_dictionary, to_dictionary
from snnsim.backends.crossbar.chip.tile import Tile
from snnsim.errors import DataError, whole
from snnsim.storage.hdf5 import create_array

KIND = "chip"
#: Times the largest target that noise of programming may leave a cell with.
_BEYOND = 1e6
#: What HDF5, JSON, NumPy and our own checks raise where a file is not what it should be.
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)


def write_chip(
    group: h5py.Group, config: ChipConfig, seed: int, read_seed: int, name: str, tiles: Mapping[int, Tile]
) -> None:
    """Write a chip into a group; see `Chip.write_to`."""
    given = json.dumps(parts_of(config))
    group.attrs.update(seed=seed, read_seed=read_seed, name=name)
    group["config"] = given  # longer than an attribute may be, with tables of measurements
    for number, tile in sorted(tiles.items()):
        own = group.create_group(f"tiles/{number}")
        own.attrs.update(cycle=tile.cycle, pulses=tile.pulses, saturated=tile.saturated, reads=tile.own_reads)
        own["seconds"], own["drift_seconds"] = tile.seconds, tile.drift_seconds
        if tile.full_scale is not None:
            own["full_scale"] = np.asarray(tile.full_scale, np.float64)
        for part in dataclasses.fields(CellState):
            values = getattr(tile.state, part.name)
            create_array(own, part.name, values.shape, values.dtype)[...] = values


def read_chip(group: h5py.Group, where: object) -> tuple[ChipConfig, int, int, str, dict[int, Tile]]:
    """Return configuration, seed, read seed, name and tiles of a chip in a group; see `Chip.read_from`."""
    try:
        given = json.loads(group["config"].asstr()[()])
        parts = {key: from_dictionary(part) if isinstance(part, dict) else part for key, part in given.items()}
        config = ChipConfig(**parts)
        seed, read_seed = (whole(name, int(group.attrs[name])) for name in ("seed", "read_seed"))
        name = str(group.attrs["name"])
    except _UNREADABLE as error:
        raise DataError(f"{where}: what the chip is made of cannot be read ({error})") from error
    tiles = {}
    for key in group.get("tiles", {}):
        try:
            number = whole("number of a tile", int(key))
            tiles[number] = _tile(config, seed, number, group[f"tiles/{key}"])
        except _UNREADABLE as error:
            raise DataError(f"{where}: tile {key} of the chip cannot be read ({error})") from error
    return config, seed, read_seed, name, tiles


def parts_of(config: ChipConfig) -> dict[str, Any]:
    """Return what a chip is made of as plain values."""
    parts = {part.name: getattr(config, part.name) for part in dataclasses.fields(config)}
    return {key: to_dictionary(part) if dataclasses.is_dataclass(part) else part for key, part in parts.items()}


def _tile(config: ChipConfig, seed: int, number: int, group: h5py.Group) -> Tile:
    state = CellState(**{part.name: group[part.name][...] for part in dataclasses.fields(CellState)})
    _check_cells(config, state)
    scale: Any = group["full_scale"][...] if "full_scale" in group else None
    if scale is not None and not scale.ndim:
        scale = float(scale)
    converters = config.converters(number, state.conductance.shape[1] // 2, scale, seed)
    counts = {name: whole(name, int(group.attrs[name])) for name in ("cycle", "pulses", "saturated", "reads")}
    tile = Tile(number, config, seed, state, converters, scale, counts["cycle"])
    for name in ("seconds", "drift_seconds"):
        age = group[name][()]
        if np.shape(age) not in ((), state.conductance.shape) or not (np.isfinite(age) & (age >= 0)).all():
            raise ValueError(f"{name} of shape {np.shape(age)}: must be zero or above, one or one a cell")
        setattr(tile, name, age)
    tile.pulses, tile.saturated, tile.own_reads = counts["pulses"], counts["saturated"], counts["reads"]
    return tile


def _check_cells(config: ChipConfig, state: CellState) -> None:
    """Raise `ValueError` unless cells are what programming could have left on a chip of this kind."""
    shape = state.conductance.shape
    room, device = (config.rows, config.columns), config.device
    if len(shape) != 2 or not (0 < shape[0] <= room[0] and 0 < shape[1] <= room[1]) or shape[1] % 2:
        raise ValueError(f"cells of shape {shape}: must be at most {room}, with an even number of columns")
    for part in dataclasses.fields(CellState):
        found = getattr(state, part.name)
        expected = {"stuck": np.int8, "iterations": np.int32}.get(part.name, np.float64)
        if found.shape != shape or found.dtype != expected:
            raise ValueError(f"{part.name} holds {found.dtype} {found.shape}, expected {np.dtype(expected)} {shape}")
    config.check_targets(0, state.target)
    allowed = {
        "conductance": (state.conductance >= 0) & (state.conductance <= _BEYOND * device.g_max),
        "exponent": np.isfinite(state.exponent),
        "gain": (state.gain >= 0) & np.isfinite(state.gain),
        "stuck": np.abs(state.stuck) <= 1,
        "iterations": state.iterations >= 0,
    }
    for name, good in allowed.items():
        if not good.all():
            row, column = (int(i) for i in np.argwhere(~good)[0])
            raise ValueError(f"{name} of cell ({row}, {column}) is {getattr(state, name)[row, column]}")
