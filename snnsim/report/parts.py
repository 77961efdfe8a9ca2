"""What stands in a report beside plain text and objects of snnsim: tables, pictures, text that was set already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snnsim.errors import ParameterError


@dataclass(frozen=True)
class Table:
    """A table for a report.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        One entry a column; anything that has a text.
    right : sequence of int
        Columns that hold numbers.
    caption : str
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    right: Sequence[int] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.header:
            raise ParameterError("Table: header is empty")
        for i, row in enumerate(self.rows):
            if isinstance(row, str) or len(row) != len(self.header):
                raise ParameterError(f"Table: row {i} is {row!r}; expected {len(self.header)} entries, as the header")


@dataclass(frozen=True)
class Picture:
    """A figure of matplotlib, with words under it.

    Parameters
    ----------
    figure : Figure or Axes
    caption : str
        Also what is read to those who do not see it.
    """

    figure: Any
    caption: str


@dataclass(frozen=True)
class Preformatted:
    """Text whose lines and spaces stay, such as a table that was printed.

    Parameters
    ----------
    text : str
    """

    text: str


def one_line(what: str, given: object) -> str:
    """Return a text, or raise `ParameterError` unless it is one line."""
    if not isinstance(given, str) or not given.strip() or not given.isprintable():
        raise ParameterError(f"{what}={given!r}: must be text in one line")
    return given
