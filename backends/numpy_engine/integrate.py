"""Neurons of one population over one tick, in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.neurons import DriveTable, NeuronModel, Source, drive_counts, drive_key
from snnsim.neurons.base import Arithmetic
from snnsim.neurons.receptors import ReceptorArithmetic
from snnsim.numerics.specialise import with_numbers


class PopulationCoefficients(NamedTuple):
    """What a tick of a population takes of its model: arithmetic, and coefficients in the precision of the run.

    Each receptor is its arithmetic and its coefficients, both None where it has no states.
    """

    arithmetic: Arithmetic
    strict: bool
    model: Any
    receptors: tuple[tuple[ReceptorArithmetic | None, Any], ...]
    refractory: int


def coefficients_of(model: NeuronModel | Source, dt: float, dtype: np.dtype[Any]) -> PopulationCoefficients:
    """Return the coefficients of a model, rounded to the precision of the run once."""
    assert isinstance(model, NeuronModel)
    exact = model.coefficients(dt)
    receptors = tuple(
        (None, None)
        if receptor.arithmetic is None
        else (receptor.arithmetic, _rounded(model.receptor_coefficients(receptor, dt), dtype))
        for receptor in model.receptor_list
    )
    own = model.arithmetic
    arithmetic = own._replace(
        integrate=with_numbers(own.integrate, dtype.type),
        distance=own.distance and with_numbers(own.distance, dtype.type),
        reset=own.reset and with_numbers(own.reset, dtype.type),
    )
    return PopulationCoefficients(
        arithmetic, model.is_strict, _rounded(exact, dtype), receptors, model.refractory_ticks(dt)
    )


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
    c: PopulationCoefficients,
    states: NDArray[Any],
    currents: NDArray[Any],
    counters: NDArray[np.int32],
    arrived: NDArray[Any],
) -> NDArray[np.int64]:
    """Advance all neurons by one tick in place and return which of them fired; see `advance_all`."""
    return np.flatnonzero(advance_all(c, states, currents, counters, arrived))


def advance_all(
    c: PopulationCoefficients,
    states: NDArray[Any],
    currents: NDArray[Any],
    counters: NDArray[np.int32],
    arrived: NDArray[Any],
) -> NDArray[np.bool_]:
    """Advance all neurons by one tick in place and return of each whether it fired, shape (..., neurons).

    Parameters
    ----------
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
    for (receptor, coefficients), weights in zip(c.receptors, arrived, strict=True):
        if receptor is None:
            inputs[0] = inputs[0] + weights
            continue
        # Arrivals act at the end of the tick: the membrane sees the states as they stood before them.
        own = currents[first : first + len(receptor.states)]
        for number, seen in enumerate(receptor.seen(*own, coefficients)):
            inputs[number] = inputs[number] + seen
        for state, value in zip(own, receptor.follow(*own, weights, coefficients), strict=True):
            state[:] = value
        first += len(own)
    held = counters > 0
    after = arithmetic.integrate(*states, *inputs, c.model)
    for state, value in zip(states, after, strict=True):
        state[:] = np.where(held, state, value)
    if arithmetic.distance is None or arithmetic.reset is None:
        return np.zeros(states.shape[1:], bool)
    distance = arithmetic.distance(*states, c.model)
    fires = ((distance > 0) if c.strict else (distance >= 0)) & ~held
    after = arithmetic.reset(*states, fires.astype(states.dtype), c.model)
    for state, value in zip(states, after, strict=True):
        state[:] = value
    counters[:] = np.where(fires, c.refractory, np.maximum(counters - 1, 0))
    return np.asarray(fires)
