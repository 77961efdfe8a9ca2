"""Rules that back-propagate each tick as soon as it is computed: nothing of it is kept but the state, and traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnsim.errors import CapabilityError
from snnsim.training.autograd.ticks import tick, watched
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, begin_state
from snnsim.training.compute.spike_lists import Inputs, Signal
from snnsim.training.compute.threads import working
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import ChunkedCall, Record, StandIns
from snnsim.training.losses import Loss, joined, scores_of
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.hooks import work_out
from snnsim.training.rules.base import Outcome
from snnsim.training.rules.step import loss_and_gradient, roots_of_step
from snnsim.training.rules.traces import Traces


def compiled(
    call: Call,
    workspace: Workspace,
    roots: gradients.Roots,
    labels: Tensor,
    criterion: Loss,
    chunk: int | None,
    chosen: set[int],
    traces: Traces | None = None,
    optimise: Callable[[], None] | None = None,
) -> Outcome:
    """Run all ticks on the compiled path, a chunk at a time, and leave the gradients.

    Parameters
    ----------
    chunk : int or None
        Ticks of a chunk.
    chosen : set of int
        Ticks that are back-propagated.
    traces : Traces, optional
        What the gradients of the weights are made of, instead of the activity of the tick; all ticks are chosen then.
    optimise : callable, optional
        Takes a step of the optimiser after each chunk, with the gradients of that chunk alone, and sets them to zero.
    """
    state, sums = begin_state(call, None), gradients.buffers(call, roots)
    to_inputs = gradients.of_inputs(sums)
    total, ends, score = 0.0, call.ends, call.model.score
    scores: Tensor | None = None
    spikes = []
    with working() as team:
        chunked = ChunkedCall(call, team, workspace)
        for start, stop in chunked.windows(chunk):
            now = [number - start for number in range(start, stop) if number in chosen]
            readout, record = chunked.forward(call.window(start, stop), state, "0" if now else None, start)
            scores = joined(score, scores, scores_of(readout, score, ends, start))
            value, gradient = loss_and_gradient(criterion, readout, labels, ends, start)
            total += value
            spikes.append(record.spikes(call))
            if not now:
                continue
            own = {name: torch.zeros_like(whole[: len(now)]) for name, whole in to_inputs.items()}
            gradient = gradient[now] if len(now) < stop - start else gradient
            stand_ins = None if traces is None else _stand_ins(call, record, traces)
            chunked.backward(chunked.chosen(record, now), gradient, sums, own, None, stand_ins=stand_ins)
            for name, part in own.items():
                to_inputs[name][[start + number for number in now]] = part
            if optimise is not None:
                gradients.hand_over(roots, gradients.all_finished(call.model, sums))
                roots = _moved(call, optimise)
                sums, chunked = gradients.buffers(call, roots), ChunkedCall(call, team, workspace)
        call.finish(state)
    assert scores is not None
    if optimise is None:
        gradients.hand_over(roots, gradients.all_finished(call.model, sums))
    return Outcome(total, scores, call.rates(*spikes))


def _stand_ins(call: Call, record: Record, traces: Traces) -> StandIns:
    """Return what the gradients of weights and biases of a chunk are made of."""
    signals: dict[str, Signal] = {}
    ones: dict[str, Tensor] = {}
    for stage in call.model.plan.stages:
        for link in stage.links:
            signal = record.signals[link.source]
            if link.name in traces.decays:
                values = signal.plain(call.model.dtype).view(record.ticks, call.batch, signal.size)
                rows = traces.of_ticks(link, values).view(-1, signal.size)
                signals[link.name] = Signal(record.ticks, call.batch, signal.size, None, rows)
        if f"bias:{stage.name}" in call.values:
            shares = [traces.of_bias(stage.name) for _ in range(record.ticks)]
            ones[stage.name] = torch.tensor(shares, dtype=call.model.dtype).repeat_interleave(call.batch).unsqueeze(1)
    return StandIns(signals, ones)


def plain(
    call: Call,
    labels: Tensor,
    criterion: Loss,
    chosen: set[int],
    traces: Traces | None = None,
    optimise: Callable[[], None] | None = None,
) -> Outcome:
    """Run all ticks under autograd, each with a graph of its own, and leave the gradients; see `compiled`.

    Parameters
    ----------
    optimise : callable, optional
        The same after each tick.
    """
    model, state = call.model, begin_state(call, None)
    roots = roots_of_step(call)
    leaves = _leaves(call, roots)
    deliver = watched(call, None if traces is None else traces.of)
    total, score, ends = 0.0, model.score, call.ends
    scores: Tensor | None = None
    spikes = []
    for number in range(call.ticks):
        with torch.set_grad_enabled(number in chosen):
            weights, coefficients = call.weights(), call.coefficients()
            if traces is not None:
                coefficients = {name: _traced(call, name, c, traces) for name, c in coefficients.items()}
            readout, after, fired = tick(
                call, call.frame(number), state, weights, coefficients, number, deliver=deliver
            )
            value = criterion.value(readout[None], labels, ends, number)
        if value.requires_grad:
            value.backward()  # type: ignore[no-untyped-call]
        # The one line that makes it spatial: what the next tick starts from has no past.
        state = {name: {key: x.detach() for key, x in one.items()} for name, one in after.items()}
        total += float(value.detach())
        scores = joined(score, scores, scores_of(readout.detach()[None], score, ends, number))
        spikes.append(call.passed({name: one[None] for name, one in fired.items()}, number))
        if optimise is not None:
            gradients.hand_over(roots, _found(leaves))
            roots = _moved(call, optimise)
            leaves = _leaves(call, roots)
    call.finish(state)
    assert scores is not None
    if optimise is None:
        gradients.hand_over(roots, _found(leaves))
    return Outcome(total, scores, call.rates(*spikes))


def _moved(call: Call, optimise: Callable[[], None]) -> gradients.Roots:
    """Take a step of the optimiser within a call, which goes on with the values after it."""
    optimise()
    work_out(call.model)
    call.values = call.model.look_up()
    return roots_of_step(call)


def _leaves(call: Call, roots: gradients.Roots) -> dict[str, Tensor]:
    """Put leaves where the values of a call were: graphs of ticks end there, and those of values go on from `roots`."""
    leaves = {key: root.detach().requires_grad_(True) for key, root in roots.items()}
    call.values = call.values | {key: leaf for key, leaf in leaves.items() if not key.startswith("input:")}
    for name, leaf in gradients.of_inputs(leaves).items():
        call.sources[name].values = leaf
    return leaves


def _found(leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for key, leaf in leaves.items()}


def _traced(call: Call, population: str, coefficients: Any, traces: Traces) -> Any:
    """Return coefficients whose offset has the gradient of a bias times its trace, and the value that it had."""
    if f"bias:{population}" not in call.values:
        return coefficients
    now = coefficients.offset.detach()
    return coefficients._replace(offset=now + traces.of_bias(population) * (coefficients.offset - now))


def run_pre_hooks(rule: str, model: TrainableNetwork, inputs: Inputs) -> Inputs:
    """Run what torch calls before the forward pass of a module, such as pruning, and return the inputs.

    Raises
    ------
    CapabilityError
        The module has hooks that look at its output, which these rules never have as a whole.
    """
    if model._forward_hooks or model._backward_hooks or model._backward_pre_hooks:
        raise CapabilityError(
            f"{rule}: the network has forward or backward hooks, which look at its readout as a whole; {rule} computes "
            "it chunk by chunk: use BPTT(), or hooks of parameters"
        )
    given: Any = inputs
    for number, hook in model._forward_pre_hooks.items():
        with_keywords = number in model._forward_pre_hooks_with_kwargs
        found: Any = hook(model, (given,), {}) if with_keywords else hook(model, (given,))
        if found is not None:
            found = found[0] if with_keywords else found
            given = found[0] if isinstance(found, tuple) else found
    return given  # type: ignore[no-any-return]
