"""Sweeps of current against voltage: one shape for all devices, and each device's conductance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnsim.backends.crossbar.current_voltage import RelativePolynomial
from snnsim.backends.crossbar.measurement_tables import MeasurementTable
from snnsim.errors import DataError

#: Highest power of the voltage that is fitted.
DEGREE = 3


@dataclass(frozen=True)
class SweepFit:
    """A fitted shape: the model, the range of conductances (uS), and the rms deviation over the largest current."""

    model: RelativePolynomial
    low: float
    high: float
    devices: int
    rows: int
    residual: float


def fit_sweeps(table: MeasurementTable) -> SweepFit:
    """Fit ``I = G (V + b2 V^2 + b3 V^3)``: G by device, b2 and b3 for all.

    Each device is fitted by least squares with coefficients of its own, and these are brought together by the
    least squares of c_k = b_k G over the devices.
    """
    voltage, current = table.numbers["voltage_V"], table.numbers["current_uA"]
    device = np.zeros(voltage.size, np.int64) if table.device is None else table.device
    names = table.names or ("the device",)
    fits = np.empty((len(names), DEGREE))
    for number, name in enumerate(names):
        own = device == number
        distinct = np.unique(voltage[own & (voltage != 0)]).size
        if distinct < DEGREE:
            line = int(table.lines[own][0])
            raise DataError(
                f"{table.path}, line {line}, column voltage_V: {name} was measured at {distinct} voltages other than "
                f"zero; {DEGREE} are needed"
            )
        powers = voltage[own][:, None] ** np.arange(1, DEGREE + 1)
        fits[number] = np.linalg.lstsq(powers, current[own], rcond=None)[0]
        if fits[number, 0] <= 0:
            line = int(table.lines[own][0])
            raise DataError(
                f"{table.path}, line {line}, column current_uA: the conductance of {name} about zero volt comes out "
                f"as {fits[number, 0]:g} uS; it must be above zero"
            )
    conductance = fits[:, 0]
    shape = conductance @ fits[:, 1:] / (conductance @ conductance)
    model = RelativePolynomial(tuple(map(float, shape)), float(np.abs(voltage).max()))
    modelled = conductance[device] * (voltage[:, None] ** np.arange(1, DEGREE + 1) @ np.array([1.0, *shape]))
    residual = float(np.sqrt(np.mean((current - modelled) ** 2)) / np.abs(current).max())
    return SweepFit(model, float(conductance.min()), float(conductance.max()), len(names), voltage.size, residual)
