"""One array of a chip: cells, the wires between them, converters; what it is now, and reading it."""

from __future__ import annotations

import functools
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar import cells
from snnsim.backends.crossbar.array_read.converter import Converters
from snnsim.backends.crossbar.array_read.noise_keys import tick_of, untimed
from snnsim.backends.crossbar.array_read.normal_numbers import normal_numbers
from snnsim.backends.crossbar.array_read.prepared_array import PreparedArray
from snnsim.backends.crossbar.array_read.sums import read_sums
from snnsim.backends.crossbar.cells import CellState
from snnsim.backends.crossbar.wires import currents
from snnsim.network.fingerprint import fingerprint
from snnsim.numerics import rng

if TYPE_CHECKING:
    from snnsim.backends.crossbar.chip.config import ChipConfig


@functools.lru_cache(maxsize=4096)
def _noise_stream(read_seed: int, number: int) -> int:
    """Return the stream of a tile's read noise."""
    return rng.stream_number("crossbar read", read_seed, number)


class Tile:
    """An array that has been programmed.

    Parameters
    ----------
    number : int
    config : ChipConfig
    seed : int
        Of the chip.
    state : CellState
        The cells just after programming.
    converters : Converters, optional
    full_scale : float or ndarray, optional
        What the converters were made for.
    cycle : int
        How often the array has been programmed before.

    Attributes
    ----------
    seconds : float or ndarray of shape (rows, columns)
        Since programming, of all cells or of each.
    drift_seconds : float or ndarray
        The same as drift counts them: at 300 K.
    pulses, saturated, own_reads : int
        Programming pulses, conversions held at an outermost code, and reads without a moment, since the array was new.
    """

    def __init__(
        self,
        number: int,
        config: ChipConfig,
        seed: int,
        state: CellState,
        converters: Converters | None,
        full_scale: Any,
        cycle: int,
    ) -> None:
        self.number, self.config, self.seed, self.state = number, config, seed, state
        self.converters, self.full_scale, self.cycle = converters, full_scale, cycle
        self.seconds: Any = 0.0
        self.drift_seconds: Any = 0.0
        self.pulses = int(state.iterations.sum())
        self.saturated = 0
        self.own_reads = 0

    def follow(self, before: Tile, left_alone: NDArray[np.bool_]) -> None:
        """Go on from the array as it was before it was programmed: cells that were left alone keep their age."""
        self.saturated, self.own_reads = before.saturated, before.own_reads
        self.pulses = before.pulses + int(self.state.iterations[~left_alone].sum())
        if left_alone.any() and before.state.conductance.shape == left_alone.shape:
            self.seconds = np.where(left_alone, before.seconds, 0.0)
            self.drift_seconds = np.where(left_alone, before.drift_seconds, 0.0)

    def age(self, seconds: float, temperature: float) -> None:
        """Let time pass."""
        acted = float(cells.acted_seconds(self.config.device, np.asarray(seconds), temperature))
        self.seconds, self.drift_seconds = self.seconds + seconds, self.drift_seconds + acted
        for name in ("conductance", "effective", "currents", "row_power", "variance", "array", "identity"):
            self.__dict__.pop(name, None)

    def set_range(self, converters: Converters | None, full_scale: Any) -> None:
        """Give the array other converters; its cells stay as they are."""
        self.converters, self.full_scale = converters, full_scale
        for name in ("array", "identity"):
            self.__dict__.pop(name, None)

    @cached_property
    def identity(self) -> str:
        """Of what reads follow from, beside the kind and seeds of the chip: which cells, their age, and the range."""
        scale = None if self.full_scale is None else np.asarray(self.full_scale, np.float64)
        ages = np.asarray(self.seconds), np.asarray(self.drift_seconds)
        return fingerprint((self.cycle, self._cells, ages, scale))

    @cached_property
    def _cells(self) -> str:
        return fingerprint(self.state.conductance)

    def is_like(self, other: Tile) -> bool:
        """Return whether cells are the same and as old."""
        pairs = [(getattr(self.state, part.name), getattr(other.state, part.name)) for part in fields(CellState)]
        pairs += [(self.seconds, other.seconds), (self.drift_seconds, other.drift_seconds)]
        return all(np.array_equal(one, two, equal_nan=True) for one, two in pairs)

    # -- what the array is now ---------------------------------------------------------------------------

    @cached_property
    def conductance(self) -> NDArray[np.float64]:
        """Conductances now in uS, shape (rows, columns)."""
        return cells.conductance_at(self.config.device, self.state, self.drift_seconds)

    @cached_property
    def effective(self) -> NDArray[np.float64]:
        """Current over voltage at the read voltage in uS, shape (rows, columns)."""
        return cells.effective_conductance(self.config.device, self.conductance)

    @cached_property
    def currents(self) -> NDArray[np.float64]:
        """Current that a row adds to each pair of columns in uA, shape (rows, columns // 2).

        With wires where rows that are off are grounded, since there the array is one linear map; else without.
        """
        config, each = self.config, self.effective
        if config.wires is not None and config.wires.unselected == "grounded":
            each = currents.transfer_matrix(each, config.wires)
        return self._pairs(each) * config.device.read_voltage

    @cached_property
    def variance(self) -> NDArray[np.float64] | None:
        """Variance of one read of each pair of cells at the read voltage in uA^2, shape (rows, columns // 2)."""
        device = self.config.device
        if device.read_noise is None:
            return None
        one = cells.read_variance(device, self.conductance, self.seconds, self.state.conductance)
        return np.asarray((one[:, 0::2] + one[:, 1::2]) * device.read_voltage**2)

    @cached_property
    def array(self) -> PreparedArray:
        """What reads need, made ready."""
        return PreparedArray(self.currents, self.variance, self.converters)

    @cached_property
    def row_power(self) -> NDArray[np.float64]:
        """Power of each row when it is on in watt, shape (rows,); what wires lose is left out."""
        return np.asarray(self.effective.sum(1) * 1e-6 * self.config.device.read_voltage**2)

    @staticmethod
    def _pairs(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ascontiguousarray(values[:, 0::2] - values[:, 1::2])

    # -- reading -----------------------------------------------------------------------------------------

    def read(
        self,
        offsets: NDArray[np.int64],
        rows: NDArray[np.int64],
        keys: NDArray[np.uint64] | None,
        read_seed: int,
        threads: int,
    ) -> NDArray[np.float64]:
        """Read the array; see `Chip.read`, which has the arrays checked: here they are known to be of these types."""
        if keys is None:
            vectors = max(offsets.size - 1, 0)
            keys = untimed(self.own_reads, vectors)
            self.own_reads += vectors
        noise = rng.bits(self.seed, _noise_stream(read_seed, self.number), keys)
        config = self.config
        gated = config.wires is not None and config.wires.unselected == "gated"
        if not gated and config.device.flicker is None:
            found, saturated = self.array.read_known(offsets, rows, noise, threads=threads)
            self.saturated += saturated
            return np.asarray(found, np.float64)
        if gated:
            assert config.wires is not None
            solve = currents.exact_currents if config.wires.solver == "exact" else currents.fast_currents
            volts = config.device.read_voltage
            physical = solve(self.effective, offsets, rows, volts, config.wires, threads=threads)
            sums = self._pairs(physical)
        else:
            sums, _ = read_sums(self.currents, None, offsets, rows, threads=threads)
        if config.device.flicker is not None:
            sums += self._flicker(offsets, rows, keys)
        found, saturated = self.array.finish(sums, offsets, rows, noise)
        self.saturated += saturated
        return np.asarray(found, np.float64)

    def read_levels(
        self, levels: NDArray[np.float64], keys: NDArray[np.uint64] | None, read_seed: int
    ) -> NDArray[np.float64]:
        """Read the array with rows at voltages of their own; see `Chip.read_levels`, which has the arrays checked."""
        if keys is None:
            keys = untimed(self.own_reads, len(levels))
            self.own_reads += len(levels)
        sums = levels @ self.currents if self.config.device.current_voltage is None else self._bent(levels)
        if self.config.device.flicker is not None:
            offsets = np.arange(len(levels) + 1) * levels.shape[1]
            rows = np.tile(np.arange(levels.shape[1]), len(levels))
            sums += self._flicker(offsets, rows, keys, levels)
        if self.variance is not None:
            # Noise of conductances: the current of a cell has it in proportion to the voltage on it.
            noise = normal_numbers(rng.bits(self.seed, _noise_stream(read_seed, self.number), keys), sums.shape[1])
            sums += noise * np.sqrt(levels**2 @ self.variance)
        if self.converters is None:
            return np.asarray(sums)
        before = self.converters.saturated
        found = self.converters.convert(sums)
        self.saturated += self.converters.saturated - before
        return found

    def _bent(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums of currents that are not in proportion to the voltage, level by level."""
        device = self.config.device
        sums = np.zeros((len(levels), self.conductance.shape[1] // 2))
        for level in np.unique(np.abs(levels[levels != 0])):
            volts = level * device.read_voltage
            each = self._pairs(cells.effective_conductance(device, self.conductance, volts)) * volts
            sums += np.where(np.abs(levels) == level, np.sign(levels), 0.0) @ each
        return sums

    def _flicker(
        self,
        offsets: NDArray[np.int64],
        rows: NDArray[np.int64],
        keys: NDArray[np.uint64],
        levels: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return what 1/f noise adds to the currents of each vector; what wires lose of it is left out."""
        device = self.config.device
        added = np.zeros((len(offsets) - 1, self.state.conductance.shape[1] // 2))
        for vector, tick in enumerate(tick_of(keys)):
            active = rows[offsets[vector] : offsets[vector + 1]]
            if active.size:
                one = cells.flicker(
                    device, self.conductance[active], seed=self.seed, tile=self.number, tick=int(tick), rows=active
                )
                pairs = self._pairs(one)
                # Rows at voltages of their own: shares of the read voltage.
                added[vector] = (pairs.sum(0) if levels is None else levels[vector] @ pairs) * device.read_voltage
        return added
