"""The digital fabric around the arrays: weights to conductances on the way in, currents to weights on the way out.

Blocks larger than an array are cut into tiles, and what tiles read for the same output is added here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.activity import ChipActivity, ProjectionActivity
from snnsim.backends.crossbar.chip.chip import Chip
from snnsim.backends.crossbar.chip.failures import failure, status_of
from snnsim.backends.crossbar.chip.geometry import Geometry
from snnsim.backends.crossbar.chip.protocol import LoopDevice
from snnsim.backends.crossbar.mapping.compensation import measured_gain
from snnsim.backends.crossbar.mapping.mapping import Mapping
from snnsim.backends.crossbar.mapping.placement import Activity, Delivery, Placed, Tile
from snnsim.backends.crossbar.mapping.weight_blocks import DIGITAL_RULES, Reads, blocks_of
from snnsim.errors import CapabilityError, DeviceError, NetworkError, ParameterError
from snnsim.network.network import Network

#: Share of a range by which a current at its end may fall short of it in rounding.
_AT_END = 1e-6
#: Levels of rows that are worked on together.
_MOST_LEVELS = 2**23


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
    ranges : dict of int to float
        Largest current of the converters of each tile in uA, where they were chosen here.
    """

    def __init__(self, network: Network, device: LoopDevice, mapping: Mapping | None = None) -> None:
        self.network, self.device = network, device
        self.mapping = mapping = mapping or Mapping()
        known = [projection.name for projection in network.projections]
        for name in mapping.digital:
            if name not in known:
                raise NetworkError(f"Mapping(digital=...): no projection {name!r}; there are: {', '.join(known)}")
        self.status = device.status() if type(device) is Chip else status_of(device)
        #: What answers of devices other than a `Chip` are held to.
        self._geometry = Geometry(self.status)
        if self.outputs_a_tile < 1:
            raise ParameterError(
                f"slices={mapping.slices}: an array of {self.status.columns} columns has no room for one output"
            )
        # Weights that are held as they are need no currents, whose rounding would not be that of the reference.
        self.ideal = bool(getattr(device, "is_ideal", False)) and mapping.is_exact
        self._owners: dict[int, object] = {}
        self.placed: dict[int, list[Placed]] = {}
        self.activity: dict[int, Activity] = {}
        self.ranges: dict[int, float] = {}
        tile = 0
        for number, projection in enumerate(network.projections):
            if type(projection.connectivity).__name__ in DIGITAL_RULES or projection.name in mapping.digital:
                continue
            self.placed[number] = []
            blocks = blocks_of(network, number)
            for block, reference in zip(blocks, mapping.references(blocks), strict=True):
                placed = Placed(block, reference)
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
        self.ranges = {}
        for number, placed, tile in self.tiles():
            targets = self.tile_targets(placed, tile)
            scale = None
            if "full_scale" in self.status.capabilities:
                scale = (full_scale or {}).get(tile.number) or self._expected_range(targets)
                self.ranges[tile.number] = scale
            if isinstance(self.device, Chip):
                self._program_chip(self.device, tile.number, targets, scale)
            else:
                try:
                    self.device.program(tile.number, targets, scale)
                except Exception as error:  # a driver may raise anything
                    raise self._failed(error, number, tile.number, "programming") from error
            self._geometry.programmed(tile.number, targets)
        self.compensate()

    def adopt(self, ranges: MappingOf[int, float], gains: MappingOf[int, NDArray[np.float64]]) -> None:
        """Take the tiles of a chip as they are, with what was measured and chosen when they were programmed."""
        assert isinstance(self.device, Chip)
        self.ranges = dict(ranges)
        self.restore_gains(gains)
        for _, _, tile in self.tiles():
            # Whoever has programmed the tile for these weights before may go on, too.
            self._owners[tile.number] = self.device.owners.setdefault(tile.number, object())

    def restore_gains(self, gains: MappingOf[int, NDArray[np.float64]]) -> None:
        """Take the factors of each tile's outputs that were measured before."""
        for _, placed, tile in self.tiles():
            placed.gains[placed.tiles.index(tile)] = np.array(gains[tile.number], np.float64)

    def gains(self) -> dict[int, NDArray[np.float64]]:
        """Return the factor of each output of each tile, as `compensate` has measured it."""
        return {
            tile.number: placed.gains[index]
            for blocks in self.placed.values()
            for placed in blocks
            for index, tile in enumerate(placed.tiles)
        }

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

    def reweigh(self, number: int, weights: NDArray[np.float64]) -> None:
        """Give the one block of a projection other weights, of the same shape; `program` brings them to the chip."""
        (placed,) = self.placed[number]
        placed.block = replace(placed.block, weights=weights)
        (placed.reference,) = self.mapping.references([placed.block])

    def compensate(self) -> None:
        """Measure by which factor the currents of each tile, or of each output, have shrunk."""
        if self.mapping.compensate is None:
            return
        gains = {}
        for number, placed, tile in self.tiles():
            read, targets = functools.partial(self.read, number, tile.number), self.tile_targets(placed, tile)
            reference = placed.reference[tile.outputs]
            gains[tile.number] = measured_gain(read, targets, reference, self.mapping, self.status)
        self.restore_gains(gains)

    # -- reading -----------------------------------------------------------------------------------------

    def take_activity(self, inferences: int) -> ChipActivity:
        """Return what the chip has done in so many recordings since this was last asked."""
        done, held = self.activity, self.device.tiles if isinstance(self.device, Chip) else {}
        self.activity = {number: Activity(tiles=one.tiles) for number, one in done.items()}
        config = self.device.config if isinstance(self.device, Chip) else None
        chip, adc, dac = (None, None, None) if config is None else (config.device, config.adc, config.dac)
        parts = []
        for number, one in done.items():
            tiles = [tile.number for placed in self.placed[number] for tile in placed.tiles]
            parts.append(
                ProjectionActivity(
                    self.network.projections[number].name,
                    max(one.tiles, 1),
                    one.reads,
                    one.active_rows,
                    one.cell_reads,
                    one.conversions,
                    None if adc is None else adc.bits,
                    additions=one.conversions,
                    read_watts=one.watts,
                    drives=one.drives,
                    held_drives=one.held,
                    dac_bits=None if dac is None or not one.drives else dac.bits,
                    busiest_reads=max(one.reads_of.values(), default=0),
                    programming_pulses=sum(held[tile].pulses for tile in tiles if tile in held),
                    saturated=one.saturated,
                    of_tiles=one.of_tiles(),
                )
            )
        status = self.status
        name = status.name if chip is None else f"{chip.name}: {chip.source}"
        return ChipActivity(tuple(parts), max(inferences, 1), status.rows, status.columns, status.read_voltage, name)

    def deliver(
        self,
        number: int,
        recording: NDArray[np.int64],
        sources: NDArray[np.int64],
        moments: NDArray[np.uint64],
        read_ideal: bool = True,
    ) -> list[Delivery]:
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
        found = []
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
                before = self._saturated(tile.number)
                currents = self.read(number, tile.number, offsets, rows, keys[chosen])
                self._count_saturated(number, tile.number, before, currents)
                read = self._weights_of(currents / self.status.read_voltage, placed.reference[tile.outputs])
                values[chosen, tile.outputs] += read / placed.gains[index]
            if read_ideal or not self.ideal:
                block = placed.block
                found.append(Delivery(block.delay, reads.recording, reads.position, reads.times, block.targets, values))
        return found

    def check_frames(self, numbers: Iterable[int]) -> None:
        """Raise `CapabilityError` where the device cannot put real values on the rows of some projections."""
        for number in numbers:
            if number not in self.placed:
                continue
            if type(self.device) is not Chip:
                raise CapabilityError(
                    f"backend 'crossbar': {type(self.device).__name__} {self.status.name!r} has rows that are on or "
                    f"off, and projection {self.network.projections[number].name!r} is given Frames; keep it off the "
                    "chip with Mapping(digital=...), or run on a simulated Chip"
                )
            self.device.config.check_levels()

    def deliver_values(
        self,
        number: int,
        values: NDArray[Any],
        moments: NDArray[np.uint64],
        read_ideal: bool = True,
    ) -> list[Delivery]:
        """Read the chip with the rows of a projection driven for real values of its sources, in one tick.

        Parameters
        ----------
        number : int
            Of the projection.
        values : ndarray, shape (recordings, sources)
        moments : ndarray of uint64, shape (recordings,)
        read_ideal : bool
            As of `deliver`.
        """
        assert isinstance(self.device, Chip)
        chip, activity, found = self.device, self.activity[number], []
        for placed in self.placed[number]:
            block = placed.block
            positions, n_rows = block.targets.shape[0], block.weights.shape[0]
            together = max(1, _MOST_LEVELS // (positions * n_rows))
            for first in range(0, len(values), together):
                some = values[first : first + together]
                levels, scale = np.asarray(some, np.float64), 1.0
                if chip.config.dac is not None:
                    beyond = np.abs(levels) > chip.config.dac.full_scale
                    activity.held += int(block.levels(beyond).sum()) if beyond.any() else 0
                    levels, scale = chip.config.dac.levels(levels), chip.config.dac.full_scale
                flat = block.levels(levels).reshape(-1, n_rows)
                read = np.flatnonzero(flat.any(axis=1))
                if not read.size:
                    continue
                recording, position = np.divmod(read, positions)
                recording += first
                keys = moments[recording] + position.astype(np.uint64)
                out = np.zeros((read.size, block.weights.shape[1]))
                for index, tile in enumerate(placed.tiles):
                    own = flat[read, tile.rows]
                    chosen = np.flatnonzero(own.any(axis=1))
                    own = own[chosen]
                    driven = int(np.count_nonzero(own))
                    self._count(number, tile, int(chosen.size), driven)
                    activity.drives += driven
                    if activity.watts is not None:
                        activity.watts += float(np.sum(own**2 @ chip.tiles[tile.number].row_power))
                    if not chosen.size or (self.ideal and not read_ideal):
                        continue
                    before = self._saturated(tile.number)
                    currents = chip.tiles[tile.number].read_levels(own, keys[chosen], chip.read_seed)
                    self._count_saturated(number, tile.number, before, currents)
                    weights = self._weights_of(currents / self.status.read_voltage, placed.reference[tile.outputs])
                    out[chosen, tile.outputs] += weights / placed.gains[index] * scale
                if read_ideal or not self.ideal:
                    times = np.zeros(read.size, np.int64)
                    found.append(Delivery(block.delay, recording, position, times, block.targets, out))
        return found

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
        self._count(number, tile, int(chosen.size), int(rows.size))
        power: NDArray[np.float64] | None
        activity = self.activity[number]
        if type(self.device) is Chip:
            power = self.device.tiles[tile.number].row_power
        else:
            told = getattr(self.device, "row_power", None)
            power = None if told is None else told(tile.number)
        if power is None:
            activity.watts = None
        elif activity.watts is not None:
            activity.watts += float(np.sum(power[rows]))
        return chosen, offsets, rows

    def _count(self, number: int, tile: Tile, vectors: int, active_rows: int) -> None:
        """Count reads of a tile."""
        pairs = (tile.outputs.stop - tile.outputs.start) * self.mapping.slices
        activity = self.activity[number]
        activity.reads += vectors
        activity.active_rows += active_rows
        activity.cell_reads += active_rows * 2 * pairs
        of_reads, of_conversions = activity.reads_of, activity.conversions_of
        of_reads[tile.number] = of_reads.get(tile.number, 0) + vectors
        of_conversions[tile.number] = of_conversions.get(tile.number, 0) + vectors * pairs
        if isinstance(self.device, Chip) or tile.number in self.ranges:
            activity.saturated_of.setdefault(tile.number, 0)

    def _saturated(self, tile: int) -> int | None:
        """Return the conversions of a tile that went beyond the range so far; None where the device does not tell."""
        return self.device.tiles[tile].saturated if isinstance(self.device, Chip) else None

    def _count_saturated(self, number: int, tile: int, before: int | None, currents: NDArray[np.float64]) -> None:
        after, counts = self._saturated(tile), self.activity[number].saturated_of
        if before is not None and after is not None:
            beyond = after - before
        elif tile in self.ranges:
            # A device that was told the range, and not by how much it was exceeded: what came lies at its end.
            beyond = int(np.count_nonzero(np.abs(currents) >= self.ranges[tile] * (1 - _AT_END)))
        else:
            return
        counts[tile] += beyond

    def read(
        self, number: int, tile: int, offsets: NDArray[np.int64], rows: NDArray[np.int64], keys: NDArray[np.uint64]
    ) -> NDArray[np.float64]:
        """Return the currents of a tile of a projection; whatever goes wrong is a `DeviceError` that says where.

        Arrays are contiguous and of these types: a `Chip` takes them as they are.
        """
        if type(self.device) is Chip:
            # Not by `Chip.read`, which looks at arrays that are made here.
            chip = self.device
            return chip.tiles[tile].read(offsets, rows, keys, chip.read_seed, chip.threads)
        try:
            return self._geometry.currents(tile, keys.size, self.device.read(tile, offsets, rows, keys))
        except Exception as error:  # a driver may raise anything
            raise self._failed(error, number, tile, f"reading {keys.size} vectors") from error

    def _failed(self, error: Exception, number: int, tile: int, call: str) -> DeviceError:
        """Return what a device raised as an error that says where it was."""
        name, projection = type(self.device).__name__, self.network.projections[number].name
        return failure(error, f"projection {projection!r}, {call} of tile {tile} on {name} {self.status.name!r}")
