"""What a chip did in a run: the counts that energy and latency are worked out from.

The chip counts; what a count costs is a matter of `snnsim.energy.report`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from snnsim.errors import DataError, ParameterError, SaturationWarning, positive, whole

#: Shares of conversions beyond the range from which it is said: of a projection, ten times what a range from recordings
#: leaves out and more than noise and drift add to it; of a tile, whose range may come from few reads, more.
SATURATED, SATURATED_TILE = 0.01, 0.05
#: Standard deviations above that, which few conversions have by chance.
BY_CHANCE = 3.0


@dataclass(frozen=True)
class ProjectionActivity:
    """What the tiles of one projection did, summed over all recordings and ticks of a run.

    Parameters
    ----------
    name : str
        Of the projection.
    tiles : int
        Tiles that hold its weights.
    reads : int
        Read pulses: vectors put to a tile, summed over its tiles. A tile that no spike reached is not read.
    active_rows : int
        Rows switched on, summed over the reads.
    cell_reads : int
        Cells that carried a read current, summed over the reads: active rows times the columns in use.
    conversions : int
        Numbers made by the ADCs; one a differential pair in use and read.
    adc_bits : int or None
        Bits of the ADCs; None where currents are taken as they are (an ideal chip).
    additions : int
        Additions in the digital fabric: partial sums of tiles and bit slices, brought to the neurons.
    read_watts : float or None
        Voltage times current of every cell read, summed over the reads, in watt. Times the length of a read pulse this
        is the energy of reading. None where the chip does not know its currents.
    busiest_reads : int or None
        Reads of the tile that was read most, for the latency; None: all tiles are taken as read equally often.
    programming_pulses : int
        Pulses that have programmed the tiles since the chip was new. They are shown beside the energy of inference,
        not in it.
    saturated : int or None
        Conversions that went beyond the range of the ADCs. None where the chip does not tell.
    of_tiles : sequence of (int, int, int)
        Number, conversions, and conversions beyond the range of each tile that was read and tells.
    drives, held_drives : int
        Rows that were driven for real values, summed over the reads, and those whose value lay beyond the converters.
    dac_bits : int or None
        Bits of the converters at the rows; None where there are none, or nothing was driven for real values.
    """

    name: str
    tiles: int
    reads: int
    active_rows: int
    cell_reads: int
    conversions: int
    adc_bits: int | None
    additions: int = 0
    read_watts: float | None = None
    busiest_reads: int | None = None
    programming_pulses: int = 0
    saturated: int | None = None
    of_tiles: tuple[tuple[int, int, int], ...] = ()
    drives: int = 0
    held_drives: int = 0
    dac_bits: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ParameterError(f"ProjectionActivity: name={self.name!r}: must be the name of a projection")
        where = f"activity of {self.name!r}: "
        counts = ("reads", "active_rows", "cell_reads", "conversions", "additions", "programming_pulses")
        for name in (*counts, "drives", "held_drives"):
            object.__setattr__(self, name, whole(where + name, getattr(self, name)))
        object.__setattr__(self, "tiles", whole(where + "tiles", self.tiles, at_least=1))
        if self.adc_bits is not None:
            object.__setattr__(self, "adc_bits", whole(where + "adc_bits", self.adc_bits, at_least=1))
        if self.dac_bits is not None:
            object.__setattr__(self, "dac_bits", whole(where + "dac_bits", self.dac_bits, at_least=1))
        if self.held_drives > self.drives:
            raise ParameterError(f"{where}held_drives={self.held_drives} is more than {self.drives} drives")
        if self.read_watts is not None:
            positive(where + "read_watts", self.read_watts, zero=True)
            object.__setattr__(self, "read_watts", float(self.read_watts))
        if self.busiest_reads is not None:
            object.__setattr__(self, "busiest_reads", whole(where + "busiest_reads", self.busiest_reads))
            if not self.reads <= self.busiest_reads * self.tiles or self.busiest_reads > self.reads:
                raise ParameterError(
                    f"{where}busiest_reads={self.busiest_reads} does not fit {self.reads} reads of {self.tiles} tiles"
                )
        if self.saturated is not None:
            object.__setattr__(self, "saturated", whole(where + "saturated", self.saturated))
            if self.saturated > self.conversions:
                raise ParameterError(f"{where}saturated={self.saturated} is more than {self.conversions} conversions")
        tiles: Any = self.of_tiles
        if isinstance(tiles, str | bytes) or not isinstance(tiles, Sequence):
            raise ParameterError(f"{where}of_tiles={tiles!r}: must be a sequence")
        object.__setattr__(self, "of_tiles", tuple(_tile(where, tile) for tile in self.of_tiles))
        if sum(tile[1] for tile in self.of_tiles) > self.conversions:
            raise ParameterError(f"{where}of_tiles hold more than {self.conversions} conversions")
        if self.cell_reads < self.active_rows:
            raise ParameterError(
                f"{where}cell_reads={self.cell_reads} is below active_rows={self.active_rows}: "
                "each active row reads the cells of its columns"
            )

    @property
    def sequential_reads(self) -> float:
        """Reads one after the other, where all tiles work at the same time."""
        return self.reads / self.tiles if self.busiest_reads is None else float(self.busiest_reads)

    def __add__(self, other: ProjectionActivity) -> ProjectionActivity:
        """Add what the same tiles did in another run."""
        for name in ("name", "tiles", "adc_bits"):
            if getattr(self, name) != getattr(other, name):
                raise ParameterError(
                    f"activity of {self.name!r}: {name} differs, {getattr(self, name)!r} and {getattr(other, name)!r}"
                )
        busiest = None
        if self.busiest_reads is not None and other.busiest_reads is not None:
            # Not every run need have the same busiest tile; the sum is a bound, and no less than an even share.
            busiest = self.busiest_reads + other.busiest_reads
        watts = None
        if self.read_watts is not None and other.read_watts is not None:
            watts = self.read_watts + other.read_watts
        saturated = None
        if self.saturated is not None and other.saturated is not None:
            saturated = self.saturated + other.saturated
        tiles: dict[int, tuple[int, int]] = {}
        for tile, conversions, beyond in (*self.of_tiles, *other.of_tiles):
            before = tiles.get(tile, (0, 0))
            tiles[tile] = before[0] + conversions, before[1] + beyond
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("reads", "active_rows", "cell_reads", "conversions", "additions", "drives", "held_drives")
        }
        # The pulses of programming are those of the chip, which both runs saw.
        pulses = max(self.programming_pulses, other.programming_pulses)
        return replace(
            self,
            read_watts=watts,
            busiest_reads=busiest,
            programming_pulses=pulses,
            saturated=saturated,
            dac_bits=self.dac_bits if other.dac_bits is None else other.dac_bits,
            of_tiles=tuple((tile, *counts) for tile, counts in sorted(tiles.items())),
            **sums,
        )


@dataclass(frozen=True)
class ChipActivity:
    """What a chip did in a run.

    Parameters
    ----------
    projections : sequence of ProjectionActivity
        In the order of the network.
    inferences : int
        Recordings that were run.
    rows, columns : int
        Physical cells of a tile.
    read_voltage : float
        Volt on an active row.
    device : str
        What the cells are, for the report: the name of the preset and its source.
    """

    projections: tuple[ProjectionActivity, ...]
    inferences: int
    rows: int
    columns: int
    read_voltage: float
    device: str = ""

    def __post_init__(self) -> None:
        given: Any = self.projections
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            raise ParameterError(f"ChipActivity: projections={given!r}: expected a sequence of ProjectionActivity")
        if not all(isinstance(one, ProjectionActivity) for one in given):
            raise ParameterError(f"ChipActivity: projections={given!r}: expected a sequence of ProjectionActivity")
        names = [one.name for one in given]
        if len(set(names)) != len(names):
            raise ParameterError(f"ChipActivity: two projections have one name: {', '.join(names)}")
        object.__setattr__(self, "projections", tuple(given))
        for name in ("inferences", "rows", "columns"):
            object.__setattr__(self, name, whole(f"ChipActivity: {name}", getattr(self, name), at_least=1))
        positive("ChipActivity: read_voltage", self.read_voltage)
        object.__setattr__(self, "read_voltage", float(self.read_voltage))
        if not isinstance(self.device, str):
            raise ParameterError(f"ChipActivity: device={self.device!r}: must be a text")

    def projection(self, name: str) -> ProjectionActivity:
        """Return the activity of the projection of that name."""
        for one in self.projections:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.projections)
        raise ParameterError(f"no activity of a projection {name!r}; there are: {known or 'none'}")

    # -- converters at the end of their range --------------------------------------------------------------

    def saturated_tiles(self) -> list[tuple[float, str, int]]:
        """Return share of conversions beyond the range, projection and number of each tile with some, worst first."""
        found = [
            (beyond / conversions, one.name, number)
            for one in self.projections
            for number, conversions, beyond in one.of_tiles
            if beyond
        ]
        return sorted(found, key=lambda tile: (-tile[0], tile[2]))

    def warn(self, stacklevel: int = 2) -> None:
        """Warn where converters went beyond their range in more than a few conversions."""
        text = self.saturation()
        if text:
            warnings.warn(text, SaturationWarning, stacklevel=stacklevel + 1)

    def saturation(self) -> str:
        """Return what is to be said of conversions beyond the range of their converters; nothing where few were."""
        return "; ".join(text for text in (self._beyond_columns(), self._beyond_rows()) if text)

    def _beyond_rows(self) -> str:
        bad = [one for one in self.projections if one.held_drives > SATURATED * one.drives]
        listed = ", ".join(f"{one.held_drives / one.drives:.0%} of {one.name}" for one in bad)
        return (
            f"values went beyond what rows are driven with: {listed}. Give a larger DAC(full_scale=...)" if bad else ""
        )

    def _beyond_columns(self) -> str:
        bad: list[tuple[float, str, int]] = []
        for one in self.projections:
            whole_of_it = (-1, one.conversions, one.saturated or 0)
            spread = _is_more(whole_of_it, SATURATED)
            limit = SATURATED if spread else SATURATED_TILE
            tiles = [tile for tile in one.of_tiles if _is_more(tile, limit)]
            # Of a projection that does not tell its tiles, or of tiles with few conversions each: all of it.
            named = tiles or [whole_of_it] * spread
            bad += [(beyond / conversions, one.name, number) for number, conversions, beyond in named]
        bad.sort(key=lambda tile: (-tile[0], tile[2]))
        if not bad:
            return ""
        listed = [f"{share:.0%} of {f'tile {tile} ({name})' if tile >= 0 else name}" for share, name, tile in bad[:4]]
        more = f" and of {len(bad) - 4} tiles more" if len(bad) > 4 else ""
        return (
            "conversions went beyond the range of their converters, which then give too small a current: "
            f"{', '.join(listed)}{more}. Set the ranges with Mapping(calibration=recordings), for more rows at a time "
            "with a larger Mapping(activity=...), or by hand with a larger ADC(full_scale=...)"
        )

    def projection_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return what each projection did in an inference as a header and rows of text."""
        worst: dict[str, float] = {}
        for share, name, _ in self.saturated_tiles():
            worst.setdefault(name, share)
        rows = []
        for one in self.projections:
            beyond = ("", "")
            if one.adc_bits is not None or one.saturated:
                all_of_them = one.saturated / one.conversions if one.saturated and one.conversions else 0.0
                beyond = (f"{all_of_them:.2%}", f"{worst.get(one.name, 0.0):.2%}")
            if one.saturated is None:
                beyond = ("not told", "")
            counts = (one.reads / self.inferences, one.conversions / self.inferences)
            rows.append((one.name, str(one.tiles), *(f"{count:,.0f}" for count in counts), *beyond))
        return ("on the chip", "tiles", "reads", "conversions", "beyond range", "in the worst tile"), rows

    def __add__(self, other: ChipActivity) -> ChipActivity:
        """Add the activity of another run on the same chip."""
        if not isinstance(other, ChipActivity):
            return NotImplemented
        mine, theirs = ([p.name for p in one.projections] for one in (self, other))
        if mine != theirs:
            raise ParameterError(f"ChipActivity: projections differ: {', '.join(mine)} and {', '.join(theirs)}")
        for name in ("rows", "columns", "read_voltage", "device"):
            if getattr(self, name) != getattr(other, name):
                raise ParameterError(
                    f"ChipActivity: {name} differs, {getattr(self, name)!r} and {getattr(other, name)!r}"
                )
        projections = tuple(a + b for a, b in zip(self.projections, other.projections, strict=True))
        return replace(self, projections=projections, inferences=self.inferences + other.inferences)

    def to_dict(self) -> dict[str, Any]:
        """Return the activity as plain numbers and texts, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> ChipActivity:
        """Return the activity that `to_dict` gave."""
        try:
            parts = dict(given)
            projections = tuple(ProjectionActivity(**part) for part in parts.pop("projections"))
            return cls(projections, **parts)
        except (KeyError, TypeError) as error:
            expected = ", ".join(one.name for one in fields(cls))
            raise DataError(f"activity of a chip: expected {expected} ({error})") from error


def _is_more(tile: tuple[int, int, int], share: float) -> bool:
    """Return whether more than a share of conversions went beyond the range, and more than by chance."""
    _, conversions, beyond = tile
    return beyond > share * conversions + BY_CHANCE * math.sqrt(share * conversions)


def _tile(where: str, given: Any) -> tuple[int, int, int]:
    """Return number, conversions and conversions beyond the range of a tile, checked."""
    if not isinstance(given, Sequence) or len(given) != 3:
        raise ParameterError(
            f"{where}of_tiles holds {given!r}: must be number, conversions, and those beyond the range"
        )
    tile, conversions, beyond = (whole(f"{where}of_tiles", value) for value in given)
    if beyond > conversions:
        raise ParameterError(f"{where}of_tiles holds {given!r}: {beyond} of {conversions} conversions")
    return tile, conversions, beyond
