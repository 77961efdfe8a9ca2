"""Sweeps of current against voltage: one shape for all devices, and the conductance of each device in each state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnsim.backends.crossbar.device.current_voltage import RelativePolynomial
from snnsim.backends.crossbar.device.measurement_tables import MeasurementTable
from snnsim.backends.crossbar.device.plausible_ranges import CURRENT, MEANT, suspicion
from snnsim.errors import DataError

#: Highest power of the voltage that is fitted.
DEGREE = 3
#: Share of its current (root mean square) by which a sweep may stray from its own curve before it counts as two.
STRAY = 0.1


@dataclass(frozen=True)
class SweepFit:
    """A fitted shape: the model, the range of conductances (uS), and the rms deviation over the largest current.

    `sweeps` are the devices in their states, each with a conductance of its own.
    """

    model: RelativePolynomial
    low: float
    high: float
    devices: int
    sweeps: int
    rows: int
    residual: float


def fit_sweeps(table: MeasurementTable, *, unusual: bool = False) -> SweepFit:
    """Fit ``I = G (V + b2 V^2 + b3 V^3)``: G by device and state, b2 and b3 for all.

    Each sweep is fitted by least squares with coefficients of its own, and these are brought together by the least
    squares of c_k = b_k G over the sweeps.

    Parameters
    ----------
    table : MeasurementTable
    unusual : bool
        Take conductances that no cell is known to have, and sweeps that stray from one curve.

    Raises
    ------
    DataError
        A sweep has too few voltages, or one voltage twice; it is not one curve, as a loop through two states; or its
        currents are in another unit by all appearance.
    """
    voltage, current = table.numbers["voltage_V"], table.numbers["current_uA"]
    nobody = np.zeros(voltage.size, np.int64)
    device, state = (table.labels.get(column, nobody) for column in ("device", "state"))
    keys, sweep = np.unique(np.stack([device, state]), axis=1, return_inverse=True)
    sweep = sweep.reshape(-1)
    first = np.array([np.flatnonzero(sweep == number)[0] for number in range(keys.shape[1])])
    names = [_name(table, int(row)) for row in first]
    powers = voltage[:, None] ** np.arange(1, DEGREE + 1)
    fits = np.empty((len(names), DEGREE))
    for number, name in enumerate(names):
        own, where = sweep == number, f"{table.path}, line {table.lines[first[number]]}, column"
        distinct = np.unique(voltage[own & (voltage != 0)]).size
        if distinct < DEGREE:
            raise DataError(
                f"{where} voltage_V: {name} was measured at {distinct} voltages other than zero; {DEGREE} are needed"
            )
        fits[number] = np.linalg.lstsq(powers[own], current[own], rcond=None)[0]
    _refuse_repeated(table)
    for number, name in enumerate(names):
        own, where = sweep == number, f"{table.path}, line {table.lines[first[number]]}, column"
        conductance = float(fits[number, 0])
        if conductance <= 0:
            raise DataError(
                f"{where} current_uA: the conductance of {name} about zero volt comes out as {conductance:g} uS; it "
                "must be above zero"
            )
        stray = np.sqrt(np.mean((current[own] - powers[own] @ fits[number]) ** 2) / np.mean(current[own] ** 2))
        if stray > STRAY and not unusual:
            raise DataError(
                f"{where} current_uA: {name} strays from one curve by {stray:.0%} of its current, as a loop through "
                "two states does; tell the states apart in a column 'state', and leave out where one becomes the "
                f"other. {MEANT}"
            )
        reason = None if unusual else suspicion(conductance, CURRENT, "the column")
        if reason:
            raise DataError(f"{where} current_uA: of {name}, {reason} {MEANT}")
    conductances = fits[:, 0]
    shape = conductances @ fits[:, 1:] / (conductances @ conductances)
    model = RelativePolynomial(tuple(map(float, shape)), float(np.abs(voltage).max()))
    modelled = conductances[sweep] * (powers @ np.array([1.0, *shape]))
    residual = float(np.sqrt(np.mean((current - modelled) ** 2)) / np.abs(current).max())
    devices = np.unique(keys[0]).size
    low, high = float(conductances.min()), float(conductances.max())
    return SweepFit(model, low, high, devices, len(names), voltage.size, residual)


def _name(table: MeasurementTable, row: int) -> str:
    name = table.value(row, "device") if "device" in table.labels else "the device"
    return f"{name} in state {table.value(row, 'state')}" if "state" in table.labels else name


def _refuse_repeated(table: MeasurementTable) -> None:
    """Raise `DataError` where a voltage stands twice in one sweep: there is no telling which is right."""
    key = ("voltage_V", "read", "state", "device")
    twice = table.twice(key)
    if twice is not None:
        row, first = twice
        raise DataError(
            f"{table.path}, line {table.lines[row]}: {table.row(row, key)} stands in line {table.lines[first]} "
            "already; the branches of a loop are told apart by a column 'state', repeated sweeps by a number in a "
            "column 'read'"
        )
