"""What reads find in the cells of a tile some time after programming: pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.cells.random_numbers import cell_numbers, purpose_key
from snnsim.backends.crossbar.cells.state import CellState, blocks
from snnsim.backends.crossbar.device.device import Device
from snnsim.backends.crossbar.device.drift import REFERENCE_TEMPERATURE, ages
from snnsim.backends.crossbar.device.plausible_ranges import question_temperature
from snnsim.backends.crossbar.number_checks import Floats, finite, number_array, tile_number, whole_numbers
from snnsim.errors import ParameterError, whole


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
    _check_device(device)
    if not isinstance(state, CellState):
        raise ParameterError(f"state={state!r}: expected a CellState, as program returns it")
    age = ages(seconds, state.conductance.shape)
    drift = device.drift
    if drift is None or not age.any():
        return state.conductance.copy()
    acted = acted_seconds(device, age, temperature)
    result = np.empty(state.conductance.shape)
    for rows in blocks(result.shape):
        part, time = state.rows(rows), _part(acted, rows, result.shape)
        still = (part.stuck != 0) | np.isnan(part.target) | (time == 0)
        moved = drift.drifted(part.conductance, part.exponent, time)
        result[rows] = np.where(still, part.conductance, moved)
    bad = ~(np.isfinite(result) & (result >= 0))
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ParameterError(
            f"drift={drift!r}: leaves cell ({row}, {column}) with {result[row, column]:g} uS; must be finite and zero "
            "or above"
        )
    return result


def acted_seconds(device: Device, seconds: Floats, temperature: float) -> Floats:
    """Return how many seconds at 300 K some seconds at a temperature (K) are to the drift of a device.

    Raises
    ------
    ParameterError
        A temperature that the drift model states nothing of, or that no cell is kept at.
    """
    if device.drift is None:
        return seconds
    factor = device.drift.acceleration(temperature)
    if not device.unusual:
        question_temperature(temperature)
    with np.errstate(over="ignore"):
        acted = np.asarray(seconds * factor)
    if not np.isfinite(acted).all():
        raise ParameterError(
            f"seconds={np.max(seconds):g}, temperature={temperature!r}: are {factor:.3g} times as many at "
            f"{REFERENCE_TEMPERATURE:g} K, more than a number holds"
        )
    return acted


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
    _check_device(device)
    conductance = number_array("conductance", conductance)
    if programmed is not None:
        programmed = number_array("programmed", programmed)
        if programmed.shape != conductance.shape:
            raise ParameterError(f"programmed of shape {programmed.shape}: must be that of conductance")
    age = ages(seconds, conductance.shape)
    if device.read_noise is None:
        return np.zeros(conductance.shape)
    if conductance.ndim != 2:
        return np.asarray(device.read_noise.sigma(conductance, age, programmed) ** 2)
    variance = np.empty(conductance.shape)
    for rows in blocks(conductance.shape):
        past = None if programmed is None else programmed[rows]
        sigma = device.read_noise.sigma(conductance[rows], _part(age, rows, conductance.shape), past)
        np.multiply(sigma, sigma, out=variance[rows])
    return variance


def effective_conductance(device: Device, conductance: Floats, voltage: float | None = None) -> Floats:
    """Return current over voltage (uS) of cells at a voltage (V; default the device's read voltage)."""
    _check_device(device)
    conductance = number_array("conductance", conductance)
    if device.current_voltage is None:
        return conductance
    volts = device.read_voltage if voltage is None else voltage
    finite("voltage", volts)
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
    _check_device(device)
    conductance = number_array("conductance", conductance)
    if conductance.ndim != 2:
        raise ParameterError(f"conductance of shape {conductance.shape}: must be (rows, columns)")
    tick, tile, seed = whole("tick", tick), tile_number(tile), whole("seed", seed)
    if rows is not None:
        rows = whole_numbers("rows", rows)
        if rows.shape != conductance.shape[:1]:
            # The compiled sum goes by their numbers.
            raise ParameterError(f"rows: {rows.size} numbers for {len(conductance)} rows; must be one for each")
    total = np.zeros(conductance.shape)
    model = device.flicker
    if model is None or model.deviation == 0:
        return total
    from snnsim.backends.crossbar.cells.kernels import add_held

    numbers = cell_numbers(conductance.shape[0] if rows is None else rows, conductance.shape[1])
    octaves = range(model.octaves)
    keys = np.array([purpose_key(seed, "flicker", tile, k, tick >> k) for k in octaves], np.uint64)
    add_held(keys, numbers.reshape(-1), model.deviation / float(np.sqrt(model.octaves)), total.reshape(-1))
    total *= conductance
    return total


def _check_device(device: Device) -> None:
    if not isinstance(device, Device):
        raise ParameterError(f"device={device!r}: expected a Device")


def _part(seconds: Floats, rows: slice, shape: tuple[int, ...]) -> Floats:
    return seconds if seconds.ndim == 0 else np.broadcast_to(seconds, shape)[rows]
