"""What the cells of a tile are after programming, and what a read finds later: pure functions.

A cell (tile, row, column) has lasting numbers of its own: gain and whether it is stuck. Each programming `cycle` draws
new noise and a new drift exponent. See `snnsim.backends.crossbar.device` for the meaning of each stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar import draws
from snnsim.backends.crossbar.curves import Floats
from snnsim.backends.crossbar.device import Device
from snnsim.backends.crossbar.drift import REFERENCE_TEMPERATURE, ages
from snnsim.errors import ParameterError, whole

#: A target may be outside the range by this much of it: what rounding makes of a scaled weight.
ROUNDING = 1e-9


@dataclass
class CellState:
    """Cells of a tile; all arrays have shape (rows, columns).

    Parameters
    ----------
    conductance : ndarray of float64
        uS just after programming, or of a pristine cell.
    target : ndarray of float64
        uS that were asked for, before levels; NaN: never programmed.
    exponent : ndarray of float64
        The cell's own number in the drift model.
    gain : ndarray of float64
        Lasting factor on what programming aims at.
    stuck : ndarray of int8
        1 stuck on, -1 stuck off, 0 neither.
    iterations : ndarray of int32
        Attempts of the last programming.
    """

    conductance: Floats
    target: Floats
    exponent: Floats
    gain: Floats
    stuck: NDArray[np.int8]
    iterations: NDArray[np.int32]


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
    tile, cycle = whole("tile", tile), whole("cycle", cycle)
    numbers = draws.cell_numbers(*wanted.shape)
    state = _pristine(device, numbers, seed, tile) if before is None else _copied(before, wanted.shape)
    chosen = ~np.isnan(wanted)
    # Whole tiles are the rule, and need no picking of cells.
    where: NDArray[np.bool_] | tuple[()] = () if chosen.all() else chosen
    target, cells = wanted[where], numbers[where]
    level = np.clip(device.nearest(target), device.g_min, device.g_max)
    stuck = state.stuck[where]
    held = stuck != 0 if device.stuck_on or device.stuck_off else None
    attempts = _Attempts(device, level, state.gain[where], stuck, held, cells, (seed, tile, cycle))
    state.conductance[where], state.iterations[where] = attempts.run()
    state.target[where] = target
    if device.drift is not None:
        normal = draws.normal(draws.purpose_key(seed, "drift", tile, cycle), cells)
        exponent = device.drift.exponents(level, normal)
        state.exponent[where] = exponent if held is None else np.where(held, 0.0, exponent)
    else:
        state.exponent[where] = 0.0
    return state


@dataclass
class _Attempts:
    """The attempts to bring cells to their levels; arrays of one entry a cell."""

    device: Device
    level: Floats
    gain: Floats
    stuck: NDArray[np.int8]
    held: NDArray[np.bool_] | None
    cells: draws.Cells
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
            noise = draws.normal(draws.purpose_key(seed, "programming", tile, cycle, number), self.cells[where])
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
        noise = draws.normal(draws.purpose_key(seed, "verify", tile, cycle, number), self.cells[where])
        return np.asarray(conductance + noise * self.device.read_noise.sigma(conductance))


def conductance_at(
    device: Device, state: CellState, seconds: ArrayLike, temperature: float = REFERENCE_TEMPERATURE
) -> Floats:
    """Return the conductances (uS) some time after programming, drift applied.

    Parameters
    ----------
    device : Device
    state : CellState
    seconds : float or array_like
        Since programming: one for all cells, or an array that fits their shape.
    temperature : float
        K, over all that time.

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        Its own memory. Stuck cells and cells never programmed do not drift.

    Raises
    ------
    ParameterError
        A negative age, or a temperature that the drift model states nothing of.
    """
    age = ages(seconds, state.conductance.shape)
    drift = device.drift
    if drift is None or not age.any():
        return state.conductance.copy()
    conductance = drift.drifted(state.conductance, state.exponent, age * drift.acceleration(temperature))
    lasting = (state.stuck != 0) | np.isnan(state.target)
    return np.where(lasting | (age == 0), state.conductance, conductance)


def read_variance(
    device: Device, conductance: Floats, seconds: ArrayLike = 0.0, programmed: Floats | None = None
) -> Floats:
    """Return the variance (uS^2) of the white noise of one read of each cell.

    Parameters
    ----------
    device : Device
    conductance : ndarray
        uS now, drift applied.
    seconds : float or array_like
        Since programming.
    programmed : ndarray, optional
        uS just after programming, on which the noise of some devices depends; default `conductance`, which is
        right for cells that have not drifted.
    """
    conductance = np.asarray(conductance, np.float64)
    age = ages(seconds, conductance.shape)
    if device.read_noise is None:
        return np.zeros(conductance.shape)
    sigma = device.read_noise.sigma(conductance, age, programmed)
    return np.asarray(sigma * sigma)


def effective_conductance(device: Device, conductance: Floats, voltage: float | None = None) -> Floats:
    """Return current over voltage (uS) of cells at a voltage (V; default the device's read voltage)."""
    conductance = np.asarray(conductance, np.float64)
    if device.current_voltage is None:
        return conductance
    volts = device.read_voltage if voltage is None else voltage
    return np.asarray(device.current_voltage.current(conductance, volts) / volts)


def flicker(
    device: Device,
    conductance: Floats,
    *,
    seed: int,
    tile: int,
    tick: int,
    rows: NDArray[np.int64] | None = None,
) -> Floats:
    """Return what 1/f noise adds to each cell's conductance (uS) at a tick.

    Parameters
    ----------
    device : Device
    conductance : ndarray, shape (rows, columns)
        uS now.
    seed, tile, tick : int
    rows : ndarray of int64, optional
        Numbers of the rows that `conductance` holds; default 0, 1, ...
    """
    conductance = np.asarray(conductance, np.float64)
    tick, tile = whole("tick", tick), whole("tile", tile)
    total = np.zeros(conductance.shape)
    model = device.flicker
    if model is None or model.deviation == 0:
        return total
    from snnsim.backends.crossbar.draw_kernels import add_held

    numbers = draws.cell_numbers(conductance.shape[0] if rows is None else np.asarray(rows), conductance.shape[1])
    octaves = range(model.octaves)
    keys = np.array([draws.purpose_key(seed, "flicker", tile, k, tick >> k) for k in octaves], np.uint64)
    add_held(keys, numbers.reshape(-1), model.deviation / float(np.sqrt(model.octaves)), total.reshape(-1))
    total *= conductance
    return total


def _checked_targets(device: Device, targets: ArrayLike) -> Floats:
    wanted = np.asarray(targets, np.float64)
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


def _pristine(device: Device, numbers: draws.Cells, seed: int, tile: int) -> CellState:
    shape = numbers.shape
    gain, stuck = np.ones(shape), np.zeros(shape, np.int8)
    if device.spread:
        gain += device.spread * draws.normal(draws.purpose_key(seed, "gain", tile), numbers)
        np.maximum(gain, 0.0, out=gain)
    conductance = np.full(shape, device.g_min)
    if device.stuck_on or device.stuck_off:
        chance = draws.uniform(draws.purpose_key(seed, "stuck", tile), numbers)
        stuck[chance < device.stuck_on + device.stuck_off] = -1
        stuck[chance < device.stuck_on] = 1
        conductance[stuck > 0] = device.g_max
    return CellState(conductance, np.full(shape, np.nan), np.zeros(shape), gain, stuck, np.zeros(shape, np.int32))


def _copied(before: CellState, shape: tuple[int, ...]) -> CellState:
    if before.conductance.shape != shape:
        raise ParameterError(f"before has cells of shape {before.conductance.shape}: targets have {shape}")
    return CellState(
        before.conductance.copy(),
        before.target.copy(),
        before.exponent.copy(),
        before.gain.copy(),
        before.stuck.copy(),
        before.iterations.copy(),
    )
