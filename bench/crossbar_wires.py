"""Currents of a 512 x 512 crossbar with resistive wires: snnsim against a direct solve of the same network with SciPy.

A vector has 2 % of the rows active, at 0.2 V; cells are 5 to 25 uS. Where inactive rows are cut off, SciPy solves what
is left when all nodes without a current are taken out (the active rows and the column nodes next to them); assembling
its matrix is not counted. Currents are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import splu

from snnsim.backends.crossbar import Wires
from snnsim.backends.crossbar.wires.currents import apply_transfer, exact_currents, fast_currents, transfer_matrix

METRIC = "time a vector"
VOLTAGE = 0.2
AGREEMENT = {"exact": 1e-9, "fast": 1e-4}
SOLVERS: dict[str, Callable[..., np.ndarray]] = {"exact": exact_currents, "fast": fast_currents}


class Network:
    """The nodes and resistors of connected rows, as SciPy wants them: row nodes first, then column nodes."""

    def __init__(self, conductance: np.ndarray, connected: np.ndarray, active: np.ndarray, wires: Wires) -> None:
        rows, columns = conductance.shape
        count = len(connected)
        row_node = np.arange(count * columns).reshape(count, columns)
        column_node = row_node + count * columns
        apart = np.diff(connected, append=rows)  # segments of a column from one connected row to the next, or the sink
        down = np.broadcast_to(1 / (wires.column * apart[:, None]), (count, columns))
        pairs = [
            (row_node, column_node, conductance[connected] * 1e-6),
            (row_node[:, :-1], row_node[:, 1:], np.full((count, columns - 1), 1 / wires.row)),
            (column_node[:-1], column_node[1:], down[:-1]),
        ]
        one, other, between = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in range(3))
        size = 2 * count * columns
        diagonal = np.bincount(one, between, size) + np.bincount(other, between, size)
        diagonal[row_node[:, 0]] += 1 / wires.row
        diagonal[column_node[-1]] += down[-1]
        self.sources = np.zeros(size)
        self.sources[row_node[np.isin(connected, active), 0]] = VOLTAGE / wires.row
        every = np.arange(size)
        places = np.concatenate((every, one, other)), np.concatenate((every, other, one))
        self.matrix: csc_matrix = coo_matrix((np.concatenate((diagonal, -between, -between)), places)).tocsc()
        self.last, self.to_sink = column_node[-1], down[-1] * 1e6

    def solve(self) -> np.ndarray:
        """Return the column currents (uA): ordering, factors and solution."""
        factors = splu(self.matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        return factors.solve(self.sources)[self.last] * self.to_sink


def draw(size: int, share: float, vectors: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    count = round(share * size)
    active = np.concatenate([np.sort(random.choice(size, count, replace=False)) for _ in range(vectors)])
    return random.uniform(5.0, 25.0, (size, size)), np.arange(vectors + 1) * count, active


def agree(name: str, found: np.ndarray, right: np.ndarray, allowed: float) -> None:
    worst = float(np.max(np.abs(found / right - 1)))
    if not worst <= allowed:
        raise SystemExit(f"{name}: currents differ by {worst:.2g}, more than {allowed:g}; nothing was timed")


def once(case: str, metric: str, unit: str, work: Callable[[], Any], scale: float, runs: int) -> dict[str, Any]:
    times = [harness.seconds(work, harness.repeats(work)) * scale for _ in range(runs)]
    return harness.row(case, metric, unit, statistics.median(times), spread=(min(times), max(times)))


def gated(size: int, ohm: float, runs: int, whole: bool, vectors: int = 64) -> list[dict[str, Any]]:
    conductance, offsets, active = draw(size, 0.02, vectors)
    wires, rows = Wires(ohm, ohm), active[: offsets[1]]
    network = Network(conductance, rows, rows, wires)
    right, case = network.solve(), f"{size} x {size}, {ohm:g} ohm, cut off"
    result = []
    for name, solve in SOLVERS.items():
        agree(f"{case}, {name}", solve(conductance, offsets[:2], rows, VOLTAGE, wires)[0], right, AGREEMENT[name])
        result.append(
            harness.paired(
                f"{case}: {name}",
                METRIC,
                lambda solve=solve: solve(conductance, offsets[:2], rows, VOLTAGE, wires),  # type: ignore[misc]
                network.solve,
                "SciPy splu, active rows alone",
                runs=runs,
            )
        )
        batch = lambda solve=solve: solve(conductance, offsets, active, VOLTAGE, wires)  # noqa: E731
        result.append(once(f"{case}: {name}, batch of {vectors}", METRIC, "ms", batch, 1e3 / vectors, runs))
    if whole:
        cut = np.where(np.isin(np.arange(size), rows)[:, None], conductance, 0.0)
        every = Network(cut, np.arange(size), rows, wires)
        start = time.perf_counter()
        agree(f"{case}, all nodes", every.solve(), right, 1e-9)
        theirs = (time.perf_counter() - start) * 1e3
        ours = result[0]["ours"]
        peer = "SciPy splu, all nodes, once"
        result.append(harness.row(f"{case}: exact", METRIC, "ms", ours, theirs, peer, theirs / ours))
    dense = draw(size, 0.1, 4)
    more = lambda: fast_currents(*dense, VOLTAGE, wires)  # noqa: E731
    agree("10 %", more(), exact_currents(*dense, VOLTAGE, wires), AGREEMENT["fast"])
    result.append(once(f"{case}: fast, 10 % of rows", METRIC, "ms", more, 1e3 / 4, runs))
    return result


def grounded(size: int, ohm: float, runs: int, vectors: int = 64) -> list[dict[str, Any]]:
    conductance, offsets, active = draw(size, 0.02, vectors)
    wires, rows = Wires(ohm, ohm, unselected="grounded"), active[: offsets[1]]
    case = f"{size} x {size}, {ohm:g} ohm, grounded"
    right = exact_currents(conductance, offsets[:2], rows, VOLTAGE, wires)[0]
    agree(f"{case}, fast", fast_currents(conductance, offsets[:2], rows, VOLTAGE, wires)[0], right, 1e-4)
    result = []
    network = Network(conductance, np.arange(size), rows, wires)
    start = time.perf_counter()
    agree(f"{case}, SciPy", network.solve(), right, 1e-9)
    theirs, peer = (time.perf_counter() - start) * 1e3, "SciPy splu, all nodes, once"
    for name, solve in SOLVERS.items():
        work = lambda solve=solve: solve(conductance, offsets[:2], rows, VOLTAGE, wires)  # noqa: E731
        entry = once(f"{case}: {name}", METRIC, "ms", work, 1e3, runs)
        entry.update(peer=theirs, peer_name=peer, ratio=theirs / entry["ours"])
        result.append(entry)
    start = time.perf_counter()
    transfer = transfer_matrix(conductance, wires)
    result.append(harness.row(f"{case}: transfer matrix", "time to make it", "s", time.perf_counter() - start))
    agree(f"{case}, transfer", apply_transfer(transfer, offsets[:2], rows, VOLTAGE)[0], right, 1e-9)
    for count in (1, vectors):
        batch = offsets[: count + 1], active[: offsets[count]], VOLTAGE
        work = lambda batch=batch: apply_transfer(transfer, *batch)  # noqa: E731
        entry = once(f"{case}: transfer matrix, batch of {count}", METRIC, "us", work, 1e6 / count, runs)
        if count == 1:
            entry.update(peer=theirs * 1e3, peer_name=peer, ratio=theirs * 1e3 / entry["ours"])
        result.append(entry)
    return result


def rows(quick: bool) -> list[dict[str, Any]]:
    """Return the rows of the table; the quick ones with a smaller array where rows are grounded."""
    runs = 3 if quick else 7
    result = gated(512, 0.35, runs, whole=False) + gated(512, 1.0, runs, whole=not quick)
    for size in (128,) if quick else (128, 512):
        result += grounded(size, 1.0, runs)
    return result


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser: argparse.ArgumentParser = harness.options(__doc__.splitlines()[0])
    options = parser.parse_args(arguments)
    settings = {"quick": options.quick, "voltage": VOLTAGE, "active": 0.02, "conductance_uS": [5.0, 25.0]}
    return harness.finish("crossbar_wires", settings, rows(options.quick), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
