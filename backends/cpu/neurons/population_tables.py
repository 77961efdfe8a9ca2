"""The populations of a network as the integer tables and flat arrays that the step kernels read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout
from snnsim.backends.cpu.neurons import table_columns as c
from snnsim.backends.cpu.neurons.poisson_drive import GROUP
from snnsim.network.network import Network
from snnsim.neurons import UNREACHED, DriveTable, NeuronModel, drive_key

Ints = NDArray[np.int64]


class Arena:
    """Arrays put one after another; `add` tells where each begins."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.parts, self.size = dtype, list[NDArray[Any]](), 0

    def add(self, values: Any) -> int:
        """Add values; return where they begin."""
        part = np.atleast_1d(np.asarray(values)).reshape(-1).astype(self.dtype)
        start = self.size
        self.parts.append(part)
        self.size += part.size
        return start

    def joined(self) -> NDArray[Any]:
        """Return all that was added."""
        return np.concatenate(self.parts) if self.parts else np.zeros(0, self.dtype)


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
    coefficients = Arena(dtype)
    thresholds = Arena(np.int32)
    receptors: list[list[int]] = []
    drives: list[list[int]] = []
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
        each = varies(model)
        row[c.COEFFICIENTS] = _coefficients(network.coefficients[number], population.size, each, coefficients)
        row[c.UNIFORM] = not each
        # Above the threshold means at least the smallest number above it.
        row[c.BOUND] = coefficients.add(np.finfo(coefficients.dtype).smallest_subnormal if model.is_strict else 0.0)
        row[c.RECEPTORS], row[c.FIRST_RECEPTOR] = place.n_receptors, len(receptors)
        for index, receptor in enumerate(population.receptors):
            entry = [0] * c.RECEPTOR_COLUMNS
            entry[c.KIND], entry[c.STATE] = model.receptor_kinds.index(type(receptor)), place.receptor_states[index]
            if receptor.arithmetic is not None:
                values = model.receptor_coefficients(receptor, network.dt)
                entry[c.RECEPTOR_COEFFICIENTS] = _coefficients(values, population.size, each, coefficients)
                entry[c.RECEPTOR_UNIFORM] = int(not each)
            receptors.append(entry)
        row[c.DRIVES], row[c.FIRST_DRIVE] = len(population.drive), len(drives)
        names = tuple(receptor.name for receptor in population.receptors)
        for index, drive in enumerate(population.drive):
            entry = [0] * c.DRIVE_COLUMNS
            entry[c.DRIVE_RECEPTOR], entry[c.WEIGHT] = drive.receptor_number(names), coefficients.add(drive.weight)
            entry[c.KEY] = int(drive_key(network.seed, population.name, index).view(np.int64))
            _put_table(drive.table(network.dt), entry, thresholds)
            drives.append(entry)
    return PopulationTables(
        rows,
        np.asarray(receptors, np.int64).reshape(-1, c.RECEPTOR_COLUMNS),
        np.asarray(drives, np.int64).reshape(-1, c.DRIVE_COLUMNS),
        coefficients.joined(),
        thresholds.joined(),
    )


def varies(model: NeuronModel) -> bool:
    """Return whether a parameter of a model differs from neuron to neuron (its initial state does not count)."""
    fields = {field.name for field in dataclasses.fields(model)}  # type: ignore[arg-type]
    return any(isinstance(getattr(model, name), np.ndarray) for name in fields.difference(model.initial_fields))


def _coefficients(values: tuple[Any, ...], size: int, each: bool, arena: Arena) -> int:
    """Add coefficients, one row each or one number each; return where they begin."""
    return arena.add(np.stack([np.broadcast_to(value, (size,)) if each else value for value in values]))


def _put_table(table: DriveTable, entry: list[int], arena: Arena) -> None:
    """Add what a drive is drawn by as signed integers, and tell its entry where.

    The edges of a group are the lowest threshold of its first row and the highest of its last.
    """
    rows = table.thresholds
    more = -rows.shape[0] % GROUP
    padded = _signed(np.concatenate([rows, np.full((more, rows.shape[1]), UNREACHED, np.uint32)]))
    first, last = padded[::GROUP].min(axis=1), padded[GROUP - 1 :: GROUP].max(axis=1)
    entry[c.THRESHOLDS], entry[c.EDGES] = arena.add(padded), arena.add(np.stack([first, last], axis=1))
    entry[c.GROUPS], entry[c.STEP] = first.size, rows.shape[1]
    entry[c.TOPS], entry[c.LOWEST_TOP] = arena.add(_signed(table.top)), int(_signed(table.top).min())
    entry[c.REMAINDERS], entry[c.REMAINDER_ROWS] = arena.add(_signed(table.remainders)), table.remainders.shape[0]


def _signed(numbers: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Lower numbers of 32 bits by 2**31."""
    return (numbers.astype(np.int64) - 2**31).astype(np.int32)
