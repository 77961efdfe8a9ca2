"""What the steps of all rules share: how they begin, and what they do with a readout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnsim.errors import CapabilityError, ParameterError
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, Presynaptic, begin
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.losses import Loss, scores_of
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.rules.base import Rule, check_labels, nothing_to_learn


def check_model(rule: Rule, model: Any) -> None:
    """Raise `ParameterError` unless a model is one that these rules train, here and now."""
    if not isinstance(model, TrainableNetwork):
        raise ParameterError(f"{type(rule).__name__} trains a TrainableNetwork, got {type(model).__name__}")
    if torch.is_inference_mode_enabled():
        raise ParameterError(f"{type(rule).__name__}: nothing is learned inside torch.inference_mode()")


def refuse_whole_scores(rule: str, criterion: Loss) -> None:
    """Raise `ParameterError` where a loss couples all ticks."""
    if not criterion.per_tick:
        raise ParameterError(
            f"loss={type(criterion).__name__}: {rule} back-propagates each tick when it is computed and needs a loss "
            "of that tick alone; a loss of the summed readout couples all ticks: use per_tick_cross_entropy or BPTT"
        )


def begin_step(
    rule: Rule,
    model: TrainableNetwork,
    inputs: Inputs,
    labels: Tensor,
    lengths: Tensor | None,
    criterion: Loss,
    presynaptic: Presynaptic | None = None,
) -> Call:
    """Begin the call of a step, or say why there is none."""
    if presynaptic is not None and model.whole_samples:
        raise CapabilityError(
            "presynaptic: with delays or batch norm over the sequence a gradient is not made of the activity of a tick"
        )
    call = begin(model, inputs, lengths)
    call.presynaptic = presynaptic
    check_labels(labels, call.batch, model.plan.output.size)
    _require_memory(rule, model, call.ticks, call.batch)
    if criterion.score is not None:
        model.score = criterion.score
    return call


def _require_memory(rule: Rule, model: TrainableNetwork, ticks: int, batch: int) -> None:
    """Raise `ResourceError` where the step would not fit; one that is no larger than one that fitted is not asked."""
    known = model.constants.get(("fits", rule, model.dtype), (0, 0))
    if ticks > known[0] or batch > known[1]:
        model.memory_report(ticks, batch, rule).require()
        model.constants["fits", rule, model.dtype] = ticks, batch


def roots_of_step(call: Call) -> gradients.Roots:
    """Return what a step takes gradients of, or say that there is nothing."""
    roots = gradients.roots_of(call)
    if not roots:
        raise nothing_to_learn()
    return roots


def final_scores(call: Call, readout: Tensor) -> Tensor:
    """Return the scores of the classes, shape (batch, classes), from the readout at all ticks."""
    return scores_of(readout, call.model.score, call.ends)


def loss_and_gradient(
    criterion: Loss, readout: Tensor, labels: Tensor, ends: Tensor, first: int = 0
) -> tuple[float, Tensor]:
    """Return the loss of some ticks, and its gradient at their readout."""
    leaf = readout.detach().requires_grad_(True)
    value = criterion.value(leaf, labels, ends, first)
    (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient
