"""The slow, obvious path: one tick after another, the models' own arithmetic on torch tensors, under autograd.

It runs every neuron model, is what the fast path is held to by the tests, and reads like the equations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from snnsim.neurons import Exponential
from snnsim.training.frames import apply_frames
from snnsim.training.normalisation import TickBatchNorm, check_batch
from snnsim.training.plan import MATRIX_RULES, Stage
from snnsim.training.surrogate import Surrogate

if TYPE_CHECKING:
    from snnsim.training.model import TrainableNetwork


class _Step(torch.autograd.Function):
    """The step at the threshold, with a surrogate in place of its derivative."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, surrogate: Surrogate, strict: bool) -> Tensor:
        """Return 1 where the neuron fires, else 0."""
        ctx.save_for_backward(distance)
        ctx.surrogate = surrogate
        return (distance > 0 if strict else distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Multiply by the surrogate."""
        (distance,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.derivative(distance), None, None


def tick(
    model: TrainableNetwork,
    inputs: dict[str, Tensor],
    state: dict[str, dict[str, Tensor]],
    masks: dict[str, Tensor],
    weights: dict[str, Tensor],
    coefficients: dict[str, Any],
    keep_reset: bool = True,
) -> tuple[Tensor, dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """Advance all populations by one tick.

    Parameters
    ----------
    model : TrainableNetwork
    inputs : dict of str to Tensor, shape (batch, sources)
    state : dict
        From before the tick; not changed.
    masks : dict of str to Tensor of bool, shape (batch, neurons)
    weights, coefficients : dict
        As `TrainableNetwork.differentiable_weights` and `differentiable_coefficients` give them.
    keep_reset : bool
        Let the gradient pass through the spike in the reset.

    Returns
    -------
    readout : Tensor, shape (batch, classes)
    state : dict
        After the tick.
    spikes : dict of str to Tensor, shape (batch, neurons)
        What each population fired, before dropout.
    """
    sent, scales = dict(inputs), dict.fromkeys(inputs, 1.0)
    after: dict[str, dict[str, Tensor]] = {}
    fired: dict[str, Tensor] = {}
    readout: Tensor | None = None
    for stage in model.plan.stages:
        arrived: list[Any] = [0.0] * len(stage.model.receptor_list)
        for link in stage.links:
            values, weight = sent[link.source], weights.get(link.name)
            if isinstance(link.rule, MATRIX_RULES):
                assert weight is not None
                delivered = values @ weight
            else:
                delivered = apply_frames(link, values, weight, scales[link.source])
            arrived[link.receptor] = arrived[link.receptor] + delivered
        before = state[stage.name]
        drive, now = receptor_drive(model, stage, before, arrived)
        if stage.batch_norm:
            drive = _normalise(model, stage, drive)
        out, spikes = advanced(model, stage, before, now, drive, coefficients[stage.name], keep_reset)
        after[stage.name] = now
        if spikes is not None:
            fired[stage.name] = out = spikes
            scales[stage.name] = 1.0
            if stage.name in masks:
                scales[stage.name] = 1.0 / (1.0 - stage.dropout)
                out = spikes * masks[stage.name] * scales[stage.name]
            sent[stage.name] = out
        readout = out
    assert readout is not None
    return readout, after, fired


def receptor_drive(
    model: TrainableNetwork, stage: Stage, before: dict[str, Tensor], arrived: list[Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum the receptors; arrivals on an exponential one act at the end of the tick."""
    drive = torch.zeros_like(before["membrane"])
    now: dict[str, Tensor] = {}
    for receptor, weights in zip(stage.model.receptor_list, arrived, strict=True):
        if isinstance(receptor, Exponential):
            exact = stage.model.receptor_coefficients(receptor, model.plan.network.dt)
            decay, coupling = (torch.as_tensor(value, dtype=model.dtype) for value in exact)
            key = f"current.{receptor.name}"
            drive = drive + coupling * before[key]
            now[key] = decay * before[key] + weights
        else:
            drive = drive + weights
    return drive, now


def _normalise(model: TrainableNetwork, stage: Stage, drive: Tensor) -> Tensor:
    norm: TickBatchNorm = model.norm(stage.name)
    batch = drive.shape[0]
    if model.training:
        check_batch(stage, batch)
    images = drive.view(batch, stage.channels, -1)
    return functional.batch_norm(
        images,
        norm.running_mean,
        norm.running_variance,
        norm.weight,
        norm.bias,
        model.training,
        norm.momentum,
        norm.epsilon,
    ).view(batch, stage.size)


def advanced(
    model: TrainableNetwork,
    stage: Stage,
    before: dict[str, Tensor],
    now: dict[str, Tensor],
    drive: Tensor,
    c: Any,
    keep_reset: bool,
) -> tuple[Tensor, Tensor | None]:
    """Integrate, test, reset; write the new states into `now`; return the first state and the spikes."""
    arithmetic = stage.model.arithmetic
    states = [before[name] for name in arithmetic.states]
    held = before["refractory"] > 0 if "refractory" in before else None
    updated = arithmetic.integrate(*states, drive, c)
    if held is not None:
        updated = tuple(torch.where(held, old, new) for old, new in zip(states, updated, strict=True))
    if arithmetic.distance is None or arithmetic.reset is None:
        now.update(zip(arithmetic.states, updated, strict=True))
        return updated[0], None
    spikes: Tensor = _Step.apply(  # type: ignore[no-untyped-call]
        arithmetic.distance(*updated, c), model.surrogate, stage.model.is_strict
    )
    if held is not None:
        spikes = spikes * ~held
        refractory = stage.model.refractory_ticks(model.plan.network.dt)
        left = (before["refractory"] - 1).clamp(min=0)
        now["refractory"] = torch.where(spikes.detach() > 0, refractory, left)
    spiked = spikes if keep_reset else spikes.detach()
    now.update(zip(arithmetic.states, arithmetic.reset(*updated, spiked, c), strict=True))
    return updated[0], spikes
