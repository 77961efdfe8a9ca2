"""Requests and answers held to the geometry of a device, before they are sent and before they are believed."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.backends.crossbar.loop.protocol import Floats, Integers, Keys, LoopDevice, Status, check_status
from snnsim.errors import DeviceError, ParameterError, whole


def check_tile(status: Status, tile: int) -> int:
    """Return the number of a tile, or raise `ParameterError` where the device has no such tile."""
    number = whole("tile", int(tile) if isinstance(tile, np.integer) else tile)
    if status.tiles is not None and number >= status.tiles:
        raise ParameterError(f"tile={number}: device {status.name!r} has the tiles 0 ... {status.tiles - 1}")
    return number


def check_program(status: Status, tile: int, targets: Any, full_scale: Any) -> tuple[int, Floats, Floats | None]:
    """Return the arguments of `LoopDevice.program` as arrays, or raise `ParameterError`.

    A full scale comes back as an array of shape () or (columns // 2,).
    """
    tile = check_tile(status, tile)
    wanted = np.ascontiguousarray(targets, np.float64)
    if wanted.shape != (status.rows, status.columns):
        raise ParameterError(
            f"targets of tile {tile} have shape {wanted.shape}; a tile has {(status.rows, status.columns)} cells"
        )
    wrong = np.isinf(wanted) | (wanted < 0)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ParameterError(
            f"targets of tile {tile}: row {row}, column {column} is {wanted[row, column]:g} uS; must be finite and "
            "zero or above, or NaN to leave the cell as it is"
        )
    if np.isnan(wanted).any() and "partial_programming" not in status.capabilities:
        raise ParameterError(
            f"targets of tile {tile} hold NaN, but device {status.name!r} cannot leave cells as they are"
        )
    if full_scale is None:
        return tile, wanted, None
    scale = np.asarray(full_scale, np.float64)
    if scale.shape not in ((), (status.outputs,)) or not np.all(np.isfinite(scale) & (scale > 0)):
        raise ParameterError(
            f"full_scale of tile {tile} has shape {scale.shape}: must be one current above zero, in uA, or one for "
            f"each of the {status.outputs} outputs"
        )
    return tile, wanted, np.array(scale)


def check_read(
    status: Status, tile: int, offsets: Any, rows: Any, keys: Any
) -> tuple[int, Integers, Integers, Keys | None]:
    """Return the arguments of `LoopDevice.read` as arrays, or raise `ParameterError`."""
    tile = check_tile(status, tile)
    bounds, active = _whole_numbers("offsets", offsets), _whole_numbers("rows", rows)
    if not bounds.size or bounds[0] != 0 or bounds[-1] != active.size or np.any(np.diff(bounds) < 0):
        raise ParameterError(
            f"offsets of a read of tile {tile}: must start at 0, never fall, and end at the number of rows "
            f"({active.size})"
        )
    if active.size and (active.min() < 0 or active.max() >= status.rows):
        row = int(active.min()) if active.min() < 0 else int(active.max())
        raise ParameterError(f"rows of a read of tile {tile} hold {row}; the tile has the rows 0 ... {status.rows - 1}")
    if keys is None:
        return tile, bounds, active, None
    own = np.ascontiguousarray(keys)
    if own.dtype != np.uint64 or own.shape != (bounds.size - 1,):
        raise ParameterError(
            f"keys of a read of tile {tile}: {own.dtype} {own.shape}; expected uint64 {(bounds.size - 1,)}"
        )
    return tile, bounds, active, own


def check_currents(status: Status, tile: int, vectors: int, answer: Any, first: int = 0) -> Floats:
    """Return the currents of a read whose first vector has the number `first`; `DeviceError` where they cannot be."""
    found = np.asarray(answer)
    asked = (vectors, status.outputs)
    if found.shape != asked or found.dtype.kind not in "fiu":
        raise DeviceError(
            f"device {status.name!r}, tile {tile}: asked for {vectors} vectors of {status.outputs} currents, shape "
            f"{asked}; got {found.dtype} {found.shape}",
            kind="answer",
        )
    currents = np.ascontiguousarray(found, np.float64)
    wrong = ~np.isfinite(currents)
    if wrong.any():
        vector, column = (int(i) for i in np.argwhere(wrong)[0])
        raise DeviceError(
            f"device {status.name!r}, tile {tile}: vector {first + vector}, column {column} (cells {2 * column} and "
            f"{2 * column + 1}) reads {currents[vector, column]} uA, one of {int(wrong.sum())} such currents",
            kind="answer",
        )
    return currents


def _whole_numbers(name: str, values: Any) -> Integers:
    given = np.asarray(values)
    if given.ndim != 1 or (given.dtype.kind not in "iu" and given.size):
        raise ParameterError(f"{name}: {given.dtype} {given.shape}; expected whole numbers in one row")
    return np.ascontiguousarray(given, np.int64)


class Checked:
    """A device whose requests and answers are checked, for drivers that do not check themselves.

    Parameters
    ----------
    device : LoopDevice

    Raises
    ------
    DeviceError
        The device speaks another version or other units; later, an answer that cannot be true.
    """

    def __init__(self, device: LoopDevice) -> None:
        self.device = device
        self._status = device.status()
        check_status(self._status)

    def program(self, tile: int, targets: Floats, full_scale: float | Floats | None = None) -> None:
        """Program a tile; see `LoopDevice.program`."""
        tile, wanted, scale = check_program(self._status, tile, targets, full_scale)
        self.device.program(tile, wanted, plain_scale(scale))

    def read(self, tile: int, offsets: Integers, rows: Integers, keys: Keys | None = None) -> Floats:
        """Read a tile; see `LoopDevice.read`."""
        tile, bounds, active, own = check_read(self._status, tile, offsets, rows, keys)
        return check_currents(self._status, tile, bounds.size - 1, self.device.read(tile, bounds, active, own))

    def status(self) -> Status:
        """Return what the device is."""
        return self.device.status()


def plain_scale(scale: Floats | None) -> float | Floats | None:
    """Return a full scale as devices take it: a number where it is one."""
    return float(scale) if scale is not None and scale.ndim == 0 else scale
