"""Projections of the fast path: forward into a drive, backward into weights and into the population below."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from snnsim.training.compute.frames import apply_frames, frames_backward
from snnsim.training.compute.sparse_kernels import add_weight_gradient, gather_rows, transpose_lists
from snnsim.training.compute.spike_lists import Signal
from snnsim.training.fused import images
from snnsim.training.fused.call import CompiledCall
from snnsim.training.parameters.plan import MATRIX_RULES, Link

#: Above this share of spikes a dense product is faster than adding up rows (measured on one core, AVX2: 0.25 to 0.4).
DENSE_ABOVE = 0.25


def is_sparse(signal: Signal) -> bool:
    """Whether to add up rows for the spikes of a signal rather than to multiply matrices."""
    return signal.lists is not None and signal.density <= DENSE_ABOVE


def forward(call: CompiledCall, link: Link, signal: Signal, drive: Tensor, fresh: bool) -> None:
    """Add what a projection delivers to `drive`, shape (rows, targets), or write it where `fresh`."""
    chip = call.model.chip
    if chip is not None and link.name in chip:
        chip.deliver(link, signal, drive, fresh)
        return
    weights = call.weights.get(link.name)
    if isinstance(link.rule, MATRIX_RULES):
        assert weights is not None
        if is_sparse(signal):
            assert signal.lists is not None
            begin, end, indices = signal.lists
            matrix = (weights * signal.scale if signal.scale != 1 else weights).numpy()
            out, batch = drive.numpy(), signal.batch
            call.workers.map(
                partial(gather_rows, out, begin, end, indices, matrix, batch, fresh),
                batch,
                signal.spikes * drive.shape[1],
            )
            return
        values = signal.dense(link.source, call.dtype, call.workspace, call.workers)
        call.workers.map(
            lambda low, high: _product(values[low:high], weights, drive[low:high], fresh),
            len(drive),
            values.numel() * drive.shape[1] // 8,
        )
        return
    if images.is_sparse(link, signal):
        images.forward(call, link, signal, drive, fresh)
        return
    values = signal.dense(link.source, call.dtype, call.workspace, call.workers)

    def work(low: int, high: int) -> None:
        with torch.no_grad():
            part = apply_frames(link, values[low:high], weights, signal.ceiling)
        if fresh:
            drive[low:high] = part
        else:
            drive[low:high] += part

    call.workers.map(work, len(drive), 8 * drive.numel())


def backward(
    call: CompiledCall,
    link: Link,
    signal: Signal,
    gradient: Tensor,
    gradients: dict[str, Tensor],
    below: Tensor | None,
    fresh: bool,
    learned_from: Signal | None = None,
) -> None:
    """Back-propagate `gradient`, shape (rows, targets), through a projection.

    Parameters
    ----------
    gradients : dict of str to Tensor
        The gradient of the weights is added to ``gradients["weights:" + link.name]``, where it is there.
    below : Tensor of shape (rows, sources), or None
        Gradient of the population below; written where `fresh`, else added to. None where nobody asks for it.
    learned_from : Signal, optional
        What the gradient of the weights is made of; default `signal`. `Call.presynaptic` has the last word.
    """
    learned_from = _looked_at(call, link, learned_from or signal, signal, gradients)
    if learned_from is not signal:
        if below is not None:
            backward(call, link, signal, gradient, {}, below, fresh)
        if f"weights:{link.name}" in gradients:
            _weights_alone(call, link, learned_from, gradient, gradients)
        return
    of_weights = gradients.get(f"weights:{link.name}")
    weights = call.weights.get(link.name)
    if not isinstance(link.rule, MATRIX_RULES):
        if images.is_sparse(link, signal):
            if of_weights is not None:
                images.weight_gradient(call, link, signal, gradient, of_weights)
            if below is not None:
                images.source_gradient(call, link, gradient, below, fresh)
            return
        _frames(call, link, signal, gradient, of_weights, below, fresh)
        return
    assert weights is not None
    if below is not None:
        target, transposed = below, weights.t()
        call.workers.map(
            lambda low, high: _product(gradient[low:high], transposed, target[low:high], fresh),
            len(gradient),
            target.numel() * gradient.shape[1] // 8,
        )
    if of_weights is None:
        return
    if is_sparse(signal):
        _sparse_weights(call, signal, gradient, of_weights)
        return
    values, out = signal.dense(link.source, call.dtype, call.workspace, call.workers), of_weights

    def work(low: int, high: int) -> None:
        out[low:high].addmm_(values[:, low:high].t(), gradient)

    call.workers.map(work, signal.size, values.numel() * gradient.shape[1] // 8)


def _looked_at(call: CompiledCall, link: Link, activity: Signal, sent: Signal, gradients: dict[str, Tensor]) -> Signal:
    """Return what `Call.presynaptic` makes of the activity that a gradient of weights is made of."""
    look = call.call.presynaptic
    if look is None or f"weights:{link.name}" not in gradients:
        return activity
    found = look(link.name, activity.plain(call.dtype), sent.plain(call.dtype))
    return Signal(sent.ticks, sent.batch, sent.size, None, found)


def _weights_alone(
    call: CompiledCall, link: Link, signal: Signal, gradient: Tensor, gradients: dict[str, Tensor]
) -> None:
    """Add the gradient of the weights that an activity of dense values gives."""
    weights, total = call.weights[link.name], gradients[f"weights:{link.name}"]
    values = signal.plain(call.dtype)
    if isinstance(link.rule, MATRIX_RULES):
        call.workers.map(
            lambda low, high: _product(values[:, low:high].t(), gradient, total[low:high], fresh=False),
            signal.size,
            values.numel() * gradient.shape[1] // 8,
        )
        return
    found = frames_backward(link, values, weights, signal.ceiling, gradient, False, True)[1]
    assert found is not None
    total += found


def _sparse_weights(call: CompiledCall, signal: Signal, gradient: Tensor, of_weights: Tensor) -> None:
    assert signal.lists is not None
    begin, end, indices = signal.lists
    delta = (gradient * signal.scale if signal.scale != 1 else gradient).numpy()
    out = of_weights.numpy()
    total = signal.spikes

    def work(low: int, high: int) -> None:
        starts, rows = np.empty(high - low + 1, np.int64), np.empty(total, np.int32)
        transpose_lists(begin, end, indices, low, high, starts, rows)
        add_weight_gradient(out, starts, rows, delta, low)

    call.workers.map(work, signal.size, total * delta.shape[1])


def _frames(
    call: CompiledCall,
    link: Link,
    signal: Signal,
    gradient: Tensor,
    of_weights: Tensor | None,
    below: Tensor | None,
    fresh: bool,
) -> None:
    values = signal.dense(link.source, call.dtype, call.workspace, call.workers)
    weights = call.weights.get(link.name)
    parts: dict[int, Tensor] = {}

    def work(low: int, high: int) -> None:
        source, part = frames_backward(
            link,
            values[low:high],
            weights,
            signal.ceiling,
            gradient[low:high],
            below is not None,
            of_weights is not None,
        )
        if part is not None:
            parts[low] = part
        if source is not None:
            assert below is not None
            if fresh:
                below[low:high] = source
            else:
                below[low:high] += source

    call.workers.map(work, len(gradient), 8 * gradient.numel())
    if of_weights is not None:
        for low in sorted(parts):  # one order of the sum, whoever was first
            of_weights += parts[low]


def _product(left: Tensor, right: Tensor, out: Tensor, fresh: bool) -> None:
    if fresh:
        torch.mm(left, right, out=out)
    else:
        out.addmm_(left, right)
