"""Projections between images, as torch operations on dense frames; both paths of training use them."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from snnsim.connectivity import Conv2d, MaxPool2d, OneToOne, SumPool2d
from snnsim.training.parameters.plan import Link


def apply_frames(link: Link, values: Tensor, weights: Tensor | None, ceiling: float) -> Tensor:
    """Return what a projection of convolution, pooling or one-to-one delivers.

    Parameters
    ----------
    link : Link
    values : Tensor, shape (rows, sources)
        Spikes times their size, or real values.
    weights : Tensor or None
        Learned weights; None for pooling.
    ceiling : float
        What max pooling sees of a source at most: the size of a spike, infinity for real values.

    Returns
    -------
    Tensor, shape (rows, targets)
    """
    rule = link.rule
    if isinstance(rule, OneToOne):
        assert weights is not None
        return values * weights
    images = values.reshape(-1, *link.source_shape)
    if isinstance(rule, Conv2d):
        assert weights is not None
        out = functional.conv2d(images, weights, stride=rule.stride, padding=rule.padding)
    elif isinstance(rule, SumPool2d):
        out = functional.avg_pool2d(images, rule.size, rule.step, divisor_override=1) * cast(float, rule.weights)
    else:
        assert isinstance(rule, MaxPool2d)
        # Several events of one source in a tick count once.
        seen = images if ceiling == math.inf else images.clamp(max=ceiling)
        out = functional.max_pool2d(seen, rule.size, rule.step) * cast(float, rule.weights)
    return out.flatten(1)


def frames_backward(
    link: Link,
    values: Tensor,
    weights: Tensor | None,
    ceiling: float,
    gradient: Tensor,
    to_source: bool,
    to_weights: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of `apply_frames` with respect to values and weights, each where it is asked for."""
    rule = link.rule
    if isinstance(rule, OneToOne):
        assert weights is not None
        return gradient * weights if to_source else None, (gradient * values).sum(0) if to_weights else None
    if isinstance(rule, Conv2d):
        assert weights is not None
        below, above, _ = torch.ops.aten.convolution_backward(
            gradient.view(-1, *link.target_shape),
            values.view(-1, *link.source_shape),
            weights,
            None,
            [rule.stride] * 2,
            [rule.padding] * 2,
            [1, 1],
            False,
            [0, 0],
            1,
            [to_source, to_weights, False],
        )
        return below.flatten(1) if to_source else None, above if to_weights else None
    if not to_source:
        return None, None
    with torch.enable_grad():
        leaf = values.detach().requires_grad_(True)
        (below,) = torch.autograd.grad(apply_frames(link, leaf, None, ceiling), leaf, gradient)
    return below, None
