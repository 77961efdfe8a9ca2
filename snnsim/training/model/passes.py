"""Calls of a trainable network: chunks of ticks, dropout masks, the whole forward and backward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from snnsim.connectivity import Conv2d
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.numerics import rng
from snnsim.training.autograd import sequence as plain_sequence
from snnsim.training.autograd import ticks as plain
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, State, begin, begin_state
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.compute.threads import working
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import Fused, Record
from snnsim.training.fused.sequence import Sequence, SequenceRecord
from snnsim.training.parameters.plan import FRAME_RULES, Plan, extensions
from snnsim.training.parameters.values import work_out
from snnsim.training.rules.losses import within

if TYPE_CHECKING:
    from snnsim.training.model.trainable_network import TrainableNetwork

#: Bytes of the largest buffer of a chunk: small enough to stay in the cache, large enough to pay for the calls.
CHUNK_BYTES = 2**21
#: The same for networks with images, whose calls do more.
IMAGE_CHUNK_BYTES = 2**24


def keyed_generator(seed: int, *key: int) -> torch.Generator:
    """Return random numbers of torch keyed by a seed and some numbers."""
    word = int(rng.bits(seed, rng.stream_number("training", *key), 0))
    return torch.Generator().manual_seed(word % 2**63)


def chunk_ticks(model: TrainableNetwork, batch: int, ticks: int) -> int:
    """Return how many ticks to compute at a time."""
    images = any(isinstance(link.rule, Conv2d) for stage in model.plan.stages for link in stage.links)
    per_tick = batch * max(widths(model.plan)) * model.dtype.itemsize
    return max(1, min(ticks, (IMAGE_CHUNK_BYTES if images else CHUNK_BYTES) // per_tick))


def widths(plan: Plan) -> list[int]:
    """Return the sizes of all populations that have dense buffers."""
    sizes = [stage.size for stage in plan.stages]
    for stage in plan.stages:
        sizes += [int(np.prod(link.source_shape)) for link in stage.links if isinstance(link.rule, FRAME_RULES)]
    return sizes


def windows(ticks: int, chunk: int) -> list[tuple[int, int]]:
    """Return start and stop of every chunk."""
    return [(start, min(start + chunk, ticks)) for start in range(0, ticks, chunk)]


def prepare(call: Call, generator: torch.Generator | None) -> torch.Generator:
    """Draw masks and noise of a call, and program the chip where that is due.

    Parameters
    ----------
    call : Call
    generator : torch.Generator or None
        None is the next one of the model in training.

    Returns
    -------
    torch.Generator
        The one that was used.
    """
    model = call.model
    if generator is None:
        generator = model.next_generator() if model.training else model.generator()
    key = generator.initial_seed()
    if model.weight_noise is not None:
        model.weight_noise.draw(model, key)
    if model.chip is not None:
        model.chip.begin(model.training, call.effective_weights, key)
    call.masks = draw_masks(model, call.batch, generator)
    return generator


def draw_masks(model: TrainableNetwork, batch: int, generator: torch.Generator | None) -> dict[str, Tensor]:
    """Draw one dropout mask a sample and neuron, for all ticks; none outside training."""
    stages = [stage for stage in model.plan.stages if stage.dropout]
    if not stages or not model.training:
        return {}
    return {stage.name: torch.rand(batch, stage.size, generator=generator) >= stage.dropout for stage in stages}


# -- the compiled paths ----------------------------------------------------------------------------------


def forward_all(fused: Fused, state: State, keep: bool) -> tuple[Tensor, list[Record]]:
    """Run all chunks; keep their records for `backward_all`.

    Returns
    -------
    readout : Tensor, shape (ticks, batch, classes)
    records : list of Record
    """
    call, parts, records = fused.call, [], []
    for number, (start, stop) in enumerate(windows(call.ticks, chunk_ticks(call.model, call.batch, call.ticks))):
        window = {name: source.window(start, stop) for name, source in call.sources.items()}
        out, record = fused.forward(window, state, str(number) if keep else None, start)
        parts.append(out.clone())
        records.append(record)
    call.finish(state)
    return torch.cat(parts), records


def backward_all(
    fused: Fused,
    records: list[Record],
    gradient: Tensor,
    sums: dict[str, Tensor],
    to_inputs: dict[str, Tensor],
    keep_reset: bool,
) -> None:
    """Back-propagate through all ticks, last chunk first, and add to `sums` (BPTT)."""
    stages = fused.model.plan.stages
    carry = {stage.name: torch.zeros(fused.batch, stage.size, dtype=fused.dtype) for stage in stages}
    stop = gradient.shape[0]
    while records:
        record = records.pop()  # popped, so that nothing of a chunk outlives its turn
        start = stop - record.ticks
        own = {name: total[start:stop] for name, total in to_inputs.items()}
        fused.backward(fused.restored(record), gradient[start:stop], sums, own, carry, keep_reset)
        stop = start


class _Compiled(torch.autograd.Function):
    """A whole compiled forward pass as one node of a graph, with BPTT as its backward pass."""

    @staticmethod
    def forward(
        ctx: Any, compiled: Fused | Sequence, state: State, keep_reset: bool, roots: gradients.Roots, *tensors: Tensor
    ) -> Tensor:
        """Return the readout, shape (ticks, batch, classes); `tensors` are those of `roots`."""
        record: list[Record] | list[SequenceRecord]
        if isinstance(compiled, Fused):
            readout, record = forward_all(compiled, state, keep=True)
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
            if isinstance(compiled, Fused):
                backward_all(compiled, [*record], outer[0].contiguous(), sums, to_inputs, ctx.keep_reset)
            else:
                compiled.backward(record[0], outer[0], sums, to_inputs, ctx.keep_reset, use_up=False)
        model = compiled.model
        return None, None, None, None, *(gradients.finished(model, key, sums[key]) for key in roots)


# -- both paths ------------------------------------------------------------------------------------------


def forward(
    model: TrainableNetwork,
    inputs: Inputs,
    state: State | None,
    generator: torch.Generator | None,
    keep_reset: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, State]:
    """Run all ticks; see `TrainableNetwork.forward`."""
    with model.workspace.claimed() as workspace:
        call = begin(model, inputs, lengths)
        own = begin_state(call, state)
        prepare(call, generator)
        roots = gradients.roots_of(call) if torch.is_grad_enabled() else {}
        readout, own = _run(call, own, keep_reset, roots, workspace)
    if roots and model.training:
        gradients.notice_real_values(call, roots, readout)
    return ended(call, readout).transpose(0, 1), own


def ended(call: Call, readout: Tensor) -> Tensor:
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
            return plain_sequence.forward_all(call, keep_reset)[0], {}
        readout, after, _ = plain_all(call, state, keep_reset)
        return readout, {name: {k: v.detach() for k, v in one.items()} for name, one in after.items()}
    with working() as team:
        # A graph may live on beside another one, so it has buffers of its own.
        buffers = Workspace() if roots else workspace
        compiled = (Sequence if model.whole_samples else Fused)(call, team, buffers)
        if roots:
            out = _Compiled.apply(compiled, state, keep_reset, roots, *roots.values())  # type: ignore[no-untyped-call]
            return out, {} if model.whole_samples else state
        if isinstance(compiled, Sequence):
            return compiled.forward()[0].clone(), {}
        return forward_all(compiled, state, keep=False)[0], state


def plain_all(call: Call, state: State, keep_reset: bool) -> tuple[Tensor, State, list[dict[str, Tensor]]]:
    """Run all ticks on the plain path; return readout (ticks, batch, classes), state and spikes of every tick."""
    weights, coefficients = call.weights(), call.coefficients()
    readouts, fired = [], []
    for tick in range(call.ticks):
        now = {name: source.frame(tick, call.model.dtype) for name, source in call.sources.items()}
        readout, state, spikes = plain.tick(call, now, state, weights, coefficients, tick, keep_reset)
        readouts.append(readout)
        fired.append(spikes)
    call.finish(state)
    return torch.stack(readouts), state, fired


@contextlib.contextmanager
def evaluating(model: TrainableNetwork, *, soft_delays: bool) -> Iterator[None]:
    """Give the model to this thread alone, in evaluation, and leave it and its parts in the modes that they had."""
    with model.workspace.lock:
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


def spikes(model: TrainableNetwork, inputs: Inputs, wanted: tuple[str, ...] | None) -> dict[str, Events]:
    """Return what populations fire; see `TrainableNetwork.spikes`."""
    able = [stage.name for stage in model.plan.stages if stage.spiking]
    names = tuple(able) if wanted is None else wanted
    for name in names:
        if name not in able:
            raise ParameterError(f"spikes: {name!r} does not fire; populations that do: {', '.join(able)}")
    counts: dict[str, list[Tensor]] = {name: [] for name in names}
    with torch.no_grad(), evaluating(model, soft_delays=model.soft_delays), model.workspace.claimed() as workspace:
        work_out(model)
        call = begin(model, inputs)
        state = begin_state(call, None)
        prepare(call, None)
        if model.whole_samples:
            for name, one in _spikes_delayed(call, workspace).items():
                if name in counts:
                    counts[name] = [one]
        elif model.path == "plain":
            _, _, fired = plain_all(call, state, keep_reset=True)
            for name in names:
                counts[name] = [one[name][None] for one in fired]
        else:
            with working() as team:
                _collect_spikes(Fused(call, team, workspace), state, counts)
        return {name: _within(call, name, torch.cat(parts)) for name, parts in counts.items()}


def _within(call: Call, population: str, fired: Tensor) -> Events:
    """Return spikes of shape (ticks, batch, neurons) as recordings that end where their samples do."""
    ends = call.lengths + extensions(call.model.plan, call.model.lengthen)[population]
    inside = within(len(fired), ends).unsqueeze(2)
    counts = torch.where(inside, fired, torch.zeros((), dtype=fired.dtype)).transpose(0, 1).numpy()
    return Events.from_dense(counts, call.model.plan.network.dt, lengths=ends.numpy())


def _spikes_delayed(call: Call, workspace: Workspace) -> dict[str, Tensor]:
    if call.model.path == "plain":
        return plain_sequence.forward_all(call, keep_reset=True)[1]
    with working() as team:
        _, record = Sequence(call, team, workspace).forward()
    return {name: layer.spikes for name, layer in record.layers.items() if layer.spikes is not None}


def _collect_spikes(fused: Fused, state: State, counts: dict[str, list[Tensor]]) -> None:
    call = fused.call
    for start, stop in windows(call.ticks, chunk_ticks(call.model, call.batch, call.ticks)):
        window = {name: source.window(start, stop) for name, source in call.sources.items()}
        _, record = fused.forward(window, state, None, start)
        for name, parts in counts.items():
            signal = record.signals[name]
            parts.append(signal.plain(call.model.dtype).view(signal.ticks, call.batch, signal.size))
