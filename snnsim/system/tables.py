"""Plain-text tables, and quantities with units."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BYTES = ("B", "kB", "MB", "GB", "TB")
_PREFIXES = (("G", 9), ("M", 6), ("k", 3), ("", 0), ("m", -3), ("µ", -6), ("n", -9), ("p", -12), ("f", -15), ("a", -18))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Return rows under a header, in columns as wide as their widest entry.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        One entry a column; anything that has a text.
    right : sequence of int
        Columns to align to the right.
    """
    text = [[str(entry) for entry in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in text) for i in range(len(header))]
    lines = []
    for row in text:
        cells = [
            entry.rjust(width) if i in right else entry.ljust(width)
            for i, (entry, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def in_unit(value: float, unit: str) -> str:
    """Return a quantity with three digits and the prefix that suits it: 2.58e-12 J as 2.58 pJ."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    prefix = 0
    # 999.5 would round to 1000: it takes the next prefix.
    while prefix < len(_PREFIXES) - 1 and abs(value) < 0.9995 * 10.0 ** _PREFIXES[prefix][1]:
        prefix += 1
    letter, power = _PREFIXES[prefix]
    return f"{value / 10.0**power:.3g} {letter}{unit}"


def in_bytes(size: float) -> str:
    """Return a number of bytes in three digits."""
    unit = 0
    while size >= 999.5 and unit < len(_BYTES) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_BYTES[unit]}" if unit == 0 else f"{size:.3g} {_BYTES[unit]}"
