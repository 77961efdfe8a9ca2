"""The slow, obvious path: one tick after another, the models' own arithmetic on torch tensors, under autograd.

It runs every neuron model, is what the fast path is held to by the tests, and reads like the equations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnsim.neurons import Exponential
from snnsim.training.autograd.presynaptic import Deliver, delivered, delivered_with_stand_in
from snnsim.training.compute.batch_statistics import check_batch, tick_moments
from snnsim.training.compute.call import Call
from snnsim.training.parameters.network_parameters import NetworkParameters, State
from snnsim.training.parameters.plan import Link, Stage
from snnsim.training.parameters.surrogates import Surrogate


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
    call: Call,
    inputs: dict[str, Tensor],
    state: State,
    weights: dict[str, Tensor],
    coefficients: dict[str, Any],
    number: int,
    keep_reset: bool = True,
    deliver: Deliver | None = None,
) -> tuple[Tensor, State, dict[str, Tensor]]:
    """Advance all populations by one tick.

    Parameters
    ----------
    call : Call
    inputs : dict of str to Tensor, shape (batch, sources)
    state : dict
        From before the tick; not changed.
    weights, coefficients : dict
        As `Call.weights` and `Call.coefficients` give them.
    number : int
        Of the tick.
    keep_reset : bool
        Let the gradient pass through the spike in the reset.
    deliver : callable, optional
        How projections deliver; default as they are, under the eyes of `Call.presynaptic`.

    Returns
    -------
    readout : Tensor, shape (batch, classes)
    state : dict
        After the tick.
    spikes : dict of str to Tensor, shape (batch, neurons)
        What each population fired, before dropout.
    """
    deliver = deliver or watched(call)
    sent, ceilings = dict(inputs), {name: source.ceiling for name, source in call.sources.items()}
    after: State = {}
    fired: dict[str, Tensor] = {}
    readout: Tensor | None = None
    for stage in call.model.plan.stages:
        arrived: list[Any] = [0.0] * len(stage.model.receptor_list)
        for link in stage.links:
            now_delivered = deliver(link, sent[link.source], weights.get(link.name), ceilings[link.source])
            arrived[link.receptor] = arrived[link.receptor] + now_delivered
        before = state[stage.name]
        drive, now = receptor_drive(call.model, stage, before, arrived)
        if stage.batch_norm:
            drive = _normalise(call, stage, drive, number)
        out, spikes = advanced(call.model, stage, before, now, drive, coefficients[stage.name], keep_reset)
        after[stage.name] = now
        if spikes is not None:
            fired[stage.name] = out = spikes
            ceilings[stage.name] = call.scale(stage.name)
            if stage.name in call.masks:
                out = spikes * call.masks[stage.name] * call.scale(stage.name)
            sent[stage.name] = out
        readout = out
    assert readout is not None
    return readout, after, fired


def watched(call: Call, activity_of: Callable[[Link, Tensor], Tensor] | None = None) -> Deliver:
    """Return how projections deliver when the gradients of their weights are made of what others say.

    Parameters
    ----------
    call : Call
        Whose `presynaptic` has the last word.
    activity_of : callable, optional
        ``activity_of(link, values)`` returns what the gradient is made of, shape (rows, sources); default the values.
    """
    look = call.presynaptic
    if look is None and activity_of is None:
        return delivered

    def deliver(link: Link, values: Tensor, weights: Tensor | None, ceiling: float) -> Tensor:
        if weights is None:
            return delivered(link, values, weights, ceiling)
        activity = values.detach() if activity_of is None else activity_of(link, values.detach())
        if look is not None and weights.requires_grad and torch.is_grad_enabled():
            activity = look(link.name, activity, values.detach())
        return delivered_with_stand_in(link, values, weights, activity, ceiling)

    return deliver


def forward_all(call: Call, state: State, keep_reset: bool) -> tuple[Tensor, State, list[dict[str, Tensor]]]:
    """Run all ticks; return readout (ticks, batch, classes), state and spikes of every tick."""
    weights, coefficients = call.weights(), call.coefficients()
    readouts, fired = [], []
    for number in range(call.ticks):
        readout, state, spikes = tick(call, call.frame(number), state, weights, coefficients, number, keep_reset)
        readouts.append(readout)
        fired.append(spikes)
    call.finish(state)
    return torch.stack(readouts), state, fired


def receptor_drive(
    model: NetworkParameters, stage: Stage, before: dict[str, Tensor], arrived: list[Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum the receptors; arrivals on an exponential one act at the end of the tick."""
    drive = torch.zeros_like(before[stage.model.arithmetic.states[0]])
    now: dict[str, Tensor] = {}
    for receptor, weights in zip(stage.model.receptor_list, arrived, strict=True):
        if isinstance(receptor, Exponential):
            exact = stage.model.receptor_coefficients(receptor, model.plan.network.dt)
            decay, coupling = (torch.tensor(value, dtype=model.dtype) for value in exact)
            key = f"current.{receptor.name}"
            drive = drive + coupling * before[key]
            now[key] = decay * before[key] + weights
        else:
            drive = drive + weights
    return drive, now


def _normalise(call: Call, stage: Stage, drive: Tensor, number: int) -> Tensor:
    """Normalise the drive of a tick, shape (batch, neurons); see `snnsim.training.fused.tick_norm`."""
    norm, moments, batch = call.model.norm(stage.name), call.moments(stage), drive.shape[0]
    x = drive.view(1, batch, stage.channels, -1)
    factor, shift = (one.view(1, 1, -1, 1) for one in call.affine(stage))
    mean, inverse = norm.running_mean.view(1, 1, -1, 1).clone(), norm.inverse().view(1, 1, -1, 1)
    if moments is None:
        return (((x - mean) * inverse) * factor + shift).view(batch, stage.size)
    check_batch(stage, batch)
    counts, own_mean, variance = tick_moments(x, call.inside(stage.name, number, number + 1))
    own = torch.rsqrt(variance + norm.epsilon)
    standard = (x - own_mean) * own
    if int(norm.batches):  # what evaluation computes, with the gradient of this tick's own statistics
        standard = standard * (inverse / own).detach() + ((own_mean - mean) * inverse).detach()
    moments.add(counts, own_mean.detach().view(1, -1), variance.detach().view(1, -1))
    return (standard * factor + shift).view(batch, stage.size)


def advanced(
    model: NetworkParameters,
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
        arithmetic.distance(*updated, c), model.surrogate, stage.strict
    )
    if held is not None:
        spikes = spikes * ~held
        refractory = stage.model.refractory_ticks(model.plan.network.dt)
        left = (before["refractory"] - 1).clamp(min=0)
        now["refractory"] = torch.where(spikes.detach() > 0, refractory, left)
    spiked = spikes if keep_reset else spikes.detach()
    now.update(zip(arithmetic.states, arithmetic.reset(*updated, spiked, c), strict=True))
    return updated[0], spikes
