"""Neurons of one population over one tick, in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.neurons import Arithmetic, DriveTable, NeuronModel, Source, drive_counts, drive_key
from snnsim.numerics.specialise import with_numbers


class PopulationCoefficients(NamedTuple):
    """Coefficients of a population, and its arithmetic, in the precision of the run."""

    model: Any
    arithmetic: Arithmetic
    receptors: tuple[Any, ...]
    refractory: int


def coefficients_of(model: NeuronModel | Source, dt: float, dtype: np.dtype[Any]) -> PopulationCoefficients:
    """Return the coefficients of a model, rounded to the precision of the run once."""
    assert isinstance(model, NeuronModel)
    exact = model.coefficients(dt)
    receptors = tuple(
        None if receptor.arithmetic is None else _rounded(model.receptor_coefficients(receptor, dt), dtype)
        for receptor in model.receptor_list
    )
    own = model.arithmetic
    functions = {name: getattr(own, name) for name in ("integrate", "distance", "reset")}
    arithmetic = own._replace(**{name: one and with_numbers(one, dtype.type) for name, one in functions.items()})
    return PopulationCoefficients(_rounded(exact, dtype), arithmetic, receptors, model.refractory_ticks(dt))


def _rounded(coefficients: tuple[Any, ...], dtype: np.dtype[Any]) -> Any:
    return type(coefficients)(*(np.asarray(value, dtype) for value in coefficients))


class Drive(NamedTuple):
    """A Poisson drive of a population in the precision of the run."""

    key: np.uint64
    table: DriveTable
    receptor: int
    weight: Any


def drives_of(network: Network, population: Population, dtype: np.dtype[Any]) -> list[Drive]:
    """Return the Poisson drives of a population."""
    names = tuple(receptor.name for receptor in population.receptors)
    return [
        Drive(
            drive_key(network.seed, population.name, number),
            drive.table(network.dt),
            drive.receptor_number(names),
            dtype.type(drive.weight),
        )
        for number, drive in enumerate(population.drive)
    ]


def add_drives(drives: list[Drive], arrived: NDArray[Any], recording: int, tick: int) -> None:
    """Add the events of Poisson drives to what has arrived, shape (receptors, neurons)."""
    for drive in drives:
        counts = drive_counts(drive.key, drive.table, recording, tick, arrived.shape[1])
        arrived[drive.receptor] += drive.weight * counts.astype(arrived.dtype)


def advance(
    model: NeuronModel,
    c: PopulationCoefficients,
    states: NDArray[Any],
    currents: NDArray[Any],
    counters: NDArray[np.int32],
    arrived: NDArray[Any],
) -> NDArray[np.int64]:
    """Advance all neurons by one tick in place and return which of them fired; see `advance_all`."""
    return np.flatnonzero(advance_all(model, c, states, currents, counters, arrived))


def advance_all(
    model: NeuronModel,
    c: PopulationCoefficients,
    states: NDArray[Any],
    currents: NDArray[Any],
    counters: NDArray[np.int32],
    arrived: NDArray[Any],
) -> NDArray[np.bool_]:
    """Advance all neurons by one tick in place and return of each whether it fired, shape (..., neurons).

    Parameters
    ----------
    model : NeuronModel
    c : PopulationCoefficients
    states : ndarray, shape (states, ..., neurons)
    currents : ndarray, shape (receptor states, ..., neurons)
        States of the receptors, one receptor after another.
    counters : ndarray of int32, shape (..., neurons)
        Refractory ticks left.
    arrived : ndarray, shape (receptors, ..., neurons)
        Weights that arrived in this tick.
    """
    arithmetic = c.arithmetic
    inputs = [np.zeros(states.shape[1:], states.dtype) for _ in arithmetic.inputs]
    first = 0
    for receptor, coefficients, weights in zip(model.receptor_list, c.receptors, arrived, strict=True):
        if receptor.arithmetic is None:
            inputs[0] = inputs[0] + weights
            continue
        # Arrivals act at the end of the tick: the membrane sees the states as they stood before them.
        own = currents[first : first + len(receptor.arithmetic.states)]
        for number, seen in enumerate(receptor.arithmetic.seen(*own, coefficients)):
            inputs[number] = inputs[number] + seen
        for state, value in zip(own, receptor.arithmetic.follow(*own, weights, coefficients), strict=True):
            state[:] = value
        first += len(own)
    held = counters > 0
    after = arithmetic.integrate(*states, *inputs, c.model)
    for state, value in zip(states, after, strict=True):
        state[:] = np.where(held, state, value)
    if arithmetic.distance is None or arithmetic.reset is None:
        return np.zeros(states.shape[1:], bool)
    distance = arithmetic.distance(*states, c.model)
    fires = ((distance > 0) if model.is_strict else (distance >= 0)) & ~held
    after = arithmetic.reset(*states, fires.astype(states.dtype), c.model)
    for state, value in zip(states, after, strict=True):
        state[:] = value
    counters[:] = np.where(fires, c.refractory, np.maximum(counters - 1, 0))
    return np.asarray(fires)
