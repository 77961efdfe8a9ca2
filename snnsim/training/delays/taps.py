"""A synapse with a real delay, as a bump over whole delays: its taps, and what their gradients say of weight and delay.

The synapse of weight ``W`` and delay ``D`` (ticks) acts at the whole delays ``tau = 0 ... longest`` with

    ``K[tau] = W * g[tau] / A``,  ``A = sum over tau of g[tau] + 1e-7``,

where `g` is a Gaussian ``exp(-((tau - D) / sigma)^2 / 2)``, a triangle ``max(0, sigma - |tau - D|)``, or the triangle
of half-width 1, which is linear interpolation between the two neighbours of `D`. Of a whole delay there is one tap,
which the kernel ``"whole"`` gives the weight itself, without the 1e-7. The sum over the taps is `W` at every
delay: at the borders the mass of the bump is shared among the taps that are there, not lost
(Hammouamri et al. 2024, doi:10.48550/arXiv.2306.17670; Khalfaoui-Hassani et al. 2023, doi:10.48550/arXiv.2112.03740).

With ``s = g / A`` the gradient of `W` is ``sum s dK``, and that of `D` is ``W (sum s' dK - sum s' sum s dK)``, where
``s' = (dg/dD) / A``. A triangle has no slope at its top.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from snnsim.training.delays import tap_kernels
from snnsim.training.delays.tap_kernels import Bump

#: Added to the sum of the bump, so that a bump without a tap in it is zero instead of undefined.
FLOOR = 1e-7


def half_width(kernel: str, sigma: float, dtype: torch.dtype) -> float:
    """Return the distance (ticks) from the delay beyond which a bump counts as zero.

    A triangle is zero there. A Gaussian is less than half of the spacing of numbers at one (6e-8 in single precision,
    5.8 sigma away): a tap left out is smaller than ``6e-8 * |W| / A``, with ``A`` about ``2.5 sigma``.
    """
    if kernel == "gauss":
        return sigma * math.sqrt(-2.0 * math.log(torch.finfo(dtype).eps / 2.0))
    return sigma if kernel == "triangle" else 1.0


def bump_of(kernel: str, sigma: float, longest: int, dtype: torch.dtype) -> Bump:
    """Return what the compiled loops need to know of a bump."""
    width = 1.0 if kernel in ("two_tap", "whole") else float(sigma)
    floor = 0.0 if kernel == "whole" else FLOOR
    return (kernel != "gauss", width, half_width(kernel, sigma, dtype), longest, floor)


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


def taps_of(weights: Tensor, delays: Tensor, longest: int, kernel: str, sigma: float) -> Tensor:
    """Return the summed taps of all synapses between the same two neurons.

    Parameters
    ----------
    weights, delays : Tensor, shape (count, sources, targets)
    longest : int
        Longest delay (ticks).
    kernel : {"gauss", "triangle", "two_tap"}
    sigma : float
        Ticks; not used by ``"two_tap"``.

    Returns
    -------
    Tensor, shape (longest + 1, sources, targets)
    """
    taps = torch.empty((longest + 1, *weights.shape[1:]), dtype=weights.dtype)
    bump = bump_of(kernel, sigma, longest, weights.dtype)
    tap_kernels.write_taps(weights.numpy(), delays.numpy(), bump, 0, weights.shape[1], taps.numpy())
    return taps


def add_gradients(
    gradient: Tensor,
    weights: Tensor,
    delays: Tensor,
    kernel: str,
    sigma: float,
    of_weights: Tensor,
    of_delays: Tensor,
) -> None:
    """Add the gradients of weights and delays, given that of the summed taps, shape (longest + 1, sources, targets)."""
    bump = bump_of(kernel, sigma, gradient.shape[0] - 1, weights.dtype)
    part: Any = (0, weights.shape[1], 0, weights.shape[2])
    tap_kernels.add_tap_gradients(
        gradient.numpy(), weights.numpy(), delays.numpy(), bump, part, of_weights.numpy(), of_delays.numpy()
    )
