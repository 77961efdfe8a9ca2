"""Reading tables of measurements: CSV files with a header, whose columns say what was measured."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DataError

PROGRAMMING = ("target_uS", "measured_uS")
SWEEP = ("voltage_V", "current_uA")
#: Columns that each kind of table may have beside its two.
MORE = {PROGRAMMING: ("time_s", "read", "device"), SWEEP: ("device",)}
_NOT_NEGATIVE = ("target_uS", "time_s")
_WHOLE = ("read",)
_TEXT = ("device",)


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
    device : ndarray of int64 or None
        Number of the device in each row, in order of the names; None without that column.
    names : tuple of str
        Names of the devices.
    lines : ndarray of int64
        Line of the file that each row stands in.
    """

    path: Path
    kind: tuple[str, str]
    numbers: dict[str, NDArray[np.float64]]
    device: NDArray[np.int64] | None
    names: tuple[str, ...]
    lines: NDArray[np.int64]


def read_table(path: str | Path) -> MeasurementTable:
    """Read a table of either kind.

    Raises
    ------
    DataError
        No such file, columns that are missing or unknown, or a value that is none; the message names file, line,
        column and value.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{file}: cannot be read as a table ({reason})") from error
    reader = csv.reader(text.splitlines())
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"{file}: is empty; the first line must name the columns, such as {','.join(PROGRAMMING)}")
    (_, header), body = rows[0], rows[1:]
    kind = _kind(file, header)
    if not body:
        raise DataError(f"{file}: has no rows below its header")
    for line, row in body:
        if len(row) != len(header):
            raise DataError(f"{file}, line {line}: {len(row)} values, but the header names {len(header)} columns")
    numbers, labels = {}, None
    for place, column in enumerate(header):
        if column in _TEXT:
            labels = np.array([row[place] for _, row in body])
        else:
            numbers[column] = np.array([_number(file, line, column, row[place]) for line, row in body])
    lines = np.array([line for line, _ in body], np.int64)
    if labels is None:
        return MeasurementTable(file, kind, numbers, None, (), lines)
    names, device = np.unique(labels, return_inverse=True)
    return MeasurementTable(file, kind, numbers, device.astype(np.int64), tuple(str(name) for name in names), lines)


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
        number = float(value)
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
