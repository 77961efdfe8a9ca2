"""Blocks on arrays: where they lie, what they deliver, and what they have made the chip do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.mapping.weight_blocks import Block


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a block on one array: ``block.weights[rows, outputs]``."""

    number: int
    rows: slice
    outputs: slice


class Delivery(NamedTuple):
    """What a block delivers: ``values[v, o]`` to neuron ``targets[position[v], o]`` of recording ``recording[v]``."""

    delay: int
    recording: NDArray[np.int64]
    position: NDArray[np.int64]
    times: NDArray[np.int64]
    targets: NDArray[np.int64]
    values: NDArray[np.float64]

    def add_to(self, out: NDArray[Any]) -> None:
        """Add the values to an array of shape (recordings, neurons)."""
        places, outputs = self.targets.shape
        everywhere = places == 1 and outputs == out.shape[1]  # outputs are in the order of the neurons
        values = self.values.astype(out.dtype, copy=False)
        for times in range(int(self.times.max(initial=0)) + 1):
            # Positions of a convolution share no target, and a recording has one vector a position and pulse.
            now = self.times == times if self.times.any() else slice(None)
            if everywhere:
                out[self.recording[now]] += values[now]
            else:
                out[self.recording[now, None], self.targets[self.position[now]]] += values[now]


@dataclass
class Activity:
    """What a projection has made the chip do since it was last asked.

    `drives` are rows that were driven for real values, `held` those whose value was beyond what the converters reach.
    `watts` is voltage times current of every cell read, summed over the reads, None where the device does not tell.
    `reads_of` are the reads of each tile, `conversions_of` its conversions, and `saturated_of` those beyond its range,
    for tiles of which that is known.
    """

    tiles: int = 0
    reads: int = 0
    active_rows: int = 0
    cell_reads: int = 0
    drives: int = 0
    held: int = 0
    watts: float | None = 0.0
    reads_of: dict[int, int] = field(default_factory=dict)
    conversions_of: dict[int, int] = field(default_factory=dict)
    saturated_of: dict[int, int] = field(default_factory=dict)

    @property
    def conversions(self) -> int:
        """Conversions of all tiles."""
        return sum(self.conversions_of.values())

    @property
    def saturated(self) -> int | None:
        """Conversions beyond the range; None where that is not known of every tile."""
        known = self.saturated_of.keys() == self.conversions_of.keys()
        return sum(self.saturated_of.values()) if known else None

    def of_tiles(self) -> tuple[tuple[int, int, int], ...]:
        """Return number, conversions and conversions beyond the range of each tile read of which they are known."""
        return tuple(
            (tile, count, self.saturated_of[tile])
            for tile, count in sorted(self.conversions_of.items())
            if count and tile in self.saturated_of
        )


@dataclass(eq=False)
class Placed:
    """A block with its tiles and its scale."""

    block: Block
    reference: NDArray[np.float64]  # weight of the full range, for each output
    tiles: list[Tile] = field(default_factory=list)
    gains: list[NDArray[np.float64]] = field(default_factory=list)  # of each tile and output, 1 where not compensated
