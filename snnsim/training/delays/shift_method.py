"""Delays of few taps: each tap is a shifted row times a weight, and no kernel over all delays is made.

The sums themselves are in `snnsim.training.delays.shift_kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.delays import shift_kernels
from snnsim.training.delays.lanes import REGISTER, STRETCH
from snnsim.training.delays.taps import bump_of, half_width

#: Ticks that a worker has in hand when it correlates.
TICKS = 64
#: Bytes of the stretches of a group of inner neurons: they stay in the first-level cache.
CACHED = 24 * 1024
#: Blocks of samples whose rows are laid out at a time for the gradients.
BLOCKS = 4

Array = NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """How samples lie in rows: `width` samples a block, `ticks` ticks a row, `blocks` blocks in all."""

    width: int
    ticks: int
    blocks: int


@dataclass(frozen=True)
class Terms:
    """The taps of a projection as a list, for one way through it; see `delayed_kernels.list_terms`."""

    places: Array
    values: Array
    starts: Array
    group: int


class ShiftMethod:
    """The products of one projection by shift and add; see `snnsim.training.delays.product.DelayedProduct`."""

    def __init__(
        self,
        weights: Tensor,
        delays: Tensor,
        *,
        longest: int,
        kernel: str,
        sigma: float,
        workers: Workers,
        workspace: Workspace,
    ) -> None:
        self.weights, self.delays = weights.numpy(), delays.numpy()
        self.dtype = weights.dtype
        self.count, self.sources, self.targets = weights.shape
        self.longest = longest
        self.bump = bump_of(kernel, sigma, longest, self.dtype)
        self.most = min(longest + 1, int(2 * half_width(kernel, sigma, self.dtype)) + 1)
        self.workers, self.workspace = workers, workspace

    def forward(self, x: Tensor, scale: float, out: Tensor, fresh: bool) -> None:
        """Write or add the drive; see `DelayedProduct.forward`."""
        layout = self._layout(x, out)
        terms = self._terms("delayed.terms", layout, self._at_once(layout), back=False)
        rows = self._take("delayed.rows", (self.workers.count, self.sources, layout.ticks * layout.width))
        totals = self._totals(self.targets)
        signal, drive = x.numpy(), out.numpy()

        def work(worker: int, low: int, high: int) -> None:
            for block in range(low, high):
                sample = block * layout.width
                shift_kernels.lay_out(
                    signal.reshape(-1), _extents(signal), 1.0, sample, rows[worker], self.longest, layout.width
                )
                _add(rows[worker], terms, drive, scale, sample, layout.width, totals[worker], fresh)

        self.workers.share(work, layout.blocks, self._operations(out.shape[0] * out.shape[1]))

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
        """Add the gradients; see `DelayedProduct.backward`."""
        layout = self._layout(x, gradient)
        held = min(BLOCKS, layout.blocks)
        size = layout.ticks * layout.width
        drives = self._take("delayed.drives", (held, self.targets, size))
        rows = found = forth = back = None
        if of_weights is not None or of_delays is not None:
            rows = self._take("delayed.rows", (held, self.sources, size))
            forth = self._terms("delayed.terms", layout, TICKS, back=False)
            found = self._take("delayed.found", forth.values.shape)
            found[:] = 0
        if below is not None:
            back = self._terms("delayed.back", layout, self._at_once(layout), back=True)
        for first in range(0, layout.blocks, held):
            samples = range(first * layout.width, min(first + held, layout.blocks) * layout.width, layout.width)
            self._lay_out(gradient.numpy(), 1.0, samples, drives, 0, layout.width)
            if rows is not None and forth is not None and found is not None:
                self._lay_out(x.numpy(), scale, samples, rows, self.longest, layout.width)
                self._correlate(rows, forth, drives, samples, gradient.shape[0], layout.width, found)
            if below is not None and back is not None:
                self._send_back(drives, back, samples, below.numpy(), scale, layout.width, fresh)
        if forth is not None and found is not None:
            self._bring_home(forth, found, of_weights, of_delays)

    def _take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Array:
        return self.workspace.take(name, shape, dtype or self.dtype).numpy()

    def _totals(self, outer: int) -> Array:
        return self._take("delayed.totals", (self.workers.count, outer * (STRETCH // self.dtype.itemsize)))

    def _operations(self, ticks: int) -> int:
        return int(ticks * self.weights.size)

    def _at_once(self, layout: Layout) -> int:
        """Return the ticks of a stretch."""
        return STRETCH // self.dtype.itemsize // layout.width

    def _layout(self, x: Tensor, drive: Tensor) -> Layout:
        most, batch, size = REGISTER // self.dtype.itemsize, x.shape[1], self.dtype.itemsize
        width = min(most, 1 << max(0, batch - 1).bit_length())
        layout = Layout(width, 0, -(-batch // width))
        at_once = self._at_once(layout)
        ticks = self.longest + -(-max(x.shape[0], drive.shape[0]) // at_once) * at_once
        # Rows that begin at the same place of a page would share the same few lines of the cache.
        while not 512 <= ticks * width * size % 4096 <= 3584:
            ticks += max(1, 128 // (width * size))
        return Layout(width, ticks, layout.blocks)

    def _terms(self, name: str, layout: Layout, ticks: int, *, back: bool) -> Terms:
        """List the taps; forth the sources are the inner neurons, and rows begin with zeros; back, the targets."""
        weights, delays = self.weights, self.delays
        if back:
            weights, delays = weights.transpose(0, 2, 1), delays.transpose(0, 2, 1)
        _, inner, outer = weights.shape
        stretch = (ticks + self.longest) * layout.width * self.dtype.itemsize
        groups = max(1, -(-inner // max(1, CACHED // stretch)))
        group = max(1, -(-inner // groups))
        capacity = group * outer * self.count * self.most
        places = self._take(f"{name}.places", (groups * capacity,), torch.int32)
        values = self._take(f"{name}.values", (groups * capacity,))
        starts = self._take(f"{name}.starts", (groups, outer + 1), torch.int64)
        lead, sign = (0, 1) if back else (self.longest, -1)

        def work(_: int, low: int, high: int) -> None:
            shift_kernels.list_terms(
                weights, delays, self.bump, group, (layout.ticks, lead, sign, layout.width), (low, high, capacity),
                places, values, starts,
            )  # fmt: skip

        self.workers.share(work, groups, 20 * values.size)
        return Terms(places, values, starts, group)

    def _lay_out(self, signal: Array, scale: float, samples: range, rows: Array, lead: int, width: int) -> None:
        def work(_: int, low: int, high: int) -> None:
            for block in range(low, high):
                shift_kernels.lay_out(
                    signal.reshape(-1), _extents(signal), scale, samples[block], rows[block], lead, width
                )

        self.workers.share(work, len(samples), len(samples) * rows[0].size)

    def _correlate(
        self, rows: Array, terms: Terms, drives: Array, samples: range, ticks: int, width: int, found: Array
    ) -> None:
        def work(_: int, low: int, high: int) -> None:
            for block in range(len(samples)):
                shift_kernels.correlate(
                    rows[block].reshape(-1), terms.places, terms.starts, drives[block], ticks, width, TICKS,
                    low, high, found,
                )  # fmt: skip

        self.workers.share(work, self.targets, self._operations(ticks * width * len(samples)))

    def _send_back(
        self, drives: Array, terms: Terms, samples: range, below: Array, scale: float, width: int, fresh: bool
    ) -> None:
        totals = self._totals(self.sources)

        def work(worker: int, low: int, high: int) -> None:
            for block in range(low, high):
                _add(drives[block], terms, below, scale, samples[block], width, totals[worker], fresh)

        self.workers.share(work, len(samples), self._operations(below.shape[0] * width * len(samples)))

    def _bring_home(self, terms: Terms, found: Array, of_weights: Tensor | None, of_delays: Tensor | None) -> None:
        nothing = np.empty((0, 0, 0), self.weights.dtype)
        weights = nothing if of_weights is None else of_weights.numpy()
        delays = nothing if of_delays is None else of_delays.numpy()

        def work(_: int, low: int, high: int) -> None:
            shift_kernels.add_gradients(
                found, self.weights, self.delays, self.bump, terms.group, low, high, terms.starts, weights, delays
            )

        self.workers.share(work, terms.starts.shape[0], 20 * found.size)


def _add(
    rows: Array, terms: Terms, out: Array, scale: float, sample: int, width: int, totals: Array, fresh: bool
) -> None:
    shift_kernels.add_shifted(
        rows.reshape(-1),
        terms.places,
        terms.values,
        terms.starts,
        out.reshape(-1),
        _extents(out),
        scale,
        sample,
        width,
        totals,
        fresh,
    )


def _extents(signal: Array) -> tuple[int, int, int]:
    ticks, batch, neurons = signal.shape
    return ticks, batch, neurons
