"""Worker of bench/simulators.py for Brian2 (C++ standalone): a description of snnsim in Brian's words.

Best settings: the compiled program alone is timed, with Brian's own flags (``-O3 -march=native -ffast-math``), in
float64 or float32; all populations are one group, and projections of one weight and delay (or with weights and delays
of their own) are one object, whose synapses lie in the order of their sources. The wiring is the very one of snnsim,
handed over as lists. Plasticity keeps its traces with the neurons; the presynaptic one jumps where spikes arrive, by
a synapse of each neuron onto itself, which is exact for one delay and much faster than traces with the synapses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import brian2 as brian
import numpy as np
import simulators_worker as worker

import snnsim as sn

#: Events of a Poisson drive are drawn as so many Bernoulli trials a tick; with many trials both are the same.
TRIALS = 1000
INTEGRATION = {"LIF": "exact", "ConductanceLIF": "exponential_euler"}


class Brian2:
    """A network as a compiled program; every run starts it anew."""

    def __init__(self, job: worker.Job, network: sn.Network) -> None:
        variant = dict(job.variant)
        brian.set_device("cpp_standalone", build_on_run=False, directory=tempfile.mkdtemp())
        brian.prefs.devices.cpp_standalone.openmp_threads = job.threads
        brian.prefs.core.default_float_dtype = {"float32": np.float32, "float64": np.float64}[variant["dtype"]]
        brian.defaultclock.dt = network.dt * brian.second
        self.job, self.network = job, network
        sizes = [population.size for population in network.populations]
        self.base = dict(zip([p.name for p in network.populations], np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self.model: Any = network.populations[0].model
        self.plastic: Any = None
        parts: list[Any] = [self._neurons(sum(sizes), variant.get("integration"))]
        parts += self._drives(parts[0])
        self.synapses = 0
        for members in self._bundles():
            parts += self._synapses(parts[0], members)
        self.monitor = brian.SpikeMonitor(parts[0])
        net = brian.Network(*parts, self.monitor)
        net.run(job.duration * brian.second)
        brian.device.build(directory=None, compile=True, run=False)
        self.facts = {"versions": {"brian2": brian.__version__}, "synapses": self.synapses, "peak_memory": None}

    # -- neurons -------------------------------------------------------------------------------------------------------

    def _together(self, value: Callable[[Any], Any]) -> Any:
        """Return a value of each neuron of all populations."""
        return np.concatenate(
            [np.broadcast_to(np.asarray(value(p.model), float), (p.size,)) for p in self.network.populations]
        )

    def _neurons(self, size: int, integration: str | None) -> Any:
        model, network = self.model, self.network
        kind = type(model).__name__
        if len({type(p.model).__name__ for p in network.populations}) > 1:
            raise SystemExit("Brian2: populations of several models are not translated")
        self.kinds = [type(receptor).__name__ for receptor in model.receptors]
        target = self._together(lambda model: model.rest + worker.settling(model, network.dt))
        terms, more, space = ["target - v"], "", {"tau": model.time_constant * brian.second}
        for number, receptor in enumerate(model.receptors):
            if self.kinds[number] == "Exponential":
                terms.append(f"g{number}")
            elif self.kinds[number] == "Conductance":
                terms.append(f"g{number}*({receptor.reversal} - v)")
            if self.kinds[number] != "Delta":
                more += f"dg{number}/dt = -g{number}/tau{number} : 1\n"
                space[f"tau{number}"] = receptor.time_constant * brian.second
        fixed = bool(np.all(target == target[0]))
        equations = f"dv/dt = ({' + '.join(terms)})/tau : 1 (unless refractory)\n{more}"
        if fixed:
            space["target"] = float(target[0])
        else:
            equations += "target : 1 (constant)\n"
        reset = f"v = {0.0 if model.reset == 'zero' else model.reset}"
        rules = [p.plasticity for p in network.projections if p.plasticity is not None]
        if rules:
            self.rule = rules[0]
            equations += "dpre/dt = -pre/tau_pre : 1\ndpost/dt = -post/tau_post : 1\n"
            space["tau_pre"] = self.rule.potentiation_time_constant * brian.second
            space["tau_post"] = self.rule.depression_time_constant * brian.second
            reset += "\npost += 1"
        group = brian.NeuronGroup(
            size,
            equations,
            threshold=f"v >= {model.threshold}",
            reset=reset,
            refractory=model.refractory * brian.second,
            method=integration or INTEGRATION[kind],
            namespace=space,
        )
        if not fixed:
            group.target = target
        group.v = np.concatenate(
            [np.broadcast_to(np.asarray(p.model.initial_states()[0], float), (p.size,)) for p in network.populations]
        )
        return group

    def _drives(self, group: Any) -> list[Any]:
        """Return a Poisson input for each population that has one."""
        inputs = []
        for population in self.network.populations:
            low = self.base[population.name]
            part = group[low : low + population.size] if population.size < len(group) else group
            for drive in population.drive:
                delta = self.kinds[0] == "Delta"
                variable, weight = ("v", self._gated(drive.weight)) if delta else ("g0", drive.weight)
                rate = drive.rate / TRIALS * brian.Hz
                inputs.append(brian.PoissonInput(part, variable, N=TRIALS, rate=rate, weight=weight))
        return inputs

    @staticmethod
    def _gated(weight: Any, suffix: str = "") -> str:
        """Return a weight that is lost in the refractory time, as delta input is in snnsim and in NEST."""
        return f"{weight}*int(not_refractory{suffix})"

    # -- synapses ------------------------------------------------------------------------------------------------------

    def _bundles(self) -> list[list[Any]]:
        """Return the projections that one object of Brian can hold together."""
        bundles: dict[Any, list[Any]] = {}
        for projection in self.network.projections:
            weight, delay = projection.connectivity.weights, projection.delay
            key = (
                self.network.connection(projection).receptor_number,
                weight if isinstance(weight, float) else "each its own",
                delay if isinstance(delay, float) else "each its own",
                projection.plasticity is not None,
            )
            bundles.setdefault(key, []).append(projection)
        return list(bundles.values())

    def _wiring(self, members: list[Any]) -> tuple[Any, Any, Any, Any]:
        """Return sources, targets, weights and delays in the order of the sources."""
        columns: list[list[Any]] = [[], [], [], []]
        for projection in members:
            drawn = self.network.synapses(projection)
            sources = np.repeat(np.arange(drawn.offsets.size - 1, dtype=np.int32), np.diff(drawn.offsets))
            columns[0].append(sources + np.int32(self.base[projection.source]))
            columns[1].append(drawn.targets + np.int32(self.base[projection.target]))
            columns[2].append(drawn.weights)
            columns[3].append(np.zeros(0) if drawn.delays is None else drawn.delays * self.network.dt)
        sources, targets, weights, delays = (np.concatenate(column) for column in columns)
        order = np.argsort(sources, kind="stable")
        return sources[order], targets[order], weights[order], delays[order] if delays.size else None

    def _synapses(self, group: Any, members: list[Any]) -> list[Any]:
        first = members[0]
        receptor = self.network.connection(first).receptor_number
        sources, targets, weights, own_delays = self._wiring(members)
        self.synapses += sources.size
        plastic = first.plasticity
        constant = isinstance(first.connectivity.weights, float) and plastic is None
        weight = repr(first.connectivity.weights) if constant else "w"
        delta = self.kinds[receptor] == "Delta"
        deliver = f"v_post += {self._gated(weight, '_post')}" if delta else f"g{receptor}_post += {weight}"
        options: dict[str, Any] = {"model": "" if constant else "w : 1", "on_pre": deliver}
        if own_delays is None:
            options["delay"] = first.delay * brian.second
        more = []
        if plastic is not None:
            up, down = plastic.potentiation, plastic.depression
            if plastic.weight_dependence == "multiplicative":
                up, down = f"{up}*({plastic.maximum} - w)", f"{down}*(w - {plastic.minimum})"
            bounds = f"{plastic.minimum}, {plastic.maximum}"
            options["on_pre"] = f"w = clip(w - {down}*post_post, {bounds})\n{deliver}"
            options["on_post"] = f"w = clip(w + {up}*pre_pre, {bounds})"
            arrival = brian.Synapses(group, group, on_pre="pre_post += 1", delay=options["delay"])
            arrival.connect(j="i")
            arrival.pre.order = -1
            more.append(arrival)
        made = brian.Synapses(group, group, **options)
        made.connect(i=sources, j=targets)
        if not constant:
            made.w = weights if np.any(weights != weights[0]) else float(weights[0])
        if own_delays is not None:
            made.delay = own_delays * brian.second
        if plastic is not None:
            made.post.order = 1
            self.plastic = made
        return [*more, made]

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Simulate once."""
        brian.device.run(with_output=False)
        answer: dict[str, Any] = {"seconds": brian.device._last_run_time, "peak_memory": None}
        fired = np.asarray(self.monitor.i)
        edges = [*self.base.values(), sum(p.size for p in self.network.populations)]
        counts = np.histogram(fired, bins=edges)[0]
        answer["rates"] = {
            p.name: float(count) / p.size / self.job.duration
            for p, count in zip(self.network.populations, counts, strict=True)
        }
        if self.plastic is not None:
            weights = np.asarray(self.plastic.w)
            answer |= {"weight": float(weights.mean()), "weight_spread": float(weights.std())}
        return answer


if __name__ == "__main__":
    worker.serve(Brian2)
