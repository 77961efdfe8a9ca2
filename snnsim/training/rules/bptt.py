"""Backpropagation through time: the error is followed back through all ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snnsim.errors import CapabilityError
from snnsim.training.autograd import sequence, ticks
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, Presynaptic, begin_state
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.compute.threads import working
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import ChunkedCall
from snnsim.training.fused.sequence import SequenceCall
from snnsim.training.losses import Loss, as_loss
from snnsim.training.model.rule_names import NAMED
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.hooks import has_other_hooks, work_out
from snnsim.training.parameters.network_parameters import State
from snnsim.training.parameters.settings import flag
from snnsim.training.rules.base import Outcome, Rule, nothing_to_learn
from snnsim.training.rules.step import begin_step, check_model, final_scores, loss_and_gradient, roots_of_step


@dataclass(frozen=True)
class BPTT(Rule):
    """Backpropagation through time with surrogate gradients.

    Parameters
    ----------
    detach_reset : bool
        Let no gradient pass through the spike in the reset.
    """

    detach_reset: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "detach_reset", flag("BPTT detach_reset", self.detach_reset))

    def step(
        self,
        model: TrainableNetwork,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
        *,
        optimise: Callable[[], None] | None = None,
        presynaptic: Presynaptic | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. Memory grows with the number of ticks."""
        criterion = as_loss(loss)
        check_model(self, model)
        with torch.enable_grad(), model.workspace.claimed() as workspace:
            work_out(model)
            call = begin_step(self, model, inputs, labels, lengths, criterion, presynaptic)
            roots = roots_of_step(call)
            if has_other_hooks(model):
                if presynaptic is not None:
                    raise CapabilityError(
                        "BPTT: with forward or backward hooks of the network, torch computes the gradients; nothing "
                        "else (presynaptic, HLOP) can look at what they are made of; remove one of both"
                    )
                readout = model(inputs, generator=generator, detach_reset=self.detach_reset, lengths=lengths)[0]
                return _back(call, criterion, readout.transpose(0, 1), labels, {})
            state = begin_state(call, None)
            call.prepare(generator)
            gradients.notice_real_values(call, roots)
            if model.path == "plain":
                return self._plain(call, state, labels, criterion)
            return self._compiled(call, state, workspace, roots, labels, criterion)

    def _compiled(
        self,
        call: Call,
        state: State,
        workspace: Workspace,
        roots: gradients.Roots,
        labels: Tensor,
        criterion: Loss,
    ) -> Outcome:
        sums = gradients.buffers(call, roots)
        to_inputs, keep_reset = gradients.of_inputs(sums), not self.detach_reset
        with working() as team:
            if call.model.whole_samples:
                whole = SequenceCall(call, team, workspace)
                readout, record = whole.forward()
                value, gradient = loss_and_gradient(criterion, readout, labels, call.ends)
                scores, rates = final_scores(call, readout), call.rates(record.spikes(call))
                whole.backward(record, gradient, sums, to_inputs, keep_reset)
            else:
                chunked = ChunkedCall(call, team, workspace)
                readout, records = chunked.forward_all(state, keep=True)
                value, gradient = loss_and_gradient(criterion, readout, labels, call.ends)
                scores, rates = final_scores(call, readout), call.rates(*(record.spikes(call) for record in records))
                chunked.backward_all(records, gradient, sums, to_inputs, keep_reset)
        gradients.hand_over(roots, gradients.all_finished(call.model, sums))
        return Outcome(value, scores, rates)

    def _plain(self, call: Call, state: State, labels: Tensor, criterion: Loss) -> Outcome:
        if call.model.whole_samples:
            readout, fired = sequence.forward_all(call, not self.detach_reset)
        else:
            readout, _, every = ticks.forward_all(call, state, not self.detach_reset)
            fired = {name: torch.stack([one[name].detach() for one in every]) for name in every[0]}
        return _back(call, criterion, readout, labels, call.rates(call.passed(fired)))


def _back(call: Call, criterion: Loss, readout: Tensor, labels: Tensor, rates: Mapping[str, float]) -> Outcome:
    """Go back through the graph of a readout, shape (ticks, batch, classes)."""
    if not readout.requires_grad:
        raise nothing_to_learn()
    total = criterion.value(readout, labels, call.ends)
    total.backward()  # type: ignore[no-untyped-call]
    return Outcome(float(total.detach()), final_scores(call, readout.detach()), rates)


NAMED["bptt"] = BPTT()
