"""The cpu program: tables once, then the compiled engine over recordings, a few at a time on each thread."""

from __future__ import annotations

import functools
import itertools
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.capabilities import Capabilities
from snnsim.backends.contract.memory import MemoryForecast, check_memory
from snnsim.backends.contract.options import DEFAULTS, Options
from snnsim.backends.contract.plasticity import plastic_projections, refuse_recordings
from snnsim.backends.contract.program import Program
from snnsim.backends.contract.requests import RunOutput, RunRequest
from snnsim.backends.contract.state import State
from snnsim.backends.cpu.long_run.event_driven_choice import visited_by_events
from snnsim.backends.cpu.long_run.long_run import LongRun
from snnsim.backends.cpu.neurons.table_columns import RECORDED
from snnsim.backends.cpu.parts.memory import forecast, of_recordings
from snnsim.backends.cpu.parts.partition import paying_threads
from snnsim.backends.cpu.parts.supported import unsupported
from snnsim.backends.cpu.recordings import engine as e
from snnsim.backends.cpu.recordings.tables import Tables, tables_of
from snnsim.errors import CapabilityError, one_of
from snnsim.events import Events
from snnsim.network.fingerprint import description
from snnsim.network.network import Network
from snnsim.neurons import MODELS, RECEPTORS
from snnsim.scores import SCORES
from snnsim.system.mpi_processes import Ranks, world

#: Spikes that the log of a thread holds at first; it grows when full.
_FIRST_LOG = 2**14
#: How many parts the recordings are cut into for each thread, so that no thread waits long for another.
_PARTS_PER_THREAD = 4
_ONE_RECORDING = np.arange(2)
_NO_TRACES = np.zeros((0, e.TRACE_FIRST_RECORD + 1), np.int64)
_NO_NEURONS = np.zeros(0, np.int64)
_NO_EVENTS, _NO_SOURCES = np.zeros(0, np.int64), np.zeros(0, np.int32)


def _facts(options: Options) -> dict[str, str]:
    """Return in what all ranks of a network must agree."""
    return {"dtype": options.dtype, "visit": repr(options.visit)}


def _nothing() -> None:
    """Do what a rank has to do while the first one writes."""


class CpuProgram(Program):
    """Runs a network with the compiled engine.

    Parameters
    ----------
    network, options
        See `Program`.
    ranks : {"together", "separate"}
        Of several processes that a launcher of MPI has started: all share one long run, which all of them must make and
        call alike, or each runs a network of its own. Without a launcher both are the same.
    """

    name = "cpu"
    capabilities = Capabilities(
        drives=True, frames=True, plasticity=True, receptors=frozenset(RECEPTORS), models=MODELS.keys()
    )

    def __init__(
        self,
        network: Network,
        options: Options = DEFAULTS,
        *,
        ranks: str = "together",
    ) -> None:
        one_of("ranks", ranks, ("together", "separate"))
        self._alone, self._joined, self._neighbours = ranks == "separate", False, 1
        self._long_threads = paying_threads(network) if options.threads is None else options.threads
        self._in_parts = unsupported(network) is None
        # Whether the long run is built with the simulation, not with its first run.
        self._long_first = self._in_parts and bool(not network.inputs or plastic_projections(network))
        if self._long_first:
            self._join(network, _facts(options))
        super().__init__(network, options)
        # Refused here, where it is asked for, if it cannot be.
        none = np.zeros(len(network.populations), np.int64)
        self._by_events = visited_by_events(network, self.visit) if self._in_parts else none
        self._check_plasticity()
        if self._long_first:
            _ = self._long
        else:
            self.held = 0  # but a state, until the first run
        self._places = {place.population: place for place in self.layout.places}
        self._source_numbers = [i for i, p in enumerate(network.populations) if p.is_source]
        # Looked up once: a run of one short recording takes less time than many look-ups.
        self._no_frames = (
            np.full((len(self._source_numbers), e.FRAMES + 1), -1, np.int64),
            np.zeros((0, 0), np.int64),
            np.zeros(0, self.dtype),
            np.zeros(len(network.projections) + 1, np.int64),
        )
        self._neurons = np.array([0 if p.is_source else p.size for p in network.populations], np.int64)

    def forecast(self) -> MemoryForecast:
        """Return what the first thing that is built takes: the long run, or the tables for recordings."""
        if self._long_first:
            return self._long_forecast()
        return of_recordings(self.network, str(self.dtype))

    def _long_forecast(self) -> MemoryForecast:
        return forecast(self.network, dtype=str(self.dtype), threads=self._long_threads, ranks=self.ranks)

    def _claim(self, forecast: MemoryForecast) -> int:
        """Return the bytes that stay taken, or raise `ResourceError` where there is no room; on all ranks alike."""
        claim = functools.partial(check_memory, forecast, self.memory_limit, self.held, self._neighbours)
        if self._joined and self._together is not None:
            self._together.together("Simulation(...)", claim)
        else:
            claim()
        return forecast.kept

    @functools.cached_property
    def _tables(self) -> Tables:
        self.held += super()._claim(of_recordings(self.network, str(self.dtype)))  # recordings are each process's own
        return tables_of(self.network, self.layout, self.dtype)

    @functools.cached_property
    def _long(self) -> LongRun:
        if not self._long_first:
            self._join(self.network, _facts(self.options))
            self.held += self._claim(self._long_forecast())
        return LongRun(
            self.network,
            self.layout,
            self.dtype,
            threads=self._long_threads,
            by_events=self._by_events,
            progress=self.options.progress,
            ranks=self._together,
        )

    # -- many processes ----------------------------------------------------------------------------------

    @property
    def _together(self) -> Ranks | None:
        """The processes that share the long run, or None where this one is alone."""
        return None if self._alone else world()

    def _join(self, network: Network, facts: Mapping[str, str]) -> None:
        """Check once that all ranks are about to run the same network in the same way."""
        together = self._together
        if together is None or self._joined:
            return
        machines = together.meet("Simulation(...)", description(network) | dict(facts), platform.node())
        self._joined, self._neighbours = True, machines.count(platform.node())

    @property
    def ranks(self) -> int:
        """How many processes share the long run."""
        return 1 if self._together is None else self._together.size

    @property
    def writes_files(self) -> bool:
        """Whether this process is the first of the ranks."""
        return self._together is None or self._together.rank == 0

    def meet(self, call: str, facts: Mapping[str, str]) -> None:
        """Raise `RanksError` on all ranks unless all of them make the same call."""
        if self._together is not None:
            self._join(self.network, _facts(self.options))
            self._together.meet(call, facts)

    def agree(self, value: int) -> int:
        """Return the number of the first rank."""
        return value if self._together is None else int(self._together.meet("Simulation.run", None, value)[0])

    def first_only(self, call: str, work: Callable[[], Any]) -> None:
        """Do some work on the first rank; what it raises there is raised on all."""
        if self._together is None:
            work()
        else:
            self._together.together(call, work if self._together.rank == 0 else _nothing)

    # -- long runs ---------------------------------------------------------------------------------------

    def run_long(self, state: State, request: RunRequest) -> RunOutput:
        """Advance the one recording of a long run, on all threads.

        A network with zero-delay projections between populations of neurons cannot go in parts, and neither can one
        that is given frames: they take one thread.
        """
        if request.frames:
            if self.ranks > 1:
                raise CapabilityError(
                    f"backend {self.name!r} cannot run Frames on several ranks; run one process, or ranks='separate'"
                )
            if self.learns:
                raise CapabilityError(
                    f"backend {self.name!r} cannot run Frames in a network that has plastic projections; backends that "
                    "can: reference"
                )
            return super().run_long(state, request)
        return self._long.run(state, request) if self._in_parts else super().run_long(state, request)

    @property
    def stepped_neurons(self) -> int:
        """How many neurons a long run advances at every tick; others wait for events."""
        return self._long.stepped_neurons if self._in_parts else super().stepped_neurons

    def _check_plasticity(self) -> None:
        """Raise `CapabilityError` where a plastic network cannot go in parts."""
        reason = unsupported(self.network)
        for number in plastic_projections(self.network):
            if reason is not None:
                raise CapabilityError(
                    f"backend {self.name!r} cannot run the plasticity of projection "
                    f"{self.network.projections[number].name!r} in a network in which {reason}; "
                    "backends that can: reference"
                )

    def settle(self, state: State) -> None:
        """Bring the weights of plastic projections into `state`."""
        if state.plastic and self._long.plastic is not None:
            with self._long.sharing():
                self._long.plastic.settle(state)

    def reward(self, state: State, projection: int, value: float) -> None:
        """Turn the eligibility of a plastic projection into weight."""
        assert self._long.plastic is not None
        with self._long.sharing():
            self._long.plastic.reward(state, projection, value)

    def run(self, state: State, request: RunRequest) -> RunOutput:
        """Advance `state` in place and return what was recorded."""
        if self.learns:
            refuse_recordings(self.network)
        recordings = state.floats.shape[0]
        t, events, frames = self._tables, self._events(request, recordings), self._frames(request, recordings)
        cells = t.cells
        populations = cells.populations
        engine_spikes = [number for number in request.spikes if number in self._places]
        if engine_spikes:
            populations = populations.copy()
            populations[engine_spikes, RECORDED] = 1
        traces, neurons, values = self._traces(state, request, recordings)
        exit = request.exit
        n_exit = 0 if exit is None else self._places[exit.population].size
        exit_arguments = (
            np.zeros(0) if exit is None else np.ascontiguousarray(exit.thresholds, np.float64),
            1.0 if exit is None else float(exit.smoothing),
            -1 if exit is None else exit.population,
            0 if exit is None else SCORES.index(exit.score),
            np.zeros((recordings, n_exit)),
        )
        counts = np.zeros((recordings, len(self.network.populations)), np.int64)
        operations = np.zeros((recordings, len(self.network.projections)), np.int64)
        exit_ticks = np.zeros(recordings, np.int64)
        # Room for every spike that can come, up to a size; and always for those of one tick.
        most = sum(self._places[number].size for number in engine_spikes)
        first_log = max(2 * most, min(_FIRST_LOG, most * request.n_ticks * recordings))
        compiled, ends = e.engine(), request.ends_of(recordings)

        def part(bounds: tuple[int, int]) -> list[NDArray[np.int64]]:
            logs = []
            progress = np.zeros(3, np.int64)
            size = first_log
            done = False
            while not done:
                log = np.empty((4, size), np.int64)
                progress[2] = 0
                done = compiled(
                    bounds[0],
                    bounds[1],
                    state.tick,
                    ends,
                    request.first_recording,
                    t.order,
                    t.steps,
                    populations,
                    cells.receptors,
                    cells.drives,
                    t.outgoing_offsets,
                    t.outgoing,
                    t.projections,
                    cells.coefficients,
                    cells.thresholds,
                    t.weights,
                    t.offsets,
                    t.targets,
                    t.delays,
                    state.floats,
                    state.counters,
                    *events,
                    *frames,
                    traces,
                    neurons,
                    values,
                    *exit_arguments,
                    counts,
                    operations,
                    exit_ticks,
                    log,
                    progress,
                )
                logs.append(log[:, : progress[2]])
                size *= 2
            return logs

        logs = [log for done in self._spread(part, recordings) for log in done]
        state.tick += request.n_ticks
        return RunOutput(
            self._spikes(request, engine_spikes, logs, recordings, exit_ticks),
            self._split_traces(request, traces, values, state.tick - request.n_ticks),
            counts,
            exit_ticks[:, None] * self._neurons,
            operations,
            exit_ticks,
        )

    def _spread(self, part: Any, recordings: int) -> list[list[NDArray[np.int64]]]:
        """Run `part` over ranges of recordings, on threads where there is more than one recording."""
        threads = min(self.threads, recordings)
        if threads == 1:
            return [part((0, recordings))]
        n_parts = min(recordings, threads * _PARTS_PER_THREAD)
        edges = [recordings * i // n_parts for i in range(n_parts + 1)]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(part, itertools.pairwise(edges)))

    def _events(self, request: RunRequest, recordings: int) -> tuple[NDArray[Any], ...]:
        """Return offsets (sources, recordings + 1), ticks and sources of the events of all source populations."""
        none = Events.unchecked(_NO_EVENTS, _NO_SOURCES, np.zeros(recordings + 1, np.int64), 1, 1, 1.0)
        frames = request.frames
        batches = [none if number in frames else request.events_of(number) for number in self._source_numbers]
        if len(batches) == 1:
            return batches[0].offsets[None, :], batches[0].ticks, batches[0].sources
        if not batches:
            return np.zeros((0, recordings + 1), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32)
        starts = np.cumsum([0, *(batch.ticks.size for batch in batches[:-1])])
        offsets = np.stack([batch.offsets + start for batch, start in zip(batches, starts, strict=True)])
        ticks = np.concatenate([batch.ticks for batch in batches])
        return offsets, ticks, np.concatenate([batch.sources for batch in batches])

    def _frames(self, request: RunRequest, recordings: int) -> tuple[NDArray[Any], ...]:
        """Return what the engine shows of frames.

        The table of frames, the end of each source's frames in each recording, their values one source after another,
        and the places of the sums of each projection.
        """
        given = request.frames
        if not given:
            return self._no_frames
        table = np.full((len(self._source_numbers), e.FRAMES + 1), -1, np.int64)
        ends = np.zeros((len(self._source_numbers), recordings), np.int64)
        values, place = [], 0
        for source, number in enumerate(self._source_numbers):
            if number in given:
                frames = given[number]
                table[source], ends[source] = (place, frames.values.shape[1]), frames.lengths
                values.append(np.ascontiguousarray(frames.values, self.dtype).reshape(-1))
                place += values[-1].size
        sizes = [one.target.size if one.source_number in given else 0 for one in self.network.connections]
        held = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        return table, ends, values[0] if len(values) == 1 else np.concatenate(values), held

    def _traces(
        self, state: State, request: RunRequest, recordings: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        """Return the table of traces, their neurons, and an array for their values."""
        if not request.traces:
            return _NO_TRACES, _NO_NEURONS, np.zeros((recordings, 0), self.dtype)
        table = np.zeros((len(request.traces), e.TRACE_FIRST_RECORD + 1), np.int64)
        first_neuron = place = 0
        for row, trace in zip(table, request.traces, strict=True):
            where = self._places[trace.population]
            row[e.TRACE_STATES] = where.states + trace.state * where.size
            row[e.TRACE_EVERY], row[e.TRACE_NEURONS] = trace.every, trace.neurons.size
            row[e.TRACE_FIRST_NEURON], row[e.TRACE_PLACE] = first_neuron, place
            row[e.TRACE_FIRST_RECORD] = -(-state.tick // trace.every)
            first_neuron += trace.neurons.size
            place += trace.records(state.tick, request.n_ticks) * trace.neurons.size
        parts = [trace.neurons for trace in request.traces]
        values = np.empty((recordings, place), self.dtype)
        if request.cut_short:
            values.fill(np.nan)  # what a recording that is left early does not write
        return table, parts[0] if len(parts) == 1 else np.concatenate(parts), values

    @staticmethod
    def _split_traces(
        request: RunRequest, table: NDArray[np.int64], values: NDArray[Any], start: int
    ) -> list[NDArray[Any]]:
        if not request.traces:
            return []
        edges = [*table[:, e.TRACE_PLACE], values.shape[1]]
        return [
            values[:, low:high].reshape(values.shape[0], trace.records(start, request.n_ticks), trace.neurons.size)
            for low, high, trace in zip(edges[:-1], edges[1:], request.traces, strict=True)
        ]

    def _spikes(
        self,
        request: RunRequest,
        engine_spikes: list[int],
        logs: list[NDArray[np.int64]],
        recordings: int,
        exit_ticks: NDArray[np.int64],
    ) -> dict[int, Events]:
        """Sort the logs by population; they are in order of (recording, tick, source) already."""
        spikes: dict[int, Events] = {}
        if not request.spikes:
            return spikes
        log = logs[0] if len(logs) == 1 else np.concatenate(logs, axis=1)
        for number in request.spikes:
            if number in engine_spikes:
                mine = log if len(engine_spikes) == 1 else log[:, log[e.LOG_POPULATION] == number]
                which, ticks, sources = mine[e.LOG_RECORDING], mine[e.LOG_TICK], mine[e.LOG_SOURCE]
            else:
                events = request.events_of(number)
                keep = events.ticks < exit_ticks[events.recordings]
                which, ticks, sources = events.recordings[keep], events.ticks[keep], events.sources[keep]
            spikes[number] = Events.unchecked(
                np.ascontiguousarray(ticks),
                sources.astype(np.int32),
                np.searchsorted(which, _ONE_RECORDING if recordings == 1 else np.arange(recordings + 1)),
                self.network.populations[number].size,
                request.n_ticks,
                self.network.dt,
                exit_ticks,
            )
        return spikes
