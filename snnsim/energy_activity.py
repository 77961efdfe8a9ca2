"""What a chip did in a run: the counts that energy and latency are worked out from.

The chip counts; what a count costs is a matter of `snnsim.energy`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from snnsim.errors import DataError, ParameterError, positive, whole


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

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ParameterError(f"ProjectionActivity: name={self.name!r}: must be the name of a projection")
        where = f"activity of {self.name!r}: "
        counts = ("reads", "active_rows", "cell_reads", "conversions", "additions", "programming_pulses")
        for name in counts:
            object.__setattr__(self, name, whole(where + name, getattr(self, name)))
        object.__setattr__(self, "tiles", whole(where + "tiles", self.tiles, at_least=1))
        if self.adc_bits is not None:
            object.__setattr__(self, "adc_bits", whole(where + "adc_bits", self.adc_bits, at_least=1))
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
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("reads", "active_rows", "cell_reads", "conversions", "additions")
        }
        # The pulses of programming are those of the chip, which both runs saw.
        pulses = max(self.programming_pulses, other.programming_pulses)
        return replace(
            self, read_watts=watts, busiest_reads=busiest, programming_pulses=pulses, saturated=saturated, **sums
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

    def projection(self, name: str) -> ProjectionActivity:
        """Return the activity of the projection of that name."""
        for one in self.projections:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.projections)
        raise ParameterError(f"no activity of a projection {name!r}; there are: {known or 'none'}")

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
