"""Projections of a network on a device, reprogrammed again and again: the forward pass of training in the loop."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.activity import ChipActivity
from snnsim.backends.crossbar.array_read.noise_keys import READ_BITS, UNTIMED
from snnsim.backends.crossbar.chip.chip import Chip
from snnsim.backends.crossbar.chip.protocol import LoopDevice
from snnsim.backends.crossbar.mapping.chip_checkpoint import description
from snnsim.backends.crossbar.mapping.converter_ranges import calibrated_ranges
from snnsim.backends.crossbar.mapping.fabric import DigitalFabric
from snnsim.backends.crossbar.mapping.mapping import Mapping
from snnsim.connectivity import Conv2d
from snnsim.errors import CapabilityError, ParameterError
from snnsim.network.fingerprint import fingerprint
from snnsim.network.network import Network


class ChipFabric:
    """A network on a device, for `snnsim.training.chips.in_the_loop`.

    Parameters
    ----------
    network : Network
        Without delays.
    device : LoopDevice
        For instance a `Chip`, or a `TcpDevice`.
    mapping : Mapping, optional
        How the network is laid on the device. Ranges of weights are set anew at each programming, those of converters
        too, unless they are found with `Mapping.calibration`: then once, with the network as described.

    Raises
    ------
    CapabilityError
        A projection has delays, which training keeps in software.

    Notes
    -----
    Training computes ticks in an order of its own, and each vector has a key of its own: 1/f noise has its strength
    here, but nothing in common from one tick to the next.
    """

    def __init__(self, network: Network, device: LoopDevice, mapping: Mapping | None = None) -> None:
        if not isinstance(network, Network):
            raise ParameterError(f"network={network!r}: expected a Network")
        if not isinstance(device, LoopDevice):
            raise ParameterError(f"device={device!r}: expected a Chip, or a device with program, read and status")
        self.device = device
        self._fabric = DigitalFabric(network, device, mapping)
        for number in self._fabric.placed:
            projection = network.projections[number]
            if network.connection(projection).longest_delay > 0:
                raise CapabilityError(f"in the loop: projection {projection.name!r} has delays; a ChipFabric has none")
        self._numbers = {network.projections[number].name: number for number in self._fabric.placed}
        self._ranges: dict[int, float] | None = None
        if self._fabric.mapping.calibration is not None and "full_scale" in self._fabric.status.capabilities:
            self._ranges = calibrated_ranges(self._fabric, self._fabric.mapping.calibration)

    def __repr__(self) -> str:
        """Return which device it is, and how it is mapped: the same text for equal chips with the same seeds."""
        device = repr(self.device) if type(self.device) is Chip else description(self._fabric)
        return f"ChipFabric({device}, mapping #{fingerprint(self._fabric.mapping)[:8]})"

    @property
    def network(self) -> Network:
        """The network as it was described; its weights are not those on the device after `program`."""
        return self._fabric.network

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the projections on the device."""
        return tuple(self._numbers)

    def program(self, weights: MappingOf[str, NDArray[np.float64]]) -> None:
        """Program the device; see `snnsim.training.chips.in_the_loop.Fabric`."""
        if set(weights) != set(self._numbers):
            raise ParameterError(f"weights of {sorted(weights)}: expected those of {sorted(self._numbers)}")
        matrices = {
            number: self._matrix(number, np.asarray(weights[name], np.float64))
            for name, number in self._numbers.items()
        }
        for number, matrix in matrices.items():
            self._fabric.reweigh(number, matrix)
        self._fabric.program(self._ranges)

    def drive(
        self,
        projection: str,
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        indices: NDArray[Any],
        keys: NDArray[np.uint64],
    ) -> NDArray[np.float64]:
        """Return what spikes deliver, shape (vectors, targets); see `snnsim.training.chips.in_the_loop.Fabric`."""
        self._fabric.check()
        network, number = self._fabric.network, self._numbers[projection]
        counts = end - begin
        owner = np.repeat(np.arange(counts.size), counts)
        place = np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(owner.size)
        sources = np.asarray(indices)[place].astype(np.int64)
        out = np.zeros((counts.size, network.population(network.projections[number].target).size))
        # The lowest bits count reads within a moment.
        moments = (np.asarray(keys, np.uint64) << np.uint64(READ_BITS)) & (UNTIMED - np.uint64(1))
        for part in self._fabric.deliver(number, owner, sources, moments):
            part.add_to(out)
        return out

    def take_activity(self) -> ChipActivity:
        """Return what the device has done since this was last asked, conversions beyond their range among it."""
        return self._fabric.take_activity(1)

    def _matrix(self, number: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weights in the shape of the block they are in."""
        network = self._fabric.network
        projection = network.projections[number]
        (placed,) = self._fabric.placed[number]
        source, target = network.population(projection.source), network.population(projection.target)
        wanted: tuple[int, ...] = (source.size, target.size)
        if isinstance(projection.connectivity, Conv2d):
            wanted = projection.connectivity.kernel_shape(source.shape, target.shape)
        if values.shape != wanted:
            raise ParameterError(f"weights of {projection.name!r} have shape {values.shape}, expected {wanted}")
        # A target that is not a number would leave its cell as it is, and the chip would go on with older weights.
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            place = tuple(int(i) for i in bad[0])
            raise ParameterError(
                f"weights of {projection.name!r}: {values[place]} at {place}, one of {len(bad)} that are not finite; "
                "has training diverged?"
            )
        if isinstance(projection.connectivity, Conv2d):
            return np.ascontiguousarray(values.reshape(values.shape[0], -1).T)
        rows, outputs = np.flatnonzero(np.diff(placed.block.starts)), placed.block.targets[0]
        matrix = np.ascontiguousarray(values[np.ix_(rows, outputs)])
        on_chip = matrix if placed.block.present is None else matrix[placed.block.present]
        if np.count_nonzero(on_chip) != np.count_nonzero(values):
            present = np.zeros(values.shape, bool)
            present[np.ix_(rows, outputs)] = True if placed.block.present is None else placed.block.present
            first, second = (int(i) for i in np.argwhere((values != 0) & ~present)[0])
            raise ParameterError(
                f"weights of {projection.name!r}: {values[first, second]:g} at ({first}, {second}), where the network "
                "has no synapse; must be 0 there"
            )
        return matrix
