"""The digital fabric around the arrays: weights to conductances on the way in, currents to weights on the way out.

Blocks larger than an array are cut into tiles, and what tiles read for the same output is added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snnsim import rng
from snnsim.backends.crossbar.blocks import DIGITAL_RULES, Reads, blocks_of
from snnsim.backends.crossbar.chip import Chip
from snnsim.backends.crossbar.loop.protocol import LoopDevice
from snnsim.backends.crossbar.mapping import Mapping
from snnsim.backends.crossbar.moments import PROBES
from snnsim.backends.crossbar.placement import Activity, Delivery, Placed, Tile
from snnsim.errors import DeviceError, NetworkError, ParameterError
from snnsim.network import Network

#: Share of rows in a vector that a tile is compensated with, and how many of them.
PROBE_ACTIVITY, PROBE_VECTORS = 0.1, 64


class DigitalFabric:
    """A network on a device.

    Parameters
    ----------
    network : Network
    device : LoopDevice
        A `Chip`, or anything that programs and reads like one.
    mapping : Mapping, optional

    Attributes
    ----------
    activity : dict of int to Activity
        For each projection on the chip.
    """

    def __init__(self, network: Network, device: LoopDevice, mapping: Mapping | None = None) -> None:
        self.network, self.device = network, device
        self.mapping = mapping = mapping or Mapping()
        known = [projection.name for projection in network.projections]
        for name in mapping.digital:
            if name not in known:
                raise NetworkError(f"Mapping(digital=...): no projection {name!r}; there are: {', '.join(known)}")
        self.status = device.status()
        if self.outputs_a_tile < 1:
            raise ParameterError(
                f"slices={mapping.slices}: an array of {self.status.columns} columns has no room for one output"
            )
        # Weights that are held as they are need no currents, whose rounding would not be that of the reference.
        self.ideal = bool(getattr(device, "is_ideal", False)) and mapping.is_exact
        self._owners: dict[int, object] = {}
        self.placed: dict[int, list[Placed]] = {}
        self.activity: dict[int, Activity] = {}
        tile = 0
        for number, projection in enumerate(network.projections):
            if type(projection.connectivity).__name__ in DIGITAL_RULES or projection.name in mapping.digital:
                continue
            self.placed[number] = []
            for block in blocks_of(network, number):
                placed = Placed(block, self._reference(block.weights))
                tile = self._cut(placed, tile)
                self.placed[number].append(placed)
            self.activity[number] = Activity(tiles=sum(len(placed.tiles) for placed in self.placed[number]))
        if self.status.tiles is not None and tile > self.status.tiles:
            raise ParameterError(f"the network needs {tile} arrays; {self.status.name} has {self.status.tiles}")
        self.n_tiles = tile

    # -- weights and conductances ------------------------------------------------------------------------

    @property
    def outputs_a_tile(self) -> int:
        """Outputs that an array has room for."""
        return self.status.columns // 2 // self.mapping.slices

    def _reference(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight that takes the whole range, for each output."""
        sizes = np.abs(weights)
        axis = 0 if self.mapping.per_output else None
        largest = np.percentile(sizes, self.mapping.clip, axis=axis) if sizes.size else np.ones(())
        largest = np.where(largest > 0, largest, np.max(sizes, axis=axis, initial=0.0))
        largest = np.where(largest > 0, largest, 1.0)
        return np.broadcast_to(largest, weights.shape[1:]).astype(np.float64)

    def _targets_of(self, weights: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.mapping.conductances(weights, reference, self.status.g_min, self.status.g_max)

    def _weights_of(self, difference: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.mapping.weights(difference, reference, self.status.g_max - self.status.g_min)

    # -- programming -------------------------------------------------------------------------------------

    def _cut(self, placed: Placed, first: int) -> int:
        n_rows, n_outputs = placed.block.weights.shape
        number = first
        for row in range(0, n_rows, self.status.rows):
            for output in range(0, n_outputs, self.outputs_a_tile):
                rows = slice(row, min(row + self.status.rows, n_rows))
                outputs = slice(output, min(output + self.outputs_a_tile, n_outputs))
                placed.tiles.append(Tile(number, rows, outputs))
                placed.gains.append(np.ones(outputs.stop - outputs.start))
                number += 1
        return number

    def program(self, full_scale: MappingOf[int, float] | None = None) -> None:
        """Program all tiles, but those that the chip holds already, and measure what they have lost.

        Parameters
        ----------
        full_scale : mapping of int to float, optional
            Largest current of each tile's converters in uA; default what `Mapping.activity` leads to.
        """
        for _, placed, tile in self.tiles():
            targets = self.tile_targets(placed, tile)
            scale = None
            if "full_scale" in self.status.capabilities:
                scale = (full_scale or {}).get(tile.number) or self._expected_range(targets)
            if isinstance(self.device, Chip):
                self._program_chip(self.device, tile.number, targets, scale)
            else:
                self.device.program(tile.number, targets, scale)
        self.compensate()

    def _program_chip(self, chip: Chip, tile: int, targets: NDArray[np.float64], scale: float | None) -> None:
        """Change what has to be changed: cells that hold their targets keep their age."""
        if not chip.holds(tile, targets):
            chip.program(tile, targets, scale)
            chip.owners[tile] = object()
        elif scale is not None and not chip.holds(tile, targets, scale):
            chip.set_range(tile, scale)
            chip.owners[tile] = object()
        self._owners[tile] = chip.owners.get(tile)

    def check(self) -> None:
        """Raise `DeviceError` where another network has taken a tile of the chip since it was programmed for this."""
        if not isinstance(self.device, Chip):
            return
        for tile, owner in self._owners.items():
            if self.device.owners.get(tile) is not owner:
                raise DeviceError(
                    f"tile {tile} of {self.device.name!r} was programmed for another network, given another range, or "
                    f"erased, since it was programmed for {self.network.name!r}; make the simulation again, or give "
                    "each network a Chip of its own",
                    kind="restarted",
                )

    def tiles(self) -> Iterator[tuple[int, Placed, Tile]]:
        """Return all tiles with their projection."""
        for number, blocks in self.placed.items():
            for placed in blocks:
                for tile in placed.tiles:
                    yield number, placed, tile

    def tile_targets(self, placed: Placed, tile: Tile) -> NDArray[np.float64]:
        """Return the conductances that a tile is to have."""
        return self._targets_of(placed.block.weights[tile.rows, tile.outputs], placed.reference[tile.outputs])

    def _expected_range(self, targets: NDArray[np.float64]) -> float:
        current = (targets[:, 0::2] - targets[:, 1::2]) * self.status.read_voltage
        p = self.mapping.activity
        mean, variance = p * current.sum(0), p * (1 - p) * (current**2).sum(0)
        largest = float(np.max(np.abs(mean) + 4 * np.sqrt(variance), initial=0.0))
        # One row alone must fit, however few are expected.
        return max(largest, float(np.max(np.abs(current), initial=0.0))) or 1.0

    def reweigh(self, placed: Placed, weights: NDArray[np.float64]) -> None:
        """Give a block other weights, of the same shape; `program` brings them to the chip."""
        placed.block = replace(placed.block, weights=weights)
        placed.reference = self._reference(weights)

    def compensate(self) -> None:
        """Measure by which factor the currents of each tile, or of each output, have shrunk."""
        if self.mapping.compensate is None:
            return
        for _, placed, tile in self.tiles():
            targets = self.tile_targets(placed, tile)
            rows = targets.shape[0]
            drawn = rng.uniform(0, rng.stream_number("crossbar probes"), np.arange(PROBE_VECTORS * rows))
            active = drawn.reshape(PROBE_VECTORS, rows) < max(PROBE_ACTIVITY, 1 / rows)
            offsets = np.concatenate(([0], np.cumsum(active.sum(1)))).astype(np.int64)
            keys = PROBES + np.arange(PROBE_VECTORS, dtype=np.uint64)
            found = self._read(tile.number, offsets, np.nonzero(active)[1], keys, targets.shape[1] // 2)
            found = self._weights_of(found / self.status.read_voltage, placed.reference[tile.outputs])
            # Against the weights as the cells were told, so that what slices round is no loss.
            told = self._weights_of(targets[:, 0::2] - targets[:, 1::2], placed.reference[tile.outputs])
            wanted = active.astype(np.float64) @ told
            axis = 0 if self.mapping.compensate == "output" else None
            above, below = np.sum(found * wanted, axis=axis), np.sum(wanted**2, axis=axis)
            gain = np.divide(above, below, out=np.ones_like(below), where=below > 0)
            if np.any(gain <= 0):
                gain = np.where(gain > 0, gain, 1.0)
            index = placed.tiles.index(tile)
            placed.gains[index] = np.broadcast_to(gain, placed.gains[index].shape).copy()

    # -- reading -----------------------------------------------------------------------------------------

    def take_activity(self) -> dict[int, Activity]:
        """Return what each projection has made the chip do since this was last asked."""
        done = self.activity
        self.activity = {number: Activity(tiles=one.tiles) for number, one in done.items()}
        return done

    def deliver(
        self,
        number: int,
        recording: NDArray[np.int64],
        sources: NDArray[np.int64],
        moments: NDArray[np.uint64],
        read_ideal: bool = True,
    ) -> Iterator[Delivery]:
        """Read the chip for the spikes of a projection's sources in one tick.

        Parameters
        ----------
        number : int
            Of the projection.
        recording, sources : ndarray of int64, shape (spikes,)
            Ordered by recording, then source.
        moments : ndarray of uint64, shape (recordings,)
            From `moment`, for each recording.
        read_ideal : bool
            Read an ideal chip, too; without, its reads are counted only.
        """
        for placed in self.placed[number]:
            reads = placed.block.reads(recording, sources)
            if not reads.recording.size:
                continue
            values = np.zeros((reads.recording.size, placed.block.weights.shape[1]))
            places = placed.block.targets.shape[0]
            keys = moments[reads.recording] + (reads.position + places * reads.times).astype(np.uint64)
            for index, tile in enumerate(placed.tiles):
                chosen, offsets, rows = self._part(number, placed, tile, reads)
                if not chosen.size or (self.ideal and not read_ideal):
                    continue
                pairs = (tile.outputs.stop - tile.outputs.start) * self.mapping.slices
                before = self._saturated(tile.number)
                currents = self._read(tile.number, offsets, rows, keys[chosen], pairs)
                after, activity = self._saturated(tile.number), self.activity[number]
                if before is None or after is None or activity.saturated is None:
                    activity.saturated = None
                else:
                    activity.saturated += after - before
                read = self._weights_of(currents / self.status.read_voltage, placed.reference[tile.outputs])
                values[chosen, tile.outputs] += read / placed.gains[index]
            if read_ideal or not self.ideal:
                yield Delivery(
                    placed.block.delay, reads.recording, reads.position, reads.times, placed.block.targets, values
                )

    def _part(
        self, number: int, placed: Placed, tile: Tile, reads: Reads
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the vectors that switch on rows of a tile, with those rows, and count them."""
        inside = (reads.rows >= tile.rows.start) & (reads.rows < tile.rows.stop)
        if tile.rows.stop - tile.rows.start == placed.block.weights.shape[0]:
            chosen, offsets, rows = np.arange(reads.recording.size), reads.offsets, reads.rows
        else:
            before = np.concatenate(([0], np.cumsum(inside)))
            counts = before[reads.offsets[1:]] - before[reads.offsets[:-1]]
            chosen = np.flatnonzero(counts)
            offsets = np.concatenate(([0], np.cumsum(counts[chosen]))).astype(np.int64)
            rows = reads.rows[inside] - tile.rows.start
        pairs = (tile.outputs.stop - tile.outputs.start) * self.mapping.slices
        activity = self.activity[number]
        activity.reads += int(chosen.size)
        activity.active_rows += int(rows.size)
        activity.cell_reads += int(rows.size) * 2 * pairs
        activity.conversions += int(chosen.size) * pairs
        activity.reads_of[tile.number] = activity.reads_of.get(tile.number, 0) + int(chosen.size)
        power = getattr(self.device, "row_power", None)
        if power is None:
            activity.watts = None
        elif activity.watts is not None:
            activity.watts += float(np.sum(power(tile.number)[rows]))
        return chosen, offsets, rows

    def _saturated(self, tile: int) -> int | None:
        """Return the conversions of a tile that went beyond the range so far; None where the device does not tell."""
        return self.device.tiles[tile].saturated if isinstance(self.device, Chip) else None

    def _read(
        self, tile: int, offsets: NDArray[np.int64], rows: NDArray[np.int64], keys: NDArray[np.uint64], pairs: int
    ) -> NDArray[np.float64]:
        currents = self.device.read(tile, offsets, rows, keys)
        if currents.shape != (keys.size, pairs):
            raise DeviceError(
                f"{self.status.name}: read of tile {tile} gave shape {currents.shape}, expected {(keys.size, pairs)}"
            )
        return currents
