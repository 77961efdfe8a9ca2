"""A network as the integer tables and flat arrays that the engine reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout
from snnsim.backends.cpu.neurons import table_columns as c
from snnsim.backends.cpu.neurons.population_tables import Arena, Ints, PopulationTables, population_tables
from snnsim.backends.cpu.neurons.step import steps_of
from snnsim.backends.cpu.parts.checks import check_listed
from snnsim.backends.cpu.recordings.deliver import CONVOLUTION, DELAYED, DENSE, ONCE, SPARSE
from snnsim.connectivity import Conv2d, Dense
from snnsim.network.connection import Connection
from snnsim.network.network import Network


@dataclass(frozen=True, eq=False)
class Tables:
    """Everything about a network that does not change during a run."""

    order: Ints
    steps: Ints
    cells: PopulationTables
    outgoing_offsets: Ints
    outgoing: Ints
    projections: Ints
    weights: NDArray[Any]
    offsets: Ints
    targets: NDArray[np.int32]
    delays: NDArray[np.int32]


def tables_of(network: Network, layout: Layout, dtype: np.dtype[Any]) -> Tables:
    """Lay a network out for the engine."""
    weights, offsets = Arena(dtype), Arena(np.int64)
    targets, delays = Arena(np.int32), Arena(np.int32)
    projections = np.zeros((len(network.projections), c.PROJECTION_COLUMNS), np.int64)
    for row, connection in zip(projections, network.connections, strict=True):
        row[c.TARGET] = connection.target_number
        row[c.RECEPTOR] = connection.receptor_number
        row[c.DELAY] = connection.minimum_delay
        _fill_projection(row, connection, weights, offsets, targets, delays)
    sources = np.array([connection.source_number for connection in network.connections], np.int64)
    outgoing = np.argsort(sources, kind="stable")
    counts = np.bincount(sources, minlength=len(network.populations))
    return Tables(
        np.asarray(network.order, np.int64),
        steps_of(network, dtype),
        population_tables(network, layout, dtype),
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        outgoing.astype(np.int64),
        projections,
        weights.joined(),
        offsets.joined(),
        targets.joined(),
        delays.joined(),
    )


def _fill_projection(
    row: Ints,
    connection: Connection,
    weights: Arena,
    offsets: Arena,
    targets: Arena,
    delays: Arena,
) -> None:
    source, target, rule, key = connection.source, connection.target, connection.rule, connection.key
    if connection.has_one_delay and isinstance(rule, Dense):
        row[c.PROJECTION_KIND], row[c.WEIGHTS] = DENSE, weights.add(rule.matrix(source.shape, target.shape, key))
    elif connection.has_one_delay and isinstance(rule, Conv2d):
        kernels = rule.kernels(source.shape, target.shape, key)
        row[c.PROJECTION_KIND], row[c.WEIGHTS] = CONVOLUTION, weights.add(kernels.transpose(1, 2, 3, 0))
        row[c.SHAPE :] = (
            kernels.shape[0],
            *kernels.shape[2:],
            rule.stride,
            rule.padding,
            *source.shape[1:],
            *target.shape[1:],
        )
    else:
        synapses = connection.synapses()
        check_listed(connection, synapses)
        row[c.PROJECTION_KIND] = SPARSE if synapses.delays is None else DELAYED
        if synapses.once:
            row[c.PROJECTION_KIND] = ONCE
        row[c.WEIGHTS], row[c.OFFSETS] = weights.add(synapses.weights), offsets.add(synapses.offsets)
        row[c.TARGETS] = targets.add(synapses.targets)
        if synapses.delays is not None:
            row[c.DELAYS] = delays.add(synapses.delays)
