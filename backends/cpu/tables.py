"""A network as the integer tables and flat arrays that the engine reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu import columns as c
from snnsim.backends.cpu import engine as e
from snnsim.backends.cpu.deliver import CONVOLUTION, DELAYED, DENSE, ONCE, SPARSE
from snnsim.backends.layout import Layout
from snnsim.connectivity import Conv2d, Dense
from snnsim.network import Network, Projection
from snnsim.neurons import MODELS, Exponential, NeuronModel

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tables:
    """Everything about a network that does not change during a run."""

    order: Ints
    populations: Ints
    receptors: Ints
    outgoing_offsets: Ints
    outgoing: Ints
    projections: Ints
    coefficients: NDArray[Any]
    weights: NDArray[Any]
    offsets: Ints
    targets: NDArray[np.int32]
    delays: NDArray[np.int32]


class _Arena:
    """Arrays put one after another; `add` tells where each begins."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.parts, self.size = dtype, list[NDArray[Any]](), 0

    def add(self, values: Any) -> int:
        part = np.atleast_1d(np.asarray(values)).reshape(-1).astype(self.dtype)
        start = self.size
        self.parts.append(part)
        self.size += part.size
        return start

    def joined(self) -> NDArray[Any]:
        return np.concatenate(self.parts) if self.parts else np.zeros(0, self.dtype)


def tables_of(network: Network, layout: Layout, dtype: np.dtype[Any]) -> Tables:
    """Lay a network out for the engine."""
    coefficients, weights = _Arena(dtype), _Arena(dtype)
    offsets, targets, delays = _Arena(np.int64), _Arena(np.int32), _Arena(np.int32)
    populations, receptors = _populations(network, layout, coefficients)
    projections = np.zeros((len(network.projections), e.SHAPE + 9), np.int64)
    for number, projection in enumerate(network.projections):
        row = projections[number]
        row[e.TARGET] = network.population_number(projection.target)
        row[e.RECEPTOR] = network.receptor_number(projection)
        row[e.DELAY] = network.minimum_delay(projection)
        _fill_projection(row, network, projection, weights, offsets, targets, delays)
    sources = [network.population_number(projection.source) for projection in network.projections]
    outgoing = np.argsort(np.asarray(sources, np.int64), kind="stable")
    counts = np.bincount(np.asarray(sources, np.int64), minlength=len(network.populations))
    return Tables(
        np.asarray(network.order, np.int64),
        populations,
        receptors,
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        outgoing.astype(np.int64),
        projections,
        coefficients.joined(),
        weights.joined(),
        offsets.joined(),
        targets.joined(),
        delays.joined(),
    )


@dataclass(frozen=True, eq=False)
class PopulationTables:
    """Populations, their receptors and their drives for the step kernels (see `columns` and `step`)."""

    populations: Ints
    receptors: Ints
    drives: Ints
    coefficients: NDArray[Any]
    thresholds: NDArray[np.int32]


def population_tables(network: Network, layout: Layout, dtype: np.dtype[Any]) -> PopulationTables:
    """Lay the populations of a network out for the step kernels."""
    rows = np.zeros((len(network.populations), c.POPULATION_COLUMNS), np.int64)
    coefficients = _Arena(dtype)
    receptors: list[list[int]] = []
    places = {place.population: place for place in layout.places}
    n_sources = 0
    for number, population in enumerate(network.populations):
        row, model = rows[number], population.model
        row[c.SIZE], row[c.SOURCE] = population.size, -1
        if not isinstance(model, NeuronModel):
            row[c.SOURCE] = n_sources
            n_sources += 1
            continue
        place = places[number]
        row[[c.STATES, c.RECEPTOR_STATES, c.RING, c.SLOTS]] = place.states, place.currents, place.ring, place.slots
        row[c.COUNTERS], row[c.REFRACTORY] = place.counters, model.refractory_ticks(network.dt)
        row[c.SPIKING] = model.spiking
        values = model.coefficients(network.dt)
        row[c.COEFFICIENTS], row[c.UNIFORM] = _coefficients(values, population.size, coefficients)
        # Above the threshold means at least the smallest number above it.
        row[c.BOUND] = coefficients.add(np.finfo(coefficients.dtype).smallest_subnormal if model.is_strict else 0.0)
        row[c.RECEPTORS], row[c.FIRST_RECEPTOR] = place.n_receptors, len(receptors)
        # One delta receptor: what arrived is the drive.
        row[c.DIRECT] = place.n_receptors == 1 and place.n_receptor_states == 0
        for index, receptor in enumerate(model.receptor_list):
            entry = [0] * c.RECEPTOR_COLUMNS
            entry[c.KIND], entry[c.STATE] = model.receptor_kinds.index(type(receptor)), place.receptor_states[index]
            if receptor.arithmetic is not None:
                values = model.receptor_coefficients(receptor, network.dt)
                where = _coefficients(values, population.size, coefficients)
                entry[c.RECEPTOR_COEFFICIENTS], entry[c.RECEPTOR_UNIFORM] = where
            receptors.append(entry)
    return PopulationTables(
        rows,
        np.asarray(receptors, np.int64).reshape(-1, c.RECEPTOR_COLUMNS),
        np.zeros((0, c.DRIVE_COLUMNS), np.int64),
        coefficients.joined(),
        np.zeros(0, np.int32),
    )


def _coefficients(values: tuple[Any, ...], size: int, arena: _Arena) -> tuple[int, bool]:
    """Add coefficients, one row each; return where they begin and whether they are the same for all neurons."""
    if all(np.ndim(value) == 0 for value in values):
        return arena.add(np.stack(values)), True
    return arena.add(np.stack([np.broadcast_to(value, (size,)) for value in values])), False


def _populations(network: Network, layout: Layout, coefficients: _Arena) -> tuple[Ints, Ints]:
    rows = np.zeros((len(network.populations), e.SIMPLE + 1), np.int64)
    receptors: list[list[int]] = []
    places = {place.population: place for place in layout.places}
    models = list(MODELS.values())
    n_sources = 0
    for number, population in enumerate(network.populations):
        row, model = rows[number], population.model
        row[e.SIZE] = population.size
        if not isinstance(model, NeuronModel):
            row[e.SOURCE] = n_sources
            n_sources += 1
            continue
        place = places[number]
        values = model.coefficients(network.dt)
        uniform = all(np.ndim(value) == 0 for value in values)
        full = values if uniform else [np.broadcast_to(value, (population.size,)) for value in values]
        row[e.SOURCE] = -1
        row[e.MODEL] = models.index(type(model))
        row[e.STATES], row[e.CURRENTS], row[e.RING], row[e.SLOTS] = (
            place.states,
            place.currents,
            place.ring,
            place.slots,
        )
        row[e.RECEPTORS], row[e.FIRST_RECEPTOR], row[e.COUNTERS] = place.n_receptors, len(receptors), place.counters
        row[e.COEFFICIENTS], row[e.UNIFORM] = coefficients.add(np.stack(full)), uniform
        row[e.REFRACTORY] = model.refractory_ticks(network.dt)
        # Above the threshold means at least the smallest number above it.
        row[e.BOUND] = coefficients.add(np.finfo(coefficients.dtype).smallest_subnormal if model.is_strict else 0.0)
        row[e.SPIKING] = model.spiking
        row[e.SIMPLE] = place.n_receptors == 1 and not place.n_receptor_states
        for index, receptor in enumerate(model.receptor_list):
            entry = [-1, 0, 0, 0]
            if isinstance(receptor, Exponential):
                decay, coupling = model.receptor_coefficients(receptor, network.dt)
                entry[e.EXPONENTIAL] = place.receptor_states[index]
                entry[e.DECAY], entry[e.COUPLING] = coefficients.add(decay), coefficients.add(coupling)
                entry[e.COUPLING_STEP] = int(np.ndim(coupling) > 0)
            receptors.append(entry)
    return rows, np.asarray(receptors, np.int64).reshape(-1, 4)


def _fill_projection(
    row: Ints,
    network: Network,
    projection: Projection,
    weights: _Arena,
    offsets: _Arena,
    targets: _Arena,
    delays: _Arena,
) -> None:
    source, target = network.population(projection.source), network.population(projection.target)
    rule, key = projection.connectivity, network.key(projection)
    if isinstance(projection.delay, float) and isinstance(rule, Dense):
        row[e.KIND], row[e.WEIGHTS] = DENSE, weights.add(rule.matrix(source.shape, target.shape, key))
    elif isinstance(projection.delay, float) and isinstance(rule, Conv2d):
        kernels = rule.kernels(source.shape, target.shape, key)
        row[e.KIND], row[e.WEIGHTS] = CONVOLUTION, weights.add(kernels.transpose(1, 2, 3, 0))
        row[e.SHAPE :] = (
            kernels.shape[0],
            *kernels.shape[2:],
            rule.stride,
            rule.padding,
            *source.shape[1:],
            *target.shape[1:],
        )
    else:
        synapses = network.synapses(projection)
        row[e.KIND] = SPARSE if synapses.delays is None else DELAYED
        if synapses.once:
            row[e.KIND] = ONCE
        row[e.WEIGHTS], row[e.OFFSETS] = weights.add(synapses.weights), offsets.add(synapses.offsets)
        row[e.TARGETS] = targets.add(synapses.targets)
        if synapses.delays is not None:
            row[e.DELAYS] = delays.add(synapses.delays)
