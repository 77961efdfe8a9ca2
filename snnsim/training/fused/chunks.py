"""The compiled path: a layer at a time over chunks of ticks, spikes as lists, membranes swept by compiled kernels.

A chunk is forwarded layer by layer and can be back-propagated and forgotten at once (SLTT), or its membranes are kept
until the last tick is known (BPTT). Nothing here uses autograd: the backward pass is written out, and held to the
plain path by the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.connectivity import Conv2d
from snnsim.training.compute.call import Call
from snnsim.training.compute.spike_lists import Signal
from snnsim.training.fused import membrane_kernels, projections
from snnsim.training.fused.call import CompiledCall, add_norm_gradients
from snnsim.training.fused.model_sweep import Lists
from snnsim.training.fused.tick_norm import Normalised, normalise, normalise_backward
from snnsim.training.parameters.network_parameters import NetworkParameters, State
from snnsim.training.parameters.plan import FRAME_RULES, Plan, Stage

#: Bytes of the largest buffer of a chunk: small enough to stay in the cache, large enough to pay for the calls.
CHUNK_BYTES = 2**21
#: The same for networks with images, whose calls do more.
IMAGE_CHUNK_BYTES = 2**24


def chunk_ticks(model: NetworkParameters, batch: int, ticks: int) -> int:
    """Return how many ticks to compute at a time."""
    images = any(isinstance(link.rule, Conv2d) for stage in model.plan.stages for link in stage.links)
    per_tick = batch * max(_widths(model.plan)) * model.dtype.itemsize
    return max(1, min(ticks, (IMAGE_CHUNK_BYTES if images else CHUNK_BYTES) // per_tick))


def _widths(plan: Plan) -> list[int]:
    """Return the sizes of all populations that have dense buffers."""
    sizes = [stage.size for stage in plan.stages]
    for stage in plan.stages:
        sizes += [int(np.prod(link.source_shape)) for link in stage.links if isinstance(link.rule, FRAME_RULES)]
    return sizes


@dataclass
class StageRecord:
    """What one population leaves behind for the backward pass.

    Parameters
    ----------
    membrane : Tensor, shape (ticks, batch, neurons)
        Before the reset; the drive, where the sweep is made of the model's own arithmetic.
    normalised : Normalised or None
    start : ndarray, shape (batch, states, neurons), or None
        States before the first tick, where the sweep is made of the model's own arithmetic.
    chosen : ndarray of int64, or None
        Ticks that are gone back through, where `membrane` has others too.
    """

    membrane: Tensor
    normalised: Normalised | None
    start: NDArray[Any] | None = None
    chosen: NDArray[np.int64] | None = None


@dataclass
class Record:
    """What a chunk leaves behind."""

    first: int
    ticks: int
    inputs: dict[str, Signal]
    stages: dict[str, StageRecord]
    signals: dict[str, Signal] = field(default_factory=dict)

    def spikes(self, call: Call) -> dict[str, int]:
        """Return how many spikes each population sent within the samples."""
        sent = {name: self.signals[name] for name in self.stages if name in self.signals}
        stop = self.first + self.ticks
        return {name: signal.spikes_within(call.inside(name, self.first, stop)) for name, signal in sent.items()}


@dataclass(frozen=True)
class StandIns:
    """What the gradients of a chunk are made of instead of the activity of its ticks.

    Parameters
    ----------
    signals : dict of str to Signal
        By projection.
    ones : dict of str to Tensor, shape (ticks * batch, 1)
        By population, for its bias.
    """

    signals: dict[str, Signal]
    ones: dict[str, Tensor]


class ChunkedCall(CompiledCall):
    """A call that is computed in chunks of ticks."""

    # -- all ticks ---------------------------------------------------------------------------------------

    def forward_all(self, state: State, keep: bool) -> tuple[Tensor, list[Record]]:
        """Run all chunks; keep their records for `backward_all`.

        Returns
        -------
        readout : Tensor, shape (ticks, batch, classes)
        records : list of Record
        """
        parts, records = [], []
        for number, (start, stop) in enumerate(self.windows()):
            out, record = self.forward(self.call.window(start, stop), state, str(number) if keep else None, start)
            parts.append(out.clone())
            records.append(record)
        self.call.finish(state)
        return torch.cat(parts), records

    def windows(self, chunk: int | None = None) -> list[tuple[int, int]]:
        """Return start and stop of every chunk; default chunks are as long as fit the cache."""
        ticks = self.call.ticks
        length = chunk or chunk_ticks(self.model, self.batch, ticks)
        return [(start, min(start + length, ticks)) for start in range(0, ticks, length)]

    def backward_all(
        self,
        records: list[Record],
        gradient: Tensor,
        sums: dict[str, Tensor],
        to_inputs: dict[str, Tensor],
        keep_reset: bool,
    ) -> None:
        """Back-propagate through all ticks, last chunk first, and add to `sums` (BPTT)."""
        stages = self.model.plan.stages
        carry = {stage.name: self._no_carry(stage) for stage in stages}
        stop = gradient.shape[0]
        while records:
            record = records.pop()  # popped, so that nothing of a chunk outlives its turn
            start = stop - record.ticks
            own = {name: total[start:stop] for name, total in to_inputs.items()}
            self.backward(self.restored(record), gradient[start:stop], sums, own, carry, keep_reset)
            stop = start

    def _no_carry(self, stage: Stage) -> Tensor:
        states = (len(stage.model.arithmetic.states),) if stage.name in self.sweeps else ()
        return torch.zeros(self.batch, *states, stage.size, dtype=self.dtype)

    # -- forward -----------------------------------------------------------------------------------------

    def forward(self, inputs: dict[str, Signal], state: State, keep: str | None, first: int) -> tuple[Tensor, Record]:
        """Run a chunk, advancing the membranes in `state` in place.

        Parameters
        ----------
        inputs : dict of str to Signal
        state : dict
        keep : str or None
            Name under which buffers for the backward pass are kept; None where there will be none.
        first : int
            Its first tick.

        Returns
        -------
        readout : Tensor, shape (ticks, batch, classes)
            A view of a buffer: use it before the next chunk.
        record : Record
        """
        signals = dict(inputs)
        records: dict[str, StageRecord] = {}
        ticks = next(iter(inputs.values())).ticks
        for stage in self.model.plan.stages:
            buffer = f"{stage.name}.{keep or ''}"
            drive = self.workspace.take(f"{buffer}.membrane", (ticks * self.batch, stage.size), self.dtype)
            if not stage.links:
                drive.zero_()
            for i, link in enumerate(stage.links):
                projections.forward(self, link, signals[link.source], drive, fresh=i == 0)
            normalised = None
            if stage.batch_norm:
                normalised = normalise(
                    self.model.norm(stage.name),
                    self.call.affine(stage),
                    stage,
                    drive,
                    self.batch,
                    self.call.moments(stage),
                    self.call.inside(stage.name, first, first + ticks),
                    buffer if keep else None,
                    self.workspace,
                    self.workers,
                )
            cube = drive.view(ticks, self.batch, stage.size)
            records[stage.name] = StageRecord(cube, normalised)
            if stage.name in self.sweeps:
                records[stage.name].start = self._sweep_forward(stage, cube, state, signals)
            elif stage.spiking:
                signals[stage.name] = self._fire(stage, cube, state[stage.name]["membrane"])
            else:
                self._integrate(stage, cube, state[stage.name]["membrane"])
        output = self.model.plan.output
        record = Record(first, ticks, inputs, records, signals)
        if not output.spiking:
            return self._readout(output, records[output.name]), record
        dense = signals[output.name].dense(output.name, self.dtype, self.workspace, self.workers)
        return dense.view(ticks, self.batch, output.size), record

    def _lists(self, stage: Stage, ticks: int) -> Lists:
        rows, stride = ticks * self.batch, -(-stage.size // 8) * 8
        kind = torch.uint16 if stage.size <= 2**16 else torch.int32
        indices = self.workspace.take(f"{stage.name}.lists", (rows * stride,), kind).numpy()
        return np.empty(rows, np.int64), np.empty(rows, np.int64), indices, stride

    def _sweep_forward(self, stage: Stage, drive: Tensor, state: State, signals: dict[str, Signal]) -> NDArray[Any]:
        """Sweep a population by its model's own arithmetic; return its states before the chunk."""
        sweep = self.sweeps[stage.name]
        states = sweep.states(state)
        start = states.copy()
        if stage.spiking:
            lists = self._lists(stage, drive.shape[0])
            sweep.list_spikes(drive, states, lists)
            signals[stage.name] = self._signal(stage, drive.shape[0], lists)
        else:
            sweep.write(drive, None, states, self._readout_buffer(stage, drive))
        sweep.put(states, state)
        return start

    def _readout_buffer(self, stage: Stage, drive: Tensor) -> Tensor:
        return self.workspace.take(f"{stage.name}.readout", tuple(drive.shape), self.dtype)

    def _readout(self, output: Stage, record: StageRecord) -> Tensor:
        if output.name in self.sweeps:
            return self._readout_buffer(output, record.membrane)
        return record.membrane

    def _signal(self, stage: Stage, ticks: int, lists: Lists) -> Signal:
        return Signal(ticks, self.batch, stage.size, lists[:3], scale=self.scales[stage.name])

    def _fire(self, stage: Stage, drive: Tensor, membrane: Tensor) -> Signal:
        lists = begin, end, indices, stride = self._lists(stage, drive.shape[0])
        x, v, c = drive.numpy(), membrane.numpy(), self.coefficients[stage.name]
        mask, strict = self.masks[stage.name], stage.strict

        def work(low: int, high: int) -> None:
            flags = np.zeros(stride, np.uint8)
            membrane_kernels.fire_ticks(x, v, c, strict, mask, flags, indices, begin, end, low, high)

        self.workers.map(work, self.batch, 4 * drive.numel())
        return self._signal(stage, drive.shape[0], lists)

    def _integrate(self, stage: Stage, drive: Tensor, membrane: Tensor) -> None:
        x, v, c = drive.numpy(), membrane.numpy(), self.coefficients[stage.name]
        self.workers.map(partial(membrane_kernels.integrate_ticks, x, v, c), self.batch, drive.numel())

    # -- backward ----------------------------------------------------------------------------------------

    def restored(self, record: Record) -> Record:
        """Return the record of an earlier chunk with its lists of spikes made again from the membranes."""
        signals = {name: signal.again() for name, signal in record.inputs.items()}
        for stage in self.model.plan.stages:
            if stage.spiking:
                one, lists = record.stages[stage.name], self._lists(stage, record.ticks)
                if one.start is None:
                    self._list_again(stage, one.membrane.numpy(), lists)
                else:
                    self.sweeps[stage.name].list_spikes(one.membrane, one.start.copy(), lists)
                signals[stage.name] = self._signal(stage, record.ticks, lists)
        return replace(record, signals=signals)

    def _list_again(self, stage: Stage, membrane: NDArray[Any], lists: Lists) -> None:
        begin, end, indices, stride = lists
        threshold = self.coefficients[stage.name][3]
        mask, strict = self.masks[stage.name], stage.strict

        def work(low: int, high: int) -> None:
            flags = np.zeros(stride, np.uint8)
            membrane_kernels.list_spikes(membrane, threshold, strict, mask, flags, indices, begin, end, low, high)

        self.workers.map(work, len(begin), membrane.size)

    def chosen(self, record: Record, ticks: list[int]) -> Record:
        """Return some ticks of a chunk as a record of their own."""
        if ticks == list(range(record.ticks)):
            return record
        stages = {}
        for name, one in record.stages.items():
            saved = None if one.normalised is None else one.normalised.chosen(ticks)
            if one.start is None:
                stages[name] = StageRecord(one.membrane[ticks], saved)
            else:  # the states of a tick are worked out from those before it
                stages[name] = StageRecord(one.membrane, saved, one.start, np.asarray(ticks, np.int64))
        signals = {name: signal.chosen(ticks) for name, signal in record.signals.items()}
        return Record(record.first, len(ticks), {}, stages, signals)

    def backward(
        self,
        record: Record,
        readout_gradient: Tensor,
        gradients: dict[str, Tensor],
        to_inputs: dict[str, Tensor],
        carry: dict[str, Tensor] | None,
        keep_reset: bool = True,
        stand_ins: StandIns | None = None,
    ) -> None:
        """Back-propagate a chunk and add to `gradients`.

        Parameters
        ----------
        record : Record
        readout_gradient : Tensor, shape (ticks, batch, classes)
        gradients : dict of str to Tensor
            By kind and name.
        to_inputs : dict of str to Tensor, shape (ticks, batch, sources)
            Zeros; out: gradients of the inputs that are asked for, by population.
        carry : dict of str to Tensor of shape (batch, neurons), or None
            dL/dv after the chunk, changed to that before it (BPTT); None drops all routes through time (SLTT).
        keep_reset : bool
            BPTT only: let the gradient pass through the reset.
        stand_ins : StandIns, optional
        """
        stages = self.model.plan.stages
        rows = record.ticks * self.batch
        arrived: dict[str, Tensor] = {}
        output = stages[-1]
        top = self.workspace.take(f"{output.name}.gradient", (rows, output.size), self.dtype)
        top.copy_(readout_gradient.reshape(rows, output.size))
        arrived[output.name] = top
        for stage in reversed(stages):
            if stage.name not in arrived:
                continue
            g = arrived[stage.name]
            self._sweep_back(stage, record, g, carry, keep_reset)
            self.pass_to_drive(stage, g, gradients, None if stand_ins is None else stand_ins.ones.get(stage.name))
            if stage.batch_norm:
                saved = record.stages[stage.name].normalised
                assert saved is not None
                found = normalise_backward(self.call.affine(stage)[0], saved, g, self.workers)
                add_norm_gradients(stage, found, gradients)
            for link in stage.links:
                signal = record.signals[link.source]
                below: Tensor | None = None
                fresh = link.source not in arrived
                if link.source in record.stages:
                    shape = rows, link.matrix_shape[0]
                    below = self.workspace.take(f"{link.source}.gradient", shape, self.dtype)
                    arrived[link.source] = below
                elif link.source in to_inputs:
                    below = arrived[link.source] = to_inputs[link.source].view(rows, -1)
                learned_from = None if stand_ins is None else stand_ins.signals.get(link.name)
                projections.backward(self, link, signal, g, gradients, below, fresh, learned_from)

    def _sweep_back(
        self, stage: Stage, record: Record, g: Tensor, carry: dict[str, Tensor] | None, keep_reset: bool
    ) -> None:
        if stage.name in self.sweeps:
            self._sweep_back_by_model(stage, record, g, carry, keep_reset)
            return
        u = record.stages[stage.name].membrane.numpy()
        gradient = g.view(record.ticks, self.batch, stage.size).numpy()
        c, mask = self.coefficients[stage.name], self.masks[stage.name]
        scale, (kind, parameter) = self.number(self.scales[stage.name]), self.surrogate
        if not stage.spiking:
            if carry is not None:
                after = carry[stage.name].numpy()
                self.workers.map(partial(membrane_kernels.leak_ticks, gradient, after, c), self.batch, g.numel())
            return
        if carry is None:
            self.workers.map(
                partial(membrane_kernels.spatial_ticks, gradient, u, c, mask, scale, kind, parameter),
                record.ticks * self.batch,
                2 * g.numel(),
            )
            return
        after, strict = carry[stage.name].numpy(), stage.strict
        self.workers.map(
            partial(
                membrane_kernels.temporal_ticks, gradient, u, after, c, mask, scale, kind, parameter, strict, keep_reset
            ),
            self.batch,
            4 * g.numel(),
        )

    def _sweep_back_by_model(
        self, stage: Stage, record: Record, g: Tensor, carry: dict[str, Tensor] | None, keep_reset: bool
    ) -> None:
        sweep, one = self.sweeps[stage.name], record.stages[stage.name]
        assert one.start is not None
        gradient = g.view(record.ticks, self.batch, stage.size)
        if carry is None:
            chosen = np.arange(record.ticks) if one.chosen is None else one.chosen
            sweep.back_within(gradient, one.membrane, one.start, chosen)
        else:
            after = carry[stage.name].numpy()
            sweep.back(gradient, one.membrane, None, one.start, after, keep_reset=keep_reset)
