"""Compiled loops over the taps of synapses with a real delay; the equations are in `snnsim.training.delays.taps`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from snnsim.numerics.compilation import kernel, leaf

#: Whether it is a triangle (else a Gaussian), its width, the distance from which on it is zero, the longest delay
#: (ticks), and what is added to its sum.
Bump = tuple[bool, float, float, int, float]


@leaf
def range_of(bump: Bump, delay: float) -> tuple[int, int]:
    """Return the first tap of a bump and the one after the last."""
    triangle, _, reach, longest, _ = bump
    if triangle:
        first, stop = math.floor(delay - reach) + 1, math.ceil(delay + reach)
    else:
        first, stop = math.ceil(delay - reach), math.floor(delay + reach) + 1
    return max(first, 0), min(stop, longest + 1)


@leaf
def fill(bump: Bump, delay: float, first: int, stop: int, heights: Any) -> float:
    """Write the heights of the taps ``first ... stop - 1`` and return their sum."""
    triangle, sigma, _, _, area = bump
    if first >= stop:
        return area
    if triangle:
        for tau in range(first, stop):
            heights[tau - first] = sigma - abs(tau - delay)
    else:
        # From the tap next to the delay outwards: each is the one before times a ratio that shrinks by one factor.
        half = 0.5 / sigma**2
        shrink = math.exp(-2.0 * half)
        near = min(max(math.floor(delay), first), stop - 1)
        away = near - delay
        top = math.exp(-half * away**2)
        heights[near - first] = top
        height, ratio = top, math.exp(-half * (2.0 * away + 1.0))
        for place in range(near + 1 - first, stop - first):
            height *= ratio
            ratio *= shrink
            heights[place] = height
        height, ratio = top, math.exp(half * (2.0 * away - 1.0))
        for place in range(near - 1 - first, -1, -1):
            height *= ratio
            ratio *= shrink
            heights[place] = height
    for place in range(stop - first):
        area += heights[place]
    return area


@leaf
def slope_of(bump: Bump, distance: float, height: float) -> float:
    """Return the derivative of a tap's height with respect to the delay."""
    triangle, sigma = bump[0], bump[1]
    if not triangle:
        return height * distance / sigma**2
    if distance == 0.0:
        return 0.0
    return 1.0 if distance > 0.0 else -1.0


@kernel
def write_taps(weights: Any, delays: Any, bump: Bump, low: int, high: int, taps: Any) -> None:
    """Write the summed taps of the sources ``low ... high - 1``.

    Parameters
    ----------
    weights, delays : ndarray, shape (count, sources, targets)
    bump : tuple
        See `Bump`.
    taps : ndarray, shape (longest + 1, sources, targets)
    """
    count, _, targets = weights.shape
    heights = np.empty(taps.shape[0])
    for i in range(low, high):
        for tau in range(taps.shape[0]):
            taps[tau, i] = 0
        for c in range(count):
            for j in range(targets):
                delay = float(delays[c, i, j])
                first, stop = range_of(bump, delay)
                factor = weights[c, i, j] / fill(bump, delay, first, stop, heights)
                for tau in range(first, stop):
                    taps[tau, i, j] += factor * heights[tau - first]


@kernel
def add_tap_gradients(
    gradient: Any,
    weights: Any,
    delays: Any,
    bump: Bump,
    part: tuple[int, int, int, int],
    of_weights: Any,
    of_delays: Any,
) -> None:
    """Add the gradients of weights and delays of some sources and targets, given those of the summed taps.

    Parameters
    ----------
    gradient : ndarray, shape (longest + 1, sources of the part, targets of the part)
    weights, delays : ndarray, shape (count, sources, targets)
    bump : tuple
        See `Bump`.
    part : tuple of int
        First source, the one after the last, and the same of the targets.
    of_weights, of_delays : ndarray, shape (count, sources, targets), or of no size where not asked for
    """
    low, high, begin, end = part
    heights = np.empty(gradient.shape[0])
    for c in range(weights.shape[0]):
        for i in range(low, high):
            for j in range(begin, end):
                delay = float(delays[c, i, j])
                first, stop = range_of(bump, delay)
                area = fill(bump, delay, first, stop, heights)
                slopes, along, steep = 0.0, 0.0, 0.0
                for tau in range(first, stop):
                    height, found = heights[tau - first], gradient[tau, i - low, j - begin]
                    slope = slope_of(bump, tau - delay, height)
                    slopes += slope
                    along += height * found
                    steep += slope * found
                along /= area
                if of_weights.size:
                    of_weights[c, i, j] += along
                if of_delays.size:
                    of_delays[c, i, j] += weights[c, i, j] * (steep - slopes * along) / area
