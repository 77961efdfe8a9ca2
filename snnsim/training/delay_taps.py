"""A synapse with a real delay, as a bump over whole delays: its taps, and what their gradients say of weight and delay.

The synapse of weight ``W`` and delay ``D`` (ticks) acts at the whole delays ``tau = 0 ... longest`` with

    ``K[tau] = W * g[tau] / A``,  ``A = sum over tau of g[tau] + 1e-7``,

where `g` is a Gaussian ``exp(-((tau - D) / sigma)^2 / 2)``, a triangle ``max(0, sigma - |tau - D|)``, or the triangle
of half-width 1, which is linear interpolation between the two neighbours of `D`. The sum over the taps is `W` at every
delay: at the borders the mass of the bump is shared among the taps that are there, not lost
(Hammouamri et al. 2024, doi:10.48550/arXiv.2306.17670; Khalfaoui-Hassani et al. 2023, doi:10.48550/arXiv.2112.03740).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

Kernel = Literal["gauss", "triangle", "two_tap"]
KERNELS: tuple[str, ...] = get_args(Kernel)

#: Added to the sum of the bump, so that a bump without a tap in it is zero instead of undefined.
FLOOR = 1e-7


def half_width(kernel: str, sigma: float, dtype: torch.dtype) -> float:
    """Return the distance (ticks) from the delay beyond which a bump counts as zero.

    A triangle is zero there. A Gaussian is less than half of the spacing of numbers at one (6e-8 in single precision):
    a tap left out is smaller than ``6e-8 * |W| / A``, with ``A`` about ``2.5 sigma``, and at least 0.18.
    """
    if kernel == "gauss":
        return sigma * math.sqrt(-2.0 * math.log(torch.finfo(dtype).eps / 2.0))
    return sigma if kernel == "triangle" else 1.0


def mean_taps(delays: Tensor, longest: int, kernel: str, sigma: float) -> float:
    """Return how many taps a synapse has on average, of those within `half_width` of its delay."""
    if delays.numel() == 0:
        return 0.0
    reach = half_width(kernel, sigma, delays.dtype)
    if kernel == "gauss":
        first, last = torch.ceil(delays - reach), torch.floor(delays + reach)
    else:  # zero at the very edge
        first, last = torch.floor(delays - reach) + 1.0, torch.ceil(delays + reach) - 1.0
    return float((last.clamp_(max=longest) - first.clamp_(min=0) + 1.0).clamp_(min=0).mean())


def shapes(delays: Tensor, kernel: str, sigma: float, out: Tensor) -> Tensor:
    """Write the bumps, normalised to a sum of one.

    Parameters
    ----------
    delays : Tensor, shape (sources, targets)
    kernel : str
    sigma : float
        Ticks; not used by ``"two_tap"``.
    out : Tensor, shape (longest + 1, sources, targets)

    Returns
    -------
    Tensor
        `out`.
    """
    _distances(delays, out)
    if kernel == "gauss":
        out.mul_(1.0 / sigma).square_().mul_(-0.5).exp_()
    else:
        out.abs_().neg_().add_(sigma if kernel == "triangle" else 1.0).clamp_(min=0)
    return out.div_(out.sum(0).add_(FLOOR))


def add_taps(weights: Tensor, delays: Tensor, kernel: str, sigma: float, out: Tensor, scratch: Tensor) -> None:
    """Write the sum of the taps of all synapses between the same two neurons.

    Parameters
    ----------
    weights, delays : Tensor, shape (count, sources, targets)
    kernel : str
    sigma : float
    out, scratch : Tensor, shape (longest + 1, sources, targets)
    """
    torch.mul(shapes(delays[0], kernel, sigma, out), weights[0], out=out)
    for weight, delay in zip(weights[1:], delays[1:], strict=True):
        out.addcmul_(shapes(delay, kernel, sigma, scratch), weight)


def add_gradients(
    gradient: Tensor,
    weights: Tensor,
    delays: Tensor,
    kernel: str,
    sigma: float,
    of_weights: Tensor | None,
    of_delays: Tensor | None,
    scratch: tuple[Tensor, Tensor],
) -> None:
    """Add the gradients of weights and delays, given that of the summed taps.

    With ``s = g / A`` the gradient of `W` is ``sum s dK``, and that of `D` is
    ``W (sum s' dK - sum s' sum s dK)``, where ``s' = (dg/dD) / A``.

    Parameters
    ----------
    gradient : Tensor, shape (longest + 1, sources, targets)
        Of the taps.
    weights, delays : Tensor, shape (count, sources, targets)
    kernel : str
    sigma : float
    of_weights, of_delays : Tensor or None, shape (count, sources, targets)
        Added to.
    scratch : tuple of Tensor, each of shape (longest + 1, sources, targets)
    """
    shape, slope = scratch
    for k in range(weights.shape[0]):
        shapes(delays[k], kernel, sigma, shape)
        torch.mul(shape, gradient, out=slope)
        along = slope.sum(0)
        if of_weights is not None:
            of_weights[k].add_(along)
        if of_delays is None:
            continue
        _distances(delays[k], slope)
        if kernel == "gauss":
            slope.mul_(shape).mul_(1.0 / sigma**2)
        else:
            # The area under a triangle is lost in `shape`; the slope is +-1 over the same sum.
            reach = sigma if kernel == "triangle" else 1.0
            torch.abs(slope, out=shape)
            shape.neg_().add_(reach).clamp_(min=0)
            area = shape.sum(0).add_(FLOOR)
            slope.sign_().mul_(shape.sign_()).div_(area)
        total = slope.sum(0)
        slope.mul_(gradient)
        of_delays[k].addcmul_(weights[k], slope.sum(0).sub_(total.mul_(along)))


def _distances(delays: Tensor, out: Tensor) -> None:
    """Write ``tau - D``."""
    taus = torch.arange(out.shape[0], dtype=out.dtype)
    torch.sub(taus.view(-1, *[1] * delays.ndim), delays, out=out)
