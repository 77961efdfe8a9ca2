"""Calls of a trainable network: the whole forward pass on each path, with its backward pass where one is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.training.autograd import sequence, ticks
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, begin, begin_state
from snnsim.training.compute.sample_ends import within
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.compute.threads import working
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import ChunkedCall, Record
from snnsim.training.fused.sequence import SequenceCall, SequenceRecord
from snnsim.training.parameters.hooks import work_out
from snnsim.training.parameters.network_parameters import NetworkParameters, State


class _Compiled(torch.autograd.Function):
    """A whole compiled forward pass as one node of a graph, with BPTT as its backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        compiled: ChunkedCall | SequenceCall,
        state: State,
        keep_reset: bool,
        roots: gradients.Roots,
        *tensors: Tensor,
    ) -> Tensor:
        """Return the readout, shape (ticks, batch, classes); `tensors` are those of `roots`."""
        record: list[Record] | list[SequenceRecord]
        if isinstance(compiled, ChunkedCall):
            readout, record = compiled.forward_all(state, keep=True)
        else:
            readout, one = compiled.forward()
            readout, record = readout.clone(), [one]
        ctx.compiled, ctx.record, ctx.roots, ctx.keep_reset = compiled, record, roots, keep_reset
        # What the way back reads once more: torch then sees to it that nothing of it was changed in between.
        ctx.save_for_backward(*compiled.call.held())
        return readout

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the roots."""
        compiled, record, roots = ctx.compiled, ctx.record, ctx.roots
        assert ctx.saved_tensors is not None  # looked at for torch's errors: one was changed, or the graph was used
        sums = gradients.buffers(compiled.call, roots, fresh=True)
        to_inputs = gradients.of_inputs(sums)
        with working():
            if isinstance(compiled, ChunkedCall):
                compiled.backward_all([*record], outer[0].contiguous(), sums, to_inputs, ctx.keep_reset)
            else:
                compiled.backward(record[0], outer[0], sums, to_inputs, ctx.keep_reset, use_up=False)
        model = compiled.model
        return None, None, None, None, *(gradients.finished(model, key, sums[key]) for key in roots)


def forward(
    model: NetworkParameters,
    workspace: Workspace,
    inputs: Inputs,
    state: State | None,
    generator: torch.Generator | None,
    keep_reset: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, State]:
    """Run all ticks; see `TrainableNetwork.forward`."""
    with workspace.claimed() as buffers:
        call = begin(model, inputs, lengths)
        own = begin_state(call, state)
        call.prepare(generator)
        roots = gradients.roots_of(call) if torch.is_grad_enabled() else {}
        readout, own = _run(call, own, keep_reset, roots, buffers)
    if roots and model.training:
        gradients.notice_real_values(call, roots, readout)
    return _ended(call, readout).transpose(0, 1), own


def _ended(call: Call, readout: Tensor) -> Tensor:
    """Return a readout, shape (ticks, batch, classes), that is zero from the end of each sample on.

    It is as long as the inputs and the extension, of which the silence after the longest sample was not computed.
    """
    inside = call.inside(call.model.plan.output.name, 0, len(readout))
    if inside is not None:
        readout = torch.where(inside.unsqueeze(2), readout, 0.0)
    missing = call.given + call.model.extension - len(readout)
    return functional.pad(readout, (0, 0, 0, 0, 0, missing)) if missing else readout


def _run(
    call: Call, state: State, keep_reset: bool, roots: gradients.Roots, workspace: Workspace
) -> tuple[Tensor, State]:
    model = call.model
    if model.path == "plain":
        if model.whole_samples:
            return sequence.forward_all(call, keep_reset)[0], {}
        readout, after, _ = ticks.forward_all(call, state, keep_reset)
        return readout, {name: {k: v.detach() for k, v in one.items()} for name, one in after.items()}
    with working() as team:
        # A graph may live on beside another one, so it has buffers of its own.
        buffers = Workspace() if roots else workspace
        compiled = (SequenceCall if model.whole_samples else ChunkedCall)(call, team, buffers)
        if roots:
            out = _Compiled.apply(compiled, state, keep_reset, roots, *roots.values())  # type: ignore[no-untyped-call]
            return out, {} if model.whole_samples else state
        if isinstance(compiled, SequenceCall):
            return compiled.forward()[0].clone(), {}
        assert isinstance(compiled, ChunkedCall)
        return compiled.forward_all(state, keep=False)[0], state


@contextlib.contextmanager
def evaluating(model: NetworkParameters, workspace: Workspace, *, soft_delays: bool) -> Iterator[None]:
    """Give a model to this thread alone, in evaluation, and leave it and its parts in the modes that they had."""
    with workspace.lock:
        training = [module for module in model.modules() if module.training]
        soft = model.soft_delays
        for module in training:
            module.training = False
        model.soft_delays = soft_delays
        try:
            yield
        finally:
            for module in training:
                module.training = True
            model.soft_delays = soft


def spikes(
    model: NetworkParameters, workspace: Workspace, inputs: Inputs, wanted: tuple[str, ...] | None
) -> dict[str, Events]:
    """Return what populations fire; see `TrainableNetwork.spikes`."""
    able = [stage.name for stage in model.plan.stages if stage.spiking]
    names = tuple(able) if wanted is None else wanted
    for name in names:
        if name not in able:
            raise ParameterError(f"spikes: {name!r} does not fire; populations that do: {', '.join(able)}")
    with (
        torch.no_grad(),
        evaluating(model, workspace, soft_delays=model.soft_delays),
        workspace.claimed() as buffers,
    ):
        work_out(model)
        call = begin(model, inputs)
        state = begin_state(call, None)
        call.prepare(None)
        fired = _fired(call, state, names, buffers)
        return {name: _within(call, name, fired[name]) for name in names}


def _fired(call: Call, state: State, names: tuple[str, ...], workspace: Workspace) -> dict[str, Tensor]:
    """Return the spikes of populations, shape (ticks, batch, neurons)."""
    if call.model.path == "plain":
        if call.model.whole_samples:
            return sequence.forward_all(call, keep_reset=True)[1]
        _, _, every = ticks.forward_all(call, state, keep_reset=True)
        return {name: torch.stack([one[name] for one in every]) for name in names}
    with working() as team:
        if call.model.whole_samples:
            _, found = SequenceCall(call, team, workspace).forward()
            return {name: layer.spikes for name, layer in found.layers.items() if layer.spikes is not None}
        compiled, parts = ChunkedCall(call, team, workspace), {name: list[Tensor]() for name in names}
        for start, stop in compiled.windows():
            _, record = compiled.forward(call.window(start, stop), state, None, start)
            for name in names:
                signal = record.signals[name]
                parts[name].append(signal.plain(call.model.dtype).view(signal.ticks, call.batch, signal.size))
        return {name: torch.cat(own) for name, own in parts.items()}


def _within(call: Call, population: str, fired: Tensor) -> Events:
    """Return spikes of shape (ticks, batch, neurons) as recordings that end where their samples do."""
    ends = call.lengths + call.model.extensions[population]
    inside = within(len(fired), ends).unsqueeze(2)
    counts = torch.where(inside, fired, torch.zeros((), dtype=fired.dtype)).transpose(0, 1).numpy()
    return Events.from_dense(counts, call.model.plan.network.dt, lengths=ends.numpy())
