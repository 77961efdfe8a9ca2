"""Run a network: one long run that continues, or many recordings that each start from rest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim import checkpoints, learned
from snnsim.backends.base import ExitRequest, RunOutput, RunRequest, State, Visit
from snnsim.backends.plastic import refuse_recordings
from snnsim.backends.registry import compile_network
from snnsim.errors import ParameterError, whole
from snnsim.events import Events
from snnsim.network import Network
from snnsim.progress import bar
from snnsim.recording import Probe, Probes, resolve_probes
from snnsim.result import Counters, Result, provenance
from snnsim.run_inputs import Inputs, RunInputs
from snnsim.timebase import tick_count

if TYPE_CHECKING:
    from snnsim.early_exit import DynamicConfidence


class Simulation:
    """A network on a backend, with the state of one long run.

    Parameters
    ----------
    network : Network
    backend : str
        ``"cpu"``, ``"reference"`` or another one that is installed.
    dtype : {"float32", "float64"}
        Precision of weights and states.
    threads : int, optional
        Threads to compute on; default all cores. The results do not depend on it.
    visit : {"auto", "events", "ticks"} or dict of str to one of these
        When populations of a long run are advanced: where an event or their bound asks for it (``"events"``), at every
        tick (``"ticks"``), or as the backend thinks best; for all, or by name of the population. The spikes are the
        same either way, so the reference backend takes all three and visits every tick.
    progress : bool
        Show a bar while the network is built.
    memory_limit : int, optional
        Bytes that the program may take; default what the machine has to spare.

    Examples
    --------
    >>> sim = Simulation(network)                       # doctest: +SKIP
    >>> first = sim.run(0.5); second = sim.run(0.5)     # one second in all  # doctest: +SKIP
    >>> answers = sim.run_samples(events)               # each from rest     # doctest: +SKIP
    """

    def __init__(
        self,
        network: Network,
        backend: str = "cpu",
        *,
        dtype: str = "float32",
        threads: int | None = None,
        visit: Visit = "auto",
        progress: bool = False,
        memory_limit: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise ParameterError(f"network={network!r}: expected a Network")
        self.network = network
        self.backend = backend
        self.dtype = dtype
        self.threads = cores() if threads is None else whole("threads", threads, at_least=1)
        self.program = compile_network(
            network,
            backend,
            dtype=dtype,
            threads=self.threads,
            visit=visit,
            progress=progress,
            memory_limit=memory_limit,
        )
        self._state: State | None = None
        self._inputs = RunInputs(network)
        # Looked up once: a run of one short recording takes less time than these would at every call.
        self._names = tuple(p.name for p in network.populations), tuple(p.name for p in network.projections)
        self._is_source = tuple(p.is_source for p in network.populations)
        self._default_probes = resolve_probes(network, None)

    # -- one long run ------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the long run."""
        if self._state is None:
            self._state = self.program.initial_state(1)
        return self._state

    @property
    def tick(self) -> int:
        """The next tick of the long run."""
        return self.state.tick

    def reset(self) -> None:
        """Go back to tick 0 and rest."""
        self._state = None

    def run(
        self,
        duration: float | None = None,
        inputs: Inputs | None = None,
        *,
        record: Iterable[Probe] | Probe | None = None,
        progress: bool = False,
    ) -> Result:
        """Run on from where the last run stopped.

        Parameters
        ----------
        duration : float, optional
            Seconds; default the length of the inputs.
        inputs : Events or dict of str to Events, optional
            One recording for each `Input` population, its ticks counted from the start of this run.
        record : probes, optional
            Population names, `Spikes` and `Trace`; default the network's ends.
        progress : bool
            Show a bar with the time left.

        Returns
        -------
        Result
            With one recording.
        """
        given = self._inputs.check(inputs, recordings=1)
        if duration is None:
            if not given:
                raise ParameterError("duration is missing; without inputs a run needs a length in seconds")
            n_ticks = max(events.n_ticks for events in given.values())
        else:
            n_ticks = tick_count(duration, self.network.dt, name="duration")
        if n_ticks < 1:
            raise ParameterError(f"duration={n_ticks * self.network.dt:g} s: a run takes one tick or more")
        probes = self._default_probes if record is None else resolve_probes(self.network, record)
        self._inputs.check_end(given, n_ticks)
        state, start = self.state, self.state.tick
        began = time.perf_counter()
        outputs = []
        with bar(progress, n_ticks, "ticks") as move:
            for first, count in _blocks(n_ticks, self._ticks_per_block(n_ticks, progress)):
                window = {number: events.crop(count, first) for number, events in given.items()}
                full = self._inputs.complete(window, state.tick, count, np.zeros(1, np.int64))
                outputs.append(self.program.run_long(state, RunRequest(count, full, probes.spikes, probes.traces)))
                move(count)
        wall = time.perf_counter() - began
        return self._result(_join_in_time(outputs, self.network), probes, n_ticks, start, wall)

    def _ticks_per_block(self, n_ticks: int, progress: bool) -> int:
        """Return how many ticks to run at a time: bounded memory for generated events, and a bar that moves."""
        block = max(1, min(n_ticks, 2**22 // max(self._inputs.random_sources, 1)))
        return max(1, min(block, n_ticks // 100)) if progress else block

    # -- learning ----------------------------------------------------------------------------------------

    def weights(self, projection: str) -> NDArray[Any]:
        """Return the weights of a projection as they stand in the long run.

        Parameters
        ----------
        projection : str
            Its name.

        Returns
        -------
        ndarray, shape (synapses,)
            In the order of ``network.synapses(network.projection(name))``.
        """
        return learned.weights(self.program, self.state, projection)

    def reward(self, projection: str, value: float) -> None:
        """Turn the eligibility of a projection with `RewardModulatedSTDP` into weight: w += value * eligibility.

        Parameters
        ----------
        projection : str
            Its name.
        value : float
            Any finite number; what is below zero punishes.
        """
        learned.reward(self.program, self.state, projection, value)

    def network_with_weights(self) -> Network:
        """Return the network with the weights that its plastic projections have learned so far.

        Random wiring and delays of these projections are written out; their rules stay, so that learning may go on.
        """
        return learned.network_with_weights(self.program, self.state)

    # -- many recordings ---------------------------------------------------------------------------------

    def run_samples(
        self,
        inputs: Inputs,
        *,
        record: Iterable[Probe] | Probe | None = None,
        early_exit: DynamicConfidence | None = None,
        progress: bool = False,
        batch_size: int = 1024,
    ) -> Result:
        """Run every recording from rest; nothing is carried from one to another, nor to or from `run`.

        Parameters
        ----------
        inputs : Events or dict of str to Events
            The recordings, for each `Input` population.
        record : probes, optional
            Default the network's ends; pass ``()`` to record nothing.
        early_exit : DynamicConfidence, optional
            Stop a recording as soon as it is sure, judged by the network's output.
        progress : bool
            Show a bar with the time left.
        batch_size : int
            Recordings in memory at a time.

        Returns
        -------
        Result
            With one recording for each of the inputs'.
        """
        refuse_recordings(self.network)
        given = self._inputs.check(inputs)
        if not given:
            raise ParameterError("inputs is empty; use run(duration) for a network without inputs")
        batch_size = whole("batch_size", batch_size, at_least=1)
        recordings = len(next(iter(given.values())))
        n_ticks = max(events.n_ticks for events in given.values())
        if recordings < 1 or n_ticks < 1:
            raise ParameterError(f"inputs hold {recordings} recordings of {n_ticks} ticks; nothing to run")
        probes = self._default_probes if record is None else resolve_probes(self.network, record)
        exit_request = None if early_exit is None else self._exit_request(early_exit, n_ticks)
        began = time.perf_counter()
        if recordings <= batch_size and not progress:
            outputs = [self._run_batch(given, 0, recordings, n_ticks, probes, exit_request)]
        else:
            outputs = []
            with bar(progress, recordings, "recordings") as move:
                size = min(batch_size, max(1, recordings // 20)) if progress else batch_size
                for first, count in _blocks(recordings, size):
                    batch = {number: events[first : first + count] for number, events in given.items()}
                    outputs.append(self._run_batch(batch, first, count, n_ticks, probes, exit_request))
                    move(count)
        wall = time.perf_counter() - began
        return self._result(_join_recordings(outputs), probes, n_ticks, 0, wall)

    def _run_batch(
        self,
        given: dict[int, Events],
        first: int,
        count: int,
        n_ticks: int,
        probes: Probes,
        exit_request: ExitRequest | None,
    ) -> RunOutput:
        """Run recordings from rest; `first` is the number of the first one, which keys the sources of chance."""
        full = self._inputs.complete(given, 0, n_ticks, np.arange(first, first + count))
        request = RunRequest(n_ticks, full, probes.spikes, probes.traces, exit_request, first)
        return self.program.run(self.program.initial_state(count), request)

    def _exit_request(self, rule: DynamicConfidence, n_ticks: int) -> ExitRequest:
        output = self.network.output
        if getattr(output.model, "spiking", True):
            raise ParameterError(
                f"early_exit: the output {output.name!r} ({type(output.model).__name__}) spikes; "
                "confidence needs a readout such as LI"
            )
        return ExitRequest(self.network.population_number(output.name), rule.smoothing, rule.thresholds(n_ticks))

    # -- outcome -----------------------------------------------------------------------------------------

    def _result(self, output: RunOutput, probes: Probes, n_ticks: int, start: int, wall: float) -> Result:
        network = self.network
        counters = Counters(
            self._names[0],
            self._names[1],
            output.population_spikes,
            output.membrane_updates,
            output.synaptic_operations,
            output.exit_ticks,
            self._is_source,
        )
        return Result(
            {network.populations[number].name: events for number, events in output.spikes.items()},
            dict(zip(probes.keys, output.traces, strict=True)),
            counters,
            n_ticks,
            start,
            network.dt,
            wall,
            provenance(backend=self.backend, dtype=self.dtype, threads=self.threads, seed=network.seed),
        )

    # -- checkpoints -------------------------------------------------------------------------------------

    def save_checkpoint(self, path: str | Path) -> None:
        """Save network and state of the long run, spikes in flight included; see `from_checkpoint`."""
        self.program.settle(self.state)
        checkpoints.save(path, self.network, self.state, backend=self.backend, dtype=self.dtype)

    @classmethod
    def from_checkpoint(cls, path: str | Path, backend: str | None = None, *, threads: int | None = None) -> Simulation:
        """Go on from a checkpoint, bit for bit, on the same backend or another one."""
        facts = checkpoints.load_facts(path)
        sim = cls(facts.network, backend or facts.backend, dtype=facts.dtype, threads=threads)
        sim._state = checkpoints.load_state(path, sim.program.initial_state(1))
        return sim


def run(
    network: Network,
    inputs: Inputs | None = None,
    *,
    duration: float | None = None,
    backend: str = "cpu",
    dtype: str = "float32",
    record: Iterable[Probe] | Probe | None = None,
    progress: bool = False,
) -> Result:
    """Run a network once from rest: `Simulation.run_samples` on inputs, or `Simulation.run` for a duration."""
    simulation = Simulation(network, backend, dtype=dtype)
    if inputs is None or duration is not None:
        return simulation.run(duration, inputs, record=record, progress=progress)
    return simulation.run_samples(inputs, record=record, progress=progress)


def cores() -> int:
    """Return the number of cores this process may use."""
    # Only Linux tells which cores a process is bound to.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _blocks(total: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(0, total, size):
        yield first, min(size, total - first)


def _join_recordings(outputs: list[RunOutput]) -> RunOutput:
    if len(outputs) == 1:
        return outputs[0]
    names = ("population_spikes", "membrane_updates", "synaptic_operations", "exit_ticks")
    arrays = {name: np.concatenate([getattr(output, name) for output in outputs]) for name in names}
    spikes = {number: Events.concatenate([o.spikes[number] for o in outputs]) for number in outputs[0].spikes}
    traces = [np.concatenate([o.traces[i] for o in outputs]) for i in range(len(outputs[0].traces))]
    return RunOutput(spikes, traces, **arrays)


def _join_in_time(outputs: list[RunOutput], network: Network) -> RunOutput:
    if len(outputs) == 1:
        return outputs[0]
    first = outputs[0]
    spikes = {}
    for number in first.spikes:
        parts = [output.spikes[number] for output in outputs]
        shifts = np.cumsum([0, *(part.n_ticks for part in parts[:-1])])
        spikes[number] = Events(
            np.concatenate([part.ticks + shift for part, shift in zip(parts, shifts, strict=True)]),
            np.concatenate([part.sources for part in parts]),
            np.array([0, sum(part.ticks.size for part in parts)]),
            network.populations[number].size,
            sum(part.n_ticks for part in parts),
            network.dt,
        )
    names = ("population_spikes", "membrane_updates", "synaptic_operations", "exit_ticks")
    sums = {name: np.sum([getattr(output, name) for output in outputs], axis=0) for name in names}
    traces = [np.concatenate([o.traces[i] for o in outputs], axis=1) for i in range(len(first.traces))]
    return RunOutput(spikes, traces, **sums)
