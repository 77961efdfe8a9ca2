"""Reading tables of measurements: CSV files with a header, whose columns say what was measured."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.device.plausible_ranges import CONDUCTANCE, MEANT, TIME, VOLTAGE, suspicion
from snnsim.errors import DataError

PROGRAMMING = ("target_uS", "measured_uS")
SWEEP = ("voltage_V", "current_uA")
#: Columns that each kind of table may have beside its two.
MORE = {PROGRAMMING: ("time_s", "read", "device"), SWEEP: ("read", "state", "device")}
_NOT_NEGATIVE = ("target_uS", "time_s")
_WHOLE = ("read",)
_TEXT = ("device", "state")
#: What the largest size of a column may be, unless it is said to be meant.
_QUANTITIES = {"target_uS": CONDUCTANCE, "measured_uS": CONDUCTANCE, "time_s": TIME, "voltage_V": VOLTAGE}
#: Times by which the middle cell may miss its target, and by which the tables of one device may differ.
FARTHEST = 100.0
#: Copies of rows that would be there by chance once in a million tables of coarse numbers: 2**-20.
_COPIES = 20


@dataclass(frozen=True)
class MeasurementTable:
    """A table of measurements.

    Parameters
    ----------
    path : Path
    kind : tuple of str
        `PROGRAMMING` or `SWEEP`.
    numbers : dict
        An array of float64 for each column of numbers.
    labels : dict
        For each column of names, the number of the name in each row, in order of the names.
    names : dict
        The names of each such column.
    lines : ndarray of int64
        Line of the file that each row stands in.
    """

    path: Path
    kind: tuple[str, str]
    numbers: dict[str, NDArray[np.float64]]
    labels: dict[str, NDArray[np.int64]]
    names: dict[str, tuple[str, ...]]
    lines: NDArray[np.int64]

    def row(self, row: int, columns: Sequence[str]) -> str:
        """Return what stands in some columns of a row, such as "target_uS 2, device a17"."""
        found = [column for column in columns if column in self.numbers or column in self.labels]
        return ", ".join(f"{column} {self.value(row, column)}" for column in found)

    def value(self, row: int, column: str) -> str:
        """Return what stands in a column of a row."""
        if column in self.labels:
            return self.names[column][int(self.labels[column][row])]
        return f"{self.numbers[column][row]:.10g}"

    def twice(self, columns: Sequence[str]) -> tuple[int, int] | None:
        """Return the first row that has the same in all these columns as one before, and that one; None without."""
        order, same = self._ordered(columns)
        if not same.any():
            return None
        # The order is stable: of equal rows, the one before stands before.
        place = int(np.argmin(np.where(same, order[1:], self.lines.size)))
        return int(order[place + 1]), int(order[place])

    def copies(self) -> int:
        """Return how often the rows of a table without names stand in it, where all do equally often; 1 else.

        Coarse numbers repeat by chance, and cells without noise all the time: there must be more rows that differ than
        could all be even by chance.
        """
        columns = tuple(self.numbers)
        counts = self._counts(columns)
        settings = self._counts([column for column in columns if column != "measured_uS"])
        several = int(np.gcd.reduce(counts))
        return several if counts.size - settings.size >= _COPIES else 1

    def _ordered(self, columns: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return rows in an order in which equal ones stand together, and whether each equals the one before."""
        values = [(self.numbers | self.labels)[c] for c in columns if c in self.numbers or c in self.labels]
        order = np.lexsort(values)
        return order, np.all([one[order[1:]] == one[order[:-1]] for one in values], axis=0)

    def _counts(self, columns: Sequence[str]) -> NDArray[np.int64]:
        starts = np.flatnonzero(np.concatenate([[True], ~self._ordered(columns)[1]]))
        return np.diff(starts, append=self.lines.size)


def read_table(path: str | Path, *, unusual: bool = False) -> MeasurementTable:
    """Read a table of either kind.

    Parameters
    ----------
    path : path
    unusual : bool
        Take numbers that no cell is known to have.

    Raises
    ------
    DataError
        No such file, columns that are missing or unknown, a value that is none, or one in another unit than its column
        says by all appearance; the message names file, line, column and value.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{file}: cannot be read as a table ({reason})") from error
    reader = csv.reader(text.splitlines())
    try:
        rows = [(reader.line_num, [one.strip() for one in row]) for row in reader if any(one.strip() for one in row)]
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: cannot be read as values with commas ({error})") from error
    if not rows:
        raise DataError(f"{file}: is empty; the first line must name the columns, such as {','.join(PROGRAMMING)}")
    (_, header), body = rows[0], rows[1:]
    kind = _kind(file, header)
    if not body:
        raise DataError(f"{file}: has no rows below its header")
    for line, row in body:
        if len(row) != len(header):
            raise DataError(f"{file}, line {line}: {len(row)} values, but the header names {len(header)} columns")
    numbers, labels, names = {}, {}, {}
    lines = np.array([line for line, _ in body], np.int64)
    for place, column in enumerate(header):
        if column not in _TEXT:
            numbers[column] = np.array([_number(file, line, column, row[place]) for line, row in body])
            continue
        texts = np.array([row[place] for _, row in body])
        if (texts == "").any():
            raise DataError(f"{file}, line {lines[texts == ''][0]}, column {column}: is empty; must be a name")
        found, which = np.unique(texts, return_inverse=True)
        labels[column], names[column] = which.astype(np.int64), tuple(str(name) for name in found)
    table = MeasurementTable(file, kind, numbers, labels, names, lines)
    if not unusual:
        _question(table)
    return table


def _question(table: MeasurementTable) -> None:
    """Raise `DataError` where what is in a column is by all appearance in another unit than its header says."""
    for column, quantity in _QUANTITIES.items():
        sizes = np.abs(table.numbers.get(column, np.zeros(1)))
        if not sizes.any():
            continue
        reason = suspicion(float(sizes.max()), quantity, f"column {column}")
        if reason:
            line, value = table.lines[sizes.argmax()], table.value(int(sizes.argmax()), column)
            raise DataError(f"{table.path}, line {line}, column {column}: {value} is its largest; {reason} {MEANT}")
    if table.kind == PROGRAMMING:
        target, measured = table.numbers["target_uS"], np.abs(table.numbers["measured_uS"])
        if (target > 0).any():
            ratio = float(np.median(measured[target > 0] / target[target > 0]))
            if not 1 / FARTHEST <= ratio <= FARTHEST:
                raise DataError(
                    f"{table.path}, columns target_uS and measured_uS: cells read {ratio:.3g} times their targets (the "
                    f"middle one of {table.lines.size} rows); are both in uS? {MEANT}"
                )


def _kind(file: Path, header: list[str]) -> tuple[str, str]:
    for kind, more in MORE.items():
        if not set(kind) <= set(header):
            continue
        for column in header:
            if column not in kind + more:
                raise DataError(
                    f"{file}, line 1: column {column!r} is not known; beside {', '.join(kind)} there may be "
                    f"{', '.join(more)}"
                )
            if header.count(column) > 1:
                raise DataError(f"{file}, line 1: column {column!r} is there {header.count(column)} times")
        return kind
    hint = "; values must be separated by commas" if len(header) == 1 else ""
    raise DataError(
        f"{file}, line 1: columns {', '.join(header)!r} name no kind of table; known are {','.join(PROGRAMMING)}"
        f"[,{',['.join(MORE[PROGRAMMING])}{']' * len(MORE[PROGRAMMING])} and {','.join(SWEEP)}[,device]{hint}"
    )


def _number(file: Path, line: int, column: str, value: str) -> float:
    try:
        number = math.nan if "_" in value else float(value)  # to Python, 1_000 is a number
    except ValueError:
        number = math.nan
    where = f"{file}, line {line}, column {column}: {value!r}"
    if not math.isfinite(number):
        raise DataError(f"{where} is not a finite number")
    if number < 0 and column in _NOT_NEGATIVE:
        raise DataError(f"{where} is below zero")
    if column in _WHOLE and number != int(number):
        raise DataError(f"{where} is not a whole number")
    return number
