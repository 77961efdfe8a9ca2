"""The long run of one network: parts and tables once, then the compiled engine on a thread for each part."""

from __future__ import annotations

import contextlib
import functools
import sys
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout
from snnsim.backends.contract.requests import RunOutput, RunRequest
from snnsim.backends.contract.silent_neurons import settle
from snnsim.backends.contract.state import State
from snnsim.backends.cpu.compiler import atomics, pointers
from snnsim.backends.cpu.long_run import delivery, event_driven, spike_exchange
from snnsim.backends.cpu.long_run import engine as long_run_engine
from snnsim.backends.cpu.long_run import window as window_kernels
from snnsim.backends.cpu.long_run.event_driven import visit_tables
from snnsim.backends.cpu.long_run.mpi import Exchange, summed
from snnsim.backends.cpu.neurons import step, table_columns
from snnsim.backends.cpu.neurons.population_tables import population_tables
from snnsim.backends.cpu.neurons.step import step_address
from snnsim.backends.cpu.parts import plasticity_records
from snnsim.backends.cpu.parts import records as part_records
from snnsim.backends.cpu.parts.build import build_parts
from snnsim.backends.cpu.parts.part import part_of
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.cpu.parts.projection_groups import groups_of
from snnsim.backends.cpu.parts.records import APART, Mail, Part, Run, Senders, Shared, Traces
from snnsim.backends.cpu.plasticity import catch_up, kernels
from snnsim.backends.cpu.plasticity import spikes as spike_kernels
from snnsim.backends.cpu.plasticity.state_exchange import PlasticRun
from snnsim.backends.cpu.plasticity.tables import learning_of
from snnsim.errors import InternalError, ParameterError, ResourceError
from snnsim.events import Events
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.neurons import NeuronModel, lif, receptors
from snnsim.neurons.membrane import silent_ticks
from snnsim.numerics import specialise
from snnsim.numerics.specialise import digest, specialised
from snnsim.plasticity import normalisation
from snnsim.system.mpi_processes import Ranks

#: Most ticks between two exchanges of spikes, and most spikes that a part's box has room for.
_LONGEST_WINDOW, _LARGEST_BOX = 4096, 2**26


@functools.cache
def version() -> str:
    """Return the mark of everything that is compiled into the engine."""
    modules = (specialise, atomics, table_columns, pointers, step, event_driven, silent_ticks, lif, receptors)
    parts = (delivery, long_run_engine, spike_exchange, part_records, window_kernels)
    plastic = (catch_up, spike_kernels, plasticity_records, normalisation, kernels)
    return digest([sys.modules[module.__name__] for module in (*modules, *parts, *plastic)])


@functools.cache
def engine() -> Any:
    """Return the compiled engine (compiled at its first call, or taken from the disk)."""
    return specialised(long_run_engine.run_part, f"run_part_{version()}", cache=True)


class LongRun:
    """A network laid out in parts, one for each thread.

    Parameters
    ----------
    network : Network
    layout : Layout
    dtype : dtype
    threads : int
    by_events : ndarray of int64, shape (populations,)
        1 for each population whose neurons are visited only when events reach them; see `visited_by_events`.
    progress : bool
        Show a bar while the synapses are made.
    ranks : Ranks, optional
        Processes that share the network, all of which make it at the same time.
    """

    def __init__(
        self,
        network: Network,
        layout: Layout,
        dtype: np.dtype[Any],
        *,
        threads: int = 1,
        by_events: NDArray[np.int64],
        progress: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        self.network, self.layout, self.dtype = network, layout, dtype
        self._ranks = ranks
        self.partition = Partition.of(network, layout, threads if ranks is None else ranks.size)
        self.n_parts = self.partition.n_parts
        self._own = range(self.n_parts) if ranks is None else range(ranks.rank, ranks.rank + 1)
        if ranks is not None and self.n_parts > ranks.size:
            raise ParameterError(
                f"network {network.name!r} takes {self.n_parts} parts or more; start at least as many ranks "
                f"(mpiexec -n {self.n_parts}), now {ranks.size}"
            )
        self._groups = groups_of(network)
        self._by_events = by_events
        self._shared = self._share()
        build = functools.partial(self._build, threads, progress)
        out_degrees = build() if ranks is None else ranks.together("Simulation(...)", build)
        with self.sharing():
            self._out_degrees = [self._summed(degrees) for degrees in out_degrees]
        self._mail = self._make_mail()
        if ranks is not None:
            self._exchange = Exchange(ranks.communicator, self._mail)
            self._mail = self._mail._replace(exchange=self._exchange.address)
        self.plastic: PlasticRun | None = None
        if any(group.plastic for group in self._groups):
            self.plastic = PlasticRun(
                network, dtype, self.partition, self._groups, self._shared, self.parts, self._summed
            )
        self._source_numbers = [i for i, p in enumerate(network.populations) if p.is_source]
        # Whether the ring of the state that was run last holds anything, so that it is not searched at every run.
        self._last: tuple[weakref.ref[Any], int, bool] | None = None

    # -- building ----------------------------------------------------------------------------------------

    def _build(self, threads: int, progress: bool) -> list[Any]:
        """Make the own parts; return how many synapses each source of each projection has on them."""
        network, dtype = self.network, self.dtype
        stores = build_parts(network, self.partition, self._groups, self._own, dtype, threads, progress)
        out_degrees = [sum(s.out_degrees[i] for s in stores) for i in range(len(network.projections))]
        self.parts: dict[int, Part] = {}
        for place, number in enumerate(self._own):
            # One after another, and each store given up when its part is made: the delays are packed on the way.
            store = stores[place]
            learning = learning_of(network, self._groups, number, self.partition, store, dtype)
            self.parts[number] = part_of(number, store, self.partition, self._groups, self._shared, learning, dtype)
            stores[place] = None  # type: ignore[call-overload]
        return out_degrees

    def _share(self) -> Shared:
        network, groups = self.network, self._groups
        tables = population_tables(network, self.layout, self.dtype)
        order = np.asarray(network.order, np.int64)
        sources = np.array([group.source for group in groups], np.int64)
        table = np.zeros((len(groups), part_records.TRACKED + 1), np.int64)
        window = _LONGEST_WINDOW
        for row, group in zip(table, groups, strict=True):
            targets = [connection.target_number for connection in group.connections]
            row[part_records.DELAY] = group.delay
            row[part_records.ZERO_DELAY] = group.delay == 0
            row[part_records.PLASTIC] = group.plastic
            row[part_records.TRACKED] = any(self._by_events[target] for target in targets)
            if group.delay != 0:
                window = min(window, *(connection.minimum_delay for connection in group.connections))
        visit_table, visit_values = visit_tables(network, self._by_events)
        return Shared(
            order,
            np.argsort(order),
            np.array([self._step(population) for population in network.populations], np.int64),
            tables.populations,
            tables.receptors,
            tables.drives,
            tables.coefficients,
            tables.thresholds,
            np.searchsorted(sources, np.arange(len(network.populations) + 1)).astype(np.int64),
            table,
            np.array([0.0 if group.weight is None else group.weight for group in groups], self.dtype),
            self._by_events,
            visit_values,
            visit_table,
            int(window),
        )

    def _step(self, population: Population) -> int:
        """Return the address of the step of a population; a source has none."""
        model = population.model
        return step_address(model, str(self.dtype)) if isinstance(model, NeuronModel) else 0

    def _make_mail(self) -> Mail:
        """Make boxes with room for all spikes of a window, and shorten the window where they would be too large."""
        own = self.partition.high - self.partition.low
        refractory = self._shared.populations[:, table_columns.REFRACTORY]
        while True:
            room = int((own * (self._shared.window // (refractory + 1) + 1)).sum(axis=1).max())
            if room <= _LARGEST_BOX or self._shared.window == 1:
                break
            self._shared = self._shared._replace(window=self._shared.window // 2)
        shape = (2, self.n_parts)
        # Pages of memory that no spike reaches are never taken.
        return Mail(
            np.empty((*shape, room), np.int64),
            np.empty((*shape, room), np.int32),
            np.zeros((*shape, APART), np.int64),
            np.zeros((*shape, APART), np.int64),
            np.zeros(atomics.BARRIER_WORDS, np.int64),
            self.n_parts,
            0,
        )

    @property
    def stepped_neurons(self) -> int:
        """How many neurons are advanced at every tick."""
        populations = self.network.populations
        return sum(p.size for p, waits in zip(populations, self._by_events, strict=True) if not (p.is_source or waits))

    @property
    def nbytes(self) -> int:
        """Bytes of the synapses of all parts."""
        return sum(
            array.nbytes
            for part in self.parts.values()
            for array in (part.rows, part.segment_rows, part.targets, part.segments, part.weights)
        )

    # -- running -----------------------------------------------------------------------------------------

    def run(self, state: State, request: RunRequest) -> RunOutput:
        """Advance the one recording of `state` in place and return what was recorded."""
        if self._ranks is None:
            return self._run(state, request)
        with self._ranks.or_abort():
            return self._run(state, request)

    def sharing(self) -> contextlib.AbstractContextManager[None]:
        """Return what to do in where ranks wait for each other."""
        return contextlib.nullcontext() if self._ranks is None else self._ranks.or_abort()

    def _run(self, state: State, request: RunRequest) -> RunOutput:
        start, n_ticks = state.tick, request.n_ticks
        if self.plastic is not None:
            self.plastic.begin(state, n_ticks)
        in_flight = self._holds_input(state)
        visited = self._visited(state)
        recorded = np.zeros(len(self.network.populations), np.uint8)
        recorded[list(request.spikes)] = 1
        run = Run(
            state.floats[0],
            state.counters[0],
            visited,
            np.zeros(self.layout.n_counters, np.int64),
            np.zeros((self.n_parts, len(self.network.populations) + APART), np.int64),
            recorded,
            start,
            start + n_ticks,
            in_flight,
        )
        senders = self._senders(request)
        values, per_part = self._traces(request, start)
        logs = self._go(run, senders, per_part)
        state.tick = start + n_ticks
        if self.plastic is not None:
            self.plastic.end(state, {number: log[3] for number, log in zip(self._own, logs, strict=True)})
        for place in self.layout.places:
            # Neurons that are stepped at every tick are up to date.
            if visited.size and not self._by_events[place.population]:
                visited[place.counters : place.counters + place.size] = state.tick
        left = any(log[2] for log in logs) or (in_flight and n_ticks < long_engine_slots(self._shared))
        self._last = (weakref.ref(state.floats), state.tick, left)
        if self._ranks is not None:
            self._share_state(state, self._ranks.rank)
            logs = self._ranks.communicator.allgather(logs[0])
            left = any(log[2] for log in logs)
            values = self._summed(values)
            run = run._replace(spike_counts=self._summed(run.spike_counts), updates=self._summed(run.updates))
            self._last = (weakref.ref(state.floats), state.tick, left)
        return self._output(request, run, logs, values)

    def _go(self, run: Run, senders: Senders, traces: Sequence[Traces]) -> list[Any]:
        """Run the own parts from start to end, each on a thread of its own."""
        compiled = engine()
        failures: list[BaseException] = []
        self._mail.barrier[:] = 0

        def work(number: int) -> Any:
            try:
                return compiled(self.parts[number], self._shared, run, senders, self._mail, traces[number])
            except BaseException as error:
                failures.append(error)
                self._mail.barrier[atomics.STOPPED] = 1  # so that the others do not wait for this thread
                return None

        if len(self._own) == 1:
            logs = [work(self._own[0])]
        else:
            with ThreadPoolExecutor(self.n_parts) as pool:
                logs = list(pool.map(work, range(self.n_parts)))
        if failures:
            self._clear()
            if isinstance(failures[0], MemoryError):
                raise ResourceError(
                    f"network {self.network.name!r}: no memory is left for the spikes of a run; run shorter pieces, "
                    "or record less"
                ) from failures[0]
            raise failures[0]
        return logs

    def _clear(self) -> None:
        """Leave nothing of a run that was broken off to the next one; its state is lost."""
        self._last = None
        for part in self.parts.values():
            part.plane[:] = 0
            part.marks[:] = 0

    def _summed(self, values: Any) -> Any:
        """Return the sum over ranks of what each has counted for its own neurons."""
        return values if self._ranks is None else summed(self._ranks.communicator, values)

    def _share_state(self, state: State, rank: int) -> None:
        """Give every rank the state of all neurons."""
        floats, counters = np.zeros_like(state.floats), np.zeros_like(state.counters)
        visited = None if state.visited is None else np.zeros_like(state.visited)
        layout = self.layout
        for place in layout.places:
            own = slice(self.partition.low[rank, place.population], self.partition.high[rank, place.population])
            for view in (layout.states, layout.currents, layout.ring):
                view(floats, place)[..., own] = view(state.floats, place)[..., own]
            mine = slice(place.counters + own.start, place.counters + own.stop)
            counters[:, mine] = state.counters[:, mine]
            if visited is not None and state.visited is not None:
                visited[:, mine] = state.visited[:, mine]
        state.floats[:], state.counters[:] = self._summed(floats), self._summed(counters)
        if visited is not None and state.visited is not None:
            state.visited[:] = self._summed(visited)

    def _visited(self, state: State) -> NDArray[np.int64]:
        """Return the tick up to which each neuron is advanced, empty where all are stepped at every tick."""
        if not self._by_events.any():
            settle(self.network, self.layout, state)
            return np.zeros(0, np.int64)
        if state.visited is None:
            state.visited = np.full((1, self.layout.n_counters), state.tick, np.int64)
        elif not self._by_events.all():
            settle(self.network, self.layout, state, keep=np.flatnonzero(self._by_events))
        visited: NDArray[np.int64] = state.visited[0]
        return visited

    def _holds_input(self, state: State) -> bool:
        if state.tick == 0:
            return False
        if self._last is not None and self._last[0]() is state.floats and self._last[1] == state.tick:
            return self._last[2]
        return any(bool(np.any(self.layout.ring(state.floats, place))) for place in self.layout.places)

    def _senders(self, request: RunRequest) -> Senders:
        batches = [request.events_of(number) for number in self._source_numbers]
        for number, batch in zip(self._source_numbers, batches, strict=True):
            population = self.network.populations[number]
            if batch.sources.size and not 0 <= batch.sources.min() <= batch.sources.max() < population.size:
                raise InternalError(f"population {population.name!r}: an event comes from a source that is not there")
        offsets = np.cumsum([0, *(batch.ticks.size for batch in batches)]).astype(np.int64)
        ticks = np.concatenate([np.zeros(0, np.int64), *(batch.ticks for batch in batches)])
        numbers = np.concatenate([np.zeros(0, np.int32), *(batch.sources for batch in batches)])
        return Senders(np.asarray(self._source_numbers, np.int64), offsets, ticks, numbers)

    def _traces(self, request: RunRequest, start: int) -> tuple[NDArray[Any], list[Traces]]:
        """Return one array for all recorded values, and for each part which of them are its own."""
        widths = [trace.neurons.size for trace in request.traces]
        records = [trace.records(start, request.n_ticks) for trace in request.traces]
        edges = np.cumsum([0, *(r * w for r, w in zip(records, widths, strict=True))])
        values = np.zeros(int(edges[-1]), self.dtype)
        per_part = []
        for part in range(self.n_parts):
            table = np.zeros((len(request.traces), window_kernels.TRACE_RECORD + 1), np.int64)
            neurons, columns_ = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
            first = 0
            for row, trace, edge, width in zip(table, request.traces, edges, widths, strict=False):
                low, high = self.partition.low[part, trace.population], self.partition.high[part, trace.population]
                mine = np.flatnonzero((trace.neurons >= low) & (trace.neurons < high))
                row[:] = (
                    trace.population,
                    trace.state,
                    trace.every,
                    first,
                    first + mine.size,
                    edge,
                    width,
                    -(-start // trace.every),
                )
                neurons.append(trace.neurons[mine])
                columns_.append(mine)
                first += mine.size
            per_part.append(Traces(table, np.concatenate(neurons), np.concatenate(columns_), values))
        return values, per_part

    def _output(self, request: RunRequest, run: Run, logs: Sequence[Any], values: NDArray[Any]) -> RunOutput:
        network = self.network
        counts = []
        places = {place.population: place for place in self.layout.places}
        for number, population in enumerate(network.populations):
            if number in places:
                counters = places[number].counters
                counts.append(run.spike_counts[counters : counters + population.size])
            else:
                counts.append(np.bincount(request.events_of(number).sources, minlength=population.size))
        operations = [
            int(self._out_degrees[connection.number].astype(np.int64) @ counts[connection.source_number])
            for connection in network.connections
        ]
        traces, first = [], 0
        for trace in request.traces:
            shape = (1, trace.records(run.start, request.n_ticks), trace.neurons.size)
            traces.append(values[first : first + shape[1] * shape[2]].reshape(shape))
            first += shape[1] * shape[2]
        return RunOutput(
            self._spikes(request, logs),
            traces,
            np.array([[int(count.sum()) for count in counts]], np.int64),
            run.updates[:, : len(network.populations)].sum(axis=0, keepdims=True),
            np.array([operations], np.int64).reshape(1, len(network.projections)),
            np.array([request.n_ticks], np.int64),
        )

    def _spikes(self, request: RunRequest, logs: Sequence[Any]) -> dict[int, Events]:
        network, spikes = self.network, {}
        n_populations = len(network.populations)
        for number in request.spikes:
            if number in request.inputs:
                spikes[number] = request.events_of(number)
                continue
            position = self._shared.position[number]
            parts = []
            for keys, neurons, *_ in logs:
                mine = keys % n_populations == position
                parts.append((keys[mine] // n_populations, neurons[mine]))
            ticks, sources = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
            if self.n_parts > 1:
                # Parts are ascending ranges of neurons, and each is in order of time.
                order = np.argsort(ticks, kind="stable")
                ticks, sources = ticks[order], sources[order]
            spikes[number] = Events.unchecked(
                ticks,
                sources,
                np.array([0, ticks.size], np.int64),
                network.populations[number].size,
                request.n_ticks,
                network.dt,
            )
        return spikes


def long_engine_slots(shared: Shared) -> int:
    """Return the number of slots of the longest ring."""
    return int(shared.populations[:, table_columns.SLOTS].max())
