"""Delays of few taps: each tap a shifted row times a weight, without the kernel of all delays; see `delayed_kernels`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.training import delayed_kernels as kernels
from snnsim.training.delay_taps import FLOOR, half_width
from snnsim.training.threads import Workers
from snnsim.training.workspace import Workspace

#: Samples of a block: the numbers of one tick fill a vector register, or two of them in double precision.
WIDTH = 8
#: Ticks that a worker has in hand when it adds, and when it correlates.
TICKS_ADDED, TICKS_CORRELATED = 32, 64
#: Bytes of the stretches of a group of inner neurons: they stay in the first-level cache.
CACHED = 24 * 1024
#: Blocks of samples whose rows are laid out at a time for the gradients.
BLOCKS = 4


@dataclass(frozen=True)
class Terms:
    """The taps of a projection as a list, for one way through it; see `delayed_kernels.list_terms`."""

    places: NDArray[np.int32]
    values: NDArray[np.floating]
    starts: NDArray[np.int64]
    group: int


class ShiftMethod:
    """The products of one projection by shift and add; see `snnsim.training.delayed_product.DelayedProduct`."""

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
        self.longest, self.triangle = longest, kernel != "gauss"
        self.sigma = 1.0 if kernel == "two_tap" else sigma
        self.reach = half_width(kernel, sigma, self.dtype)
        self.workers, self.workspace = workers, workspace

    def forward(self, x: Tensor, scale: float, out: Tensor, fresh: bool) -> None:
        """Write or add the drive; see `DelayedProduct.forward`."""
        batch, ticks = x.shape[1], out.shape[0]
        if out.numel() == 0:
            return
        width = min(WIDTH, batch)
        row = self._row(self.longest + max(ticks, x.shape[0]), width)
        terms = self._terms("delayed.terms", row, self.longest, -1, width, TICKS_ADDED)
        rows = self._take("delayed.rows", (self.workers.count, self.sources, row * width))
        signal, result = x.numpy(), out.numpy()

        def work(worker: int, low: int, high: int) -> None:
            for block in range(low, high):
                kernels.lay_out(signal, 1.0, block * width, rows[worker], self.longest, width)
                self._add(rows[worker], terms, result, scale, block * width, width, worker, fresh)

        self._totals(width, self.targets)
        self._share(-(-batch // width), self._operations(ticks * batch), work)

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
        batch, ticks = x.shape[1], gradient.shape[0]
        width = min(WIDTH, batch)
        wanted = of_weights is not None or of_delays is not None
        row = self._row(self.longest + max(ticks, x.shape[0]), width)
        blocks = -(-batch // width)
        held = min(BLOCKS, blocks)
        signal, drive = x.numpy(), gradient.numpy()
        drives = self._take("delayed.drives", (held, self.targets, row * width))
        if wanted:
            rows = self._take("delayed.rows", (held, self.sources, row * width))
            terms = self._terms("delayed.terms", row, self.longest, -1, width, TICKS_CORRELATED)
            found = self._take("delayed.found", terms.values.shape)
            found[:] = 0
        if below is not None:
            back = self._terms("delayed.back", row, 0, 1, width, TICKS_ADDED)
            self._totals(width, self.sources)

        for start in range(0, blocks, held):
            stop = min(start + held, blocks)

            def lay(worker: int, low: int, high: int) -> None:
                for one in range(low, high):
                    block = one % held
                    if start + block >= stop:
                        continue
                    sample = (start + block) * width
                    if one < held:
                        kernels.lay_out(drive, 1.0, sample, drives[block], 0, width)
                    elif wanted:
                        kernels.lay_out(signal, scale, sample, rows[block], self.longest, width)

            def correlate(worker: int, low: int, high: int) -> None:
                for block in range(stop - start):
                    kernels.correlate(
                        rows[block].reshape(-1),
                        terms.places,
                        terms.starts,
                        drives[block],
                        ticks,
                        width,
                        TICKS_CORRELATED,
                        low,
                        high,
                        found,
                    )

            def send_back(worker: int, low: int, high: int) -> None:
                for block in range(low, high):
                    sample = (start + block) * width
                    self._add(drives[block], back, below.numpy(), scale, sample, width, worker, fresh)

            operations = self._operations(ticks * width * (stop - start))
            self._share(2 * held, operations, lay)
            if wanted:
                self._share(self.targets, operations, correlate)
            if below is not None:
                self._share(stop - start, operations, send_back)
        if wanted:
            self._bring_home(terms, found, of_weights, of_delays)

    def _take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> NDArray[np.generic]:
        return self.workspace.take(name, shape, dtype or self.dtype).numpy()

    def _share(self, total: int, operations: int, work: Callable[[int, int, int], None]) -> None:
        """Call ``work(worker, low, high)`` on ranges of pieces; the pieces do not depend on how many workers there are."""
        count = self.workers.count

        def part(first: int, last: int) -> None:
            work(first, total * first // count, total * last // count)

        self.workers.map(part, count, operations)

    def _operations(self, ticks: int) -> int:
        return ticks * self.weights.size

    def _row(self, ticks: int, width: int) -> int:
        """Return the ticks of a row; rows are kept from starting at the same place of a page, which is one cache set."""
        tick = width * self.dtype.itemsize
        while not 512 <= ticks * tick % 4096 <= 3584:
            ticks += max(1, 128 // tick)
        return ticks

    def _totals(self, width: int, outer: int) -> None:
        self._sums = self._take("delayed.totals", (self.workers.count, outer, TICKS_ADDED * width))

    def _add(
        self,
        rows: NDArray[np.generic],
        terms: Terms,
        out: NDArray[np.generic],
        scale: float,
        sample: int,
        width: int,
        worker: int,
        fresh: bool,
    ) -> None:
        kernels.add_shifted(
            rows.reshape(-1),
            terms.places,
            terms.values,
            terms.starts,
            out,
            scale,
            sample,
            width,
            TICKS_ADDED,
            0,
            out.shape[2],
            self._sums[worker],
            fresh,
        )

    def _terms(self, name: str, row: int, lead: int, sign: int, width: int, ticks: int) -> Terms:
        """List the taps; forward (`sign` -1) the sources are the inner neurons, on the way back the targets."""
        weights, delays = self.weights, self.delays
        if sign > 0:
            weights, delays = weights.transpose(0, 2, 1), delays.transpose(0, 2, 1)
        _, inner, outer = weights.shape
        stretch = (ticks + self.longest) * width * self.dtype.itemsize
        group = max(1, min(inner, CACHED // stretch))
        groups = max(1, -(-inner // group))
        group = max(1, -(-inner // groups))
        taps = min(self.longest + 1, int(2 * self.reach) + 1)
        capacity = group * outer * self.count * taps
        places = self._take(f"{name}.places", (groups * capacity,), torch.int32)
        values = self._take(f"{name}.values", (groups * capacity,))
        starts = self._take(f"{name}.starts", (groups, outer + 1), torch.int64)

        def work(worker: int, low: int, high: int) -> None:
            kernels.list_terms(
                weights,
                delays,
                self.triangle,
                self.sigma,
                self.reach,
                self.longest,
                FLOOR,
                group,
                row,
                lead,
                sign,
                width,
                low,
                high,
                capacity,
                places,
                values,
                starts,
            )

        self._share(groups, 20 * values.size, work)
        return Terms(places, values, starts, group)

    def _bring_home(
        self, terms: Terms, found: NDArray[np.generic], of_weights: Tensor | None, of_delays: Tensor | None
    ) -> None:
        nothing = np.empty((0, 0, 0), self.weights.dtype)

        def work(worker: int, low: int, high: int) -> None:
            kernels.add_gradients(
                found,
                self.weights,
                self.delays,
                self.triangle,
                self.sigma,
                self.reach,
                self.longest,
                FLOOR,
                terms.group,
                low,
                high,
                terms.starts,
                nothing if of_weights is None else of_weights.numpy(),
                nothing if of_delays is None else of_delays.numpy(),
            )

        self._share(terms.starts.shape[0], 20 * found.size, work)
