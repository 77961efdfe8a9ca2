"""What an energy report is: lines of counts times costs, times, their tables, and two reports side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from snnsim.energy.costs import MEANINGS, CostTable
from snnsim.errors import DataError, ParameterError, positive, whole
from snnsim.storage.json_files import read_json, write_json
from snnsim.system.tables import in_unit, table


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

    def __post_init__(self) -> None:
        _check_texts(self, ("part", "operation"))
        for name in ("count", "each"):
            positive(f"EnergyLine: {name}", getattr(self, name), zero=True)

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

    def __post_init__(self) -> None:
        _check_texts(self, ("part", "parallelism"))
        positive("LatencyLine: seconds", self.seconds, zero=True)


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
                whole("inferences", content["inferences"], at_least=1),
                tuple(EnergyLine(**_listed(line)) for line in content["once"]),
                dict(content["facts"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: the file is damaged or not complete ({error})") from error


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
    for name, report in (("first", first), ("second", second)):
        if not isinstance(report, EnergyReport):
            raise ParameterError(f"{name}={report!r}: expected an EnergyReport")
    if not set(first.parts) & set(second.parts):
        raise ParameterError(
            f"the reports have no part in common: {', '.join(first.parts)} and {', '.join(second.parts)}"
        )
    return EnergyComparison(first, second)


def _check_texts(line: EnergyLine | LatencyLine, names: tuple[str, ...]) -> None:
    kind, assumptions = type(line).__name__, line.assumptions
    for name in names:
        if not isinstance(getattr(line, name), str):
            raise ParameterError(f"{kind}: {name}={getattr(line, name)!r}: must be a text")
    if not isinstance(assumptions, tuple) or not all(name in MEANINGS for name in assumptions):
        raise ParameterError(f"{kind}: assumptions={assumptions!r}: must be names of a cost table")


# -- helping -----------------------------------------------------------------------------------------------


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
