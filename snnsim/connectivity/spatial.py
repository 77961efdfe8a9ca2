"""Connections on (channels, height, width) populations: convolution and pooling, torch conventions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity.base import Connectivity, describe_values, require_shape
from snnsim.connectivity.distributions import Distribution, Values, as_values, resolve
from snnsim.connectivity.explicit import row_offsets
from snnsim.connectivity.synapses import Key, Shape, Synapses
from snnsim.errors import NetworkError, ParameterError, whole
from snnsim.numerics import rng


@dataclass(frozen=True, eq=False)
class Conv2d(Connectivity):
    """Cross-correlation over height and width.

    Parameters
    ----------
    weights : array of shape (out_channels, in_channels, kernel_height, kernel_width), or Distribution
        As ``torch.nn.Conv2d.weight``. With a Distribution give `kernel`; channels come from the populations.
    stride, padding : int
        Steps of the window and zeros added on every side.
    kernel : int, optional
        Side of a square kernel, needed only where `weights` is a Distribution.
    """

    weights: Values
    stride: int = 1
    padding: int = 0
    kernel: int | None = None

    def __post_init__(self) -> None:
        weights = as_values("Conv2d weights", self.weights)
        object.__setattr__(self, "weights", weights)
        for name, low in (("stride", 1), ("padding", 0)):
            whole(f"Conv2d {name}", getattr(self, name), at_least=low)
        if isinstance(weights, np.ndarray):
            if weights.ndim != 4:
                raise ParameterError(
                    f"Conv2d weights have shape {weights.shape}, expected (out_channels, in_channels, height, width)"
                )
        elif not isinstance(weights, Distribution) or self.kernel is None:
            raise ParameterError("Conv2d: give weights as a 4-dimensional array, or as a Distribution with kernel=...")
        if self.kernel is not None:
            whole("Conv2d kernel", self.kernel, at_least=1)
            if isinstance(weights, np.ndarray) and weights.shape[2:] != (self.kernel, self.kernel):
                raise ParameterError(
                    f"Conv2d kernel={self.kernel}, but the weights have kernels of {weights.shape[2:]}; leave it out"
                )

    def kernel_shape(self, source: Shape, target: Shape) -> tuple[int, int, int, int]:
        """Return (out_channels, in_channels, kernel_height, kernel_width)."""
        if isinstance(self.weights, np.ndarray):
            out_channels, in_channels, height, width = self.weights.shape
            return out_channels, in_channels, height, width
        assert self.kernel is not None
        return target[0], source[0], self.kernel, self.kernel

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Check channels and the size of the output."""
        _require_image(source, target, where, "Conv2d")
        out_channels, in_channels, height, width = self.kernel_shape(source, target)
        if in_channels != source[0]:
            raise NetworkError(
                f"{where}: Conv2d weights take {in_channels} channels, the source has {source[0]} (shape {source})"
            )
        rows, columns = (
            (extent + 2 * self.padding - side) // self.stride + 1
            for extent, side in zip(source[1:], (height, width), strict=True)
        )
        require_shape((out_channels, rows, columns), target, where, f"Conv2d on {source}")

    def kernels(self, source: Shape, target: Shape, key: Key) -> NDArray[np.float64]:
        """Return the kernels as an array of shape (out, in, height, width)."""
        shape = self.kernel_shape(source, target)
        stream = rng.stream_number(key.name, "weights")
        fan_in = shape[1] * shape[2] * shape[3]
        return np.ascontiguousarray(resolve(self.weights, shape, key.seed, stream, fan_in, "Conv2d weights"))

    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Return the synapses that the kernels amount to."""
        kernels = self.kernels(source, target, key)
        out_channels, in_channels, height, width = kernels.shape
        # One axis a loop variable: out channel, in channel, kernel row and column, target row and column.
        o, i, ky, kx, ty, tx = np.meshgrid(
            *(np.arange(n) for n in (out_channels, in_channels, height, width, *target[1:])), indexing="ij", sparse=True
        )
        sy, sx = ty * self.stride + ky - self.padding, tx * self.stride + kx - self.padding
        shape = np.broadcast_shapes(o.shape, i.shape, sy.shape, sx.shape)
        inside = np.broadcast_to((sy >= 0) & (sy < source[1]) & (sx >= 0) & (sx < source[2]), shape)
        sources = np.broadcast_to((i * source[1] + sy) * source[2] + sx, shape)[inside]
        targets = np.broadcast_to((o * target[1] + ty) * target[2] + tx, shape)[inside]
        weights = np.broadcast_to(kernels[:, :, :, :, None, None], shape)[inside]
        return _sorted_rows(sources, targets, weights, math.prod(source))

    def count(self, source: Shape, target: Shape) -> int:
        """Return the number of synapses, those cut off by the border not counted."""
        out_channels, in_channels, height, width = self.kernel_shape(source, target)
        per_axis = []
        for extent, side, n in zip(source[1:], (height, width), target[1:], strict=True):
            position = np.arange(n)[:, None] * self.stride + np.arange(side)[None, :] - self.padding
            per_axis.append(int(np.sum((position >= 0) & (position < extent))))
        return out_channels * in_channels * per_axis[0] * per_axis[1]

    def resolved(self, source: Shape, target: Shape, key: Key) -> Conv2d:
        """Draw the kernels."""
        return replace(self, weights=self.kernels(source, target, key))

    def describe(self) -> str:
        """Return kernel, stride and padding."""
        kernel = self.weights.shape[2:] if isinstance(self.weights, np.ndarray) else (self.kernel, self.kernel)
        text = f"Conv2d({kernel[0]}x{kernel[1]}"
        text += f", stride {self.stride}" if self.stride != 1 else ""
        text += f", padding {self.padding}" if self.padding else ""
        return f"{text}, {describe_values(self.weights)})"


@dataclass(frozen=True, eq=False)
class _Pool2d(Connectivity):
    size: int = 2
    stride: int | None = None
    weights: Values = 1.0

    def __post_init__(self) -> None:
        whole(f"{type(self).__name__} size", self.size, at_least=1)
        if self.stride is not None:
            whole(f"{type(self).__name__} stride", self.stride, at_least=1)
        weights = as_values(f"{type(self).__name__} weights", self.weights)
        if not isinstance(weights, float):
            raise ParameterError(f"{type(self).__name__} weights: one number for all synapses")
        object.__setattr__(self, "weights", weights)

    @property
    def step(self) -> int:
        """Steps of the window; its size unless said otherwise."""
        return self.size if self.stride is None else self.stride

    def output_shape(self, source: Shape) -> Shape:
        """Return the shape after pooling; an incomplete window at the border is dropped."""
        return (source[0], *((extent - self.size) // self.step + 1 for extent in source[1:]))

    def check(self, source: Shape, target: Shape, where: str) -> None:
        """Check the size of the output."""
        _require_image(source, target, where, type(self).__name__)
        require_shape(self.output_shape(source), target, where, f"{type(self).__name__} on {source}")

    def synapses(self, source: Shape, target: Shape, key: Key) -> Synapses:
        """Return the synapses of every window."""
        channels, rows, columns = self.output_shape(source)
        c, ky, kx, ty, tx = np.meshgrid(
            *(np.arange(n) for n in (channels, self.size, self.size, rows, columns)), indexing="ij", sparse=True
        )
        shape = (channels, self.size, self.size, rows, columns)
        sources = np.broadcast_to((c * source[1] + ty * self.step + ky) * source[2] + tx * self.step + kx, shape)
        targets = np.broadcast_to((c * rows + ty) * columns + tx, shape)
        weights = np.full(sources.size, self.weights)
        rows_sorted = _sorted_rows(sources.reshape(-1), targets.reshape(-1), weights, math.prod(source))
        return replace(rows_sorted, once=isinstance(self, MaxPool2d))

    def count(self, source: Shape, target: Shape) -> int:
        """Return windows times window size."""
        return math.prod(self.output_shape(source)) * self.size**2

    def describe(self) -> str:
        """Return size and stride."""
        return f"{type(self).__name__}({self.size}{'' if self.step == self.size else f', stride {self.step}'})"


@dataclass(frozen=True, eq=False)
class SumPool2d(_Pool2d):
    """Sum of the spikes in each window, times `weights`.

    Parameters
    ----------
    size, stride : int
        Side of the window and its steps (default: its side).
    weights : float
        Weight of every synapse; ``1 / size**2`` makes it an average.
    """


@dataclass(frozen=True, eq=False)
class MaxPool2d(_Pool2d):
    """One spike of weight `weights` where any source in the window fired in the tick.

    Parameters
    ----------
    size, stride : int
        Side of the window and its steps (default: its side).
    weights : float
        What the target receives.
    """


def _require_image(source: Shape, target: Shape, where: str, what: str) -> None:
    if len(source) != 3 or len(target) != 3:
        raise NetworkError(
            f"{where}: {what} connects populations of shape (channels, height, width), got {source} and {target}"
        )


def _sorted_rows(
    sources: NDArray[np.int64], targets: NDArray[np.int64], weights: NDArray[np.float64], n: int
) -> Synapses:
    order = np.lexsort((targets, sources))
    return Synapses(row_offsets(sources[order], n), targets[order].astype(np.int32), weights[order])
