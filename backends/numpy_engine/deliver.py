"""Spikes or real values of one tick to their targets, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity import Synapses
from snnsim.network.connection import Connection


@dataclass(frozen=True, eq=False)
class Row:
    """A projection as rows of synapses, weights in the precision of the run."""

    synapses: Synapses
    weights: NDArray[Any]
    delay: int
    target: int
    receptor: int


def row_of(connection: Connection, dtype: np.dtype[Any]) -> Row:
    """Expand a projection."""
    synapses = connection.synapses()
    return Row(
        synapses,
        synapses.weights.astype(dtype),
        connection.minimum_delay,
        connection.target_number,
        connection.receptor_number,
    )


def deliver(ring: NDArray[Any], row: Row, spikes: NDArray[np.int64], tick: int) -> int:
    """Add the weights of all synapses of the spiking sources, in order, and return how many were added.

    Parameters
    ----------
    ring : ndarray, shape (slots, receptors, neurons)
        Input of the target population on its way.
    row : Row
    spikes : ndarray of int64, shape (spikes,)
        Sources that fired, ascending; one that stands twice acts twice.
    tick : int
        The present tick.
    """
    synapses = row.synapses
    index = np.concatenate(
        [np.arange(synapses.offsets[source], synapses.offsets[source + 1]) for source in spikes]
        or [np.zeros(0, np.int64)]
    )
    targets = synapses.targets[index]
    if synapses.once:
        _, first = np.unique(targets, return_index=True)
        index, targets = index[np.sort(first)], targets[np.sort(first)]
    delays = row.delay if synapses.delays is None else synapses.delays[index]
    slots = np.broadcast_to((tick + delays) % ring.shape[0], targets.shape)
    # ufunc.at adds one after another, in the order of the index.
    receptors = np.broadcast_to(row.receptor, targets.shape)
    np.add.at(ring, (slots, receptors, targets), row.weights[index])
    return int(index.size)


def deliver_frame(ring: NDArray[Any], row: Row, values: NDArray[Any], tick: int) -> int:
    """Add the products of real values and weights, and return how many products were made.

    The products of a target are summed from zero, one after another in the order of the sources, and their sum is added
    to its input; where synapses have delays of their own, each product is added to its slot. Sources of value zero send
    nothing. Max pooling takes the largest value of all its sources, zeros too, times the weight.

    Parameters
    ----------
    ring, row, tick
        As of `deliver`.
    values : ndarray, shape (sources,)
        In the precision of the run.
    """
    synapses, size = row.synapses, ring.shape[2]
    sources = np.repeat(np.arange(values.size), np.diff(synapses.offsets))
    if synapses.once:
        largest = np.full(size, -np.inf, ring.dtype)
        np.maximum.at(largest, synapses.targets, values[sources])
        reached, first = np.unique(synapses.targets, return_index=True)
        ring[(tick + row.delay) % ring.shape[0], row.receptor, reached] += largest[reached] * row.weights[first]
        return int(reached.size)
    index = np.flatnonzero(values[sources])
    targets, products = synapses.targets[index], values[sources[index]] * row.weights[index]
    # ufunc.at adds one after another, in the order of the index.
    if synapses.delays is not None:
        slots = (tick + synapses.delays[index]) % ring.shape[0]
        np.add.at(ring, (slots, np.broadcast_to(row.receptor, targets.shape), targets), products)
    else:
        sums = np.zeros(size, ring.dtype)
        np.add.at(sums, targets, products)
        ring[(tick + row.delay) % ring.shape[0], row.receptor] += sums
    return int(index.size)
