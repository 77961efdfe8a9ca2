"""The reference program: slow, obvious, and the oracle of every other backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.capabilities import Capabilities
from snnsim.backends.contract.layout import Place
from snnsim.backends.contract.options import DEFAULTS, Options
from snnsim.backends.contract.program import Program
from snnsim.backends.contract.requests import RunOutput, RunRequest
from snnsim.backends.contract.state import State
from snnsim.backends.numpy_engine.deliver import Row, deliver, deliver_frame, row_of
from snnsim.backends.numpy_engine.early_exit import is_sure
from snnsim.backends.numpy_engine.integrate import add_drives, advance, coefficients_of, drives_of
from snnsim.backends.reference.plasticity import Plasticity
from snnsim.events import Events
from snnsim.network.network import Network
from snnsim.neurons import MODELS, RECEPTORS
from snnsim.scores import RunningScore


@dataclass
class _Recording:
    """What one recording leaves behind."""

    spikes: dict[int, list[tuple[int, NDArray[np.int64]]]]
    traces: list[list[NDArray[Any]]]
    population_spikes: NDArray[np.int64]
    membrane_updates: NDArray[np.int64]
    synaptic_operations: NDArray[np.int64]
    ticks: int = 0


class ReferenceProgram(Program):
    """Runs a network with NumPy, recording by recording and tick by tick."""

    name = "reference"
    capabilities = Capabilities(
        drives=True, frames=True, plasticity=True, receptors=frozenset(RECEPTORS), models=MODELS.keys()
    )

    def __init__(self, network: Network, options: Options = DEFAULTS) -> None:
        super().__init__(network, options)
        self._places: dict[int, Place] = {place.population: place for place in self.layout.places}
        self._coefficients = {
            number: coefficients_of(network.populations[number].model, network.dt, self.dtype)
            for number in self._places
        }
        self._drives = {number: drives_of(network, network.populations[number], self.dtype) for number in self._places}
        self._plasticity = Plasticity(network, self.dtype)
        self._outgoing: list[list[tuple[int, Row]]] = [[] for _ in network.populations]
        for connection in network.connections:
            row = row_of(connection, self.dtype)
            self._outgoing[connection.source_number].append((connection.number, row))

    def run(self, state: State, request: RunRequest) -> RunOutput:
        """Advance `state` in place and return what was recorded."""
        start = state.tick
        self._plasticity.begin(state.plastic, start)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what diverges is found in the state
            recordings = [self._run_one(state, i, request) for i in range(state.floats.shape[0])]
        state.tick += request.n_ticks
        self._plasticity.end(state.tick)
        return self._collect(recordings, request, start)

    def reward(self, state: State, projection: int, value: float) -> None:
        """Turn the eligibility of a plastic projection into weight."""
        for plastic in state.plastic:
            if plastic.projection == projection:
                self._plasticity.reward(plastic, value, state.tick)

    def _run_one(self, state: State, recording: int, request: RunRequest) -> _Recording:
        network = self.network
        out = _Recording(
            {number: [] for number in request.spikes},
            [[] for _ in request.traces],
            np.zeros(len(network.populations), np.int64),
            np.zeros(len(network.populations), np.int64),
            np.zeros(len(network.projections), np.int64),
        )
        frames = request.frames
        arriving = {number: request.events_of(number)[recording] for number in request.inputs if number not in frames}
        end = request.ends_of(state.floats.shape[0])[recording : recording + 1]
        scores = None if request.exit is None else RunningScore(request.exit.score, end)
        for step in range(int(end[0])):
            tick = state.tick + step
            self._plasticity.arrive(lambda p: self.layout.ring(state.floats, self._places[p])[recording], tick)
            fired = {}
            for number in network.order:
                if number in self._places:
                    spikes = self._advance(state, recording, number, tick, request.first_recording)
                    out.membrane_updates[number] += self._places[number].size
                elif number in frames:
                    if step < frames[number].lengths[recording]:
                        self._show(frames[number].at(recording, step), number, state, recording, tick, out)
                    continue
                else:
                    events = arriving[number]
                    low, high = np.searchsorted(events.ticks, (step, step + 1))
                    spikes = events.sources[low:high].astype(np.int64)
                fired[number] = spikes
                out.population_spikes[number] += spikes.size
                if number in out.spikes:
                    out.spikes[number].append((step, spikes))
                for projection, row in self._outgoing[number]:
                    sent = self._plasticity.send(projection, spikes, tick)
                    if sent is None:
                        ring = self.layout.ring(state.floats, self._places[row.target])[recording]
                        sent = deliver(ring, row, spikes, tick)
                    out.synaptic_operations[projection] += sent
            self._plasticity.finish(fired, tick)
            for trace, kept in zip(request.traces, out.traces, strict=True):
                if tick % trace.every == 0:
                    values = self.layout.states(state.floats, self._places[trace.population])[recording, trace.state]
                    kept.append(values[trace.neurons].copy())
            out.ticks = step + 1
            if request.exit is not None and scores is not None:
                readout = self.layout.states(state.floats, self._places[request.exit.population])[recording, 0]
                if is_sure(scores.add(readout[None])[0], request.exit, step):
                    break
        return out

    def _show(
        self, values: NDArray[Any], number: int, state: State, recording: int, tick: int, out: _Recording
    ) -> None:
        """Send the values of a source population."""
        for projection, row in self._outgoing[number]:
            ring = self.layout.ring(state.floats, self._places[row.target])[recording]
            sent = deliver_frame(ring, row, values.astype(self.dtype), tick)
            out.synaptic_operations[projection] += sent

    def _advance(self, state: State, recording: int, number: int, tick: int, first: int) -> NDArray[np.int64]:
        place = self._places[number]
        ring = self.layout.ring(state.floats, place)[recording]
        arrived = ring[tick % place.slots].copy()
        ring[tick % place.slots] = 0
        add_drives(self._drives[number], arrived, first + recording, tick)
        return advance(
            self._coefficients[number],
            self.layout.states(state.floats, place)[recording],
            self.layout.currents(state.floats, place)[recording],
            state.counters[recording, place.counters : place.counters + place.size],
            arrived,
        )

    def _collect(self, recordings: list[_Recording], request: RunRequest, start: int) -> RunOutput:
        spikes = {}
        for number in request.spikes:
            parts = []
            for out in recordings:
                ticks = np.concatenate([np.full(s.size, t) for t, s in out.spikes[number]] or [np.zeros(0)])
                sources = np.concatenate([s for _, s in out.spikes[number]] or [np.zeros(0, np.int64)])
                parts.append((ticks.astype(np.int64), sources))
            offsets = np.concatenate(([0], np.cumsum([ticks.size for ticks, _ in parts])))
            spikes[number] = Events(
                np.concatenate([ticks for ticks, _ in parts]),
                np.concatenate([sources for _, sources in parts]),
                offsets,
                self.network.populations[number].size,
                request.n_ticks,
                self.network.dt,
                [out.ticks for out in recordings],
            )
        traces = []
        for i, trace in enumerate(request.traces):
            length = trace.records(start, request.n_ticks)
            values = np.full((len(recordings), length, trace.neurons.size), np.nan, self.dtype)
            for j, out in enumerate(recordings):
                for k, kept in enumerate(out.traces[i]):
                    values[j, k] = kept
            traces.append(values)
        return RunOutput(
            spikes,
            traces,
            np.array([out.population_spikes for out in recordings]),
            np.array([out.membrane_updates for out in recordings]),
            np.array([out.synaptic_operations for out in recordings]),
            np.array([out.ticks for out in recordings], np.int64),
        )
