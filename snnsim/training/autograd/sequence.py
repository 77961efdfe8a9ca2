"""The slow, obvious path of networks with delays: convolutions along time and loops over ticks, under autograd.

It runs every neuron model, is what `snnsim.training.fused.sequence` is held to by the tests, and reads like the
equations.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from snnsim.training.autograd.ticks import advanced, receptor_drive
from snnsim.training.compute.batch_statistics import check_rows
from snnsim.training.compute.call import Call
from snnsim.training.parameters.plan import Link, Stage


def dense_kernel(weights: Tensor, delays: Tensor, longest: int, kernel: str, width: float) -> Tensor:
    """Return every synapse over delays ``0 ... longest``, shape (longest + 1, sources, targets)."""
    taus = torch.arange(longest + 1, dtype=weights.dtype).view(-1, 1, 1)
    away = taus - delays
    if kernel == "whole":
        return weights * (away == 0)
    bump = torch.exp(-0.5 * (away / width) ** 2) if kernel == "gauss" else torch.relu(width - away.abs())
    return weights * (bump / (bump.sum(0) + 1e-7))


def forward_all(call: Call, keep_reset: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Run all ticks from rest.

    Returns
    -------
    readout : Tensor, shape (ticks, batch, classes)
    fired : dict of str to Tensor, shape (ticks, batch, neurons)
        Spikes of every population that fires, before dropout.
    """
    model, batch = call.model, call.batch
    sent = {name: source.frames(model.dtype) for name, source in call.sources.items()}
    weights, coefficients = call.weights(), call.coefficients()
    state, fired = model.initial_state(batch), {}
    readout: Tensor | None = None
    for stage in model.plan.stages:
        length = call.ticks + model.extensions[stage.name]
        arrived = [torch.zeros(length, batch, stage.size, dtype=model.dtype) for _ in stage.model.receptor_list]
        for link in stage.links:
            arrived[link.receptor] = arrived[link.receptor] + _delivered(call, link, sent[link.source], weights, length)
        out, spikes = _advance(call, stage, arrived, state[stage.name], coefficients[stage.name], keep_reset)
        if spikes is not None:
            fired[stage.name] = out = spikes
            if stage.name in call.masks:
                out = spikes * call.masks[stage.name] * call.scale(stage.name)
            sent[stage.name] = out
        readout = out
    assert readout is not None
    return readout, fired


def _delivered(call: Call, link: Link, sent: Tensor, weights: dict[str, Tensor], length: int) -> Tensor:
    """Return what a projection delivers at every tick, shape (length, batch, targets)."""
    if link.delays is None:
        return functional.pad(sent @ weights[link.name], (0, 0, 0, 0, 0, length - len(sent)))
    delays, kernel, width = call.delays(link)
    taps = dense_kernel(weights[link.name], delays, link.delays.longest, kernel, width)
    # conv1d correlates: the last tap of its kernel meets the present.
    signal = functional.pad(sent.permute(1, 2, 0), (link.delays.longest, max(0, length - len(sent))))
    return functional.conv1d(signal, taps.permute(2, 1, 0).flip(2)).permute(2, 0, 1)[:length]


def _normalise(call: Call, stage: Stage, drive: Tensor) -> Tensor:
    """Normalise a drive, shape (ticks, batch, neurons), by the statistics of all ticks that belong to samples."""
    norm = call.model.norm(stage.name)
    factor, shift = call.affine(stage)
    if not call.statistics(stage):
        return (drive - norm.running_mean) * norm.inverse() * factor + shift
    inside = call.inside(stage.name, 0, len(drive))
    rows = drive.reshape(-1, stage.size) if inside is None else drive[inside]
    check_rows(len(rows))
    variance, mean = torch.var_mean(rows, dim=0, correction=0)
    norm.update(mean.detach(), variance.detach() * (len(rows) / (len(rows) - 1)))
    return (drive - mean) * torch.rsqrt(variance + norm.epsilon) * factor + shift


def _advance(
    call: Call,
    stage: Stage,
    arrived: list[Tensor],
    state: dict[str, Tensor],
    coefficients: object,
    keep_reset: bool,
) -> tuple[Tensor, Tensor | None]:
    """Integrate, test and reset tick by tick; return the first state of all ticks, and the spikes."""
    if stage.batch_norm:  # on delta receptors alone, so that their sum is the drive
        total = torch.stack(arrived).sum(0)
        arrived = [_normalise(call, stage, total), *(torch.zeros_like(total) for _ in arrived[1:])]
    membranes, fired = [], []
    for tick in range(len(arrived[0])):
        drive, now = receptor_drive(call.model, stage, state, [one[tick] for one in arrived])
        membrane, spikes = advanced(call.model, stage, state, now, drive, coefficients, keep_reset)
        membranes.append(membrane)
        if spikes is not None:
            fired.append(spikes)
        state = now
    return torch.stack(membranes), torch.stack(fired) if fired else None
