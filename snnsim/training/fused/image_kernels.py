"""Convolution and pooling over lists of spikes: a spike touches the few targets that see it, silence costs nothing.

Images are numbered (channel, row, column) in C order, as everywhere. Inside a kernel a drive is held channel-last, so
that the inner loop runs over the channels of one pixel, which lie side by side in memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.numerics.compilation import kernel


@kernel
def windows_of(position: int, side: int, stride: int, padding: int, extent: int) -> tuple[int, int]:
    """Return the first window along an axis that sees a position, and the one after the last."""
    shifted = position + padding
    first = 0 if shifted < side else (shifted - side) // stride + 1
    return first, min(shifted // stride + 1, extent)


@kernel
def convolve_rows(
    out: Any,
    begin: Any,
    end: Any,
    indices: Any,
    weights: Any,
    source: tuple[int, int, int],
    target: tuple[int, int, int],
    stride: int,
    padding: int,
    low: int,
    high: int,
    fresh: bool,
) -> None:
    """Convolve the spikes of rows ``low ... high - 1``.

    Parameters
    ----------
    out : ndarray, shape (rows, targets)
        Written where `fresh`, else added to.
    begin, end, indices : ndarray
        Lists of sources, one a row, ascending: the sum of a target has their order.
    weights : ndarray, shape (in_channels, height, width, out_channels)
    source, target : tuple of int
        (channels, height, width) of both populations.
    stride, padding : int
    """
    sides, channels, area = weights.shape[1], target[0], target[1] * target[2]
    across = weights.shape[2]
    total = np.zeros((target[1], target[2], channels), out.dtype)
    for row in range(low, high):
        line = out[row]
        total[:] = 0
        for k in range(begin[row], end[row]):
            pixel = indices[k]
            channel, y, x = pixel // (source[1] * source[2]), (pixel // source[2]) % source[1], pixel % source[2]
            top, bottom = windows_of(y, sides, stride, padding, target[1])
            left, right = windows_of(x, across, stride, padding, target[2])
            for ty in range(top, bottom):
                for tx in range(left, right):
                    tap = weights[channel, y + padding - ty * stride, x + padding - tx * stride]
                    spot = total[ty, tx]
                    for o in range(channels):
                        spot[o] += tap[o]
        flat = total.reshape(area, channels)
        for o in range(channels):
            for place in range(area):
                if fresh:
                    line[o * area + place] = flat[place, o]
                else:
                    line[o * area + place] += flat[place, o]


@kernel
def convolve_weight_gradient(
    gradient: Any,
    begin: Any,
    end: Any,
    indices: Any,
    delta: Any,
    source: tuple[int, int, int],
    target: tuple[int, int, int],
    stride: int,
    padding: int,
    low: int,
    high: int,
) -> None:
    """Add the gradient of the weights over rows ``low ... high - 1``; see `convolve_rows`.

    Parameters
    ----------
    gradient : ndarray, shape (in_channels, height, width, out_channels)
        Of this call alone.
    delta : ndarray, shape (rows, targets)
    """
    sides, across, channels, area = gradient.shape[1], gradient.shape[2], target[0], target[1] * target[2]
    image = np.empty((target[1], target[2], channels), delta.dtype)
    flat = image.reshape(area, channels)
    for row in range(low, high):
        if begin[row] == end[row]:
            continue
        line = delta[row]
        for o in range(channels):
            for place in range(area):
                flat[place, o] = line[o * area + place]
        for k in range(begin[row], end[row]):
            pixel = indices[k]
            channel, y, x = pixel // (source[1] * source[2]), (pixel // source[2]) % source[1], pixel % source[2]
            top, bottom = windows_of(y, sides, stride, padding, target[1])
            left, right = windows_of(x, across, stride, padding, target[2])
            for ty in range(top, bottom):
                for tx in range(left, right):
                    tap = gradient[channel, y + padding - ty * stride, x + padding - tx * stride]
                    spot = image[ty, tx]
                    for o in range(channels):
                        tap[o] += spot[o]


@kernel
def pool_rows(
    out: Any,
    begin: Any,
    end: Any,
    indices: Any,
    weight: Any,
    source: tuple[int, int, int],
    target: tuple[int, int, int],
    size: int,
    stride: int,
    low: int,
    high: int,
    fresh: bool,
) -> None:
    """Add `weight` to every window that sees a spike, rows ``low ... high - 1``; see `convolve_rows`."""
    for row in range(low, high):
        line = out[row]
        if fresh:
            line[:] = 0
        for k in range(begin[row], end[row]):
            pixel = indices[k]
            channel, y, x = pixel // (source[1] * source[2]), (pixel // source[2]) % source[1], pixel % source[2]
            top, bottom = windows_of(y, size, stride, 0, target[1])
            left, right = windows_of(x, size, stride, 0, target[2])
            for ty in range(top, bottom):
                for tx in range(left, right):
                    line[(channel * target[1] + ty) * target[2] + tx] += weight


@kernel
def pool_backward(
    below: Any,
    gradient: Any,
    weight: Any,
    source: tuple[int, int, int],
    target: tuple[int, int, int],
    size: int,
    stride: int,
    low: int,
    high: int,
    fresh: bool,
) -> None:
    """Give every source `weight` times the gradients of the windows that see it, rows ``low ... high - 1``."""
    for row in range(low, high):
        up, line = gradient[row], below[row]
        if fresh:
            line[:] = 0
        for channel in range(target[0]):
            for ty in range(target[1]):
                first = (channel * target[1] + ty) * target[2]
                for y in range(ty * stride, ty * stride + size):
                    for x in range(size):
                        start = (channel * source[1] + y) * source[2] + x
                        for tx in range(target[2]):
                            line[start + tx * stride] += weight * up[first + tx]
