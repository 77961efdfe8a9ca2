"""How a network is laid on a chip, and how a weight becomes conductances.

A weight is the difference of two cells, ``w = reference * (g_plus - g_minus) / (g_max - g_min)``, of which one stands
at `g_min`; `reference` is the largest weight of the block, or what `Mapping.clip` says. With several slices a weight is
a whole number in the base of a slice, one digit a pair of cells.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.mapping.weight_blocks import Block
from snnsim.backends.crossbar.number_checks import settle_numbers
from snnsim.errors import ParameterError, one_of, positive, whole
from snnsim.frames import Recordings


@dataclass(frozen=True, eq=False)
class Mapping:
    """How a network is laid on a chip.

    Parameters
    ----------
    slices : int
        Pairs of cells that a weight takes.
    slice_bits : int, optional
        Bits of a slice; needed with more than one.
    clip : float
        Percentile (above 1, to 100) of the sizes of a projection's weights that takes the whole range of conductance;
        larger ones are cut. Synapses of weight zero count, pairs without a synapse do not.
    per_output : bool
        A range for each output, or channel of a convolution, rather than one for the projection.
    compensate : {"tile", "output"}, optional
        Measure with known vectors by which factor currents have shrunk (drift, wires, nonlinear cells), for a tile or
        for each of its outputs, and divide by it.
    calibration : Events or Frames, or dict of them by name, optional
        Recordings, for each `Input` population, that the ranges of the converters are set with: `percentile` of the
        currents that an ideal chip has. Without them, `activity` of the rows is taken to be on at a time, by chance.
    percentile : float
    activity : float
    digital : tuple of str
        Projections that stay off the chip. Pooling and one-to-one always do.
    """

    slices: int = 1
    slice_bits: int | None = None
    clip: float = 100.0
    per_output: bool = False
    compensate: str | None = None
    calibration: Recordings | MappingOf[str, Recordings] | None = None
    percentile: float = 99.9
    activity: float = 0.1
    digital: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settle_numbers(self)
        whole("slices", self.slices, at_least=1)
        if self.slices > 1 and self.slice_bits is None:
            raise ParameterError(f"slices={self.slices}: give slice_bits, the bits of a slice, too")
        if self.slice_bits is not None:
            whole("slice_bits", self.slice_bits, at_least=1)
        if self.slice_bits is not None and self.slices * self.slice_bits > 32:
            raise ParameterError(f"slices={self.slices} of slice_bits={self.slice_bits}: at most 32 bits a weight")
        for name in ("clip", "percentile"):
            positive(name, getattr(self, name))
            if getattr(self, name) > 100:
                raise ParameterError(f"{name}={getattr(self, name)!r}: a percentile, at most 100")
            if getattr(self, name) <= 1:
                raise ParameterError(
                    f"{name}={getattr(self, name)!r}: a percentile, above 1 and at most 100; as a share it would be "
                    f"{name}={100 * getattr(self, name):g}"
                )
        positive("activity", self.activity)
        if self.activity > 1:
            raise ParameterError(f"activity={self.activity!r}: a share of the rows, at most 1")
        if not isinstance(self.per_output, bool):
            raise ParameterError(f"per_output={self.per_output!r}: must be True or False")
        one_of("compensate", self.compensate, (None, "tile", "output"))
        given: Any = self.digital
        names = (given,) if isinstance(given, str) else given
        if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
            raise ParameterError(f"digital={given!r}: expected names of projections")
        object.__setattr__(self, "digital", tuple(names))
        given = self.calibration
        if given is not None and not isinstance(given, Recordings | MappingOf):
            raise ParameterError(f"calibration={given!r}: expected Events or Frames, or these by name of the input")

    @property
    def is_exact(self) -> bool:
        """Whether exact cells hold every weight as it is: none is cut, or rounded to digits."""
        return self.slices == 1 and self.slice_bits is None and self.clip == 100

    @property
    def base(self) -> int:
        """Values of one slice."""
        return int(2 ** (self.slice_bits or 0))

    def references(self, blocks: Sequence[Block]) -> list[NDArray[np.float64]]:
        """Return the weight that takes the whole range of conductance, for each output of each block of a projection.

        Where the percentile is zero it is the largest weight, and one where all are zero.
        """
        if not self.per_output:
            largest = self._largest(np.concatenate([block.sizes() for block in blocks])) if blocks else 1.0
            return [np.full(block.weights.shape[1], largest) for block in blocks]
        if len(blocks) == 1 and blocks[0].present is None:
            return [np.asarray(self._largest(np.abs(blocks[0].weights)))]
        # Blocks of other delays may hold further synapses of the same neuron.
        sizes: dict[int, list[NDArray[np.float64]]] = {}
        for block in blocks:
            for output, neuron in enumerate(block.targets[0]):
                sizes.setdefault(int(neuron), []).append(block.sizes(output))
        found = {neuron: self._largest(np.concatenate(parts)) for neuron, parts in sizes.items()}
        return [np.array([found[int(neuron)] for neuron in block.targets[0]], np.float64) for block in blocks]

    def _largest(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the percentile of sizes along their first axis."""
        if not sizes.shape[0]:
            return np.ones(sizes.shape[1:])
        largest = np.percentile(sizes, self.clip, axis=0) if self.clip < 100 else sizes.max(axis=0)
        largest = np.where(largest > 0, largest, sizes.max(axis=0))
        return np.where(largest > 0, largest, 1.0)

    def conductances(
        self, weights: NDArray[np.float64], reference: NDArray[np.float64], low: float, high: float
    ) -> NDArray[np.float64]:
        """Return the conductances that weights are to have.

        Parameters
        ----------
        weights : ndarray, shape (rows, outputs)
        reference : ndarray, shape (outputs,)
            Weight of the whole range.
        low, high : float
            The range of a cell, uS.

        Returns
        -------
        ndarray of float64, shape (rows, outputs * slices * 2)
            Plus and minus cell of each slice of each output, uS.
        """
        share = np.clip(weights / reference, -1.0, 1.0)
        if self.slice_bits is None:
            digits = np.abs(share)[:, :, None]
        else:
            number = np.rint(np.abs(share) * (self.base**self.slices - 1)).astype(np.int64)
            powers = self.base ** np.arange(self.slices, dtype=np.int64)
            digits = number[:, :, None] // powers % self.base / (self.base - 1)
        pairs = np.zeros((*digits.shape, 2))
        pairs[..., 0] = np.where(share[:, :, None] > 0, digits, 0.0)
        pairs[..., 1] = np.where(share[:, :, None] < 0, digits, 0.0)
        return low + (high - low) * pairs.reshape(weights.shape[0], digits.shape[1] * digits.shape[2] * 2)

    def weights(
        self, difference: NDArray[np.float64], reference: NDArray[np.float64], span: float
    ) -> NDArray[np.float64]:
        """Return weights, shape (..., outputs), for differences of conductance, shape (..., outputs * slices).

        `span` is the range of a cell, uS.
        """
        if self.slice_bits is None:
            return difference * (reference / span)
        most = self.base**self.slices - 1
        powers = (self.base - 1) * self.base ** np.arange(self.slices, dtype=np.float64) / most
        digits = difference.reshape(*difference.shape[:-1], -1, self.slices)
        return np.asarray((digits @ powers) * (reference / span))
