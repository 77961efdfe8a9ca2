"""The crossbar program: neurons, delays and what has no weights in the digital fabric, synapses on a chip."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.activity import ChipActivity
from snnsim.backends.contract.capabilities import Capabilities
from snnsim.backends.contract.layout import Place
from snnsim.backends.contract.memory import MemoryForecast
from snnsim.backends.contract.options import DEFAULTS, Options
from snnsim.backends.contract.program import Program
from snnsim.backends.contract.requests import RunOutput, RunRequest
from snnsim.backends.contract.state import State
from snnsim.backends.crossbar.array_read.noise_keys import moments_of
from snnsim.backends.crossbar.chip.chip import Chip
from snnsim.backends.crossbar.chip.failures import failure
from snnsim.backends.crossbar.chip.protocol import LoopDevice
from snnsim.backends.crossbar.device.device import shown
from snnsim.backends.crossbar.mapping.chip_checkpoint import Resumption, description, device_of, go_on, read, write
from snnsim.backends.crossbar.mapping.converter_ranges import calibrated_ranges
from snnsim.backends.crossbar.mapping.fabric import DigitalFabric
from snnsim.backends.crossbar.mapping.mapping import Mapping
from snnsim.backends.crossbar.mapping.weight_blocks import DIGITAL_RULES, expected_pairs
from snnsim.backends.numpy_engine.deliver import Row, deliver, deliver_frame, row_of
from snnsim.backends.numpy_engine.early_exit import is_sure
from snnsim.backends.numpy_engine.integrate import add_drives, advance_all, coefficients_of, drives_of
from snnsim.errors import DeviceError, ParameterError, SnnsimError
from snnsim.events import Events
from snnsim.frames import Frames
from snnsim.network.network import Network
from snnsim.neurons import MODELS, RECEPTORS
from snnsim.scores import RunningScore

#: Bytes of a weight in the matrix of its block, and of a pair of cells with all that is kept of them.
_A_WEIGHT, _A_PAIR = 8, 130


class CrossbarProgram(Program):
    """Runs a network whose synapses are cells of a chip.

    Parameters
    ----------
    network, options
        See `Program`.
    chip : LoopDevice, optional
        Default an ideal `Chip`, whose every stage is off: it gives what the reference gives, bit for bit. A run that
        goes on from a checkpoint is on the chip in it (`Resumption`), unless another one is given.
    mapping : Mapping, optional
        How the network is laid on the chip.

    Notes
    -----
    The chip is programmed when the program is made, except for tiles that hold the same targets already: a chip that
    has aged since is read as it is. Compensation and the ranges of converters are found then, too. A chip is one
    network's at a time: once another one has been put on it, runs of the first raise `DeviceError`.
    """

    name = "crossbar"
    capabilities = Capabilities(drives=True, frames=True, receptors=frozenset(RECEPTORS), models=MODELS.keys())

    def __init__(
        self,
        network: Network,
        options: Options = DEFAULTS,
        *,
        chip: LoopDevice | Resumption | None = None,
        mapping: Mapping | None = None,
    ) -> None:
        kept = None
        if isinstance(chip, Resumption):
            kept, chip = chip.kept, device_of(chip)
        if chip is not None and not isinstance(chip, LoopDevice):
            raise ParameterError(f"chip={shown(chip)}: expected a Chip, or a device with program, read and status")
        if mapping is not None and not isinstance(mapping, Mapping):
            raise ParameterError(f"mapping={mapping!r}: expected a Mapping")
        self.chip = Chip() if chip is None else chip
        self._mapping = mapping or (Mapping() if kept is None else kept.mapping)
        super().__init__(network, options)
        if isinstance(self.chip, Chip):
            self.chip.threads = self.threads
        self.fabric = DigitalFabric(network, self.chip, self._mapping)
        ranges = None
        if self.fabric.mapping.calibration is not None and "full_scale" in self.fabric.status.capabilities:
            ranges = calibrated_ranges(self.fabric, self.fabric.mapping.calibration)
        if kept is None:
            self.fabric.program(ranges)
        else:
            go_on(self.fabric, kept, ranges, own_mapping=mapping is not None)
        self._inferences = 0
        self._places: dict[int, Place] = {place.population: place for place in self.layout.places}
        self._coefficients = {
            number: coefficients_of(network.populations[number].model, network.dt, self.dtype)
            for number in self._places
        }
        self._drives = {number: drives_of(network, network.populations[number], self.dtype) for number in self._places}
        self._outgoing: list[list[tuple[int, Row]]] = [[] for _ in network.populations]
        for connection in network.connections:
            row = row_of(connection, self.dtype)
            self._outgoing[connection.source_number].append((connection.number, row))

    @property
    def hardware(self) -> str:
        """What the device is, with a fingerprint of a simulated chip."""
        return description(self.fabric)

    def write_hardware(self, group: h5py.Group) -> None:
        """Write the chip, and how the network lies on it; see `chip_checkpoint`."""
        write(self.fabric, group)

    @classmethod
    def options_on(cls, hardware: h5py.Group | None, where: object, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options with the chip of a checkpoint."""
        if hardware is None:
            if options.get("chip") is None:
                raise ParameterError(f"chip: is missing; {where} does not say what the run was on: give chip=...")
            return options
        return {**options, "chip": Resumption(read(hardware, where), options.get("chip"))}

    def forecast(self) -> MemoryForecast:
        """Return what the program takes: lists of synapses, their matrices, the cells of a simulated chip, two states.

        A long run keeps the state from before a block, which may fail.
        """
        lists = super().forecast()
        on_chip = [
            number
            for number, projection in enumerate(self.network.projections)
            if not (type(projection.connectivity).__name__ in DIGITAL_RULES or projection.name in self._mapping.digital)
        ]
        pairs = sum(expected_pairs(self.network, number) for number in on_chip)
        a_pair = _A_WEIGHT + (_A_PAIR * self._mapping.slices if isinstance(self.chip, Chip) else 0)
        return replace(lists, synapses=lists.synapses + round(a_pair * pairs), state=2 * lists.state)

    @property
    def own_options(self) -> dict[str, Any]:
        """The device and the mapping that the program is on."""
        return {"chip": self.chip, "mapping": self.fabric.mapping}

    def run(self, state: State, request: RunRequest) -> RunOutput:
        """Advance `state` in place and return what was recorded."""
        self.fabric.check()
        for number in request.frames:
            self.fabric.check_frames(projection for projection, _ in self._outgoing[number])
        self._inferences += state.floats.shape[0]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what diverges is found in the state
            return _Run(self, state, request).run()

    def run_long(self, state: State, request: RunRequest) -> RunOutput:
        """Advance a long run, which is one inference in however many blocks; where one fails, all is as before it."""
        before = state.floats.copy(), state.counters.copy(), copy.deepcopy(self.fabric.activity)
        try:
            output = super().run_long(state, request)
        except SnnsimError:
            state.floats[...], state.counters[...], self.fabric.activity = before
            raise
        self._inferences = 1
        return output

    def take_activity(self) -> ChipActivity:
        """Return what the chip has done since this was last asked; `snnsim.energy.report` works out what it costs."""
        inferences, self._inferences = self._inferences, 0
        return self.fabric.take_activity(inferences)


class _Run:
    """One call of `CrossbarProgram.run`: all recordings at a time, tick by tick."""

    def __init__(self, program: CrossbarProgram, state: State, request: RunRequest) -> None:
        self.program, self.state, self.request = program, state, request
        network, n = program.network, state.floats.shape[0]
        self.alive = np.arange(n)
        self.floats, self.counters = state.floats, state.counters
        self.views = program.layout.views(self.floats, self.counters)
        self.spikes: dict[int, list[tuple[NDArray[np.int64], int, NDArray[np.int64]]]] = {p: [] for p in request.spikes}
        self.traces = [
            np.full((n, trace.records(state.tick, request.n_ticks), trace.neurons.size), np.nan, program.dtype)
            for trace in request.traces
        ]
        self.recorded = [0] * len(request.traces)
        self.population_spikes = np.zeros((n, len(network.populations)), np.int64)
        self.membrane_updates = np.zeros((n, len(network.populations)), np.int64)
        self.synaptic_operations = np.zeros((n, len(network.projections)), np.int64)
        self.ticks = np.zeros(n, np.int64)
        self.ends = request.ends_of(n)
        self.frames = request.frames
        self.scores = None if request.exit is None else RunningScore(request.exit.score, self.ends)

    def run(self) -> RunOutput:
        """Run all ticks."""
        for step in range(self.request.n_ticks):
            self._tick(step)
            if self.request.cut_short:
                self._leave(step)
                if not self.alive.size:
                    break
        self._write_back(np.ones(self.alive.size, bool))
        self.state.tick += self.request.n_ticks
        return self._collect()

    def _tick(self, step: int) -> None:
        program, network, request = self.program, self.program.network, self.request
        tick = self.state.tick + step
        moments = moments_of(request.first_recording + self.alive, tick)
        for number in network.order:
            if number in program._places:
                recording, neurons = self._advance(number, tick)
                self.membrane_updates[self.alive, number] += program._places[number].size
            elif number in self.frames:
                for projection, row in program._outgoing[number]:
                    self._show(projection, row, self.frames[number], step, tick, moments)
                continue
            else:
                recording, neurons = self._arriving(request.events_of(number), step)
            self.population_spikes[self.alive, number] += np.bincount(recording, minlength=self.alive.size)
            if number in self.spikes:
                self.spikes[number].append((self.alive[recording], step, neurons))
            for projection, row in program._outgoing[number]:
                if neurons.size:
                    self._send(projection, row, recording, neurons, tick, moments)
        for i, trace in enumerate(request.traces):
            if tick % trace.every == 0:
                values = self.views[trace.population].states[:, trace.state]
                self.traces[i][self.alive, self.recorded[i]] = values[:, trace.neurons]
                self.recorded[i] += 1
        self.ticks[self.alive] = step + 1

    def _arriving(self, events: Events, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        recordings, parts = [], []
        for place, i in enumerate(self.alive):
            first, last = events.offsets[i], events.offsets[i + 1]
            low, high = first + np.searchsorted(events.ticks[first:last], (step, step + 1))
            parts.append(events.sources[low:high])
            recordings.append(np.full(high - low, place, np.int64))
        return np.concatenate(recordings), np.concatenate(parts).astype(np.int64)

    def _advance(self, number: int, tick: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        own, drives = self.views[number], self.program._drives[number]
        slot = tick % own.ring.shape[1]
        arrived = own.ring[:, slot].copy()
        own.ring[:, slot] = 0
        if drives:
            for one, recording in enumerate(self.alive):
                add_drives(drives, arrived[one], self.request.first_recording + int(recording), tick)
        fires = advance_all(
            self.program._coefficients[number],
            own.states.swapaxes(0, 1),
            own.currents.swapaxes(0, 1),
            own.counters,
            arrived.swapaxes(0, 1),
        )
        recordings, neurons = np.nonzero(fires)
        return recordings, neurons

    def _send(
        self,
        projection: int,
        row: Row,
        recording: NDArray[np.int64],
        neurons: NDArray[np.int64],
        tick: int,
        moments: NDArray[np.uint64],
    ) -> None:
        fabric, operations = self.program.fabric, self.synaptic_operations
        ring = self.views[row.target].ring
        on_chip = projection in fabric.placed
        if not on_chip or fabric.ideal:
            edges = np.searchsorted(recording, np.arange(self.alive.size + 1))
            for one in np.unique(recording):
                spikes = neurons[edges[one] : edges[one + 1]]
                operations[self.alive[one], projection] += deliver(ring[one], row, spikes, tick)
        if not on_chip:
            return
        try:
            for part in fabric.deliver(projection, recording, neurons, moments, read_ideal=False):
                part.add_to(ring[:, (tick + part.delay) % ring.shape[1], row.receptor])
        except DeviceError as error:
            first, last = (self.request.first_recording + int(self.alive[i]) for i in (0, -1))
            which = f", recordings {first} to {last}" if self.request.first_recording or last else ""
            raise failure(error, f"tick {tick}{which}") from error
        if not fabric.ideal:
            fan_out = np.diff(row.synapses.offsets)[neurons]
            np.add.at(operations[:, projection], self.alive[recording], fan_out)

    def _show(
        self, projection: int, row: Row, frames: Frames, step: int, tick: int, moments: NDArray[np.uint64]
    ) -> None:
        """Deliver the real values of a tick."""
        fabric, operations, dtype = self.program.fabric, self.synaptic_operations, self.program.dtype
        ring = self.views[row.target].ring
        shown = np.flatnonzero(frames.lengths[self.alive] > step)
        if not shown.size:
            return
        values = frames.values[self.alive[shown], 0 if frames.is_constant else step].astype(dtype)
        on_chip = projection in fabric.placed
        if not on_chip or fabric.ideal:
            for one, own in zip(shown, values, strict=True):
                operations[self.alive[one], projection] += deliver_frame(ring[one], row, own, tick)
        if not on_chip:
            return
        for part in fabric.deliver_values(projection, values, moments[shown], read_ideal=False):
            place = (tick + part.delay) % ring.shape[1]
            part._replace(recording=shown[part.recording]).add_to(ring[:, place, row.receptor])
        if not fabric.ideal:
            fan_out = np.diff(row.synapses.offsets)
            operations[self.alive[shown], projection] += (values != 0) @ fan_out

    def _leave(self, step: int) -> None:
        """Take recordings out that are sure, or at their end."""
        rule, leaving = self.request.exit, self.ends[self.alive] <= step + 1
        if rule is not None and self.scores is not None:
            readout = self.views[rule.population].states[:, 0]
            leaving |= np.array([is_sure(scores, rule, step) for scores in self.scores.add(readout)], bool)
        if not np.any(leaving):
            return
        self._write_back(leaving)
        stay = ~leaving
        if self.scores is not None:
            self.scores.keep(stay)
        self.alive = self.alive[stay]
        self.floats, self.counters = self.floats[stay], self.counters[stay]
        self.views = self.program.layout.views(self.floats, self.counters)

    def _write_back(self, chosen: NDArray[np.bool_]) -> None:
        if self.floats is not self.state.floats:
            self.state.floats[self.alive[chosen]] = self.floats[chosen]
            self.state.counters[self.alive[chosen]] = self.counters[chosen]

    def _collect(self) -> RunOutput:
        network, n = self.program.network, self.ticks.size
        spikes = {}
        for number, parts in self.spikes.items():
            recording = np.concatenate([part[0] for part in parts])
            ticks = np.concatenate([np.full(part[0].size, part[1], np.int64) for part in parts])
            neurons = np.concatenate([part[2] for part in parts])
            order = np.argsort(recording, kind="stable")
            offsets = np.searchsorted(recording[order], np.arange(n + 1)).astype(np.int64)
            size = network.populations[number].size
            spikes[number] = Events(
                ticks[order], neurons[order], offsets, size, self.request.n_ticks, network.dt, self.ticks
            )
        return RunOutput(
            spikes,
            list(self.traces),
            self.population_spikes,
            self.membrane_updates,
            self.synaptic_operations,
            self.ticks,
        )
