"""What a projection delivers, with a gradient of its weights that is made of another activity than was delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnsim.training.compute.frames import apply_frames, frames_backward
from snnsim.training.parameters.plan import MATRIX_RULES, Link

#: How a projection delivers: (link, values, weights, ceiling) to what arrives, shape (rows, targets).
Deliver = Callable[[Link, Tensor, Tensor | None, float], Tensor]


def delivered(link: Link, values: Tensor, weights: Tensor | None, ceiling: float) -> Tensor:
    """Return what a projection delivers.

    Parameters
    ----------
    link : Link
    values : Tensor, shape (rows, sources)
    weights : Tensor or None
        Those of `Sparse` as a matrix; None for pooling.
    ceiling : float
        What max pooling sees of a source at most.

    Returns
    -------
    Tensor, shape (rows, targets)
    """
    if isinstance(link.rule, MATRIX_RULES):
        assert weights is not None
        return values @ weights
    return apply_frames(link, values, weights, ceiling)


def delivered_backward(
    link: Link, values: Tensor, weights: Tensor | None, ceiling: float, gradient: Tensor
) -> Tensor | None:
    """Return the gradient of `delivered` with respect to the values."""
    if isinstance(link.rule, MATRIX_RULES):
        assert weights is not None
        return gradient @ weights.t()
    return frames_backward(link, values, weights, ceiling, gradient, True, False)[0]


def weight_gradient(link: Link, activity: Tensor, weights: Tensor, ceiling: float, gradient: Tensor) -> Tensor:
    """Return the gradient of the weights that an activity gives, shape (rows, sources); of `Sparse` as a matrix."""
    if isinstance(link.rule, MATRIX_RULES):
        return activity.t() @ gradient
    found = frames_backward(link, activity, weights, ceiling, gradient, False, True)[1]
    assert found is not None
    return found


class _StandIn(torch.autograd.Function):
    """A projection whose gradients come from two activities: what was delivered, and what the weights learn from."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, activity: Tensor, link: Link, ceiling: float) -> Tensor:
        """Return what is delivered."""
        ctx.save_for_backward(values, weights, activity)
        ctx.link, ctx.ceiling = link, ceiling
        return delivered(link, values, weights, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Pass the gradient on to the values, and that of the weights as the activity has it."""
        values, weights, activity = ctx.saved_tensors
        (gradient,) = gradients
        below = above = None
        if ctx.needs_input_grad[0]:
            below = delivered_backward(ctx.link, values, weights, ctx.ceiling, gradient)
        if ctx.needs_input_grad[1]:
            above = weight_gradient(ctx.link, activity, weights, ctx.ceiling, gradient)
        return below, above, None, None, None


def delivered_with_stand_in(link: Link, values: Tensor, weights: Tensor, activity: Tensor, ceiling: float) -> Tensor:
    """Return what `delivered` does, with a gradient of the weights made of `activity`, shape (rows, sources)."""
    return _StandIn.apply(values, weights, activity, link, ceiling)  # type: ignore[no-any-return, no-untyped-call]
