"""A simulated chip: arrays of cells that are programmed, age, and are read.

`Chip(config, seed)` is one chip: its cells have the same lasting traits whenever and wherever it is made. Everything
random is a function of (seed, tile, cell or read), so that a run gives the same bits on any number of threads, and a
saved chip goes on as if it had never been away.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.array_read.checks import check_vectors, checked_keys
from snnsim.backends.crossbar.cells import CellState, program
from snnsim.backends.crossbar.chip.config import STAGES, ChipConfig
from snnsim.backends.crossbar.chip.protocol import LoopDevice, Status
from snnsim.backends.crossbar.chip.storage import KIND, read_chip, write_chip
from snnsim.backends.crossbar.chip.tile import Tile
from snnsim.backends.crossbar.device.device import shown
from snnsim.backends.crossbar.number_checks import number_array, tile_number, whole_numbers
from snnsim.errors import DataError, ParameterError, positive, whole
from snnsim.network.fingerprint import fingerprint
from snnsim.storage.hdf5 import read_hdf5, write_hdf5
from snnsim.system.machine import cores


def _facts_of(config: ChipConfig) -> tuple[str, str]:
    """Return a fingerprint of what a chip is made of, and in words which stages it has."""
    stages = [stage.replace("_", " ") for stage in STAGES if config.without(stage) != config]
    return fingerprint(config), f"{config.device.name}, {', '.join(stages) or 'all stages off'}"


_known_facts = functools.lru_cache(maxsize=64)(_facts_of)


def _path(path: Any) -> str | Path:
    if not isinstance(path, str | Path):
        raise ParameterError(f"path={path!r}: must be the name of a file")
    return path


class Chip(LoopDevice):
    """A chip of one configuration and one seed.

    Parameters
    ----------
    config : ChipConfig, optional
        Default an ideal chip.
    seed : int
        Which chip of that kind: traits of its cells and converters, and noise of programming.
    read_seed : int
        Noise of reading; another one gives another run on the same chip.
    name : str
    """

    def __init__(self, config: ChipConfig | None = None, seed: int = 0, read_seed: int = 0, name: str = "chip") -> None:
        if config is not None and not isinstance(config, ChipConfig):
            raise ParameterError(f"config={shown(config)}: expected a ChipConfig, such as ChipConfig(device)")
        self.config = config or ChipConfig()
        self.seed, self.read_seed = whole("seed", seed), whole("read_seed", read_seed)
        if not isinstance(name, str):
            raise ParameterError(f"name={name!r}: must be a text")
        self.name = name
        self.threads = cores()
        self.tiles: dict[int, Tile] = {}
        #: What each tile was last programmed for, where that was a network; see `DigitalFabric.check`.
        self.owners: dict[int, object] = {}

    # -- what a LoopDevice does --------------------------------------------------------------------------

    @property
    def needs_full_scale(self) -> bool:
        """Whether the range of the converters is to be given when a tile is programmed."""
        return self.config.adc is not None and self.config.adc.full_scale is None

    def status(self) -> Status:
        """Return what the chip is."""
        device = self.config.device
        can = ("partial_programming", "keys", "aging", *(("full_scale",) if self.needs_full_scale else ()))
        return Status(
            self.name,
            self.config.rows,
            self.config.columns,
            None,
            device.g_min,
            device.g_max,
            device.read_voltage,
            capabilities=can,
        )

    def program(
        self, tile: int, targets: NDArray[np.float64], full_scale: float | NDArray[np.float64] | None = None
    ) -> None:
        """Program an array.

        Parameters
        ----------
        tile : int
        targets : ndarray of float64, shape (rows, columns)
            Conductances in uS, at most as many as an array has; NaN leaves a cell as it is.
        full_scale : float or ndarray of shape (columns // 2,), optional
            Largest current of the converters in uA; needed where the configuration has a converter without one.
        """
        number = tile_number(tile)
        targets = number_array(f"tile {number}: targets", targets)
        self.config.check_targets(number, targets)
        converters = self.config.converters(number, targets.shape[1] // 2, full_scale, self.seed)
        before = self.tiles.get(number)
        cycle = 0 if before is None else before.cycle + 1
        same = before is not None and before.state.conductance.shape == targets.shape
        state = program(
            self.config.device,
            targets,
            seed=self.seed,
            tile=number,
            cycle=cycle,
            before=before.state if before is not None and same else None,
        )
        own = self.tiles[number] = Tile(number, self.config, self.seed, state, converters, full_scale, cycle)
        if before is not None:
            own.follow(before, np.isnan(targets))

    def read(
        self,
        tile: int,
        offsets: NDArray[np.int64],
        rows: NDArray[np.int64],
        keys: NDArray[np.uint64] | None = None,
    ) -> NDArray[np.float64]:
        """Read an array with vectors of active rows.

        Parameters
        ----------
        tile : int
        offsets : ndarray of int64, shape (vectors + 1,)
            Vector v switches on the rows ``rows[offsets[v]:offsets[v + 1]]``, each once.
        rows : ndarray of int64
        keys : ndarray of uint64, shape (vectors,), optional
            Moments that the noise is drawn for (see `snnsim.backends.crossbar.moment`): equal ones see equal noise.
            Default the moments that no read of this tile has seen yet, each a tick of its own.

        Returns
        -------
        ndarray of float64, shape (vectors, columns // 2)
            Current of the plus column less that of the minus column, in uA.
        """
        own = self._tile(tile)
        offsets, rows = whole_numbers("offsets", offsets), whole_numbers("rows", rows)
        if not offsets.size:
            check_vectors(offsets, rows, None)
        if keys is not None:
            keys = checked_keys(keys, offsets.size - 1)
        return own.read(offsets, rows, keys, self.read_seed, whole("threads", self.threads, at_least=1))

    def read_levels(
        self, tile: int, levels: NDArray[np.float64], keys: NDArray[np.uint64] | None = None
    ) -> NDArray[np.float64]:
        """Read an array whose rows are at voltages of their own, as a `DAC` drives them for real values.

        The current of a cell, and the deviation of its noise, are in proportion to the voltage; where cells have a
        current-voltage curve, the current follows it. Rows at zero volt are grounded.

        Parameters
        ----------
        tile : int
        levels : ndarray of float64, shape (vectors, rows)
            Voltages as shares of the read voltage, of either sign.
        keys : ndarray of uint64, shape (vectors,), optional
            As for `read`.

        Returns
        -------
        ndarray of float64, shape (vectors, columns // 2)
            As of `read`.

        Raises
        ------
        CapabilityError
            The chip has a stage that knows rows that are on or off only.
        """
        own = self._tile(tile)
        given = number_array("levels", levels, DataError)
        rows = own.state.conductance.shape[0]
        if given.ndim != 2 or given.shape[1] != rows or not np.isfinite(given).all():
            raise DataError(f"levels of shape {given.shape}: must be finite, and of shape (vectors, {rows})")
        self.config.check_levels()
        if keys is not None:
            keys = checked_keys(keys, len(given))
        return own.read_levels(given, keys, self.read_seed)

    # -- what only a simulated chip can do ---------------------------------------------------------------

    @property
    def is_ideal(self) -> bool:
        """Whether every stage is off."""
        return self.config.only() == self.config

    def holds(self, tile: int, targets: NDArray[np.float64], full_scale: Any = None) -> bool:
        """Return whether a tile has been programmed to these targets, with this range of the converters."""
        own = self.tiles.get(whole("tile", tile))
        return (
            own is not None
            and np.array_equal(own.state.target, targets)
            and (full_scale is None or np.array_equal(own.full_scale, full_scale))
        )

    def set_range(self, tile: int, full_scale: float | NDArray[np.float64]) -> None:
        """Give the converters of a tile another range, in uA; its cells are not programmed again."""
        own = self._tile(tile)
        outputs = own.state.conductance.shape[1] // 2
        own.set_range(self.config.converters(tile, outputs, full_scale, self.seed), full_scale)

    def age(self, seconds: float, temperature: float = 300.0) -> None:
        """Let time pass for all tiles.

        Parameters
        ----------
        seconds : float
        temperature : float
            In kelvin, during that time.

        Raises
        ------
        ParameterError
            Nothing has been programmed, so that nothing would age; or a value is not allowed.
        """
        positive("seconds", seconds, zero=True)
        positive("temperature", temperature)
        if not self.tiles:
            raise ParameterError(
                f"age({seconds:g}): {self.name} has not been programmed, and age counts from there; make the "
                "Simulation first, or call program"
            )
        for tile in self.tiles.values():
            tile.age(float(seconds), float(temperature))

    def reprogram(self) -> None:
        """Program all tiles to their targets again; the cells are the same, the noise of programming is new."""
        for number, tile in list(self.tiles.items()):
            self.program(number, tile.state.target, tile.full_scale)

    def erase(self) -> None:
        """Forget all tiles."""
        self.tiles.clear()
        self.owners.clear()

    def state(self, tile: int) -> CellState:
        """Return the cells of a tile as they were programmed."""
        return self._tile(tile).state

    def targets(self, tile: int) -> NDArray[np.float64]:
        """Return the conductances that a tile was told to have, in uS, shape (rows, columns)."""
        return self._tile(tile).state.target

    def conductances(self, tile: int) -> NDArray[np.float64]:
        """Return the conductances of a tile as they are now, without noise of reading, in uS, shape (rows, columns)."""
        return self._tile(tile).conductance

    def effective(self, tile: int) -> NDArray[np.float64]:
        """Return current over voltage of a tile's cells at the read voltage, in uS, shape (rows, columns)."""
        return self._tile(tile).effective

    def row_power(self, tile: int) -> NDArray[np.float64]:
        """Return the power that each row of a tile takes when it is on, in watt, shape (rows,)."""
        return self._tile(tile).row_power

    @property
    def programming_pulses(self) -> int:
        """Pulses that have programmed the chip since it was new, those of write-verify counted one by one."""
        return sum(tile.pulses for tile in self.tiles.values())

    @property
    def saturated(self) -> int:
        """Conversions that went beyond the range of the converters."""
        return sum(tile.saturated for tile in self.tiles.values())

    def __repr__(self) -> str:
        kind, words = self._facts
        return f"Chip({words}; seed {self.seed}, read seed {self.read_seed}; {kind[:8]})"

    def describe(self) -> str:
        """Return what the chip is in a line, with a fingerprint of all that its reads follow from."""
        config, words = self.config, self._facts[1]
        return (
            f"{self.name}: {words}; seed {self.seed}, read seed {self.read_seed}; {len(self.tiles)} tiles of "
            f"{config.rows} x {config.columns}; {self.fingerprint()}"
        )

    def fingerprint(self) -> str:
        """Return 16 digits that are equal where chips are: their kind, their seeds, and all cells as they are now."""
        tiles = " ".join(f"{number} {tile.identity}" for number, tile in sorted(self.tiles.items()))
        return fingerprint((self._facts[0], self.seed, self.read_seed, tiles))[:16]

    @property
    def _facts(self) -> tuple[str, str]:
        try:
            return _known_facts(self.config)
        except TypeError:  # a model of one's own that cannot be looked up
            return _facts_of(self.config)

    def save(self, path: str | Path) -> None:
        """Save the chip to an HDF5 file."""
        with write_hdf5(_path(path), KIND) as file:
            self.write_to(file)

    @classmethod
    def load(cls, path: str | Path) -> Chip:
        """Load what `save` saved; the chip goes on as the one that was saved."""
        with read_hdf5(_path(path), KIND) as file:
            return cls.read_from(file, path)

    def write_to(self, group: h5py.Group) -> None:
        """Write what the chip is made of, its cells as they were programmed, and its age into a group.

        Raises
        ------
        ParameterError
            It has a model of a class of one's own, which could not be read again; nothing is written then.
        """
        write_chip(group, self.config, self.seed, self.read_seed, self.name, self.tiles)

    @classmethod
    def read_from(cls, group: h5py.Group, where: object) -> Chip:
        """Read what `write_to` wrote; `where` is the file, for messages."""
        config, seed, read_seed, name, tiles = read_chip(group, where)
        chip = cls(config, seed, read_seed, name)
        chip.tiles.update(tiles)
        return chip

    def _tile(self, tile: int) -> Tile:
        number = tile if type(tile) is int else whole("tile", tile)
        found = self.tiles.get(number)
        if found is None:
            listed = ", ".join(map(str, sorted(self.tiles)[:8])) or "none"
            raise ParameterError(f"tile={tile!r} has not been programmed; programmed tiles: {listed}")
        return found
