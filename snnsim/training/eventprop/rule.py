"""The rule that trains an `EventPropNetwork`, with its regulariser of spike counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snnsim.errors import CapabilityError, ParameterError
from snnsim.scores import SCORES
from snnsim.training.compute.call import Presynaptic
from snnsim.training.compute.spike_lists import sample_lengths
from snnsim.training.eventprop.network import EventPropNetwork
from snnsim.training.losses import Loss, as_loss, scores_of
from snnsim.training.model.rule_names import NAMED
from snnsim.training.parameters.settings import number
from snnsim.training.rules.base import Outcome, Rule, check_labels, nothing_to_learn


@dataclass(frozen=True)
class EventProp(Rule):
    """EventProp, for an `EventPropNetwork`.

    Parameters
    ----------
    spike_target : float
        Spikes a sample that each neuron is drawn to.
    strength : float
        Of the regulariser: strength / 2 times the squared distance of the mean over the minibatch from the target,
        summed over neurons.
    """

    spike_target: float = 14.0
    strength: float = 0.0

    def __post_init__(self) -> None:
        for name in ("spike_target", "strength"):
            object.__setattr__(self, name, number(f"EventProp {name}", getattr(self, name), zero=True))

    def step(
        self,
        model: Any,
        inputs: Any,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
        *,
        optimise: Callable[[], None] | None = None,
        presynaptic: Presynaptic | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. An averaged readout is to the loss a sample of one tick."""
        if not isinstance(model, EventPropNetwork):
            raise ParameterError(f"EventProp trains an EventPropNetwork, got {type(model).__name__}")
        if presynaptic is not None:
            raise CapabilityError(
                "presynaptic: EventProp makes its gradients of spike times, not of the activity of a tick"
            )
        if torch.is_inference_mode_enabled():
            raise ParameterError("EventProp: nothing is learned inside torch.inference_mode()")
        criterion = as_loss(loss)
        with torch.enable_grad():
            readout, counts = model(inputs)
            check_labels(labels, readout.shape[0], model.plan.output.size)
            if not readout.requires_grad:
                raise nothing_to_learn()
            if lengths is not None:
                raise ParameterError("lengths: EventProp takes Events, which bring their own")
            ticks_first = readout.transpose(0, 1)
            ends = sample_lengths(model.plan, inputs, model.dtype) + model.extension
            seen = ends if model.average == "ticks" else torch.ones_like(ends)
            total = criterion.value(ticks_first, labels, seen)
            if self.strength:
                for own in counts.values():
                    total = total + self.strength / 2 * ((own.mean(0) - self.spike_target) ** 2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        sums = {name: float(own.detach().sum(dtype=torch.float64)) for name, own in counts.items()}
        rates = {name: total / (counts[name].shape[1] * int(ends.sum())) for name, total in sums.items()}
        if model.average == "ticks" and criterion.score is not None:
            model.score_number.fill_(SCORES.index(criterion.score))
        score = model.score if model.average == "ticks" else "summed_readout"
        return Outcome(float(total.detach()), scores_of(ticks_first.detach(), score, seen), rates)


NAMED["eventprop"] = EventProp()
