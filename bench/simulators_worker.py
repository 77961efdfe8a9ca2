"""The loop of a worker of bench/simulators.py: one simulator in a process of its own, asked line by line.

A simulator's kernel, its threads and its memory belong to the process, so each (simulator, threads) has one. It gets a
`Job` as JSON in its first argument, builds, prints one line of JSON, and then runs once and prints one line for each
line that it reads. What else it or its libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import snnsim as sn
from snnsim import circuits


@dataclass(frozen=True)
class Job:
    """What a worker is to run.

    Parameters
    ----------
    circuit : str
        Name of a function of `snnsim.circuits`.
    arguments : dict
        Its keyword arguments.
    duration : float
        Seconds to simulate in each run.
    threads : int
    variant : dict
        Settings that only one simulator has, such as the precision.
    seed : int
        Of the simulator's own random numbers.
    """

    circuit: str
    arguments: dict[str, Any]
    duration: float
    threads: int = 1
    variant: dict[str, Any] = field(default_factory=dict)
    seed: int = 1

    def network(self) -> sn.Network:
        """Describe the network."""
        return getattr(circuits, self.circuit)(**self.arguments)

    def dumps(self) -> str:
        """Return the job as JSON."""
        return json.dumps(asdict(self))


class Runner(Protocol):
    """A network built in one simulator."""

    #: Synapses, and versions of what computes.
    facts: dict[str, Any]

    def run(self) -> dict[str, Any]:
        """Simulate once.

        Returns ``seconds``, ``rates`` by population, and of weights that learn ``weight`` (mean) and ``weight_spread``.
        """


def settling(model: Any, dt: float) -> Any:
    """Return how far a model's bias holds the membrane from its rest in the end."""
    if type(model).__name__ == "ConductanceLIF" or model.decay_input:
        return model.bias
    return model.bias / (1.0 - np.exp(-dt / model.time_constant))  # added in every tick as it is


def memory_at_rest() -> int:
    """Return the resident set of this process in bytes, and let its peak start from there."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # "reset the peak": man 5 proc
    return peak_memory()


def peak_memory() -> int:
    """Return the largest resident set of this process since `memory_at_rest`, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def serve(build: Callable[[Job, sn.Network], Runner], warm: Callable[[Job], None] | None = None) -> None:
    """Build the network of the job in the first argument, then run it once a line.

    Parameters
    ----------
    build : callable
        Builds the network in a simulator.
    warm : callable, optional
        Compiles what the network will need, so that neither time nor memory of that counts as building.
    """
    job = Job(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # simulators print banners and progress; only answers may go to the reader
    network = job.network()
    if warm is not None:
        warm(job)
    at_rest = memory_at_rest()
    began = time.perf_counter()
    runner = build(job, network)
    answer: dict[str, Any] = {"build_seconds": time.perf_counter() - began, "at_rest": at_rest, **runner.facts}
    answer["sizes"] = {population.name: population.size for population in network.populations}
    while True:
        print(json.dumps({"peak_memory": peak_memory(), **answer}), file=answers, flush=True)
        if not sys.stdin.readline():
            return
        answer = runner.run()
