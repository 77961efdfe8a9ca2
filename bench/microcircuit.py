"""The microcircuit of Potjans and Diesmann: rates and irregularity against NEST at a tenth, cost at full size.

At scale 0.1, with Poisson background, half a second is discarded and a second recorded, as in the reference run of
https://github.com/INM-6/microcircuit-PD14-model (PyNEST/reference_data). That is one run, so the difference from our
mean over n seeds has the standard error s sqrt(1 + 1/n), with s the standard deviation over our seeds. With `--nest`,
NEST itself runs as many seeds, and both means are compared.

The coefficient of variation of intervals between spikes (CV) is the mean over the neurons with three of them or more.
"""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import numpy as np
import simulators
from simulators_worker import Job

import snnsim as sn
from snnsim.analysis import firing_rates, interval_variation
from snnsim.circuits import MicrocircuitParameters, potjans_diesmann

NAMES = MicrocircuitParameters().populations
DT = 1e-4
FEWEST_INTERVALS = 3
Trains = dict[str, sn.Events]


def figures(trains: Trains) -> np.ndarray:
    """Return mean rate and mean CV of each population, shape (2, populations)."""
    rates = [firing_rates(trains[name]).mean() for name in NAMES]
    return np.array([rates, [np.nanmean(interval_variation(trains[name], minimum=FEWEST_INTERVALS)) for name in NAMES]])


def events(milliseconds: np.ndarray, neurons: np.ndarray, n_neurons: int, start: float, seconds: float) -> sn.Events:
    """Return spikes as NEST writes them as events; it gives a spike the time at the end of its tick."""
    ticks = np.rint((milliseconds * 1e-3 - start) / DT).astype(np.int64) - 1
    inside = ticks >= 0
    n_ticks = round(seconds / DT)
    return sn.Events.from_ticks(ticks[inside], neurons[inside], n_sources=n_neurons, n_ticks=n_ticks, dt=DT)


def reference(path: Path) -> np.ndarray:
    """Return the figures of the published run: a second, from 0.5 s."""
    trains: Trains = {}
    with zipfile.ZipFile(path) as archive:
        numbers = np.loadtxt(archive.read("population_nodeids.dat").decode().splitlines(), dtype=int)
        files = sorted(name for name in archive.namelist() if name.startswith("spike_recorder"))
        for name, file, (first, last) in zip(NAMES, files, numbers.tolist(), strict=True):
            senders, times = np.loadtxt(archive.read(file).decode().splitlines()[3:]).T
            trains[name] = events(times, senders.astype(np.int64) - first, last - first + 1, 0.5, 1.0)
    return figures(trains)


def ours(scale: float, seed: int, discard: float, seconds: float) -> np.ndarray:
    """Return the figures of a run of snnsim."""
    simulation = sn.Simulation(potjans_diesmann(scale, "poisson", dt=DT, seed=seed))
    simulation.run(discard, record=())
    return figures(simulation.run(seconds, record=list(NAMES)).spikes)


def nest(scale: float, seed: int, discard: float, seconds: float) -> np.ndarray:
    """Return the figures of a run of NEST."""
    from simulators_nest import Nest

    job = Job("potjans_diesmann", {"scale": scale, "background": "poisson", "dt": DT}, discard, seed=seed + 1)
    network = job.network()
    built = Nest(job, network)
    built.run()
    built.job = replace(job, duration=seconds)
    built.run()
    trains = {}
    for population in network.populations:
        recorded = {key: np.asarray(values) for key, values in built.recorders[population.name].events.items()}
        numbers = recorded["senders"] - built.nodes[population.name][0].global_id
        start = discard + DT  # building took a tick
        trains[population.name] = events(recorded["times"], numbers, population.size, start, seconds)
    return figures(trains)


def compare(case: str, mine: np.ndarray, other: np.ndarray, label: str) -> list[dict[str, Any]]:
    """Return rows for means over seeds; arrays have shape (seeds, 2, populations)."""
    n, m = len(mine), len(other)
    spread = mine.var(axis=0, ddof=1)
    # One run of the other side has no spread of its own: it is taken to have ours.
    error = np.sqrt(spread / n + (other.var(axis=0, ddof=1) if m > 1 else spread) / m)
    distance = (mine.mean(axis=0) - other.mean(axis=0)) / error
    rows = []
    for kind, (metric, unit) in enumerate((("rate", "Hz"), ("CV of intervals", ""))):
        for i, name in enumerate(NAMES):
            values = mine[:, kind, i]
            rows.append(
                harness.row(
                    case,
                    f"{metric} of {name}",
                    unit,
                    float(values.mean()),
                    float(other[:, kind, i].mean()),
                    label,
                    spread=(values.min(), values.max()),
                )
            )
            rows.append(harness.row(case, f"{metric} of {name}: difference", "standard errors", distance[kind, i]))
    rows.append(harness.row(case, f"largest difference from {label}", "standard errors", float(np.abs(distance).max())))
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="pd14_reference_scale0.1.zip")
    parser.add_argument("--part", choices=("all", "scaled", "full"), default="all")
    parser.add_argument("--seeds", type=int, help="default 10, 3 with --quick")
    parser.add_argument("--nest", action="store_true", help="let NEST run as many seeds, too")
    parser.add_argument("--runs", type=int, default=3, help="runs at full size")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads to try; default 1 and all")
    options = parser.parse_args(arguments)
    if options.data is None and not options.nest and options.part != "full":
        parser.error("give --data, or --nest, or both")
    seeds = range(options.seeds or (3 if options.quick else 10))
    scale, discard, seconds = 0.1, 0.5, 1.0
    rows: list[dict[str, Any]] = []
    if options.part != "full":
        case = f"scale {scale:g}, {len(seeds)} seeds"
        mine = np.array([ours(scale, seed, discard, seconds) for seed in seeds])
        if options.data is not None:
            rows += compare(case, mine, reference(options.data)[np.newaxis], "NEST, published run")
        if options.nest:
            other = np.array([nest(scale, seed, discard, seconds) for seed in seeds])
            rows += compare(case, mine, other, "NEST, as many seeds")
    if options.part != "scaled":
        options.threads = options.threads or sorted({1, int(harness.versions()["cores"])})
        options.duration = seconds
        for case in ("microcircuit", "microcircuit dc"):
            rows += simulators.compare(case, options, {})
    settings = {"seeds": len(seeds), "discard": discard, "seconds": seconds, "quick": options.quick}
    return harness.finish("microcircuit", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
