"""Random conductances from dielectric breakdown: which cells a forming voltage makes conduct.

Every pristine cell breaks down at a voltage of its own, normal with mean 3.433 V and sd 0.114 V; one voltage on all
cells forms those below it. The numbers are statistics of the source data of Wang et al. 2023,
doi:10.1038/s42256-023-00609-5 (github.com/wangsc1912/ESGNN); that they are normal is our model.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.cells import random_numbers as draws
from snnsim.backends.crossbar.device.curves import Floats
from snnsim.backends.crossbar.number_checks import finite
from snnsim.errors import ParameterError, positive, whole

#: V.
MEAN_VOLTAGE, VOLTAGE_DEVIATION = 3.433, 0.114
#: uS of a formed cell.
FORMED_MEAN, FORMED_DEVIATION = 12.35, 1.86
_LAW = NormalDist(MEAN_VOLTAGE, VOLTAGE_DEVIATION)


def breakdown_voltages(shape: tuple[int, int], *, seed: int, tile: int = 0) -> Floats:
    """Return the voltage at which each cell of a tile breaks down: lasting numbers of the chip."""
    key = draws.purpose_key(whole("seed", seed), "breakdown", whole("tile", tile))
    return MEAN_VOLTAGE + VOLTAGE_DEVIATION * draws.normal(key, _cells(shape))


def formed(shape: tuple[int, int], voltage: float, *, seed: int, tile: int = 0) -> NDArray[np.bool_]:
    """Return which cells of a tile a forming voltage makes conduct."""
    positive("voltage", voltage)
    return np.asarray(breakdown_voltages(shape, seed=seed, tile=tile) <= voltage)


def fraction_formed(voltage: float) -> float:
    """Return the expected share of cells that a forming voltage makes conduct."""
    finite("voltage", voltage)
    return _LAW.cdf(voltage)


def forming_voltage(fraction: float) -> float:
    """Return the voltage (V) that makes a share of cells conduct."""
    finite("fraction", fraction)
    if not 0 < fraction < 1:
        raise ParameterError(f"fraction={fraction!r}: must lie between 0 and 1, without these")
    return _LAW.inv_cdf(fraction)


def breakdown_conductances(shape: tuple[int, int], voltage: float, *, seed: int, tile: int = 0) -> Floats:
    """Return conductances (uS) after forming: 0 where a cell held, else normal, cut at 0.

    The same statistics as `formed` cells programmed on the device `presets.resistive_switching`, for reservoirs in
    software.
    """
    normal = draws.normal(draws.purpose_key(whole("seed", seed), "formed", whole("tile", tile)), _cells(shape))
    conductance = np.maximum(FORMED_MEAN + FORMED_DEVIATION * normal, 0.0)
    return np.where(formed(shape, voltage, seed=seed, tile=tile), conductance, 0.0)


def breakdown_difference(shape: tuple[int, int], voltage: float, *, seed: int, tile: int = 0) -> Floats:
    """Return the difference (uS) of two cells formed at one voltage: weights of mean zero."""
    rows, columns = _checked(shape)
    cells = breakdown_conductances((rows, 2 * columns), voltage, seed=seed, tile=tile)
    return np.asarray(cells[:, 0::2] - cells[:, 1::2])


def normal_difference(
    shape: tuple[int, int], *, mean: float = 0.0, deviation: float = 6.61, seed: int, tile: int = 0
) -> Floats:
    """Return normal weights (uS); the default sd is that of `snnsim.reservoir.resistive_switching.NormalPairs`."""
    finite("mean", mean)
    positive("deviation", deviation, zero=True)
    return mean + deviation * draws.normal(
        draws.purpose_key(whole("seed", seed), "pair", whole("tile", tile)), _cells(shape)
    )


def difference_deviation(fraction: float) -> float:
    """Return the sd (uS) of the difference of two cells of which a share is formed."""
    finite("fraction", fraction)
    if not 0 <= fraction <= 1:
        raise ParameterError(f"fraction={fraction!r}: must lie between 0 and 1")
    second = fraction * (FORMED_MEAN**2 + FORMED_DEVIATION**2)
    return math.sqrt(2.0 * (second - (fraction * FORMED_MEAN) ** 2))


def _checked(shape: tuple[int, int]) -> tuple[int, int]:
    given: Any = shape
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ParameterError(f"shape={given!r}: must be (rows, columns)")
    return whole("shape[0]", given[0], at_least=1), whole("shape[1]", given[1], at_least=1)


def _cells(shape: tuple[int, int]) -> draws.Cells:
    return draws.cell_numbers(*_checked(shape))
