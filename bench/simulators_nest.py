"""Worker of bench/simulators.py for NEST: a description of snnsim in NEST's words.

Best settings: spikes go to memory, nothing is printed, weights that all synapses of a projection share are stored
once, and NEST draws the wiring itself, in parallel. Neurons are scaled so that all weights keep their numbers: the
capacitance is the membrane time constant (or, for conductances, the leak is 1 nS).

``iaf_cond_exp`` integrates with an adaptive Runge-Kutta method; NEST has no other for it.
"""

from __future__ import annotations

import time
from typing import Any

import nest
import numpy as np
import simulators_worker as worker

import snnsim as sn

#: Reading weights is slow in NEST; so many sources tell their mean well enough.
SAMPLED_SOURCES = 500


def milliseconds(seconds: Any) -> Any:
    """Return a time as NEST takes it: rounded to a nanosecond, so that it falls on the grid."""
    return np.round(np.asarray(seconds) * 1e3, 6).tolist()


def neurons(population: sn.Population, dt: float) -> Any:
    """Create a population and return its nodes."""
    model: Any = population.model
    tau = milliseconds(model.time_constant)
    parameters = {
        "V_th": model.threshold,
        "V_reset": 0.0 if model.reset == "zero" else model.reset,
        "E_L": model.rest,
        "t_ref": milliseconds(model.refractory),
        "C_m": tau,
        "I_e": worker.settling(model, dt),
    }
    kinds = [type(receptor).__name__ for receptor in model.receptors]
    first, last = model.receptors[0], model.receptors[-1]
    if kinds == ["Delta"]:
        name = "iaf_psc_delta"
        parameters["tau_m"] = tau
    elif kinds[0] in ("Exponential", "Alpha"):
        name = {"Exponential": "iaf_psc_exp", "Alpha": "iaf_psc_alpha"}[kinds[0]]
        parameters |= {"tau_m": tau, "tau_syn_ex": milliseconds(first.time_constant)}
        parameters["tau_syn_in"] = milliseconds(last.time_constant)
    elif kinds == ["Conductance", "Conductance"]:
        name = "iaf_cond_exp"
        parameters |= {"g_L": 1.0, "E_ex": first.reversal, "E_in": last.reversal}
        parameters |= {"tau_syn_ex": milliseconds(first.time_constant), "tau_syn_in": milliseconds(last.time_constant)}
    else:
        raise SystemExit(f"NEST: no model for receptors {kinds}")
    nodes = nest.Create(name, population.size, parameters)
    nodes.V_m = np.broadcast_to(np.asarray(model.initial_states()[0], float), (population.size,)).tolist()
    return nodes


def values(given: Any, scale: float = 1.0) -> Any:
    """Return weights or delays: a number, or a distribution of NEST."""
    if not isinstance(given, sn.Normal):
        return round(float(given) * scale, 9)
    drawn = nest.random.normal(given.mean * scale, given.sd * scale)
    return nest.math.redraw(drawn, given.low * scale, given.high * scale)


def wiring(rule: Any) -> dict[str, Any]:
    """Return the connection rule."""
    if isinstance(rule, sn.FixedInDegree):
        return {"rule": "fixed_indegree", "indegree": rule.in_degree}
    if isinstance(rule, sn.FixedTotalNumber):
        return {"rule": "fixed_total_number", "N": rule.total}
    if isinstance(rule, sn.FixedProbability):
        return {"rule": "pairwise_bernoulli", "p": rule.probability}
    raise SystemExit(f"NEST: no rule for {rule}")


def plastic_synapse(rule: Any, weight: float) -> dict[str, Any]:
    """Return the parameters of NEST's pair rule, whose steps are shares of the largest weight."""
    additive = rule.weight_dependence == "additive"
    exponent = 0.0 if additive else 1.0
    return {
        "tau_plus": milliseconds(rule.potentiation_time_constant),
        "lambda": rule.potentiation / rule.maximum if additive else rule.potentiation,
        "alpha": rule.depression / rule.potentiation,
        "mu_plus": exponent,
        "mu_minus": exponent,
        "Wmax": rule.maximum,
        "weight": weight,
    }


class Nest:
    """A network in NEST; runs go on where the last one ended, or start anew where weights learn."""

    def __init__(self, job: worker.Job, network: sn.Network) -> None:
        self.job, self.network = job, network
        self.plastic = [p for p in network.projections if p.plasticity is not None]
        self.fresh = False
        self._build()
        self.facts = {"versions": {"nest": nest.__version__}, "synapses": self.synapses}

    def _build(self) -> None:
        network, dt = self.network, self.network.dt
        nest.ResetKernel()
        nest.verbosity = nest.VerbosityLevel.ERROR
        nest.local_num_threads = self.job.threads
        nest.resolution = milliseconds(dt)
        nest.rng_seed = self.job.seed
        self.recorders, nodes = {}, {}
        for population in network.populations:
            nodes[population.name] = neurons(population, dt)
            self.recorders[population.name] = nest.Create("spike_recorder", {"record_to": "memory"})
            nest.Connect(nodes[population.name], self.recorders[population.name])
            for drive in population.drive:
                generator = nest.Create("poisson_generator", {"rate": drive.rate})
                synapse = {"weight": drive.weight, "delay": milliseconds(dt)}
                nest.Connect(generator, nodes[population.name], "all_to_all", synapse)
        before = nest.num_connections
        for number, projection in enumerate(network.projections):
            target = nodes[projection.target]
            synapse = self._synapse(projection, number, target)
            nest.Connect(nodes[projection.source], target, wiring(projection.connectivity), synapse)
        self.synapses = int(nest.num_connections - before)
        self.nodes = nodes
        nest.Prepare()
        nest.Run(milliseconds(dt))  # sorts the connections, which belongs to building
        self.fresh = True

    def _synapse(self, projection: Any, number: int, target: Any) -> dict[str, Any]:
        weight = projection.connectivity.weights
        inhibitory = type(self.network.population(projection.target).model).__name__ == "ConductanceLIF"
        sign = -1.0 if inhibitory and projection.receptor == "inhibitory" else 1.0
        synapse: dict[str, Any] = {"delay": values(projection.delay, 1e3)}
        if projection in self.plastic:
            rule = projection.plasticity
            target.tau_minus = milliseconds(rule.depression_time_constant)
            nest.CopyModel("stdp_synapse_hom", "plastic", plastic_synapse(rule, sign * weight))
            return synapse | {"synapse_model": "plastic"}
        if isinstance(weight, float):
            nest.CopyModel("static_synapse_hom_w", f"static_{number}", {"weight": sign * weight})
            return synapse | {"synapse_model": f"static_{number}"}
        return synapse | {"synapse_model": "static_synapse", "weight": values(weight)}

    def run(self) -> dict[str, Any]:
        """Simulate once."""
        if self.plastic and not self.fresh:
            nest.Cleanup()
            self._build()
        self.fresh = False
        before = {name: recorder.n_events for name, recorder in self.recorders.items()}
        began = time.perf_counter()
        nest.Run(milliseconds(self.job.duration))
        answer: dict[str, Any] = {"seconds": time.perf_counter() - began}
        answer["rates"] = {
            name: (recorder.n_events - before[name]) / len(self.nodes[name]) / self.job.duration
            for name, recorder in self.recorders.items()
        }
        for projection in self.plastic:
            sample = self.nodes[projection.source][:SAMPLED_SOURCES]
            connections = nest.GetConnections(sample, synapse_model="plastic")
            answer |= {"weight": float(np.mean(connections.weight)), "weight_spread": float(np.std(connections.weight))}
        return answer


if __name__ == "__main__":
    worker.serve(Nest)
