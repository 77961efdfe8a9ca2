"""How cost grows: with the fineness of ticks, with the rate of events, and with the number of synapses.

    python bench/scaling.py [--quick] [--json PATH] [--data nmnist.zip]

There is no peer in these rows: each compares the engine with itself.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

import snnsim as sn

#: Ticks of a millisecond down to one of a microsecond.
TICKS = (1e-3, 1e-4, 1e-5, 1e-6)


def sparse_network(dt: float, neurons: int, seconds: float) -> sn.Network:
    """Return a recurrent delta-LIF network that a script drives at 1 Hz a neuron, on whole milliseconds at any dt."""
    rng = np.random.default_rng(1)
    events = int(neurons * seconds)
    times = np.round(rng.uniform(0, seconds - 2e-3, events), 3)
    script = sn.Scripted(times, rng.integers(0, neurons, events))
    cells = sn.LIF(20e-3, threshold=1.0, reset="zero")  # a rest above the threshold would fire again a tick later
    return sn.Network(
        [sn.Population("script", neurons, script), sn.Population("cells", neurons, cells)],
        [
            sn.Projection("script", "cells", sn.FixedInDegree(10, weights=0.6), delay=1e-3),
            sn.Projection("cells", "cells", sn.FixedInDegree(50, weights=0.05), delay=2e-3),
        ],
        dt=dt,
        seed=1,
    )


def median_seconds(simulation: sn.Simulation, duration: float, runs: int, record: Any = ()) -> tuple[float, sn.Result]:
    """Return the median wall time of runs from rest, after one that compiles."""
    times = []
    for _ in range(runs + 1):
        simulation.reset()
        start = time.perf_counter()
        result = simulation.run(duration, record=record)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]), result


def resolution(quick: bool, runs: int) -> list[dict[str, Any]]:
    """Measure the same second in ticks of 1 ms down to 1 us; the same number of spikes, or nothing is reported."""
    neurons, seconds = (500, 0.2) if quick else (5000, 1.0)
    simulations = [
        sn.Simulation(sparse_network(dt, neurons, seconds), dtype="float64", threads=1, visit="events") for dt in TICKS
    ]
    measured: list[list[float]] = [[] for _ in TICKS]
    spikes = []
    for turn in range(runs):
        for mine, simulation in zip(measured, simulations, strict=True):
            took, result = median_seconds(simulation, seconds, 1, ("cells",))
            mine.append(took)
            if turn == 0:
                spikes.append(result.spikes["cells"])
    # Arrivals are on whole milliseconds at any dt, so the spikes are too.
    for dt, events in zip(TICKS, spikes, strict=True):
        same = np.array_equal(np.rint(events.times * 1e3), np.rint(spikes[0].times * 1e3))
        if not (same and np.array_equal(events.sources, spikes[0].sources)):
            raise SystemExit(f"spikes at dt={dt:g} s differ from those at {TICKS[0]:g} s; nothing is reported")
    rows = []
    for dt, mine in zip(TICKS, measured, strict=True):
        ratios = [a / b for a, b in zip(mine, measured[0], strict=True)]
        case = f"sparse delta LIF, {neurons} neurons, dt {dt:g} s"
        rows.append(
            harness.row(
                case,
                f"wall time of {seconds:g} s, {spikes[0].ticks.size} spikes",
                "ms",
                1e3 * statistics.median(mine),
                1e3 * statistics.median(measured[0]),
                "dt 1 ms",
                statistics.median(ratios),
                (min(ratios), max(ratios)),
            )
        )
    return rows


def rates(quick: bool, runs: int) -> list[dict[str, Any]]:
    """Measure wall time against the rate of 1,000 sources, and fit a straight line."""
    neurons, seconds = (500, 0.2) if quick else (5000, 1.0)
    levels = (1, 2, 5, 10, 20, 50, 100)
    points = []
    for rate in levels:
        rng = np.random.default_rng(rate)
        events = int(1000 * rate * seconds)
        script = sn.Scripted(np.round(rng.uniform(0, seconds - 2e-3, events), 4), rng.integers(0, 1000, events))
        network = sn.Network(
            [sn.Population("script", 1000, script), sn.Population("cells", neurons, sn.LIF(20e-3, threshold=1e6))],
            [sn.Projection("script", "cells", sn.FixedInDegree(200, weights=sn.Normal(0.1, 0.01)), delay=1e-3)],
            dt=1e-4,
            seed=1,
        )
        took, result = median_seconds(sn.Simulation(network, threads=1), seconds, runs)
        points.append((rate, took, int(result.counters.synaptic_operations.sum())))
    x, y = np.array([p[0] for p in points], float), np.array([p[1] for p in points])
    slope, intercept = np.polyfit(x, y, 1)
    r2 = 1 - float(np.sum((y - slope * x - intercept) ** 2) / np.sum((y - y.mean()) ** 2))
    rows = [
        harness.row(f"1,000 sources at {rate} Hz", f"wall time of {seconds:g} s, {ops:,} additions", "ms", 1e3 * took)
        for rate, took, ops in points
    ]
    rows.append(harness.row("1 to 100 Hz, straight line", "r squared", "", r2))
    rows.append(harness.row("1 to 100 Hz, straight line", "time at rate zero", "ms", 1e3 * float(intercept)))
    per = slope * 100 / points[-1][2] * 1e9
    rows.append(harness.row("1 to 100 Hz, straight line", "time an addition", "ns", float(per)))
    return rows


def recording(path: Path, runs: int) -> list[dict[str, Any]]:
    """Measure one N-MNIST recording at its own microsecond through 512 hidden neurons."""
    from snnsim.datasets import load_nmnist

    data = load_nmnist(path, split="test", dt=1e-6)
    events = data.events[0]
    network = sn.Network(
        [
            sn.Population("input", (2, 34, 34), sn.Input()),
            sn.Population("hidden", 512, sn.LIF(20e-3)),
            sn.Population("output", 10, sn.LI(20e-3)),
        ],
        [
            sn.Projection("input", "hidden", sn.Dense(sn.Kaiming(2.0)), delay=1e-3),
            sn.Projection("hidden", "output", sn.Dense(sn.Kaiming()), delay=1e-3),
        ],
        dt=1e-6,
    )
    rows, seen = [], []
    for visit in ("events", "ticks"):
        simulation = sn.Simulation(network, dtype="float64", threads=1, visit=visit)
        times = []
        for _ in range(runs + 1):
            simulation.reset()
            start = time.perf_counter()
            result = simulation.run(inputs=events, record=("hidden",))
            times.append(time.perf_counter() - start)
        seen.append(result.spikes["hidden"])
        case = f"one N-MNIST recording, {events.ticks.size} events, {events.n_ticks} ticks of 1 us"
        rows.append(
            harness.row(
                case, f"visited by {visit}, {seen[-1].ticks.size} spikes", "ms", 1e3 * statistics.median(times[1:])
            )
        )
    if seen[0] != seen[1]:
        raise SystemExit("spikes of the two ways to visit differ; nothing is reported")
    return rows


def main() -> None:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="N-MNIST recordings; without, that row is left out")
    options = parser.parse_args()
    runs = 2 if options.quick else 5
    rows = resolution(options.quick, runs) + rates(options.quick, runs)
    if options.data is not None:
        rows += recording(options.data, runs)
    else:
        print("no --data: the row of an N-MNIST recording at 1 us is left out")
    harness.finish("scaling", {"quick": options.quick, "runs": runs}, rows, options.json)


if __name__ == "__main__":
    main()
