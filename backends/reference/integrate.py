"""Neurons of one population over one tick, in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons import Exponential, NeuronModel, Source


class PopulationCoefficients(NamedTuple):
    """Coefficients of a population in the precision of the run."""

    model: Any
    receptors: tuple[tuple[Any, Any] | None, ...]
    refractory: int


def coefficients_of(model: NeuronModel | Source, dt: float, dtype: np.dtype[Any]) -> PopulationCoefficients:
    """Return the coefficients of a model, rounded to the precision of the run once."""
    assert isinstance(model, NeuronModel)
    exact = model.coefficients(dt)
    receptors = tuple(
        tuple(np.asarray(x, dtype) for x in model.receptor_coefficients(receptor, dt))
        if isinstance(receptor, Exponential)
        else None
        for receptor in model.receptor_list
    )
    rounded = type(exact)(*(np.asarray(value, dtype) for value in exact))
    return PopulationCoefficients(rounded, receptors, model.refractory_ticks(dt))  # type: ignore[arg-type]


def advance(
    model: NeuronModel,
    c: PopulationCoefficients,
    states: NDArray[Any],
    currents: NDArray[Any],
    counters: NDArray[np.int32],
    arrived: NDArray[Any],
) -> NDArray[np.int64]:
    """Advance all neurons by one tick in place and return which of them fired.

    Parameters
    ----------
    model : NeuronModel
    c : PopulationCoefficients
    states : ndarray, shape (states, neurons)
    currents : ndarray, shape (exponential receptors, neurons)
    counters : ndarray of int32, shape (neurons,)
        Refractory ticks left.
    arrived : ndarray, shape (receptors, neurons)
        Weights that arrived in this tick.
    """
    arithmetic = model.arithmetic
    drive = np.zeros(states.shape[1], states.dtype)
    number = 0
    for receptor, weights in zip(c.receptors, arrived, strict=True):
        if receptor is None:
            drive = drive + weights
        else:
            # Arrivals act at the end of the tick: the membrane sees the current as it stood before them.
            decay, coupling = receptor
            drive = drive + coupling * currents[number]
            currents[number] = decay * currents[number] + weights
            number += 1
    held = counters > 0
    after = arithmetic.integrate(*states, drive, c.model)
    for state, value in zip(states, after, strict=True):
        state[:] = np.where(held, state, value)
    if arithmetic.distance is None or arithmetic.reset is None:
        return np.zeros(0, np.int64)
    distance = arithmetic.distance(*states, c.model)
    fires = ((distance > 0) if model.is_strict else (distance >= 0)) & ~held
    after = arithmetic.reset(*states, fires.astype(states.dtype), c.model)
    for state, value in zip(states, after, strict=True):
        state[:] = value
    counters[:] = np.where(fires, c.refractory, np.maximum(counters - 1, 0))
    return np.flatnonzero(fires)
