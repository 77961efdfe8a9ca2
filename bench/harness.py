"""What every benchmark shares: paired timing, rows of one form, one JSON object, one table."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snnsim.system.machine import cores

PACKAGES = (
    "snnsim",
    "numpy",
    "numba",
    "torch",
    "spikingjelly",
    "sinabs",
    "norse",
    "snntorch",
    "tonic",
    "nest-simulator",
)


def options(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller run that shows the same table")
    parser.add_argument("--json", type=Path, help="write the result here as one JSON object")
    return parser


def seconds(work: Callable[[], Any], repeat: int = 1) -> float:
    """Return the seconds that one call of `work` takes, averaged over `repeat` calls in a row."""
    start = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - start) / repeat


def repeats(work: Callable[[], Any], at_least: float = 0.2) -> int:
    """Return how many calls of `work` take at least so many seconds, after two calls to warm up."""
    work()
    return max(1, int(at_least / max(seconds(work), 1e-6)))


def row(
    case: str,
    metric: str,
    unit: str,
    ours: float,
    peer: float | None = None,
    peer_name: str | None = None,
    ratio: float | None = None,
    spread: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Return one row; without a peer the three fields of the peer stay empty."""
    return {
        "case": case,
        "metric": metric,
        "unit": unit,
        "ours": ours,
        "peer": peer,
        "peer_name": peer_name,
        "ratio": ratio,
        "spread": None if spread is None else [float(value) for value in spread],
    }


def paired(
    case: str,
    metric: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    peer_name: str,
    *,
    runs: int,
    unit: str = "ms",
    share: float = 1.0,
) -> dict[str, Any]:
    """Time both sides in turn; medians of each, the median of the ratios run by run, and the range of the ratios.

    Parameters
    ----------
    case, metric, unit : str
    ours, peer : callable
        The work of each side.
    peer_name : str
    runs : int
        Pairs to measure.
    share : float
        Factor from seconds a call to the unit.
    """
    scale = {"ms": 1e3, "s": 1.0, "us": 1e6}[unit] * share
    mine, theirs = repeats(ours), repeats(peer)
    pairs = [(seconds(ours, mine) * scale, seconds(peer, theirs) * scale) for _ in range(runs)]
    ratios = [b / a for a, b in pairs]
    medians = [statistics.median(values) for values in zip(*pairs, strict=True)]
    return row(
        case, metric, unit, medians[0], medians[1], peer_name, statistics.median(ratios), (min(ratios), max(ratios))
    )


def versions() -> dict[str, str]:
    """Return the versions of everything that took part."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    found["cores"] = str(cores())
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def finish(name: str, settings: dict[str, Any], rows: list[dict[str, Any]], path: Path | None) -> dict[str, Any]:
    """Print the table, write the JSON, and return the object."""
    show(rows)
    result = keep(name, settings, rows, path)
    if path is not None:
        print(f"wrote {path}")
    return result


def keep(name: str, settings: dict[str, Any], rows: list[dict[str, Any]], path: Path | None) -> dict[str, Any]:
    """Return the object, and write it where `path` is given; a long benchmark does so after each case."""
    result = {"name": name, "settings": settings, "versions": versions(), "rows": rows}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.partial")
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    return result


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    from snnsim.system.tables import table

    def number(value: float | None, unit: str = "") -> str:
        return "" if value is None else f"{value:.4g}{' ' + unit if unit else ''}"

    lines = []
    for entry in rows:
        low_high = "" if entry["spread"] is None else " to ".join(f"{value:.3g}" for value in entry["spread"])
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.3g}x"
        lines.append(
            (
                entry["case"],
                entry["metric"],
                number(entry["ours"], entry["unit"]),
                number(entry["peer"], entry["unit"] if entry["peer"] is not None else ""),
                entry["peer_name"] or "",
                ratio,
                low_high,
            )
        )
    print(table(("case", "metric", "snnsim", "peer", "peer is", "ratio", "spread"), lines, right=(2, 3, 5)))
