"""The fast path: a layer at a time over chunks of ticks, spikes as lists, membranes swept by compiled kernels.

A chunk is forwarded layer by layer and can be back-propagated and forgotten at once (SLTT), or its membranes are kept
until the last tick is known (BPTT). Nothing here uses autograd: the backward pass is written out, and held to the
plain path by the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.training.compute.call import Call, State
from snnsim.training.compute.spike_lists import Signal
from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused import membrane_kernels as kernels
from snnsim.training.fused import projections as link_operations
from snnsim.training.fused.tick_norm import Normalised, normalise, normalise_backward
from snnsim.training.parameters.plan import Stage

_EVERY_SPIKE = np.zeros((0, 0), np.uint8)


@dataclass
class StageRecord:
    """What one population leaves behind for the backward pass."""

    membrane: Tensor
    normalised: Normalised | None


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


class Fused:
    """A call on the fast path.

    Parameters
    ----------
    call : Call
    workers : Workers
    workspace : Workspace
        Buffers; records live in them, so one that is shared ends with the call.
    """

    def __init__(self, call: Call, workers: Workers, workspace: Workspace) -> None:
        self.call, self.model, self.batch, self.workers = call, call.model, call.batch, workers
        self.dtype = self.model.dtype
        self.workspace = workspace
        self.weights = call.effective_weights()
        self.coefficients = call.coefficient_rows()
        self.masks = {name: mask.to(torch.uint8).numpy() for name, mask in call.masks.items()}
        assert self.model.surrogate.number is not None
        self.kind = self.model.surrogate.number
        self.number = self.coefficients[self.model.plan.output.name].dtype.type

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
                link_operations.forward(self, link, signals[link.source], drive, fresh=i == 0)
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
            membrane = state[stage.name]["membrane"]
            cube = drive.view(ticks, self.batch, stage.size)
            if stage.spiking:
                signals[stage.name] = self._fire(stage, cube, membrane)
            else:
                self._integrate(stage, cube, membrane)
            records[stage.name] = StageRecord(cube, normalised)
        output = self.model.plan.output
        record = Record(first, ticks, inputs, records, signals)
        if not output.spiking:
            return records[output.name].membrane, record
        dense = signals[output.name].dense(output.name, self.dtype, self.workspace, self.workers)
        return dense.view(ticks, self.batch, output.size), record

    def _lists(self, stage: Stage, ticks: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], int]:
        rows, stride = ticks * self.batch, -(-stage.size // 8) * 8
        kind = torch.uint16 if stage.size <= 2**16 else torch.int32
        indices = self.workspace.take(f"{stage.name}.lists", (rows * stride,), kind).numpy()
        return np.empty(rows, np.int64), np.empty(rows, np.int64), indices, stride

    def _fire(self, stage: Stage, drive: Tensor, membrane: Tensor) -> Signal:
        begin, end, indices, stride = self._lists(stage, drive.shape[0])
        x, v, c = drive.numpy(), membrane.numpy(), self.coefficients[stage.name]
        mask, strict = self.masks.get(stage.name, _EVERY_SPIKE), stage.model.is_strict

        def work(low: int, high: int) -> None:
            flags = np.zeros(stride, np.uint8)
            kernels.fire_ticks(x, v, c, strict, mask, flags, indices, begin, end, low, high)

        self.workers.map(work, self.batch, 4 * drive.numel())
        return Signal(drive.shape[0], self.batch, stage.size, (begin, end, indices), scale=self.call.scale(stage))

    def _integrate(self, stage: Stage, drive: Tensor, membrane: Tensor) -> None:
        x, v, c = drive.numpy(), membrane.numpy(), self.coefficients[stage.name]
        self.workers.map(lambda low, high: kernels.integrate_ticks(x, v, c, low, high), self.batch, drive.numel())

    # -- backward ----------------------------------------------------------------------------------------

    def restored(self, record: Record) -> Record:
        """Return the record of an earlier chunk with its lists of spikes made again from the membranes."""
        signals = {name: signal.again() for name, signal in record.inputs.items()}
        for stage in self.model.plan.stages:
            if stage.spiking:
                cube = record.stages[stage.name].membrane
                begin, end, indices, stride = self._lists(stage, record.ticks)
                self._list_again(stage, cube.numpy(), begin, end, indices, stride)
                lists = (begin, end, indices)
                signals[stage.name] = Signal(record.ticks, self.batch, stage.size, lists, scale=self.call.scale(stage))
        return replace(record, signals=signals)

    def _list_again(
        self,
        stage: Stage,
        membrane: NDArray[Any],
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        indices: NDArray[Any],
        stride: int,
    ) -> None:
        threshold = self.coefficients[stage.name][3]
        mask, strict = self.masks.get(stage.name, _EVERY_SPIKE), stage.model.is_strict

        def work(low: int, high: int) -> None:
            flags = np.zeros(stride, np.uint8)
            kernels.list_spikes(membrane, threshold, strict, mask, flags, indices, begin, end, low, high)

        self.workers.map(work, len(begin), membrane.size)

    def chosen(self, record: Record, ticks: list[int]) -> Record:
        """Return some ticks of a chunk as a record of their own."""
        if ticks == list(range(record.ticks)):
            return record
        stages = {}
        for name, one in record.stages.items():
            saved = None if one.normalised is None else one.normalised.chosen(ticks)
            stages[name] = StageRecord(one.membrane[ticks], saved)
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
            self._offset_gradient(stage, g, gradients)
            if stage.batch_norm:
                saved = record.stages[stage.name].normalised
                assert saved is not None
                weight, bias = normalise_backward(self.call.affine(stage)[0], saved, g, self.workers)
                for kind, value in (("weight", weight), ("bias", bias)):
                    key = f"norm:{stage.name}.{kind}"
                    if key in gradients:
                        gradients[key] += value
            for link in stage.links:
                signal = record.signals[link.source]
                below: Tensor | None = None
                fresh = link.source not in arrived
                if link.source in record.stages:
                    size = self.model.plan.stage(link.source).size
                    below = self.workspace.take(f"{link.source}.gradient", (rows, size), self.dtype)
                    arrived[link.source] = below
                elif link.source in to_inputs:
                    below = arrived[link.source] = to_inputs[link.source].view(rows, -1)
                link_operations.backward(self, link, signal, g, gradients, below, fresh)

    def _sweep_back(
        self, stage: Stage, record: Record, g: Tensor, carry: dict[str, Tensor] | None, keep_reset: bool
    ) -> None:
        u = record.stages[stage.name].membrane.numpy()
        gradient = g.view(record.ticks, self.batch, stage.size).numpy()
        c, mask = self.coefficients[stage.name], self.masks.get(stage.name, _EVERY_SPIKE)
        scale, kind = self.number(self.call.scale(stage)), self.kind
        parameter = self.number(self.model.surrogate.parameter)
        if not stage.spiking:
            if carry is not None:
                after = carry[stage.name].numpy()
                self.workers.map(
                    lambda low, high: kernels.leak_ticks(gradient, after, c, low, high), self.batch, g.numel()
                )
            return
        if carry is None:
            self.workers.map(
                lambda low, high: kernels.spatial_ticks(gradient, u, c, mask, scale, kind, parameter, low, high),
                record.ticks * self.batch,
                2 * g.numel(),
            )
            return
        after, strict = carry[stage.name].numpy(), stage.model.is_strict
        self.workers.map(
            lambda low, high: kernels.temporal_ticks(
                gradient, u, after, c, mask, scale, kind, parameter, strict, keep_reset, low, high
            ),
            self.batch,
            4 * g.numel(),
        )

    def _offset_gradient(self, stage: Stage, g: Tensor, gradients: dict[str, Tensor]) -> None:
        """Pass from the membrane to the drive, and take the gradient of the bias, which shares the gain."""
        gain = self.coefficients[stage.name][1]
        if np.any(gain != 1):
            g *= torch.from_numpy(gain)
        key = f"bias:{stage.name}"
        if key in gradients:
            gradients[key] += g.sum(0).view(gradients[key].shape[0], -1).sum(1)
