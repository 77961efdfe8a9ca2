"""Building large random networks: time, and resident memory at its peak for each synapse.

Every synapse has a weight and a delay of its own, both normal. What is timed is what a `Simulation` does with synapses
before the first tick: drawing all delays to find the longest, and putting all synapses where the engine reads them.
Compiled code is loaded before. Each build runs in a process of its own, which watches its resident memory (Linux).
There is no peer in these rows; `simulators.py` compares bytes a synapse of whole simulators.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import harness

import snnsim as sn
from snnsim import circuits
from snnsim.backends.contract.layout import Layout
from snnsim.backends.cpu.parts.build import build_parts
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.cpu.parts.projection_groups import groups_of
from snnsim.system.machine import cores

RULES = ("FixedInDegree", "FixedTotalNumber", "FixedProbability")
MICROCIRCUIT = "microcircuit"
IN_DEGREE = 1000
STATM = Path("/proc/self/statm")


def network_of(case: str, synapses: float) -> sn.Network:
    """Return a network with so many synapses, expected ones where chance decides."""
    if case == MICROCIRCUIT:
        return circuits.potjans_diesmann((synapses / 2.99e8) ** 0.5)
    n = round(synapses / IN_DEGREE)
    weights, delay = sn.Normal(0.1, 0.01), sn.Normal(1.5e-3, 0.75e-3, low=1e-4)
    rule = {
        "FixedInDegree": sn.FixedInDegree(IN_DEGREE, weights),
        "FixedTotalNumber": sn.FixedTotalNumber(n * IN_DEGREE, weights),
        "FixedProbability": sn.FixedProbability(min(1.0, IN_DEGREE / n), weights),
    }[case]
    return sn.Network([sn.Population("a", n, sn.LIF())], [sn.Projection("a", "a", rule, delay=delay)], dt=1e-4)


def build(network: sn.Network, threads: int, progress: bool = False) -> dict[str, float]:
    """Build all parts; return times in seconds, the number of synapses, and their bytes."""
    start = time.perf_counter()
    layout = Layout.of(network)
    partition = Partition.of(network, layout, threads)
    laid_out = time.perf_counter()
    parts = range(partition.n_parts)
    stores = build_parts(network, partition, groups_of(network), parts, "float32", threads, progress)
    done = time.perf_counter()
    n_synapses = sum(store.n_synapses for store in stores)
    return {
        "longest": laid_out - start,
        "building": done - laid_out,
        "synapses": n_synapses,
        "stored": sum(store.nbytes for store in stores) / n_synapses,
        "peak": resident(),
    }


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def work(case: str, synapses: float, threads: int) -> None:
    """Build once with memory watched, and print what was measured as JSON."""
    build(network_of(case, 1e5), threads, progress=synapses > 1e7)
    network = network_of(case, synapses)
    before, seen, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    measured = build(network, threads, progress=synapses > 1e7)
    done.set()
    watcher.join()
    measured["peak"] = (max(*seen, measured["peak"]) - before) / measured["synapses"]
    print(json.dumps(measured))


def measure(case: str, synapses: float, threads: int, runs: int) -> list[dict[str, Any]]:
    """Return the rows of one case."""
    command = [sys.executable, __file__, "--worker", case, str(synapses), str(threads)]
    measured = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout) for _ in range(runs)
    ]
    label = f"{case}, {measured[0]['synapses']:,} synapses, {threads} {'thread' if threads == 1 else 'threads'}"
    rows = []
    for key, metric, unit in (
        ("longest", "finding the longest delay", "s"),
        ("building", "building", "s"),
        ("stored", "stored", "bytes a synapse"),
        ("peak", "resident memory at the peak", "bytes a synapse"),
    ):
        values = [one[key] for one in measured]
        rows.append(harness.row(label, metric, unit, statistics.median(values), spread=(min(values), max(values))))
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--synapses", type=float, help="default 1e8, 1e6 with --quick")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", help="default 1 and all")
    parser.add_argument("--microcircuit", action="store_true", help="the cortical microcircuit at full size, too")
    options = parser.parse_args(arguments)
    synapses = options.synapses or (1e6 if options.quick else 1e8)
    threads = options.threads or sorted({1, cores()})
    rows = []
    for case in RULES:
        for count in threads:
            rows += measure(case, synapses, count, options.runs)
    if options.microcircuit:
        rows += measure(MICROCIRCUIT, synapses if options.quick else 2.99e8, max(threads), options.runs)
    settings = {"synapses": synapses, "in_degree": IN_DEGREE, "runs": options.runs, "quick": options.quick}
    return harness.finish("building", settings, rows, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
    else:
        main(sys.argv[1:])
