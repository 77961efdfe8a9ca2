"""Programming the cells of a tile: a pure function of device, targets, seed, tile and cycle.

A cell (tile, row, column) has lasting numbers of its own: gain and whether it is stuck. Each programming `cycle` draws
new noise and a new drift exponent. See `snnsim.backends.crossbar.device.device` for the meaning of each stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.cells.random_numbers import Cells, cell_numbers, normal, purpose_key, uniform
from snnsim.backends.crossbar.cells.state import CellState, blocks, copied, unwritten
from snnsim.backends.crossbar.device.curves import exponential
from snnsim.backends.crossbar.device.device import Device
from snnsim.backends.crossbar.number_checks import Floats, number_array, tile_number
from snnsim.errors import ParameterError, whole
from snnsim.numerics import rng

#: A target may be outside the range by this much of it: what rounding makes of a scaled weight.
ROUNDING = 1e-9


def program(
    device: Device, targets: ArrayLike, *, seed: int, tile: int, cycle: int = 0, before: CellState | None = None
) -> CellState:
    """Program the cells of a tile.

    Parameters
    ----------
    device : Device
    targets : array_like, shape (rows, columns)
        uS; NaN leaves a cell as it is. A cell never programmed has `g_min`, without noise.
    seed, tile, cycle : int
        Key of the chip, number of the tile, and number of this programming of it.
    before : CellState, optional
        The cells so far, from the same seed and tile; left unchanged. Default: pristine ones.

    Returns
    -------
    CellState

    Raises
    ------
    ParameterError
        Targets outside the device's range, of another shape than `before`, or not a matrix.
    """
    wanted = _checked_targets(device, targets)
    tile, cycle, seed = tile_number(tile), whole("cycle", cycle), whole("seed", seed)
    state = unwritten(wanted.shape) if before is None else copied(before, wanted.shape)
    for rows in blocks(wanted.shape):
        numbers = cell_numbers(np.arange(rows.start, rows.stop), wanted.shape[1])
        part = state.rows(rows)
        if before is None:
            _make_pristine(device, part, numbers, seed, tile)
        _program_block(device, wanted[rows], numbers, part, (seed, tile, cycle))
    return state


def _program_block(device: Device, wanted: Floats, numbers: Cells, state: CellState, key: tuple[int, int, int]) -> None:
    chosen = ~np.isnan(wanted)
    # Whole tiles are the rule, and need no picking of cells.
    where: NDArray[np.bool_] | tuple[()] = () if chosen.all() else chosen
    target, cells = wanted[where], numbers[where]
    level = np.clip(device.nearest(target), device.g_min, device.g_max)
    stuck = state.stuck[where]
    held = stuck != 0 if device.stuck_on or device.stuck_off else None
    attempts = _Attempts(device, level, state.gain[where], stuck, held, cells, key)
    state.conductance[where], state.iterations[where] = attempts.run()
    state.target[where] = target
    if device.drift is not None:
        seed, tile, cycle = key
        drawn = normal(purpose_key(seed, "drift", tile, cycle), cells)
        state.exponent[where] = device.drift.exponents(level, drawn)


@dataclass
class _Attempts:
    """The attempts to bring cells to their levels; arrays of one entry a cell."""

    device: Device
    level: Floats
    gain: Floats
    stuck: NDArray[np.int8]
    held: NDArray[np.bool_] | None
    cells: Cells
    key: tuple[int, int, int]

    def run(self) -> tuple[Floats, NDArray[np.int32]]:
        """Return the conductance that the last attempt left (uS), and the number of attempts."""
        conductance = self._attempt(0, self.level, ())
        iterations = np.ones(self.level.shape, np.int32)
        verify = self.device.verify
        if verify is None:
            return conductance, iterations
        aim = self.level.copy()
        pending = np.nonzero(np.ones(self.level.shape, np.bool_))
        for number in range(1, verify.iterations):
            error = self.level[pending] - self._read(number, conductance[pending], pending)
            off = np.abs(error) > verify.tolerance
            if not off.any():
                break
            pending = tuple(index[off] for index in pending)
            moved = aim[pending] + verify.correction * error[off]
            aim[pending] = np.clip(moved, 0.0, 2.0 * self.device.g_max)
            conductance[pending] = self._attempt(number, aim[pending], pending)
            iterations[pending] += 1
        return conductance, iterations

    def _attempt(self, number: int, aim: Floats, where: tuple[NDArray[np.intp], ...]) -> Floats:
        device, level = self.device, self.level[where]
        conductance = aim * self.gain[where] if device.spread else aim.copy()
        if device.programming is not None:
            seed, tile, cycle = self.key
            noise = normal(purpose_key(seed, "programming", tile, cycle, number), self.cells[where])
            noise *= device.programming.sigma(level)
            conductance += noise
            offset = device.programming.mean(level)
            if offset is not None:
                conductance += offset
            np.maximum(conductance, 0.0, out=conductance)
        if self.held is not None:
            held = self.held[where]
            conductance[held] = np.where(self.stuck[where][held] > 0, device.g_max, device.g_min)
        return conductance

    def _read(self, number: int, conductance: Floats, where: tuple[NDArray[np.intp], ...]) -> Floats:
        if self.device.read_noise is None:
            return conductance
        seed, tile, cycle = self.key
        noise = normal(purpose_key(seed, "verify", tile, cycle, number), self.cells[where])
        return np.asarray(conductance + noise * self.device.read_noise.sigma(conductance))


def _checked_targets(device: Device, targets: ArrayLike) -> Floats:
    if not isinstance(device, Device):
        raise ParameterError(f"device={device!r}: expected a Device")
    wanted = number_array("targets", targets)
    if wanted.ndim != 2 or wanted.size == 0:
        raise ParameterError(f"targets of shape {wanted.shape}: must be a matrix (rows, columns) with cells in it")
    slack = ROUNDING * (device.g_max - device.g_min)
    # Comparisons with NaN are false: cells that are left alone pass.
    wrong = (wanted < device.g_min - slack) | (wanted > device.g_max + slack)
    if wrong.any():
        row, column = (int(index[0]) for index in np.nonzero(wrong))
        raise ParameterError(
            f"targets[{row}, {column}]={float(wanted[row, column])!r} uS: must lie between g_min={device.g_min:g} and "
            f"g_max={device.g_max:g} of device {device.name!r}"
        )
    return wanted


def _make_pristine(device: Device, state: CellState, numbers: Cells, seed: int, tile: int) -> None:
    state.conductance[:] = device.g_min
    if device.spread:
        drawn = normal(purpose_key(seed, "gain", tile), numbers)
        state.gain[:] = rng.log_normal(drawn, device.spread, exponential)
    if device.stuck_on or device.stuck_off:
        chance = uniform(purpose_key(seed, "stuck", tile), numbers)
        state.stuck[chance < device.stuck_on + device.stuck_off] = -1
        state.stuck[chance < device.stuck_on] = 1
        state.conductance[state.stuck > 0] = device.g_max
