"""Requests and answers held to the geometry of a device, before they are sent and before they are believed."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.backends.crossbar.chip.protocol import Integers, Keys, Status, check_status
from snnsim.backends.crossbar.number_checks import Floats, number_array
from snnsim.errors import DeviceError, ParameterError, whole

#: Times what all rows of a tile carry together that a current may be, with noise, bent cells and offsets.
MOST_TIMES = 100.0


class Geometry:
    """What is known of a device: its status, and how much of each tile was programmed from here.

    Parameters
    ----------
    status : Status
    """

    def __init__(self, status: Status) -> None:
        check_status(status)
        self.status = status
        self._shapes: dict[int, tuple[int, int]] = {}

    def forget(self) -> None:
        """Take every tile as programmed by others."""
        self._shapes.clear()

    def tile(self, tile: int) -> int:
        """Return the number of a tile, or raise `ParameterError` where the device has no such tile."""
        number = whole("tile", tile)
        if self.status.tiles is not None and number >= self.status.tiles:
            raise ParameterError(
                f"tile={number}: device {self.status.name!r} has the tiles 0 ... {self.status.tiles - 1}"
            )
        return number

    def outputs(self, tile: int) -> int | None:
        """Return how many currents a read of a tile gives, or None where others programmed it."""
        shape = self._shapes.get(tile)
        return None if shape is None else shape[1] // 2

    def program(self, tile: int, targets: Any, full_scale: Any) -> tuple[int, Floats, Floats | None]:
        """Return the arguments of `LoopDevice.program` as arrays, or raise `ParameterError`.

        A full scale comes back as an array of shape () or (columns // 2,).
        """
        tile, status = self.tile(tile), self.status
        wanted = np.ascontiguousarray(number_array(f"targets of tile {tile}", targets))
        good = wanted.ndim == 2 and 0 < wanted.shape[0] <= status.rows and 0 < wanted.shape[1] <= status.columns
        if not good or wanted.shape[1] % 2:
            raise ParameterError(
                f"targets of tile {tile} have shape {wanted.shape}; a tile has {(status.rows, status.columns)} cells, "
                "and takes an even number of columns"
            )
        wrong = np.isinf(wanted) | (wanted < 0)
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            raise ParameterError(
                f"targets of tile {tile}: row {row}, column {column} is {wanted[row, column]:g} uS; must be finite and "
                "zero or above, or NaN to leave the cell as it is"
            )
        if "partial_programming" not in status.capabilities and np.isnan(wanted).any():
            raise ParameterError(
                f"targets of tile {tile} hold NaN, but device {status.name!r} cannot leave cells as they are"
            )
        if full_scale is None:
            return tile, wanted, None
        scale, outputs = np.array(number_array(f"full_scale of tile {tile}", full_scale)), wanted.shape[1] // 2
        if scale.shape not in ((), (outputs,)) or not np.all(np.isfinite(scale) & (scale > 0)):
            raise ParameterError(
                f"full_scale of tile {tile} has shape {scale.shape}: must be one current above zero, in uA, or one for "
                f"each of the {outputs} outputs"
            )
        return tile, wanted, scale

    def programming(self, tile: int) -> None:
        """Take note that a tile is being programmed: until that is done, nobody knows what it holds."""
        self._shapes.pop(tile, None)

    def programmed(self, tile: int, targets: Floats) -> None:
        """Take note that a tile was programmed."""
        self._shapes[tile] = (targets.shape[0], targets.shape[1])

    def read(self, tile: int, offsets: Any, rows: Any, keys: Any) -> tuple[int, Integers, Integers, Keys | None]:
        """Return the arguments of `LoopDevice.read` as arrays, or raise `ParameterError`."""
        tile = self.tile(tile)
        bounds, active = _whole_numbers("offsets", offsets), _whole_numbers("rows", rows)
        if not bounds.size or bounds[0] != 0 or bounds[-1] != active.size or np.any(np.diff(bounds) < 0):
            raise ParameterError(
                f"offsets of a read of tile {tile}: must start at 0, never fall, and end at the number of rows "
                f"({active.size})"
            )
        most = self._shapes.get(tile, (self.status.rows,))[0]
        if active.size and (active.min() < 0 or active.max() >= most):
            row = int(active.min()) if active.min() < 0 else int(active.max())
            raise ParameterError(f"rows of a read of tile {tile} hold {row}; the tile has the rows 0 ... {most - 1}")
        if keys is None:
            return tile, bounds, active, None
        own = np.ascontiguousarray(_as_array(keys))
        if own.dtype != np.uint64 or own.shape != (bounds.size - 1,):
            raise ParameterError(
                f"keys of a read of tile {tile}: {own.dtype} {own.shape}; expected uint64 {(bounds.size - 1,)}"
            )
        return tile, bounds, active, own

    def currents(self, tile: int, vectors: int, answer: Any, first: int = 0) -> Floats:
        """Return the currents of a read, or raise `DeviceError` where they cannot be true.

        Parameters
        ----------
        tile, vectors : int
        answer : array
        first : int
            Number of the first vector, for messages.
        """
        if answer is None:
            raise DeviceError(f"device {self.status.name!r}, tile {tile}: a read gave nothing (None)", kind="answer")
        found, outputs = _as_array(answer), self.outputs(tile)
        asked = (vectors, outputs if outputs is not None else "any")
        good = found.ndim == 2 and found.shape[0] == vectors and found.dtype.kind in "fiu"
        if good:
            width = found.shape[1]
            good = width == outputs if outputs is not None else 0 < width <= self.status.outputs
        if not good:
            pairs = f"at most {self.status.outputs}" if outputs is None else str(outputs)
            raise DeviceError(
                f"device {self.status.name!r}, tile {tile}: asked for {vectors} vectors of {pairs} currents, shape "
                f"({asked[0]}, {asked[1]}); got {found.dtype} {found.shape}",
                kind="answer",
            )
        currents = np.ascontiguousarray(found, np.float64)
        wrong = ~np.isfinite(currents)
        if wrong.any():
            vector, column = (int(i) for i in np.argwhere(wrong)[0])
            raise DeviceError(
                f"device {self.status.name!r}, tile {tile}: vector {first + vector}, column {column} (cells "
                f"{2 * column} and {2 * column + 1}) reads {currents[vector, column]} uA, one of {int(wrong.sum())} "
                "such currents",
                kind="answer",
            )
        status = self.status
        bound = MOST_TIMES * status.rows * status.g_max * status.read_voltage
        if np.abs(currents).max(initial=0.0) > bound:
            vector, column = (int(i) for i in np.argwhere(np.abs(currents) > bound)[0])
            raise DeviceError(
                f"device {status.name!r}, tile {tile}: vector {first + vector}, column {column} reads "
                f"{currents[vector, column]:.4g} uA, where all {status.rows} rows of {status.g_max:g} uS at "
                f"{status.read_voltage:g} V give {bound / MOST_TIMES:.4g}; is it in pA, or nA?",
                kind="answer",
            )
        return currents


def _as_array(answer: Any) -> Any:
    """Return an answer as an array; of lists of unequal length one that nothing takes for currents."""
    try:
        return np.asarray(answer)
    except (ValueError, TypeError):
        return np.empty(0, object)


def _whole_numbers(name: str, values: Any) -> Integers:
    given = _as_array(values)
    if given.ndim != 1 or (given.dtype.kind not in "iu" and given.size):
        raise ParameterError(f"{name}: {given.dtype} {given.shape}; expected whole numbers in one row")
    return np.ascontiguousarray(given, np.int64)


def plain_scale(scale: Floats | None) -> float | Floats | None:
    """Return a full scale as devices take it: a number where it is one."""
    return float(scale) if scale is not None and scale.ndim == 0 else scale
