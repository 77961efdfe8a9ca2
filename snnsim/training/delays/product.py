"""Projections whose synapses each have a real delay: products along time, and their gradients."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from snnsim.errors import ParameterError, one_of, positive
from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.delays.frequency_method import FrequencyMethod, segments
from snnsim.training.delays.shift_method import ShiftMethod
from snnsim.training.delays.taps import mean_taps
from snnsim.training.parameters.delay_schedule import KERNELS, Kernel

Method = Literal["shift", "frequency", "auto"]


class DelayedProduct:
    """One projection with a weight and a delay a synapse, at one width of its bumps.

    The drive of target `j` is ``y[t, j] = sum over i, tau of K[tau, i, j] x[t - tau, i]``, where the taps `K` of a
    synapse are its weight spread over a bump around its delay (`snnsim.training.delays.taps`), and where `x` is zero
    outside its ticks. There are two ways to the same numbers: ``"shift"`` adds up the taps one by one
    (`snnsim.training.delays.shift_method`), ``"frequency"`` multiplies Fourier transforms along time
    (`snnsim.training.delays.frequency_method`), whose cost does not grow with the width of the bump.

    Nothing here is recorded for automatic differentiation. The tensors given to the constructor are used in place, and
    must not change between a `forward` and its `backward`.

    Parameters
    ----------
    weights, delays : Tensor, shape (count, sources, targets), float32 or float64
        ``count`` synapses between any two neurons. Delays in ticks, from 0 to `longest`.
    longest : int
        Longest delay (ticks).
    kernel : {"gauss", "triangle", "two_tap", "whole"}
        Form of the bump. ``"two_tap"`` is linear interpolation between the two ticks around the delay; ``"whole"`` is
        for whole delays, whose one tap is the weight.
    sigma : float
        Standard deviation of the Gaussian, or half of the base of the triangle (ticks); not used by ``"two_tap"``.
    workers : Workers
        Threads that share the work; results do not depend on how many there are.
    workspace : Workspace
        Buffers, which several projections may share one after another.
    method : {"auto", "shift", "frequency"}
        ``"auto"`` takes what should be faster, see `costs`.

    Raises
    ------
    ParameterError
        If shapes or types do not fit, or a number or name is not allowed.
    """

    def __init__(
        self,
        weights: Tensor,
        delays: Tensor,
        *,
        longest: int,
        kernel: Kernel,
        sigma: float,
        workers: Workers,
        workspace: Workspace,
        method: Method = "auto",
    ) -> None:
        one_of("kernel", kernel, KERNELS)
        one_of("method", method, get_args(Method))
        positive("longest", longest, zero=True)
        if kernel in ("gauss", "triangle"):
            positive("sigma", sigma)
        if weights.ndim != 3 or weights.shape[0] < 1 or weights.shape != delays.shape:
            raise ParameterError(
                f"weights and delays have shapes {tuple(weights.shape)} and {tuple(delays.shape)}; allowed: the same "
                f"shape (count, sources, targets) with a count of at least 1"
            )
        if weights.dtype not in (torch.float32, torch.float64) or weights.dtype != delays.dtype:
            raise ParameterError(
                f"weights and delays are of {weights.dtype} and {delays.dtype}; allowed: both float32 or both float64"
            )
        self.longest, self.kernel, self.sigma, self.method = longest, kernel, sigma, method
        self._weights, self._delays = weights.detach(), delays.detach()
        self._workers, self._workspace = workers, workspace
        self._taps: float | None = None
        self._made: dict[str, ShiftMethod | FrequencyMethod] = {}

    @property
    def taps(self) -> float:
        """Taps of a synapse, on average."""
        if self._taps is None:
            self._taps = mean_taps(self._delays, self.longest, self.kernel, self.sigma)
        return self._taps

    def chosen(self, ticks_in: int, ticks_out: int, batch: int) -> Literal["shift", "frequency"]:
        """Return the method that products of such an extent take."""
        if self.method != "auto":
            return self.method
        by_shift, by_frequency = costs(self.taps, self.longest, tuple(self._weights.shape), ticks_in, ticks_out, batch)
        return "shift" if by_shift <= by_frequency else "frequency"

    def forward(self, x: Tensor, scale: float, out: Tensor, fresh: bool) -> None:
        """Write or add the drive.

        Parameters
        ----------
        x : Tensor, shape (ticks_in, batch, sources)
            Of the weights' type, or spikes as uint8.
        scale : float
            Multiplies `x`.
        out : Tensor, shape (ticks_out, batch, targets)
            Written where `fresh`, else added to.
        fresh : bool
        """
        x = self._checked(x, out)
        self._method(x, out).forward(x, scale, out, fresh)

    def backward(
        self,
        x: Tensor,
        scale: float,
        gradient: Tensor,
        below: Tensor | None,
        fresh: bool,
        of_weights: Tensor | None,
        of_delays: Tensor | None,
    ) -> None:
        """Add the gradients of a loss, given that of the drive.

        Parameters
        ----------
        x : Tensor, shape (ticks_in, batch, sources)
            As it was given to `forward`.
        scale : float
        gradient : Tensor, shape (ticks_out, batch, targets)
            Of the drive.
        below : Tensor or None, shape (ticks_in, batch, sources)
            Gradient of `x`: written where `fresh`, else added to.
        fresh : bool
        of_weights, of_delays : Tensor or None, shape (count, sources, targets)
            Gradients of weights and delays: added to.
        """
        gradient = gradient.contiguous()
        x = self._checked(x, gradient)
        if below is not None and not (below.is_contiguous() and below.shape == x.shape):
            raise ParameterError(
                f"below has shape {tuple(below.shape)} and strides {below.stride()}; allowed: contiguous, of the shape "
                f"of x, {tuple(x.shape)}"
            )
        self._method(x, gradient).backward(x, scale, gradient, below, fresh, of_weights, of_delays)

    def _checked(self, x: Tensor, out: Tensor) -> Tensor:
        _, sources, targets = self._weights.shape
        if x.ndim != 3 or out.ndim != 3 or x.shape[1:] != (out.shape[1], sources) or out.shape[2] != targets:
            raise ParameterError(
                f"x and drive have shapes {tuple(x.shape)} and {tuple(out.shape)}; allowed: (ticks, batch, {sources}) "
                f"and (ticks, batch, {targets}) with the same batch"
            )
        if x.dtype not in (self._weights.dtype, torch.uint8) or out.dtype != self._weights.dtype:
            raise ParameterError(
                f"x and drive are of {x.dtype} and {out.dtype}; allowed: {self._weights.dtype}, and uint8 for x"
            )
        if not out.is_contiguous():
            raise ParameterError(f"the drive has strides {out.stride()}; allowed: contiguous")
        return x.detach().contiguous()

    def _method(self, x: Tensor, out: Tensor) -> ShiftMethod | FrequencyMethod:
        name = self.chosen(x.shape[0], out.shape[0], out.shape[1])
        if name not in self._made:
            kind = ShiftMethod if name == "shift" else FrequencyMethod
            self._made[name] = kind(
                self._weights,
                self._delays,
                longest=self.longest,
                kernel=self.kernel,
                sigma=self.sigma,
                workers=self._workers,
                workspace=self._workspace,
            )
        return self._made[name]


#: Multiply-adds a second of one core, measured with 256 sources and targets, 124 ticks, batch 128, single precision, on
#: an AMD EPYC (Zen 3) of which other programs used a part: shifts; transforms along time; products at a frequency;
#: taps to frequencies and back. And neurons that a product of matrices takes on top of its own, before it is efficient.
SHIFTED, TRANSFORMED, MULTIPLIED, SPREAD, EXTRA = 28e9, 31e9, 36e9, 20e9, 16
#: Numbers a second that are put into rows and back.
LAID_OUT = 1e9


def costs(
    taps: float, longest: int, shape: tuple[int, ...], ticks_in: int, ticks_out: int, batch: int
) -> tuple[float, float]:
    """Return the seconds that forward and backward should take on one core, by shift and by frequency.

    Parameters
    ----------
    taps : float
        Mean number of taps of a synapse.
    longest : int
    shape : tuple of int
        (count, sources, targets).
    ticks_in, ticks_out, batch : int
    """
    count, sources, targets = shape
    synapses = sources * targets
    shift = 3.0 * taps * count * synapses * batch * ticks_out / SHIFTED
    shift += 2.0 * (sources + targets) * batch * ticks_out / LAID_OUT
    frequency = 0.0
    clumsy = 1.0 + EXTRA / sources + EXTRA / targets + EXTRA / batch
    for piece in segments(ticks_in, ticks_out, longest):
        signals = 3 * (piece.high - piece.low) * sources + 2 * (piece.stop - piece.first) * targets
        frequency += piece.length * signals * batch / TRANSFORMED
        frequency += 3.0 * piece.length * synapses * (1.5 * batch * clumsy / MULTIPLIED + (longest + 1) / SPREAD)
    return shift, frequency
