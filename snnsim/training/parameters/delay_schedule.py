"""Kernels of delays, and how they grow narrow in training: the schedule of DCLS-Delays (arXiv:2306.17670)."""

from __future__ import annotations

from typing import Literal, get_args

#: Shape of a synapse over delays; ``"whole"`` stands for a delay rounded to ticks.
Kernel = Literal["gauss", "triangle", "two_tap", "whole"]
KERNELS: tuple[str, ...] = get_args(Kernel)

#: Width at the end, before `_SMALLEST` is added: a standard deviation of half a tick.
FINAL_WIDTH = 0.23
#: What the width of a kernel cannot fall below, so that neighbouring ticks always see each other.
_SMALLEST = {"gauss": 0.27, "triangle": 1.0, "two_tap": 1.0}


def kernel_width(kernel: str, longest: int, sharpness: float) -> float:
    """Return the width of a kernel in ticks: standard deviation of the Gaussian, half-width of the triangle.

    Parameters
    ----------
    kernel : {"gauss", "triangle", "two_tap"}
    longest : int
        Longest delay in ticks; the first width is half of it.
    sharpness : float
        From 0, the first width, to 1, `FINAL_WIDTH`; in between the width falls exponentially.
    """
    first = max(float(longest // 2), FINAL_WIDTH)
    width = first * (FINAL_WIDTH / first) ** sharpness
    return width + _SMALLEST[kernel] if kernel != "two_tap" else _SMALLEST[kernel]


def sharpness_at(epoch: int, epochs: int) -> float:
    """Return the sharpness in an epoch: it is 1 from a quarter of the training on.

    Parameters
    ----------
    epoch : int
        Counted from 0.
    epochs : int
        Of the whole training.
    """
    return min(1.0, epoch / max(1, epochs // 4))
