"""Convolution and sum pooling of the fast path, over lists of spikes where they are few."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.grad import conv2d_input

from snnsim.connectivity import Conv2d, SumPool2d
from snnsim.training.compute.spike_lists import Signal
from snnsim.training.fused import image_kernels
from snnsim.training.fused.call import CompiledCall
from snnsim.training.parameters.plan import Link

#: Above this share of spikes the dense convolution of torch is faster (measured on one core, AVX2, 16 to 32 channels).
DENSE_ABOVE = 0.1

Shape3 = tuple[int, int, int]


def is_sparse(link: Link, signal: Signal) -> bool:
    """Whether to go through the spikes of a signal rather than over whole frames."""
    return isinstance(link.rule, (Conv2d, SumPool2d)) and signal.lists is not None and signal.density <= DENSE_ABOVE


def forward(call: CompiledCall, link: Link, signal: Signal, drive: Tensor, fresh: bool) -> None:
    """Add what the spikes deliver to `drive`, shape (rows, targets), or write it where `fresh`."""
    assert signal.lists is not None
    begin, end, indices = signal.lists
    out, source, target = drive.numpy(), cast(Shape3, link.source_shape), cast(Shape3, link.target_shape)
    rule = link.rule
    if isinstance(rule, Conv2d):
        weights = _channel_last(call.weights[link.name] * signal.scale)
        stride, padding = rule.stride, rule.padding
        call.workers.map(
            lambda low, high: image_kernels.convolve_rows(
                out, begin, end, indices, weights, source, target, stride, padding, low, high, fresh
            ),
            len(drive),
            signal.spikes * weights[0].size + drive.numel(),
        )
        return
    assert isinstance(rule, SumPool2d)
    size, step, weight = rule.size, rule.step, out.dtype.type(cast(float, rule.weights) * signal.scale)
    call.workers.map(
        lambda low, high: image_kernels.pool_rows(
            out, begin, end, indices, weight, source, target, size, step, low, high, fresh
        ),
        len(drive),
        signal.spikes * 8 + drive.numel(),
    )


def weight_gradient(call: CompiledCall, link: Link, signal: Signal, gradient: Tensor, of_weights: Tensor) -> None:
    """Add the gradient of the weights of a convolution; each range of rows has a sum of its own, added in order."""
    assert isinstance(link.rule, Conv2d)
    assert signal.lists is not None
    begin, end, indices = signal.lists
    delta, source, target = gradient.numpy(), cast(Shape3, link.source_shape), cast(Shape3, link.target_shape)
    stride, padding, shape = link.rule.stride, link.rule.padding, _channel_last(of_weights).shape
    parts: dict[int, Any] = {}

    def work(low: int, high: int) -> None:
        part = np.zeros(shape, delta.dtype)
        image_kernels.convolve_weight_gradient(
            part, begin, end, indices, delta, source, target, stride, padding, low, high
        )
        parts[low] = part

    call.workers.map(work, len(gradient), signal.spikes * int(np.prod(shape[1:])) + gradient.numel())
    for low in sorted(parts):
        of_weights.add_(torch.from_numpy(parts[low]).permute(3, 0, 1, 2), alpha=signal.scale)


def source_gradient(call: CompiledCall, link: Link, gradient: Tensor, below: Tensor, fresh: bool) -> None:
    """Back-propagate to the population below, which takes no spikes into account."""
    rule = link.rule
    if isinstance(rule, SumPool2d):
        up, out = gradient.numpy(), below.numpy()
        weight = out.dtype.type(cast(float, rule.weights))
        source, target = cast(Shape3, link.source_shape), cast(Shape3, link.target_shape)
        size, step = rule.size, rule.step
        call.workers.map(
            lambda low, high: image_kernels.pool_backward(
                out, up, weight, source, target, size, step, low, high, fresh
            ),
            len(up),
            below.numel(),
        )
        return
    assert isinstance(rule, Conv2d)
    weights, stride, padding = call.weights[link.name], rule.stride, rule.padding

    def work(low: int, high: int) -> None:
        part = conv2d_input(  # type: ignore[no-untyped-call]
            (high - low, *link.source_shape), weights, gradient[low:high].view(-1, *link.target_shape), stride, padding
        ).flatten(1)
        if fresh:
            below[low:high] = part
        else:
            below[low:high] += part

    call.workers.map(work, len(gradient), 8 * gradient.numel())


def _channel_last(weights: Tensor) -> Any:
    """Return weights (out, in, height, width) as an array (in, height, width, out)."""
    return weights.detach().permute(1, 2, 3, 0).contiguous().numpy()
