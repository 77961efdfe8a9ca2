"""Wall time of a second of published networks in snnsim, in NEST and in Brian2 (C++ standalone), in one run.

Every network is one description (`snnsim.circuits`), which the workers turn into each simulator's words. Building and
compiling are left out, all spikes are recorded. Each side runs once with one thread and once with all, at each of its
settings; the fastest goes on to the paired runs, in which both sides take turns. Before a time is printed the mean
rates of all populations are compared, and mean and spread of the weights that learn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import harness
from simulators_cases import CASES, PEERS, QUICK_SECONDS, VARIANTS, Case
from simulators_worker import Job

HERE = Path(__file__).parent
#: Brian2 2.9 does not go with NumPy 2.4: `make bench-env` gives it an environment of its own.
BRIAN2_PYTHON = HERE.parent / ".venv-brian2" / "bin" / "python"
#: Largest relative differences; NEST's delays are dendritic, ours are axonal.
WEIGHT_TOLERANCE = {"weight": 0.02, "weight_spread": 0.1}


class Trouble(Exception):  # noqa: N818 - not always an error of ours
    """A worker stopped, or two simulators did not do the same."""


class Worker:
    """A simulator in a process of its own, with one network built."""

    def __init__(self, simulator: str, job: Job, python: str) -> None:
        self.name = f"{simulator}, {job.threads} threads" if job.threads > 1 else f"{simulator}, 1 thread"
        if job.variant:
            self.name += "".join(f", {value}" for value in job.variant.values())
        self.errors = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115 - close() closes it
        self.process = subprocess.Popen(
            [python, str(HERE / f"simulators_{simulator}.py"), job.dumps()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "PYNEST_QUIET": "1"},
        )
        self.answers: list[dict[str, Any]] = []
        try:
            self.built = self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise Trouble(f"{self.name} stopped (status {self.process.wait()}):\n{self.errors.read()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self) -> dict[str, Any]:
        """Simulate once, and keep the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.answers.append(self._read())
        return self.answers[-1]

    @property
    def seconds(self) -> list[float]:
        """Wall time of each run."""
        return [float(answer["seconds"]) for answer in self.answers]

    def mean(self, key: str) -> float | None:
        """Return a figure averaged over the runs, or None where the network has none."""
        found = [answer[key] for answer in self.answers if key in answer]
        return statistics.fmean(found) if found else None

    def rates(self) -> dict[str, float]:
        """Return the rate of each population averaged over the runs."""
        names = self.answers[0]["rates"]
        return {name: statistics.fmean(answer["rates"][name] for answer in self.answers) for name in names}

    def mean_rate(self) -> float:
        """Return the rate of all neurons together."""
        sizes = self.built["sizes"]
        return sum(rate * sizes[name] for name, rate in self.rates().items()) / sum(sizes.values())

    def bytes_a_synapse(self) -> float | None:
        """Return what the process took at most over what it took before it built, a synapse."""
        peaks = [answer["peak_memory"] for answer in (self.built, *self.answers)]
        if None in peaks or not self.built["synapses"]:
            return None
        return float((max(peaks) - self.built["at_rest"]) / self.built["synapses"])

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def version(simulator: str, python: str) -> str | None:
    """Return the version of a peer, or None, and say so, where it cannot be imported."""
    code = f"import {simulator}; print({simulator}.__version__)"
    environment = {**os.environ, "PYNEST_QUIET": "1"}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 0:
        return done.stdout.split()[-1]
    reason = done.stderr.strip().splitlines()[-1]
    print(f"{simulator} is skipped: {reason} (make bench-env installs the peers)", file=sys.stderr)
    return None


def jobs(simulator: str, case: Case, options: Any) -> Iterator[Job]:
    """Give every setting of a simulator."""
    arguments = {**case.arguments, **(case.quick if options.quick else {})}
    variants = VARIANTS[simulator][-1:] if options.quick else VARIANTS[simulator]
    for variant in variants:
        for threads in options.threads:
            chosen = {**variant, **case.variant.get(simulator, {})}
            yield Job(case.circuit, arguments, options.duration, threads, chosen)


def fastest(simulator: str, case: Case, options: Any, python: str) -> Worker:
    """Build and run every setting once and return the worker of the fastest, its one run with it."""
    best: Worker | None = None
    for job in jobs(simulator, case, options):
        worker = Worker(simulator, job, python)
        try:
            worker.run()
        except BaseException:
            worker.close()
            raise
        print(f"  {worker.name}: {worker.seconds[0]:.3g} s, built in {worker.built['build_seconds']:.3g} s", flush=True)
        loser = worker if best is not None and best.seconds[0] <= worker.seconds[0] else best
        best = best if loser is worker else worker
        if loser is not None:
            loser.close()
    assert best is not None
    return best


def check(case: Case, ours: Worker, peer: Worker) -> None:
    """Raise `Trouble` where both sides did not do the same."""
    theirs = peer.rates()
    for name, rate in ours.rates().items():
        # Whole spikes: a population that hardly fires in a short run is only as sure as its count.
        if abs(rate - theirs[name]) > case.tolerance * max(rate, theirs[name]) + 0.3:
            raise Trouble(
                f"rates of {name!r} differ: {rate:.3g} Hz in {ours.name}, {theirs[name]:.3g} Hz in {peer.name}; "
                "no time is printed"
            )
    for key, tolerance in WEIGHT_TOLERANCE.items():
        mine, other = ours.mean(key), peer.mean(key)
        if mine is not None and other is not None and abs(mine - other) > tolerance * other:
            raise Trouble(f"{key} differs: {mine:.4g} in {ours.name}, {other:.4g} in {peer.name}; no time is printed")


def rows_of(title: str, case: Case, ours: Worker, peer: Worker | None, options: Any) -> list[dict[str, Any]]:
    """Return the rows of one comparison, or of our side alone."""
    mine = ours.seconds[1:]
    rows = []

    def add(metric: str, unit: str, value: float | None, other: float | None = None) -> None:
        if value is not None:
            name = peer.name if peer is not None and other is not None else None
            rows.append(harness.row(title, metric, unit, value, other, name))

    duration, median = f"{options.duration:g} s simulated", statistics.median(mine)
    if peer is None:
        rows.append(harness.row(title, duration, "s", median, spread=(min(mine), max(mine))))
        add("real-time factor", "", median / options.duration)
        add("building", "s", ours.built["build_seconds"])
        add("peak resident set", "GiB", max(answer["peak_memory"] for answer in ours.answers) / 2**30)
        add("mean rate", "Hz", ours.mean_rate())
    else:
        check(case, ours, peer)
        theirs = peer.seconds[1:]
        ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
        spread = (min(ratios), max(ratios))
        other, ratio = statistics.median(theirs), statistics.median(ratios)
        rows.append(harness.row(title, duration, "s", median, other, peer.name, ratio, spread))
        add("mean rate", "Hz", ours.mean_rate(), peer.mean_rate())
        for key in ("weight", "weight_spread"):
            add(key.replace("_", " "), "mV", ours.mean(key), peer.mean(key))
    add("memory over the process at rest", "bytes/synapse", ours.bytes_a_synapse(), peer and peer.bytes_a_synapse())
    events = ours.mean("operations")
    if events is not None:
        add(f"delivery, {ours.name}", "million synaptic events/s", events / median / 1e6)
    return rows


def compare(title: str, options: Any, pythons: dict[str, str]) -> list[dict[str, Any]]:
    """Time one case against each peer."""
    case = CASES[title]
    print(f"{title}{': ' + case.note if case.note else ''}", flush=True)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        ours = stack.enter_context(fastest("snnsim", case, options, sys.executable))
        first = ours.answers[:1]
        names = [name for name in case.peers if name in pythons]
        if not names:
            for _ in range(options.runs):
                ours.run()
            rows += rows_of(title, case, ours, None, options)
        for name in names:
            ours.answers = list(first)
            with fastest(name, case, options, pythons[name]) as peer:
                for _ in range(options.runs):
                    ours.run()
                    peer.run()
                found = rows_of(title, case, ours, peer, options)
                print(f"  {found[0]['ratio']:.3g} times the speed of {peer.name}", flush=True)
                rows += found
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--runs", type=int, help="paired runs; default 5, 1 with --quick")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads to try; default 1 and all")
    parser.add_argument("--brian2-python", default=str(BRIAN2_PYTHON) if BRIAN2_PYTHON.exists() else sys.executable)
    options = parser.parse_args(arguments)
    cores = int(harness.versions()["cores"])
    options.threads = options.threads or ([1] if options.quick else sorted({1, cores}))
    options.runs = options.runs or (1 if options.quick else 5)
    options.duration = QUICK_SECONDS if options.quick else 1.0
    pythons = {"nest": sys.executable, "brian2": options.brian2_python}
    versions = {name: version(name, python) for name, python in pythons.items() if name in options.peers}
    pythons = {name: pythons[name] for name, found in versions.items() if found is not None}
    settings = {name: getattr(options, name) for name in ("quick", "runs", "threads", "duration", "cases")}
    settings["peers"] = versions
    rows: list[dict[str, Any]] = []
    troubles = []
    for title in options.cases:
        try:
            rows += compare(title, options, pythons)
        except Trouble as trouble:
            troubles.append(f"{title}: {trouble}")
            print(f"  {trouble}", flush=True)
        harness.keep("simulators", settings, rows, options.json)
    result = harness.finish("simulators", settings, rows, options.json)
    if troubles:
        raise SystemExit("\n".join(troubles))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
