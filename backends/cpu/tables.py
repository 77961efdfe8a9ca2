"""A network as the integer tables and flat arrays that the engine reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu import columns as c
from snnsim.backends.cpu.deliver import CONVOLUTION, DELAYED, DENSE, ONCE, SPARSE
from snnsim.backends.cpu.part_checks import check_listed
from snnsim.backends.cpu.population_tables import Arena, Ints, PopulationTables, population_tables
from snnsim.backends.cpu.step import steps_of
from snnsim.backends.layout import Layout
from snnsim.connectivity import Conv2d, Dense
from snnsim.network import Network, Projection


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
    for number, projection in enumerate(network.projections):
        row = projections[number]
        row[c.TARGET] = network.population_number(projection.target)
        row[c.RECEPTOR] = network.receptor_number(projection)
        row[c.DELAY] = network.minimum_delay(projection)
        _fill_projection(row, network, projection, weights, offsets, targets, delays)
    sources = [network.population_number(projection.source) for projection in network.projections]
    outgoing = np.argsort(np.asarray(sources, np.int64), kind="stable")
    counts = np.bincount(np.asarray(sources, np.int64), minlength=len(network.populations))
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
    network: Network,
    projection: Projection,
    weights: Arena,
    offsets: Arena,
    targets: Arena,
    delays: Arena,
) -> None:
    source, target = network.population(projection.source), network.population(projection.target)
    rule, key = projection.rule, network.key(projection)
    if isinstance(projection.delay, float) and isinstance(rule, Dense):
        row[c.PROJECTION_KIND], row[c.WEIGHTS] = DENSE, weights.add(rule.matrix(source.shape, target.shape, key))
    elif isinstance(projection.delay, float) and isinstance(rule, Conv2d):
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
        synapses = network.synapses(projection)
        check_listed(network, projection, synapses)
        row[c.PROJECTION_KIND] = SPARSE if synapses.delays is None else DELAYED
        if synapses.once:
            row[c.PROJECTION_KIND] = ONCE
        row[c.WEIGHTS], row[c.OFFSETS] = weights.add(synapses.weights), offsets.add(synapses.offsets)
        row[c.TARGETS] = targets.add(synapses.targets)
        if synapses.delays is not None:
            row[c.DELAYS] = delays.add(synapses.delays)
