"""From projections to matrices of cells, and from spikes to rows.

Synapses of a projection that share a delay form a `Block`: a matrix of weights with one row for each axon and one
column for each output. A projection whose synapses have delays of their own has one block for each of them, since a row
that is switched on drives all of its cells; the delay itself is kept in the digital fabric, behind the converters. A
convolution is one block of its kernels: each patch of the image that holds a spike is a read of its own, so that a cell
that is off is off at every position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity import Conv2d
from snnsim.errors import CapabilityError
from snnsim.network.network import Network
from snnsim.network.projection import Projection

#: Connection rules that stay in the digital fabric: they hold no matrix of weights.
DIGITAL_RULES = ("MaxPool2d", "SumPool2d", "OneToOne")
#: Cells of one block; a larger one is a mistake sooner than a chip.
MOST_CELLS = 200_000_000


class Reads(NamedTuple):
    """Vectors of active rows: those of vector v are ``rows[offsets[v]:offsets[v + 1]]``, ascending.

    `recording`, `position` and `times` say whose vector it is: positions of a convolution, and the number of the
    pulse where a source has fired more than once in a tick.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    recording: NDArray[np.int64]
    position: NDArray[np.int64]
    times: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Block:
    """A matrix of weights.

    Parameters
    ----------
    projection : int
    delay : int
        Ticks from a spike to its targets.
    weights : ndarray, shape (rows, outputs)
    present : ndarray of bool, shape (rows, outputs), or None
        Which pairs have a synapse, of whatever weight; the cells of the others only fill the array. None: all.
    starts : ndarray of int64, shape (sources + 1,)
        A spike of source i switches on ``rows[starts[i]:starts[i + 1]]``, for the read at ``positions[...]``.
    rows, positions : ndarray of int64
    targets : ndarray of int64, shape (positions, outputs)
        The neuron behind each output of a read.
    """

    projection: int
    delay: int
    weights: NDArray[np.float64]
    present: NDArray[np.bool_] | None
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    targets: NDArray[np.int64]

    def sizes(self, output: int | None = None) -> NDArray[np.float64]:
        """Return the sizes of the weights that there are, of all outputs or of one."""
        chosen = slice(None) if output is None else output
        weights = np.abs(self.weights[:, chosen])
        return weights.reshape(-1) if self.present is None else weights[self.present[:, chosen]]

    def reads(self, recording: NDArray[np.int64], sources: NDArray[np.int64]) -> Reads:
        """Return the reads for spikes.

        Parameters
        ----------
        recording, sources : ndarray of int64, shape (spikes,)
            Ordered by recording, then source; a source that stands twice is switched on twice.
        """
        counts = self.starts[sources + 1] - self.starts[sources]
        index = np.repeat(self.starts[sources] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        rows, positions, owner = self.rows[index], self.positions[index], np.repeat(recording, counts)
        group = owner * self.targets.shape[0] + positions
        both = group * self.weights.shape[0] + rows
        if np.any(both[1:] < both[:-1]):
            order = np.argsort(both)
            rows, group = rows[order], group[order]
        times = np.zeros(rows.size, np.int64)
        again = np.flatnonzero((np.diff(rows) == 0) & (np.diff(group) == 0)) + 1
        if again.size:
            for i in again:  # few: sources that fired more than once in this tick
                times[i] = times[i - 1] + 1
            order = np.lexsort((rows, times, group))
            rows, group, times = rows[order], group[order], times[order]
        new = np.flatnonzero(np.diff(group, prepend=-1) | np.diff(times, prepend=-1))
        offsets = np.append(new, rows.size).astype(np.int64)
        owner, positions = np.divmod(group[new], self.targets.shape[0])
        return Reads(offsets, rows, owner, positions, times[new])

    def levels(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return what values of the sources put on the rows.

        Parameters
        ----------
        values : ndarray, shape (recordings, sources)

        Returns
        -------
        ndarray of float64, shape (recordings, positions, rows)
        """
        owner = np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))
        found = np.zeros((len(values), self.targets.shape[0], self.weights.shape[0]))
        found[:, self.positions, self.rows] = values[:, owner]
        return found


def blocks_of(network: Network, number: int) -> list[Block]:
    """Return the blocks of a projection.

    Raises
    ------
    CapabilityError
        The matrix would have more cells than any chip.
    """
    projection = network.projections[number]
    rule = projection.connectivity
    if (
        isinstance(rule, Conv2d)
        and network.connection(projection).longest_delay == network.connection(projection).minimum_delay
    ):
        return [_kernels(network, number, projection, rule)]
    synapses = network.synapses(projection)
    sources = np.repeat(np.arange(synapses.offsets.size - 1), np.diff(synapses.offsets))
    if synapses.delays is None:
        delays = np.full(sources.size, network.connection(projection).minimum_delay, np.int64)
    else:
        delays = synapses.delays.astype(np.int64)
    blocks = []
    for delay in np.unique(delays):
        chosen = delays == delay
        parts = sources[chosen], synapses.targets[chosen], synapses.weights[chosen]
        blocks.append(_matrix(projection, number, int(delay), synapses.offsets.size - 1, *parts))
    return blocks


def expected_pairs(network: Network, number: int) -> float:
    """Return how many pairs of cells the blocks of a projection take, or somewhat more; nothing is drawn.

    A delay has a block of its own, with a row for each source and a column for each target that has it.
    """
    projection = network.projections[number]
    rule, delay = projection.connectivity, projection.delay
    source, target = network.population(projection.source), network.population(projection.target)
    if isinstance(rule, Conv2d) and isinstance(delay, float):
        return math.prod(rule.kernel_shape(source.shape, target.shape))
    count = projection.rule.expected(source.shape, target.shape)
    delays = 1 if isinstance(delay, float) else network.connection(projection).likely_longest_delay
    if isinstance(delay, np.ndarray):
        delays = np.unique(delay).size
    each = count / max(delays, 1)
    return delays * min(source.size, each) * min(target.size, each)


def _matrix(
    projection: Projection,
    number: int,
    delay: int,
    n_sources: int,
    sources: NDArray[Any],
    targets: NDArray[Any],
    weights: NDArray[Any],
) -> Block:
    lines, row = np.unique(sources, return_inverse=True)
    outputs, column = np.unique(targets, return_inverse=True)
    if lines.size * outputs.size > MOST_CELLS:
        raise CapabilityError(
            f"backend 'crossbar': projection {projection.name!r} would take {lines.size:,} x {outputs.size:,} pairs of "
            f"cells (at most {MOST_CELLS:,}); name it in Mapping(digital=...) to keep it off the chip"
        )
    matrix = np.zeros((lines.size, outputs.size))
    np.add.at(matrix, (row, column), weights.astype(np.float64))
    present = np.zeros(matrix.shape, np.bool_)
    present[row, column] = True
    starts = np.zeros(n_sources + 1, np.int64)
    starts[lines + 1] = 1
    np.cumsum(starts, out=starts)
    rows = np.arange(lines.size)
    positions, behind = np.zeros_like(rows), outputs[None, :].astype(np.int64)
    return Block(number, delay, matrix, _unless_all(present), starts, rows, positions, behind)


def _kernels(network: Network, number: int, projection: Projection, rule: Conv2d) -> Block:
    source, target = network.population(projection.source).shape, network.population(projection.target).shape
    kernels = rule.kernels(source, target, network.connection(projection).key)
    out_channels, in_channels, height, width = kernels.shape
    # One axis a loop variable: in channel, kernel row and column, target row and column.
    i, ky, kx, ty, tx = np.meshgrid(
        *(np.arange(n) for n in (in_channels, height, width, *target[1:])), indexing="ij", sparse=True
    )
    sy, sx = ty * rule.stride + ky - rule.padding, tx * rule.stride + kx - rule.padding
    shape = np.broadcast_shapes(i.shape, sy.shape, sx.shape)
    inside = np.broadcast_to((sy >= 0) & (sy < source[1]) & (sx >= 0) & (sx < source[2]), shape)
    sources = np.broadcast_to((i * source[1] + sy) * source[2] + sx, shape)[inside]
    rows = np.broadcast_to((i * height + ky) * width + kx, shape)[inside]
    positions = np.broadcast_to(ty * target[2] + tx, shape)[inside]
    order = np.lexsort((positions, sources))
    n_sources = source[0] * source[1] * source[2]
    starts = np.searchsorted(sources[order], np.arange(n_sources + 1)).astype(np.int64)
    places = target[1] * target[2]
    targets = np.arange(out_channels)[None, :] * places + np.arange(places)[:, None]
    matrix = np.ascontiguousarray(kernels.reshape(out_channels, -1).T)
    # Kernels may reach further than the image: what no position uses is no synapse.
    used = np.zeros(matrix.shape, np.bool_)
    used[np.unique(rows)] = True
    delay = network.connection(projection).minimum_delay
    return Block(number, delay, matrix, _unless_all(used), starts, rows[order], positions[order], targets)


def _unless_all(present: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    return None if present.all() else present
