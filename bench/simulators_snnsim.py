"""Worker of bench/simulators.py for snnsim."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import simulators_worker as worker

import snnsim as sn

#: Arguments that make a network small.
SMALL: dict[str, dict[str, Any]] = {
    "brunel": {"order": 50},
    "brunel_stdp": {"order": 50},
    "vogels_abbott_cuba": {"n": 400},
    "vogels_abbott_coba": {"n": 400},
    "potjans_diesmann": {"scale": 0.01},
}


class Ours:
    """A network in snnsim; every run starts from tick 0."""

    def __init__(self, job: worker.Job, network: sn.Network) -> None:
        self.duration, self.network = job.duration, network
        self.simulation = sn.Simulation(network, threads=job.threads, **job.variant)
        self.names = [population.name for population in network.populations if not population.is_source]
        self.simulation.run(10 * network.dt, record=self.names)  # builds, and touches every page once
        self.facts = {"versions": {"snnsim": sn.__version__}, "synapses": synapse_count(network)}

    def run(self) -> dict[str, Any]:
        """Simulate once."""
        self.simulation.reset()
        began = time.perf_counter()
        result = self.simulation.run(self.duration, record=self.names)
        answer: dict[str, Any] = {"seconds": time.perf_counter() - began}
        answer["rates"] = {name: float(result.rates(name).mean()) for name in self.names}
        answer["operations"] = int(result.counters.synaptic_operations.sum())
        for projection in self.network.projections:
            if projection.plasticity is not None:
                weights = self.simulation.weights(projection.name)
                answer |= {"weight": float(np.mean(weights)), "weight_spread": float(np.std(weights))}
        return answer


def synapse_count(network: sn.Network) -> int | None:
    """Return the number of synapses, or None where chance decides."""
    counts = [
        projection.rule.count(network.population(projection.source).shape, network.population(projection.target).shape)
        for projection in network.projections
    ]
    return None if None in counts else sum(counts)


def warm(job: worker.Job) -> None:
    """Compile, with a small network of the same kind."""
    small = replace(job, arguments={**job.arguments, **SMALL[job.circuit]})
    Ours(small, small.network())


if __name__ == "__main__":
    worker.serve(Ours, warm)
