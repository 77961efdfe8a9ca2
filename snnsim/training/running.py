"""Calls of a trainable network: chunks of ticks, dropout masks, the whole forward and backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnsim import rng
from snnsim.connectivity import Conv2d
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.training import plain, plain_sequence
from snnsim.training.fused import Fused, Record
from snnsim.training.plan import FRAME_RULES, Plan
from snnsim.training.sequence import Sequence
from snnsim.training.signals import Inputs, Source, check_inputs
from snnsim.training.threads import working
from snnsim.training.workspace import Workspace

if TYPE_CHECKING:
    from snnsim.training.model import TrainableNetwork

State = dict[str, dict[str, Tensor]]

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


def prepare(model: TrainableNetwork, generator: torch.Generator | None) -> None:
    """Draw the noise of the weights of this call, and program the chip where that is due."""
    key = (generator or model.generator()).initial_seed()
    if model.weight_noise is not None:
        model.weight_noise.draw(model, key)
    if model.chip is not None:
        model.chip.begin(model, key)


def draw_masks(model: TrainableNetwork, batch: int, generator: torch.Generator | None) -> dict[str, Tensor]:
    """Draw one dropout mask a sample and neuron, for all ticks; none outside training."""
    stages = [stage for stage in model.plan.stages if stage.dropout]
    if not stages or not model.training:
        return {}
    generator = generator or model.generator()
    return {stage.name: torch.rand(batch, stage.size, generator=generator) >= stage.dropout for stage in stages}


def begin(model: TrainableNetwork, inputs: Inputs, state: State | None) -> tuple[dict[str, Source], State, int, int]:
    """Check the inputs and return them with a state of the call's own, the batch and the number of ticks."""
    sources = check_inputs(model.plan, inputs, model.dtype)
    first = next(iter(sources.values()))
    if state is not None and model.whole_samples:
        raise ParameterError("state: whole samples start from rest (spikes on their way are not kept)")
    if state is None:
        return sources, model.initial_state(first.batch), first.batch, first.ticks
    own: State = {}
    for name, template in model.initial_state(first.batch).items():
        own[name] = {}
        for key, value in template.items():
            given = state.get(name, {}).get(key)
            if given is None or given.shape != value.shape:
                found = None if given is None else tuple(given.shape)
                raise ParameterError(f"state of {name!r}: {key} has shape {found}, expected {tuple(value.shape)}")
            own[name][key] = given.detach().clone()
    return sources, own, first.batch, first.ticks


def windows(ticks: int, chunk: int) -> list[tuple[int, int]]:
    """Return start and stop of every chunk."""
    return [(start, min(start + chunk, ticks)) for start in range(0, ticks, chunk)]


# -- the fast path ---------------------------------------------------------------------------------------


def forward_all(
    call: Fused, sources: dict[str, Source], state: State, training: bool, keep: bool
) -> tuple[Tensor, list[Record]]:
    """Run all chunks; keep their records for `backward_all`.

    Returns
    -------
    readout : Tensor, shape (ticks, batch, classes)
    records : list of Record
    """
    ticks = next(iter(sources.values())).ticks
    parts, records = [], []
    for number, (start, stop) in enumerate(windows(ticks, chunk_ticks(call.model, call.batch, ticks))):
        window = {name: source.window(start, stop) for name, source in sources.items()}
        out, record = call.forward(window, state, training, str(number) if keep else None)
        parts.append(out.clone())
        records.append(record)
    return torch.cat(parts), records


def backward_all(
    call: Fused, records: list[Record], gradient: Tensor, gradients: dict[str, Tensor], keep_reset: bool
) -> None:
    """Back-propagate through all ticks, last chunk first, and add to `gradients` (BPTT)."""
    carry = {stage.name: torch.zeros(call.batch, stage.size, dtype=call.dtype) for stage in call.model.plan.stages}
    stop = gradient.shape[0]
    while records:
        record = records.pop()  # popped, so that nothing of a chunk outlives its turn
        start = stop - record.ticks
        call.backward(call.restored(record), gradient[start:stop], gradients, carry, keep_reset)
        stop = start


class _Unrolled(torch.autograd.Function):
    """The whole fast forward pass as one node of a graph, with BPTT as its backward pass."""

    @staticmethod
    def forward(ctx: Any, call: Fused, sources: dict[str, Source], state: State, *parameters: Tensor) -> Tensor:
        """Return the readout, shape (ticks, batch, classes)."""
        readout, ctx.records = forward_all(call, sources, state, call.model.training, keep=True)
        ctx.call, ctx.parameters = call, parameters
        return readout

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the parameters, in the order of `TrainableNetwork.parameters`."""
        names = [name for name, _ in ctx.call.model.named_parameters()]
        sums = gradient_buffers(ctx.call.model, fresh=True)
        if not ctx.records:
            raise ParameterError("the graph of this readout was already used; call forward again")
        with working():
            backward_all(ctx.call, ctx.records, outer[0].contiguous(), sums, keep_reset=True)
        found = finished_gradients(ctx.call.model, sums)
        return None, None, None, *(found.get(name) for name in names)


class _WholeSequence(torch.autograd.Function):
    """The forward pass of a network with delays as one node of a graph."""

    @staticmethod
    def forward(ctx: Any, call: Sequence, sources: dict[str, Source], *parameters: Tensor) -> Tensor:
        """Return the readout, shape (ticks, batch, classes)."""
        readout, ctx.record = call.forward(sources, call.model.training)
        ctx.call, ctx.parameters = call, parameters
        return readout.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the parameters, in the order of `TrainableNetwork.parameters`."""
        names = [name for name, _ in ctx.call.model.named_parameters()]
        sums = gradient_buffers(ctx.call.model, fresh=True)
        if ctx.record is None:
            raise ParameterError("the graph of this readout was already used; call forward again")
        with working():
            ctx.call.backward(ctx.record, outer[0], sums, keep_reset=True)
        ctx.record = None  # the way back overwrites what it has used
        found = finished_gradients(ctx.call.model, sums)
        return None, None, *(found.get(name) for name in names)


def gradient_buffers(model: TrainableNetwork, fresh: bool = False) -> dict[str, Tensor]:
    """Return where the gradient of every parameter is added up, by names of the description.

    That is ``.grad`` itself where it is there already, unless `fresh`; and a matrix for weights of `Sparse`.
    """
    buffers = {}
    effective = model.effective_weights()
    for key, parameter in named_gradients(model).items():
        kind, _, name = key.partition(":")
        shaped = effective[name] if kind == "weights" else parameter
        own = parameter.grad
        usable = not fresh and own is not None and own.shape == shaped.shape and own.is_contiguous()
        buffers[key] = own if usable and own is not None else torch.zeros_like(shaped)
    return buffers


def hand_over(model: TrainableNetwork, sums: dict[str, Tensor]) -> None:
    """Add to ``.grad`` what is not there already, as ``Tensor.backward`` would."""
    parameters = dict(model.named_parameters())
    for name, gradient in finished_gradients(model, sums).items():
        parameter = parameters[name]
        if parameter.grad is None:
            parameter.grad = gradient
        elif parameter.grad is not gradient:
            parameter.grad += gradient


def named_gradients(model: TrainableNetwork) -> dict[str, Tensor]:
    """Return the parameters that require a gradient, by kind and name in the description."""
    found = {}
    for stage in model.plan.stages:
        for link in stage.links:
            found[f"weights:{link.name}"] = model.value("weights", link.name)
            found[f"delays:{link.name}"] = model.value("delays", link.name)
        found[f"bias:{stage.name}"] = model.value("bias", stage.name)
        if stage.batch_norm:
            norm = model.norm(stage.name)
            found |= {f"norm:{stage.name}.weight": norm.weight, f"norm:{stage.name}.bias": norm.bias}
    return {key: value for key, value in found.items() if value is not None and value.requires_grad}


def finished_gradients(model: TrainableNetwork, sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return gradients by the names of the module's parameters."""
    by_identity = {id(parameter): name for name, parameter in model.named_parameters()}
    result = {}
    for key, parameter in named_gradients(model).items():
        kind, _, name = key.partition(":")
        value = sums[key]
        if kind == "weights" and value.shape != parameter.shape:
            value = model.of_synapses(name, value)
        result[by_identity[id(parameter)]] = value
    return result


# -- both paths ------------------------------------------------------------------------------------------


def forward(
    model: TrainableNetwork, inputs: Inputs, state: State | None, generator: torch.Generator | None
) -> tuple[Tensor, State]:
    """Run all ticks; see `TrainableNetwork.forward`."""
    sources, own, batch, _ = begin(model, inputs, state)
    prepare(model, generator)
    masks = draw_masks(model, batch, generator)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    record = torch.is_grad_enabled() and bool(learned)
    if model.whole_samples:
        return _forward_delayed(model, sources, batch, masks, record), {}
    if model.path == "plain":
        readout, own, _ = plain_all(model, sources, own, masks, keep_reset=True)
        return readout.transpose(0, 1), {name: {k: v.detach() for k, v in one.items()} for name, one in own.items()}
    with working() as team:
        if record:
            # A graph may live on beside another one, so it has buffers of its own.
            call = Fused(model, batch, masks, team, Workspace())
            out: Tensor = _Unrolled.apply(call, sources, own, *model.parameters())  # type: ignore[no-untyped-call]
            return out.transpose(0, 1), own
        call = Fused(model, batch, masks, team, model.workspace)
        readout, _ = forward_all(call, sources, own, model.training, keep=False)
        return readout.transpose(0, 1), own


def _forward_delayed(
    model: TrainableNetwork, sources: dict[str, Source], batch: int, masks: dict[str, Tensor], record: bool
) -> Tensor:
    if model.path == "plain":
        return plain_sequence.forward_all(model, sources, masks, keep_reset=True)[0].transpose(0, 1)
    with working() as team:
        if record:
            call = Sequence(model, batch, masks, team, Workspace())
            out: Tensor = _WholeSequence.apply(call, sources, *model.parameters())  # type: ignore[no-untyped-call]
            return out.transpose(0, 1)
        call = Sequence(model, batch, masks, team, model.workspace)
        return call.forward(sources, model.training)[0].clone().transpose(0, 1)


def plain_all(
    model: TrainableNetwork, sources: dict[str, Source], state: State, masks: dict[str, Tensor], keep_reset: bool
) -> tuple[Tensor, State, list[dict[str, Tensor]]]:
    """Run all ticks on the plain path; return readout (ticks, batch, classes), state and spikes of every tick."""
    weights, coefficients = model.differentiable_weights(), model.differentiable_coefficients()
    readouts, fired = [], []
    for tick in range(next(iter(sources.values())).ticks):
        now = {name: source.window(tick, tick + 1).plain(model.dtype) for name, source in sources.items()}
        readout, state, spikes = plain.tick(model, now, state, masks, weights, coefficients, keep_reset)
        readouts.append(readout)
        fired.append(spikes)
    return torch.stack(readouts), state, fired


def spikes(model: TrainableNetwork, inputs: Inputs, wanted: tuple[str, ...] | None) -> dict[str, Events]:
    """Return what populations fire; see `TrainableNetwork.spikes`."""
    able = [stage.name for stage in model.plan.stages if stage.spiking]
    names = tuple(able) if wanted is None else wanted
    for name in names:
        if name not in able:
            raise ParameterError(f"spikes: {name!r} does not fire; populations that do: {', '.join(able)}")
    sources, state, batch, _ = begin(model, inputs, None)
    counts: dict[str, list[Tensor]] = {name: [] for name in names}
    training = model.training
    model.eval()
    try:
        prepare(model, None)
        with torch.no_grad():
            if model.whole_samples:
                for name, one in _spikes_delayed(model, sources, batch).items():
                    if name in counts:
                        counts[name] = [one]
            elif model.path == "plain":
                _, _, fired = plain_all(model, sources, state, {}, keep_reset=True)
                for name in names:
                    counts[name] = [one[name][None] for one in fired]
            else:
                with working() as team:
                    _collect_spikes(Fused(model, batch, {}, team, model.workspace), sources, state, counts)
    finally:
        model.train(training)
    dt = model.plan.network.dt
    return {name: Events.from_dense(torch.cat(parts).transpose(0, 1).numpy(), dt) for name, parts in counts.items()}


def _spikes_delayed(model: TrainableNetwork, sources: dict[str, Source], batch: int) -> dict[str, Tensor]:
    if model.path == "plain":
        return plain_sequence.forward_all(model, sources, {}, keep_reset=True)[1]
    with working() as team:
        _, record = Sequence(model, batch, {}, team, model.workspace).forward(sources, training=False)
    return {name: layer.spikes for name, layer in record.layers.items() if layer.spikes is not None}


def _collect_spikes(call: Fused, sources: dict[str, Source], state: State, counts: dict[str, list[Tensor]]) -> None:
    ticks = next(iter(sources.values())).ticks
    for start, stop in windows(ticks, chunk_ticks(call.model, call.batch, ticks)):
        window = {name: source.window(start, stop) for name, source in sources.items()}
        _, record = call.forward(window, state, False, None)
        for name, parts in counts.items():
            signal = record.signals[name]
            parts.append(signal.plain(call.dtype).view(signal.ticks, call.batch, signal.size))
