"""Energy and latency of an inference: counted operations times a table of costs, every assumption printed.

Nothing here is measured in joule. A backend counts what it did; a `CostTable` says what one of each would take in some
hardware, and from where it has the figure. A line of the report is one count times one cost, so that changing an
assumption changes the lines that name it and no others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from snnsim.energy_activity import ChipActivity, ProjectionActivity
from snnsim.energy_costs import MEANINGS, Cost, CostTable
from snnsim.energy_presets import digital_45nm as digital_45nm
from snnsim.energy_presets import digital_45nm_integer as digital_45nm_integer
from snnsim.energy_presets import loihi as loihi
from snnsim.energy_presets import rram_crossbar as rram_crossbar
from snnsim.errors import DataError, ParameterError
from snnsim.json_storage import read_json, write_json
from snnsim.result import Counters, Result
from snnsim.tables import in_unit, table

__all__ = [
    "ChipActivity",
    "Cost",
    "CostTable",
    "EnergyComparison",
    "EnergyLine",
    "EnergyReport",
    "LatencyLine",
    "ProjectionActivity",
    "compare",
    "digital_45nm",
    "digital_45nm_integer",
    "energy_report",
    "loihi",
    "rram_crossbar",
]


@dataclass(frozen=True)
class EnergyLine:
    """One count times one cost.

    Parameters
    ----------
    part : str
        Name of the projection or population.
    operation : str
        What was counted.
    count : float
        How often in an inference, on average.
    each : float
        Joule for one of them.
    assumptions : tuple of str
        Names in the table that `each` was worked out from.
    """

    part: str
    operation: str
    count: float
    each: float
    assumptions: tuple[str, ...]

    @property
    def energy(self) -> float:
        """Joule an inference."""
        return self.count * self.each


@dataclass(frozen=True)
class LatencyLine:
    """Time of one part.

    Parameters
    ----------
    part : str
        Name of the projection or population.
    seconds : float
        In an inference, on average.
    parallelism : str
        What is taken to happen at the same time.
    assumptions : tuple of str
        Names in the table.
    """

    part: str
    seconds: float
    parallelism: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class EnergyReport:
    """What an inference takes on some hardware.

    Parameters
    ----------
    table : CostTable
        All assumptions.
    lines : tuple of EnergyLine
        Counts times costs, an inference.
    latencies : tuple of LatencyLine
        An inference; empty where the table gives no times.
    inferences : int
        Over how many the counts are averaged.
    once : tuple of EnergyLine
        What is spent once, before any inference: programming pulses, in all.
    facts : dict of str
        Where the counts come from.
    """

    table: CostTable
    lines: tuple[EnergyLine, ...]
    latencies: tuple[LatencyLine, ...]
    inferences: int
    once: tuple[EnergyLine, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def energy(self) -> float:
        """Joule an inference."""
        return math.fsum(line.energy for line in self.lines)

    @property
    def latency(self) -> float | None:
        """Seconds an inference, one part after the other; None where the table gives no times."""
        return math.fsum(line.seconds for line in self.latencies) if self.latencies else None

    @property
    def interval(self) -> float | None:
        """Seconds from one inference to the next where all parts work at the same time: those of the slowest part."""
        return max(line.seconds for line in self.latencies) if self.latencies else None

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of projections and populations, in the order of the lines."""
        return tuple(dict.fromkeys([line.part for line in self.lines] + [line.part for line in self.latencies]))

    def by_part(self) -> dict[str, float]:
        """Return joule an inference of each projection and population."""
        return _sums((line.part, line.energy) for line in self.lines)

    def by_operation(self) -> dict[str, float]:
        """Return joule an inference of each kind of operation."""
        return _sums((line.operation, line.energy) for line in self.lines)

    def line(self, part: str, operation: str) -> EnergyLine:
        """Return one line.

        Raises
        ------
        ParameterError
            There is none of that part and operation.
        """
        for line in self.lines:
            if (line.part, line.operation) == (part, operation):
                return line
        known = "; ".join(f"{line.part}: {line.operation}" for line in self.lines)
        raise ParameterError(f"no line {part!r}, {operation!r}; there are: {known or 'none'}")

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the assumptions that entered, in the order of the table."""
        lines: tuple[EnergyLine | LatencyLine, ...] = (*self.lines, *self.latencies, *self.once)
        named = {name for line in lines for name in line.assumptions}
        return tuple(name for name in MEANINGS if name in named)

    # -- showing -----------------------------------------------------------------------------------------

    def energy_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the lines as a header and rows of text."""
        total = self.energy
        rows: list[tuple[str, ...]] = [
            (
                line.part,
                line.operation,
                f"{line.count:,.0f}" if line.count >= 100 else f"{line.count:.3g}",
                in_unit(line.each, "J"),
                in_unit(line.energy, "J"),
                f"{100 * line.energy / total:.1f} %" if total else "",
                " × ".join(line.assumptions),
            )
            for line in self.lines
        ]
        return ("part", "operation", "count", "each", "energy", "share", "assumptions"), rows

    def part_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return energy and latency of each part as a header and rows of text; the last row is the sum."""
        energies, times = self.by_part(), {line.part: line for line in self.latencies}
        total = self.energy
        rows: list[tuple[str, ...]] = []
        for part in self.parts:
            energy = energies.get(part, 0.0)
            time = times.get(part)
            rows.append(
                (
                    part,
                    in_unit(energy, "J"),
                    f"{100 * energy / total:.1f} %" if total else "",
                    "" if time is None else in_unit(time.seconds, "s"),
                    "" if time is None else time.parallelism,
                )
            )
        latency = self.latency
        rows.append(("all", in_unit(total, "J"), "", "" if latency is None else in_unit(latency, "s"), ""))
        return ("part", "energy", "share", "latency", "at the same time"), rows

    def assumption_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the assumptions that entered as a header and rows of text."""
        costs = self.table.costs
        rows: list[tuple[str, ...]] = [
            (name, str(costs[name]), MEANINGS[name][1], costs[name].source) for name in self.used
        ]
        return ("assumption", "value", "of", "source"), rows

    @property
    def headline(self) -> str:
        """Energy and latency of an inference in one line."""
        latency, interval = self.latency, self.interval
        text = f"{self.table.name}: {in_unit(self.energy, 'J')} an inference"
        if latency is not None and interval is not None:
            text += (
                f", {in_unit(latency, 's')} one part after the other, one every {in_unit(interval, 's')} as a pipeline"
            )
        return f"{text} (mean of {self.inferences:,})"

    def __str__(self) -> str:
        header, rows = self.energy_rows()
        parts = [self.headline, table(header, rows, right=(2, 3, 4, 5))]
        header, rows = self.part_rows()
        parts.append(table(header, rows, right=(1, 2, 3)))
        for line in self.once:
            parts.append(
                f"once: {line.part}: {line.operation}, {line.count:,.0f} × {in_unit(line.each, 'J')} = "
                f"{in_unit(line.energy, 'J')} ({' × '.join(line.assumptions)})"
            )
        _, rows = self.assumption_rows()
        # A source may stand behind several figures, and is long: it is printed once.
        sources = {source: i + 1 for i, source in enumerate(dict.fromkeys(row[3] for row in rows))}
        numbered = [(name, value, meaning, f"[{sources[source]}]") for name, value, meaning, source in rows]
        parts.append(table(("assumption", "value", "of", "source"), numbered, right=(1,)))
        parts.append("\n".join(f"[{number}] {source}" for source, number in sources.items()))
        if self.facts:
            parts.append("\n".join(f"{name}: {fact}" for name, fact in self.facts.items()))
        if self.table.note:
            parts.append(self.table.note)
        return "\n\n".join(parts)

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save to a JSON file, which is complete or not there at all."""
        content = {
            "table": self.table.to_dict(),
            "inferences": self.inferences,
            "lines": [asdict(line) for line in self.lines],
            "latencies": [asdict(line) for line in self.latencies],
            "once": [asdict(line) for line in self.once],
            "facts": self.facts,
        }
        write_json(path, "energy_report", content)

    @classmethod
    def load(cls, path: str | Path) -> EnergyReport:
        """Load what `save` saved."""
        content = read_json(path, "energy_report")
        try:
            return cls(
                CostTable.from_dict(content["table"]),
                tuple(EnergyLine(**_listed(line)) for line in content["lines"]),
                tuple(LatencyLine(**_listed(line)) for line in content["latencies"]),
                int(content["inferences"]),
                tuple(EnergyLine(**_listed(line)) for line in content["once"]),
                dict(content["facts"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: the file is damaged or not complete ({error})") from error


def energy_report(
    run: Result | Counters | ChipActivity, costs: CostTable, *, activity: ChipActivity | None = None
) -> EnergyReport:
    """Return energy and latency of an inference.

    Parameters
    ----------
    run : Result, Counters or ChipActivity
        What was counted. With a `ChipActivity` alone, only the chip is in the report, without its digital neurons.
    costs : CostTable
        What one of each takes; for instance `digital_45nm()` or `rram_crossbar()`.
    activity : ChipActivity, optional
        What the chip did in this run. Its projections are counted in reads, rows and conversions; projections that it
        does not hold, in synaptic operations.

    Returns
    -------
    EnergyReport

    Raises
    ------
    ParameterError
        The table lacks an assumption that a count needs, or run and activity are not of the same recordings.
    """
    if not isinstance(costs, CostTable):
        raise ParameterError(f"costs={costs!r}: expected a CostTable, for instance digital_45nm()")
    if isinstance(run, ChipActivity):
        if activity is not None:
            raise ParameterError("activity: is given twice")
        activity, counters = run, None
    elif isinstance(run, (Result, Counters)):
        counters = run.counters if isinstance(run, Result) else run
    else:
        raise ParameterError(f"run={run!r}: expected a Result, its counters, or a ChipActivity")
    book = _Book(costs, _inferences(counters, activity))
    if activity is not None:
        for one in activity.projections:
            book.chip_projection(one, activity)
    if counters is not None:
        on_chip = {one.name for one in activity.projections} if activity is not None else set[str]()
        _check_names(on_chip, counters)
        for i, name in enumerate(counters.projections):
            if name not in on_chip:
                book.digital_projection(name, float(counters.synaptic_operations[:, i].sum()))
        for i, name in enumerate(counters.populations):
            updates = None if counters.sources[i] else float(counters.membrane_updates[:, i].sum())
            book.population(name, float(counters.spikes[:, i].sum()), updates)
    facts = {}
    if isinstance(run, Result):
        facts["counted by"] = (
            f"backend {run.provenance.get('backend', '?')}, snnsim {run.provenance.get('snnsim', '?')}"
        )
        facts["ticks"] = f"{run.exit_ticks.mean():.1f} computed in a recording on average, {run.dt:g} s each"
    if activity is not None:
        facts["chip"] = (
            f"{sum(one.tiles for one in activity.projections)} tiles of {activity.rows} × {activity.columns} cells, "
            f"read at {activity.read_voltage:g} V{f'; {activity.device}' if activity.device else ''}"
        )
    return EnergyReport(costs, tuple(book.lines), tuple(book.latencies), book.inferences, tuple(book.once), facts)


class _Book:
    """Lines as they are written, each count divided by the number of inferences."""

    def __init__(self, costs: CostTable, inferences: int) -> None:
        self.costs, self.inferences = costs, inferences
        self.lines: list[EnergyLine] = []
        self.latencies: list[LatencyLine] = []
        self.once: list[EnergyLine] = []

    def energy(self, part: str, operation: str, count: float, each: float, *assumptions: str) -> None:
        self.lines.append(EnergyLine(part, operation, count / self.inferences, each, assumptions))

    def priced(self, part: str, operation: str, count: float, name: str) -> None:
        """Write a line of one assumption, where the table makes it."""
        if getattr(self.costs, name) is not None:
            self.energy(part, operation, count, self.costs.value(name), name)

    def digital_projection(self, name: str, operations: float) -> None:
        self.costs.value("accumulate")  # without it the synapses would cost nothing
        self.priced(name, "weights added", operations, "accumulate")
        self.priced(name, "weights read", operations, "weight_read")
        self.priced(name, "inputs read and written", operations, "input_update")
        self.lanes(name, operations, "operation", "weights")

    def population(self, name: str, spikes: float, updates: float | None) -> None:
        if updates is not None:
            self.costs.value("neuron_update")
            self.priced(name, "neurons updated", updates, "neuron_update")
            self.priced(name, "states read and written", updates, "state_update")
            self.lanes(name, updates, "update", "neurons")
        self.priced(name, "spikes routed", spikes, "spike_route")

    def lanes(self, part: str, count: float, kind: str, what: str) -> None:
        """Write the time of operations in lanes, where the table gives times."""
        time, lanes = f"{kind}_time", f"{kind}_lanes"
        if getattr(self.costs, time) is None:
            return
        width = self.costs.value(lanes) if getattr(self.costs, lanes) is not None else 1.0
        rounds = count / self.inferences / width if math.isfinite(width) else float(count > 0)
        shown = f"all {what}" if math.isinf(width) else f"{what} in {width:g} lane{'s' if width > 1 else ''}"
        used = (time, lanes) if getattr(self.costs, lanes) is not None else (time,)
        self.latencies.append(LatencyLine(part, rounds * self.costs.value(time), shown, used))

    def chip_projection(self, one: ProjectionActivity, activity: ChipActivity) -> None:
        value, name = self.costs.value, one.name
        pulse = value("read_pulse")
        if one.read_watts is not None:
            each = one.read_watts * pulse / one.cell_reads if one.cell_reads else 0.0
            self.energy(name, "cells read, V·I of each", one.cell_reads, each, "read_pulse")
        else:
            each = activity.read_voltage**2 * value("cell_conductance") * pulse
            self.energy(name, "cells read, V²·G", one.cell_reads, each, "cell_conductance", "read_pulse")
        each = activity.columns * value("row_capacitance") * value("row_voltage") ** 2
        self.energy(name, "rows switched on", one.active_rows, each, "row_capacitance", "row_voltage")
        if one.adc_bits is not None:
            each = value("adc_step") * 2.0**one.adc_bits
            self.energy(name, f"conversions of {one.adc_bits} bits", one.conversions, each, "adc_step")
        if one.additions:
            self.energy(name, "partial sums added", one.additions, value("addition"), "addition")
        if one.programming_pulses and self.costs.programming_pulse is not None:
            cost = value("programming_pulse")
            self.once.append(
                EnergyLine(name, "programming pulses", one.programming_pulses, cost, ("programming_pulse",))
            )
        self.chip_latency(one)

    def chip_latency(self, one: ProjectionActivity) -> None:
        """Write the time of reads: pulse and conversions, one read after the other, tiles at the same time."""
        value = self.costs.value
        at_once = value("parallel_tiles") if self.costs.parallel_tiles is not None else math.inf
        rounds = max(one.sequential_reads, one.reads / at_once) / self.inferences
        used = ["read_pulse"]
        if one.tiles > 1 and self.costs.parallel_tiles is not None:
            used.append("parallel_tiles")
        tiles = f"{one.tiles if math.isinf(at_once) else min(one.tiles, int(at_once))} of {one.tiles} tiles"
        a_read, shown = value("read_pulse"), tiles
        if one.adc_bits is not None and one.reads:
            shared = value("pairs_per_adc")
            # A tile of few columns in use keeps its converters busy for less long.
            a_read += min(shared, one.conversions / one.reads) * value("conversion_time")
            used += ["conversion_time", "pairs_per_adc"]
            shown += f", an ADC for {shared:g} pairs" if math.isfinite(shared) else ", one ADC a tile"
        self.latencies.append(LatencyLine(one.name, rounds * a_read, shown, tuple(used)))


# -- comparing -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EnergyComparison:
    """Two reports of the same network side by side.

    Parameters
    ----------
    first, second : EnergyReport
    """

    first: EnergyReport
    second: EnergyReport

    @property
    def energy_ratio(self) -> float:
        """How many times the energy of the second the first takes; infinite where the second takes none."""
        return self.first.energy / self.second.energy if self.second.energy else math.inf

    @property
    def latency_ratio(self) -> float | None:
        """How many times the time of the second the first takes; None where a table gives no times."""
        first, second = self.first.latency, self.second.latency
        return None if first is None or not second else first / second

    def rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return energy of each part as a header and rows of text; the last rows are sum and latency."""
        names = (self.first.table.name, self.second.table.name)
        left, right = self.first.by_part(), self.second.by_part()
        rows = []
        for part in dict.fromkeys([*left, *right]):
            a, b = left.get(part), right.get(part)
            texts = ["" if energy is None else in_unit(energy, "J") for energy in (a, b)]
            rows.append((part, *texts, f"{a / b:.3g}" if a is not None and b else ""))
        rows.append(
            ("all", in_unit(self.first.energy, "J"), in_unit(self.second.energy, "J"), _ratio(self.energy_ratio))
        )
        times = ["" if one.latency is None else in_unit(one.latency, "s") for one in (self.first, self.second)]
        rows.append(("latency", *times, _ratio(self.latency_ratio)))
        return ("part", *names, "ratio"), rows

    def __str__(self) -> str:
        header, rows = self.rows()
        notes = [f"{one.table.name}: {one.table.note}" for one in (self.first, self.second) if one.table.note]
        return "\n\n".join([table(header, rows, right=(1, 2, 3)), *notes])


def compare(first: EnergyReport, second: EnergyReport) -> EnergyComparison:
    """Return two reports side by side, for instance of digital logic and of a chip.

    Parameters
    ----------
    first, second : EnergyReport

    Raises
    ------
    ParameterError
        They have no part in common.
    """
    if not set(first.parts) & set(second.parts):
        raise ParameterError(
            f"the reports have no part in common: {', '.join(first.parts)} and {', '.join(second.parts)}"
        )
    return EnergyComparison(first, second)


# -- helping ---------------------------------------------------------------------------------------------


def _inferences(counters: Counters | None, activity: ChipActivity | None) -> int:
    counted = None if counters is None else int(counters.exit_ticks.size)
    if counted is None:
        assert activity is not None
        return activity.inferences
    if counted == 0:
        raise ParameterError("run: holds no recording")
    if activity is not None and activity.inferences != counted:
        raise ParameterError(f"activity: is of {activity.inferences} recordings, the run of {counted}")
    return counted


def _check_names(on_chip: Iterable[str], counters: Counters) -> None:
    unknown = [name for name in on_chip if name not in counters.projections]
    if unknown:
        raise ParameterError(
            f"activity: the run has no projection {', '.join(map(repr, unknown))}; there are: "
            f"{', '.join(counters.projections)}"
        )


def _sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, value in pairs:
        sums[name] = sums.get(name, 0.0) + value
    return sums


def _listed(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored line, with its list of assumptions as a tuple."""
    return {**line, "assumptions": tuple(line["assumptions"])}


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
