"""Random networks on both engines: ``python tests/fuzz.py --networks 1000 --seed 0 [--checked] [--models N]``.

A network has sources of all kinds, neurons of all models with all receptors, drives, every rule of connectivity, delays
from none to 200,000 ticks, and plastic projections. It is run on `reference` and on `cpu` with 1 to 3 threads: as one
long run, cut into pieces anywhere, with rewards between them, and taken on by way of a checkpoint on either backend; or
as a batch of recordings with early exit. Spikes, traces, counters, weights and states must be the same in every bit.
Where neurons are visited by events, spikes must be those of the reference in float64, and membranes the same up to
rounding; in float32 every bit must be that of another number of threads and other pieces. What diverges on one engine
must diverge on the other, in the same population.

``--checked`` is the build in which every index is checked. ``--models N`` takes N kinds of populations, so that little
is compiled. Network number i depends on the seed and on i alone; ``--first`` begins elsewhere.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

if "--checked" in sys.argv:
    os.environ["SNNSIM_CHECK_BOUNDS"] = "1"
# The script's own folder is on the path, and beside it those that are mapped under snnsim.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent.parent]

import snnsim as sn
from snnsim.backends.contract.silent_neurons import settle
from snnsim.early_exit import DynamicConfidence
from snnsim.errors import DivergenceError, InternalError, SnnsimError
from snnsim.neurons import MODELS

#: Kinds of receptors that a population may have.
CURRENTS = (("Delta",), ("Exponential",), ("Delta", "Exponential"), ("Alpha", "Exponential", "Delta"))
CONDUCTANCES = (("Conductance",), ("Conductance", "Conductance"))
#: How far delays reach, in ticks; how often; the most ticks of a run beyond the longest of them; the most neurons of a
#: population. The reference takes its time for every tick, and for every spike on its way over a plastic projection.
REACHES = ((12, 0.62, 120, 24), (300, 0.2, 200, 12), (3_000, 0.165, 300, 6), (200_000, 0.015, 200, 3))


@dataclass
class Tally:
    """What was done and found."""

    networks: int = 0
    runs: int = 0
    refused: int = 0
    diverged: int = 0
    spikes: int = 0
    longest: int = 0
    mismatches: list[str] = field(default_factory=list)
    out_of_range: list[str] = field(default_factory=list)


class MismatchError(Exception):
    """Two runs differ."""


# -- networks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What a step kernel is compiled for."""

    model: str
    receptors: tuple[str, ...]
    each: bool
    held: bool


def kinds() -> list[Kind]:
    """Return every kind of population."""
    found = []
    for model in sorted(MODELS):
        fields = MODELS[model].__dataclass_fields__
        receptors: tuple[tuple[str, ...], ...] = CURRENTS if "receptors" in fields else ((),)
        for names in CONDUCTANCES if model == "ConductanceLIF" else receptors:
            for held in (False, True) if "refractory" in fields else (False,):
                found += [Kind(model, names, each, held) for each in (False, True)]
    return found


def waits(model: str, receptors: Any) -> bool:
    """Return whether neurons of a model may be visited by events."""
    return model in ("LIF", "LI") and set(receptors) <= {"Delta", "Exponential"}


class Maker:
    """Makes a network out of random numbers.

    Parameters
    ----------
    random : numpy.random.Generator
    pool : list of Kind
        Kinds of populations to choose from.
    """

    def __init__(self, random: np.random.Generator, pool: list[Kind]) -> None:
        self.random, self.pool = random, pool
        self.dt = float(random.choice([1e-3, 1e-4, 1e-6]))
        reach = int(random.choice(len(REACHES), p=[share for _, share, *_ in REACHES]))
        self.reach, _, self.beyond, self.most = REACHES[reach]
        self.far = reach > 0
        #: Whether weights and thresholds are few bits, so that membranes come to lie on their threshold.
        self.exact = bool(random.random() < 0.15)
        #: Whether hardly anything happens, and every population may wait for it: whole windows are passed over.
        self.quiet = bool(random.random() < 0.25)
        self.plastic = bool(random.random() < (0.4, 0.3, 0.1, 0.1)[reach])
        self.batch = not self.plastic and self.reach < 1000 and bool(random.random() < 0.35)

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def number(self, low: float, high: float, size: int | None = None) -> Any:
        return float(self.random.uniform(low, high)) if size is None else self.random.uniform(low, high, size)

    def ticks(self, low: float, high: float, size: int | None = None) -> Any:
        """Return times between two numbers of ticks, evenly on a scale of logarithms."""
        times = self.dt * 10 ** self.random.uniform(np.log10(low), np.log10(high), size)
        return float(times) if size is None else times

    def receptor(self, kind: str, name: str) -> Any:
        if kind == "Delta":
            return sn.Delta(name)
        if kind == "Conductance":
            return sn.Conductance(self.ticks(2, 40), self.one_of(3.0, 1.5, -1.0), name)
        time_constant = self.ticks(2, 60)
        return sn.Exponential(time_constant, name) if kind == "Exponential" else sn.Alpha(time_constant, name)

    def model(self, kind: Kind, size: int) -> Any:
        """Return a model of a kind, whose parameters differ from neuron to neuron where it says so."""
        fields = MODELS[kind.model].__dataclass_fields__

        def some(low: float, high: float) -> Any:
            return self.number(low, high, size) if kind.each and self.chance(0.5) else self.number(low, high)

        time_constant = self.ticks(2, 300, size if kind.each else None)
        # The membrane settles below its threshold, or beyond it and fires unaided.
        settled = self.number(-0.5, 0.5 if self.far or self.quiet else 1.5) if self.chance(0.5) else 0.0
        drawn = {
            "time_constant": time_constant,
            "threshold": some(0.3, 1.5),
            "reset": self.one_of("subtract", "zero", some(-0.5, 0.2)),
            "refractory": int(self.random.integers(1, 6)) * self.dt if kind.held else 0.0,
            "rest": some(-0.2, 0.2),
            "bias": settled * self.dt / time_constant,
            "receptors": tuple(self.receptor(one, f"r{i}") for i, one in enumerate(kind.receptors)),
            "decay_input": self.chance(0.3),
            "integration": self.one_of("exact", "euler"),
            "strict": self.chance(0.5),
            "initial": some(-0.3, 0.25),
            "adaptation": some(0.0, 0.5),
            "adaptation_time_constant": self.ticks(5, 2000),
            "target_rate": some(0.0, 10 / self.reach if self.far else 0.02) / self.dt,
            "rise": some(0.0, 0.3),
        }
        if kind.each and "threshold" in fields:
            drawn["threshold"] = self.number(0.3, 1.5, size)
        elif kind.each and kind.model == "LI":
            drawn["bias"] = self.number(-0.01, 0.01, size)
        if self.exact:
            drawn |= {"threshold": np.full(size, 0.75) if kind.each else 0.75, "rest": 0.0, "bias": 0.0, "initial": 0.0}
            drawn |= {"reset": self.one_of("subtract", "zero"), "decay_input": False}
            if set(kind.receptors) == {"Delta"} and kind.model != "HomeostaticLIF":
                drawn["time_constant"] = np.full(size, np.inf) if kind.each else np.inf
        return MODELS[kind.model](**{name: value for name, value in drawn.items() if name in fields})

    def drives(self, model: Any, size: int) -> list[Any]:
        """Return some Poisson drives, of rates from one event in 10^5 ticks to ten a tick."""
        drives = []
        while not self.quiet and self.chance(0.02 if self.far else 0.25) and len(drives) < 2:
            rate = 10 ** self.random.uniform(-5, 1, size if self.chance(0.3) else None) / self.dt
            drives.append(sn.PoissonDrive(rate, self.number(0.01, 0.2), self.one_of(*model.receptor_list).name))
        return drives

    def source(self) -> Any:
        if self.batch or self.chance(0.4):
            return sn.Input()
        if self.chance(0.5):
            return sn.Poisson(self.number(0.0, 10 / self.reach if self.far else 0.01 if self.quiet else 0.4) / self.dt)
        n = int(self.random.integers(0, 12))
        return sn.Scripted(np.sort(self.random.integers(0, 100, n)) * self.dt, np.zeros(n, int))

    def shape(self) -> Any:
        size = int(self.random.integers(1, self.most))
        if not (self.plastic or self.far) and self.chance(0.3):
            return (int(self.random.integers(1, 3)), 4, 4)
        return size

    def weights(self, conductance: bool, count: Any) -> Any:
        """Return weights of any form; `count` is the shape of an array of them."""
        if self.exact and not self.plastic:
            steps = self.random.integers(0 if conductance else -2, 6, count)
            return steps / 8 if count is not None else float(self.random.integers(1, 6)) / 8
        if self.plastic:
            return self.one_of(sn.Normal(0.2, 0.3, low=-0.9, high=1.4), sn.Uniform(-0.2, 0.9), 0.3)
        if conductance:
            return self.one_of(abs(self.number(0, 0.4)), sn.Uniform(0.0, 0.5), sn.Normal(0.2, 0.1, low=0.0))
        forms = [
            self.number(-0.4, 0.6),
            sn.Normal(0.1, 0.3),
            sn.Uniform(-0.3, 0.6),
            sn.LogNormal(0.2, 0.2),
            sn.Kaiming(),
        ]
        if count is not None:
            forms.append(self.random.normal(0.1, 0.3, count))
        return self.one_of(*forms)

    def rule(self, source: Any, target: Any) -> tuple[Any, int | None]:
        """Return a rule that fits two populations, and how many synapses it lists, where it does."""
        n, m, conductance = source.size, target.size, type(target.model).__name__ == "ConductanceLIF"
        listed = int(self.random.integers(0, 3 * (n + m)))
        own = source is target
        choices: list[Any] = [
            lambda: (sn.Dense(self.weights(conductance, (n, m))), n * m),
            lambda: (
                sn.Sparse(
                    self.random.integers(0, n, listed),
                    self.random.integers(0, m, listed),
                    self.weights(conductance, listed),
                ),
                listed,
            ),
            lambda: (
                sn.FixedProbability(self.number(0, 1), self.weights(conductance, None), not own or self.chance(0.5)),
                None,
            ),
            lambda: (sn.FixedInDegree(int(self.random.integers(0, 9)), self.weights(conductance, None)), None),
            lambda: (sn.FixedTotalNumber(listed, self.weights(conductance, None)), None),
        ]
        if n == m:
            choices.append(lambda: (sn.OneToOne(self.weights(conductance, n)), n))
        if not self.plastic and len(source.shape) == len(target.shape) == 3:
            if target.shape[1:] == (4, 4):
                kernels = np.abs if conductance else np.asarray
                shape = (target.shape[0], source.shape[0], 3, 3)
                choices += 3 * [lambda: (sn.Conv2d(kernels(self.random.normal(0.1, 0.3, shape)), padding=1), None)]
            elif target.shape == (source.shape[0], 2, 2):
                choices += 3 * [lambda: (self.one_of(sn.SumPool2d, sn.MaxPool2d)(2, weights=0.4), None)]
        rule, count = self.one_of(*choices)()
        return rule, count

    def delay(self, count: int | None, least: int) -> Any:
        """Return a delay of at least so many ticks: one, drawn, or one a synapse."""
        if self.chance(0.4):
            return (
                int(10 ** self.random.uniform(0, np.log10(self.reach))) * self.dt if self.chance(0.7) or least else 0.0
            )
        if count is not None and count > 0 and self.chance(0.5):
            steps = np.rint(10 ** self.random.uniform(0, np.log10(self.reach), count)).astype(int)
            if self.chance(0.3):  # runs of equal delays, and gaps at which a segment more is needed
                steps = self.random.choice([1, 2, 255, 256, 511, 766, 1021, 65_026], count)
                steps = np.minimum(steps, self.reach)
            return np.maximum(steps, least) * self.dt
        high = self.reach * self.dt
        return self.one_of(
            sn.Uniform(self.dt, high), sn.Normal(0.5 * high, 0.2 * high, low=self.dt, high=high), sn.Uniform(0.0, high)
        )

    def plasticity(self) -> Any:
        amplitudes = self.random.uniform(0.005, 0.2, 4).tolist()
        times = [self.ticks(2, 60) for _ in range(4)]
        more: dict[str, Any] = {
            "minimum": -1.0,
            "maximum": 1.5,
            "weight_dependence": self.one_of("additive", "multiplicative"),
            "pairing": self.one_of("all", "nearest"),
        }
        if self.chance(0.2):
            # Only excitation is scaled to a sum.
            more |= {"minimum": 0.0, "normalisation": sn.Normalisation(2.0, int(self.random.integers(1, 30)) * self.dt)}
        return self.one_of(
            lambda: sn.STDP(*amplitudes[:2], *times[:2], **more),
            lambda: sn.TripletSTDP(*amplitudes, *times, **more),
            lambda: sn.RewardModulatedSTDP(*amplitudes[:2], *times[:2], self.ticks(5, 5000), **more),
        )()

    def network(self, seed: int) -> sn.Network:
        sources = [sn.Population(f"s{i}", self.shape(), self.source()) for i in range(int(self.random.integers(1, 3)))]
        cells = []
        for i in range(int(self.random.integers(1, 3 if self.reach > 1000 else 4))):
            pool = [kind for kind in self.pool if waits(kind.model, kind.receptors)] if self.quiet else self.pool
            kind, shape = self.one_of(*(pool or self.pool)), self.shape()
            if not self.plastic and self.chance(0.1):
                shape = (1, 2, 2)
            size = int(np.prod(shape))
            model = self.model(kind, size)
            cells.append(sn.Population(f"p{i}", shape, model, self.drives(model, size)))
        if self.batch:  # a readout, for early exit
            cells.append(sn.Population("out", 4, sn.LI(self.ticks(3, 100))))
        populations, projections = sources + cells, []
        for number in range(int(self.random.integers(0, 2 if self.reach > 1000 else 6)) + len(cells)):
            target = cells[number] if number < len(cells) else self.one_of(*cells)
            source = self.one_of(*populations)
            if not getattr(source.model, "spiking", True):
                continue
            rule, count = self.rule(source, target)
            forward = populations.index(source) < populations.index(target)
            least = 0 if forward and (source.is_source or not self.plastic) and self.chance(0.5) else 1
            plasticity = None
            if self.plastic and target.model.spiking and self.chance(0.7):
                plasticity, least = self.plasticity(), 1
                if plasticity.minimum == 0.0:
                    rule = type(rule)(**{**vars(rule), "weights": sn.Uniform(0.0, 0.9)})
            delay = self.delay(count, least)
            if type(rule).__name__ == "MaxPool2d":
                delay = self.one_of(0.0, 3 * self.dt) if forward else 2 * self.dt
            receptor = self.one_of(*target.model.receptor_list).name
            name = f"q{number}"
            projections.append(sn.Projection(source.name, target.name, rule, delay, receptor, name, plasticity))
        return sn.Network(populations, projections, dt=self.dt, seed=seed)


# -- runs -------------------------------------------------------------------------------------------------------------


class Case:
    """A network, how it is run, and the comparison.

    Parameters
    ----------
    seed, number : int
    pool : list of Kind
    dtypes : list of str
        Precisions to choose from.
    tally : Tally
    """

    def __init__(self, seed: int, number: int, pool: list[Kind], dtypes: list[str], tally: Tally) -> None:
        self.tally, attempt = tally, 0
        while True:
            self.random = np.random.default_rng((seed, number, attempt))
            self.maker, attempt = Maker(self.random, pool), attempt + 1
            try:
                self.net = self.maker.network(1000 * seed + number)
                self.dtype = str(self.random.choice(dtypes))
                sn.Simulation(self.net, "reference", dtype=self.dtype)
                break
            except SnnsimError:
                tally.refused += 1
        self.longest = max((self.net.connection(p).longest_delay for p in self.net.projections), default=0)
        self.learning = [p for p in self.net.projections if p.plasticity is not None]

    def run(self) -> None:
        self.tally.networks += 1
        self.tally.longest = max(self.tally.longest, self.longest)
        if self.maker.batch:
            self.recordings()
        else:
            self.long_run()

    def probes(self, every: int) -> list[Any]:
        probes: list[Any] = []
        for population in self.net.populations:
            if getattr(population.model, "spiking", True):
                probes.append(population.name)
            if not population.is_source:
                states = population.model.arithmetic.states
                probes += [sn.Trace(population.name, state, every=every) for state in states]
        return probes

    def inputs(self, n_ticks: int, recordings: int) -> dict[str, sn.Events]:
        """Return events in which a source may stand twice in a tick; few where the run is long."""
        inputs = {}
        for population in self.net.inputs:
            few = 3 if self.maker.quiet else 30
            events = self.random.poisson(min(0.15 * n_ticks, few), (recordings, population.size))
            parts = [
                sn.Events.from_ticks(
                    self.random.integers(0, n_ticks, count.sum()),
                    np.repeat(np.arange(population.size), count),
                    n_sources=population.size,
                    n_ticks=n_ticks,
                    dt=self.net.dt,
                )
                for count in events
            ]
            inputs[population.name] = sn.Events.concatenate(parts)
        return inputs

    def both(self, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any] | None:
        """Return what two runs give, or None where both diverge."""
        found, where = [], []
        for work in (first, second):
            try:
                found.append(work())
            except DivergenceError as error:
                where.append(str(error).split(":")[0])
        if len(where) == 1 or len(set(where)) > 1:
            raise MismatchError(f"diverged: {where}")
        if where:
            self.tally.diverged += 1
            return None
        return found[0], found[1]

    # -- batches ---------------------------------------------------------------------------------------------

    def recordings(self) -> None:
        n_ticks = int(self.random.integers(1, 60)) + self.longest
        inputs = self.inputs(n_ticks, int(self.random.integers(1, 6)))
        if not inputs:
            return
        probes = self.probes(int(self.random.integers(1, 5)))
        options: dict[str, Any] = {"batch_size": int(self.random.integers(1, 5))}
        if self.random.random() < 0.6 and self.readout():
            options["early_exit"] = DynamicConfidence(
                float(10 ** self.random.uniform(-2, 2)),
                float(self.random.uniform(0.25, 1.0)),
                int(self.random.integers(1, n_ticks + 1)),
            )

        def run(backend: str, threads: int) -> Any:
            sim = sn.Simulation(self.net, backend, dtype=self.dtype, threads=threads)
            self.tally.runs += 1
            return sim.run_samples(inputs, record=probes, **options)

        threads = [int(number) for number in self.random.integers(1, 4, 2)]
        results = self.both(lambda: run("reference", threads[0]), lambda: run("cpu", threads[1]))
        if results is None:
            return
        same(results[0].spikes, results[1].spikes, "spikes")
        same(results[0].traces, results[1].traces, "traces")
        for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks"):
            same(getattr(results[0].counters, name), getattr(results[1].counters, name), name)
        self.tally.spikes += int(results[0].counters.spikes.sum())

    def readout(self) -> bool:
        try:
            return bool(self.net.output)
        except SnnsimError:
            return False

    # -- long runs -------------------------------------------------------------------------------------------

    def long_run(self) -> None:
        n_ticks = self.longest + int(self.random.integers(1, self.maker.beyond))
        inputs = self.inputs(n_ticks, 1)
        every = 1 if n_ticks < 1000 else int(self.random.integers(1, 50))
        cuts = np.unique(self.random.integers(0, n_ticks, int(self.random.integers(0, 4))))
        edges = [0, *(int(cut) for cut in cuts if cut > 0), n_ticks]
        given = (self.probes(every), inputs, edges)
        threads = [int(self.random.integers(1, 4)) for _ in range(2)]
        moves = self.random.random() < 0.5
        results = self.both(
            lambda: self.pieces("reference", None, *given),
            lambda: self.pieces("cpu", threads[0], *given, visit="ticks", moves=moves),
        )
        if results is None:
            return
        expected, found = results
        self.tally.spikes += int(expected["spike counts"].sum())
        for name, values in expected.items():
            same(values, found[name], f"{name} of cpu, {threads[0]} threads")
        able = {p.name: "events" for p in self.net.populations if self.may_wait(p)}
        if not able:
            return
        found = self.pieces("cpu", threads[1], *given, visit=able)
        if self.dtype == "float64":
            for name, values in expected.items():
                close = name.endswith(".membrane") or name.startswith("state")
                if name == "membrane updates":
                    continue
                (nearly if close else same)(values, found[name], f"{name} by events, {threads[1]} threads")
        elif not self.learning:  # what learns goes by spikes that float32 may place elsewhere
            other = self.pieces("cpu", 1 + threads[1] % 3, self.probes(every), inputs, [0, n_ticks], visit=able)
            for name, values in found.items():
                same(values, other[name], f"{name} by events, other pieces")

    def may_wait(self, population: Any) -> bool:
        receptors = [type(receptor).__name__ for receptor in getattr(population.model, "receptor_list", ())]
        return waits(type(population.model).__name__, receptors) and not population.drive

    def pieces(
        self,
        backend: str,
        threads: int | None,
        probes: list[Any],
        inputs: dict[str, sn.Events],
        edges: list[int],
        visit: Any = "auto",
        moves: bool = False,
    ) -> dict[str, Any]:
        """Run piece after piece, on the reference in between where it moves; return all that it leaves."""
        sim = sn.Simulation(self.net, backend, dtype=self.dtype, threads=threads, visit=visit)
        spikes: dict[str, list[np.ndarray]] = {}
        traces: dict[str, list[np.ndarray]] = {}
        counts: dict[str, Any] = {"spike counts": 0, "membrane updates": 0, "operations": 0}
        for number, (low, high) in enumerate(itertools.pairwise(edges)):
            piece = {name: events.crop(high - low, low) for name, events in inputs.items()}
            result = sim.run((high - low) * self.net.dt, piece, record=probes)
            self.tally.runs += 1
            for name, events in result.spikes.items():
                spikes.setdefault(name, []).append(np.stack([events.ticks + low, events.sources]))
            for key, values in result.traces.items():
                traces.setdefault(str(key), []).append(values)
            counts["spike counts"] = counts["spike counts"] + result.counters.spikes
            counts["membrane updates"] = counts["membrane updates"] + result.counters.membrane_updates
            counts["operations"] = counts["operations"] + result.counters.synaptic_operations
            for projection in self.learning:
                if projection.plasticity.eligibility is not None and (number + high) % 2:
                    sim.reward(projection.name, 0.4)
            if moves and high < edges[-1]:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "state.h5"
                    sim.save_checkpoint(path)
                    other = ("reference", "cpu")[number % 2]
                    sim = sn.Simulation.from_checkpoint(path, other, threads=1 + number % 3, visit="ticks")
        state: dict[str, Any] = {f"spikes of {name}": np.concatenate(parts, 1) for name, parts in spikes.items()}
        state |= {name: np.concatenate(parts, 1) for name, parts in traces.items()}
        state |= counts
        state |= {f"weights of {p.name}": sim.weights(p.name) for p in self.learning}
        for plastic in sim.state.plastic:
            state |= {f"plastic {plastic.projection} {name}": value for name, value in vars(plastic).items()}
        settle(self.net, sim.program.layout, sim.state)  # neurons that were left alone
        return state | {"state": sim.state.floats, "counters": sim.state.counters}


def same(first: Any, second: Any, what: str) -> None:
    """Raise `MismatchError` unless two values are the same in every bit."""
    if isinstance(first, dict):
        if first.keys() != second.keys():
            raise MismatchError(f"{what}: {sorted(map(str, first))} and {sorted(map(str, second))}")
        for key in first:
            same(first[key], second[key], f"{what} {key}")
        return
    if isinstance(first, np.ndarray):
        if first.dtype != second.dtype or not np.array_equal(first, second, equal_nan=first.dtype.kind == "f"):
            raise MismatchError(what)
    elif first != second:
        raise MismatchError(what)


def nearly(first: np.ndarray, second: np.ndarray, what: str) -> None:
    """Raise `MismatchError` unless two arrays are the same up to rounding."""
    scale = float(np.max(np.abs(first), initial=0.0))
    if first.shape != second.shape or not np.allclose(first, second, rtol=1e-9, atol=1e-11 * max(scale, 1.0)):
        raise MismatchError(f"{what}, off by {np.max(np.abs(first - second), initial=0.0):.1e} of {scale:.1e}")


# -- the command ------------------------------------------------------------------------------------------------------


def main() -> int:
    """Run the networks that were asked for; return 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--models", type=int, default=0, help="kinds of populations; 0 for all")
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"], choices=["float32", "float64"])
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no network after so many")
    parser.add_argument("--checked", action="store_true", help="check every index")
    given = parser.parse_args()
    pool = kinds()
    if given.models:
        order = np.random.default_rng(given.seed).permutation(len(pool))
        # Those first that may be visited by events, and half as many of the others.
        waiting = [pool[i] for i in order if waits(pool[i].model, pool[i].receptors) and pool[i].model == "LIF"]
        others = [pool[i] for i in order if pool[i] not in waiting]
        pool = waiting[: -(-given.models // 2)] + others[: given.models // 2]
    tally, began = Tally(), time.monotonic()
    numbers = range(given.first, given.first + given.networks)
    # C functions cannot raise: Python tells of their errors there.
    sys.unraisablehook = lambda seen: tally.out_of_range.append(f"{seen.exc_type.__name__}: {seen.exc_value}")
    warnings.simplefilter("error")
    number = given.first
    for number in numbers:
        if time.monotonic() - began > given.seconds:
            break
        seen = len(tally.out_of_range)
        try:
            Case(given.seed, number, pool, given.dtype, tally).run()
        except (MismatchError, DivergenceError) as error:
            tally.mismatches.append(f"network {number}: {error}")
        except (IndexError, InternalError) as error:
            tally.out_of_range.append(f"{type(error).__name__}: {error}")
        for entry in tally.out_of_range[seen:]:
            print(f"network {number}: {entry}", flush=True)
        if tally.mismatches and tally.mismatches[-1].startswith(f"network {number}:"):
            print(tally.mismatches[-1], flush=True)
    print(
        f"seed {given.seed}, networks {given.first} to {given.first + tally.networks - 1}: {tally.networks} networks, "
        f"{tally.refused} drafts refused, {tally.runs} runs, {tally.spikes} spikes, longest delay {tally.longest} "
        f"ticks, {tally.diverged} networks that diverge, {len(tally.mismatches)} mismatches, "
        f"{len(tally.out_of_range)} out of range"
        f"{', every index checked' if given.checked else ''}, {time.monotonic() - began:.0f} s"
    )
    return int(bool(tally.mismatches or tally.out_of_range))


if __name__ == "__main__":
    sys.exit(main())
