"""Spatial learning through time (Meng, Xiao, Yan, Wang, Lin, Luo, ICCV 2023, arXiv:2302.14311).

SLTT drops every route through time, that of the leak and that of the reset, in every layer, so that each tick is
back-propagated as soon as it is computed and memory does not grow with the number of ticks. SLTT-K back-propagates K
random ticks only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snnsim.errors import CapabilityError, ParameterError
from snnsim.training.autograd.ticks import tick
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, begin_state
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.compute.threads import working
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import ChunkedCall
from snnsim.training.losses import Loss, as_loss, joined, scores_of
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.settings import whole_number
from snnsim.training.rules.base import Outcome, Rule
from snnsim.training.rules.step import begin_step, check_model, loss_and_gradient, roots_of_step


@dataclass(frozen=True)
class SLTT(Rule):
    """Spatial learning through time.

    Parameters
    ----------
    k : int, optional
        Back-propagate this many random ticks of each minibatch only, the same for all its samples (SLTT-K). The loss
        keeps its factor 1/T, so that gradients shrink by k/T on average; learning rates are used unchanged.
    chunk : int, optional
        Ticks computed at a time; default as many as fit the cache. It changes no result but by rounding.

    Notes
    -----
    Input that comes before the tick of its reward gets no gradient at all: where the loss needs memory across ticks,
    use `BPTT`.
    """

    k: int | None = None
    chunk: int | None = None
    keeps_ticks = False

    def __post_init__(self) -> None:
        for name in ("k", "chunk"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole_number(f"SLTT {name}", value))

    def step(
        self,
        model: TrainableNetwork,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. Memory does not grow with the number of ticks."""
        criterion = as_loss(loss)
        check_model(self, model)
        if not criterion.per_tick:
            raise ParameterError(
                f"loss={type(criterion).__name__}: SLTT back-propagates each tick when it is computed and needs a loss "
                "of that tick alone; a loss of the summed readout couples all ticks: use per_tick_cross_entropy or BPTT"
            )
        if model.whole_samples:
            raise CapabilityError(
                "SLTT drops every route through time, and delays and batch norm over the sequence are such routes; "
                "use BPTT()"
            )
        with torch.enable_grad(), model.workspace.claimed() as workspace:
            call = begin_step(self, model, run_pre_hooks(model, inputs), labels, lengths, criterion)
            if self.k is not None and self.k > call.ticks:
                raise ParameterError(f"SLTT k={self.k}: the samples have {call.ticks} ticks only")
            roots = roots_of_step(call)
            generator = call.prepare(generator or model.next_generator())
            chosen = set(range(call.ticks))
            if self.k is not None:
                chosen = set(torch.randperm(call.ticks, generator=generator)[: self.k].tolist())
            gradients.notice_real_values(call, roots)
            if model.path == "plain":
                outcome, found = self._plain(call, roots, labels, criterion, chosen)
            else:
                outcome, found = self._compiled(call, workspace, roots, labels, criterion, chosen)
            gradients.hand_over(roots, found)
            return outcome

    def _compiled(
        self,
        call: Call,
        workspace: Workspace,
        roots: gradients.Roots,
        labels: Tensor,
        criterion: Loss,
        chosen: set[int],
    ) -> tuple[Outcome, dict[str, Tensor]]:
        state, sums = begin_state(call, None), gradients.buffers(call, roots)
        to_inputs = gradients.of_inputs(sums)
        total, ends, score = 0.0, call.ends, call.model.score
        scores: Tensor | None = None
        spikes = []
        with working() as team:
            chunked = ChunkedCall(call, team, workspace)
            for start, stop in chunked.windows(self.chunk):
                now = [tick - start for tick in range(start, stop) if tick in chosen]
                readout, record = chunked.forward(call.window(start, stop), state, "0" if now else None, start)
                scores = joined(score, scores, scores_of(readout, score, ends, start))
                value, gradient = loss_and_gradient(criterion, readout, labels, ends, start)
                total += value
                spikes.append(record.spikes(call))
                if not now:
                    continue
                own = {name: torch.zeros_like(whole[: len(now)]) for name, whole in to_inputs.items()}
                gradient = gradient[now] if len(now) < stop - start else gradient
                chunked.backward(chunked.chosen(record, now), gradient, sums, own, None)
                for name, part in own.items():
                    to_inputs[name][[start + tick for tick in now]] = part
            call.finish(state)
        assert scores is not None
        return Outcome(total, scores, call.rates(*spikes)), gradients.all_finished(call.model, sums)

    def _plain(
        self, call: Call, roots: gradients.Roots, labels: Tensor, criterion: Loss, chosen: set[int]
    ) -> tuple[Outcome, dict[str, Tensor]]:
        state = begin_state(call, None)
        # The graphs of single ticks end at leaves; what the gradients come from may have a graph of its own.
        leaves = {key: root.detach().requires_grad_(True) for key, root in roots.items()}
        call.values = call.values | {key: leaf for key, leaf in leaves.items() if not key.startswith("input:")}
        for name, leaf in gradients.of_inputs(leaves).items():
            call.sources[name].values = leaf
        total, score, ends = 0.0, call.model.score, call.ends
        scores: Tensor | None = None
        spikes = []
        for number in range(call.ticks):
            with torch.set_grad_enabled(number in chosen):
                weights, coefficients = call.weights(), call.coefficients()
                readout, after, fired = tick(call, call.frame(number), state, weights, coefficients, number)
                value = criterion.value(readout[None], labels, ends, number)
            if value.requires_grad:
                value.backward()  # type: ignore[no-untyped-call]
            # The one line that makes it SLTT: what the next tick starts from has no past.
            state = {name: {key: x.detach() for key, x in one.items()} for name, one in after.items()}
            total += float(value.detach())
            scores = joined(score, scores, scores_of(readout.detach()[None], score, ends, number))
            spikes.append(call.passed({name: one[None] for name, one in fired.items()}, number))
        call.finish(state)
        assert scores is not None
        found = {key: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for key, leaf in leaves.items()}
        return Outcome(total, scores, call.rates(*spikes)), found


def run_pre_hooks(model: TrainableNetwork, inputs: Inputs) -> Inputs:
    """Run what torch calls before the forward pass of a module, such as pruning, and return the inputs.

    Raises
    ------
    CapabilityError
        The module has hooks that look at its output, which SLTT never has as a whole.
    """
    if model._forward_hooks or model._backward_hooks or model._backward_pre_hooks:
        raise CapabilityError(
            "SLTT: the network has forward or backward hooks, which look at its readout as a whole; SLTT computes it "
            "chunk by chunk: use BPTT(), or hooks of parameters"
        )
    given: Any = inputs
    for number, hook in model._forward_pre_hooks.items():
        with_keywords = number in model._forward_pre_hooks_with_kwargs
        found: Any = hook(model, (given,), {}) if with_keywords else hook(model, (given,))
        if found is not None:
            found = found[0] if with_keywords else found
            given = found[0] if isinstance(found, tuple) else found
    return given  # type: ignore[no-any-return]
