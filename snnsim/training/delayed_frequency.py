"""Delays of any width, along frequencies: a sum over delays is a product at each frequency.

Along time every signal becomes its discrete Fourier transform (DFT), a matrix product of its own, since the lengths
are those of a recording (100 or so) and the transform of all neurons and samples is taken at once. At each frequency
the projection is then one complex matrix product, (samples x sources) with (sources x targets), however many taps the
delays have. About ``1.5 N`` multiplications a sample and synapse are left, where ``N`` is ticks plus longest delay,
against ``longest + 1`` a tick of the direct sum.

A real signal of an even length `N` has ``N`` numbers in its transform. Rows of a transform here: real and imaginary
part of the frequencies ``1 ... N/2 - 1`` in turn, then the two that are real, 0 and ``N/2``; rows ``2p`` and ``2p + 1``
are called pair `p`. Long recordings go by segments of output ticks, each with the inputs that reach it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from snnsim.training import tap_kernels as kernels
from snnsim.training.delay_taps import bump_of
from snnsim.training.threads import Workers
from snnsim.training.workspace import Workspace

#: Columns (sample, neuron) that a worker transforms at a time: signal and transform stay in its second-level cache.
COLUMNS = 1024
#: Pairs of rows whose kernels a worker makes at a time.
PAIRS = 4
#: Pairs of rows whose kernel gradients are brought back to taps at a time.
GATHERED = 16
#: Sources and targets, about, whose kernel gradients belong to one piece of work.
TOGETHER = 128
#: Ticks of a segment of a long recording, unless its longest delay asks for more.
SEGMENT = 192


@dataclass(frozen=True)
class Segment:
    """Outputs ``first ... stop - 1``, the inputs ``low ... high - 1`` that reach them, the length of the transform."""

    first: int
    stop: int
    low: int
    high: int
    length: int


def segments(ticks_in: int, ticks_out: int, longest: int) -> Iterator[Segment]:
    """Yield segments that cover the output; nothing wraps around into them."""
    parts = -(-ticks_out // max(SEGMENT, 4 * longest))
    for part in range(parts):
        first, stop = ticks_out * part // parts, ticks_out * (part + 1) // parts
        low, high = max(0, first - longest), min(ticks_in, stop)
        if high > low:
            # What the last inputs send beyond the end comes back at the start, and must stay below `first`.
            length = max(high + longest - first, stop - low, longest + 1, 2)
            yield Segment(first, stop, low, high, length + length % 2)


@functools.lru_cache(maxsize=16)
def transform(length: int, dtype: torch.dtype) -> Tensor:
    """Return the matrix, shape (length, length), that takes a signal (ticks) to the rows of its transform."""
    frequencies = torch.arange(1, length // 2, dtype=torch.int64)
    ticks = torch.arange(length, dtype=torch.int64)
    angles = (frequencies[:, None] * ticks % length).to(torch.float64) * (2.0 * torch.pi / length)
    rows = torch.empty((length, length), dtype=torch.float64)
    rows[0:-2:2], rows[1:-2:2] = torch.cos(angles), -torch.sin(angles)
    rows[-2], rows[-1] = 1.0, 1.0 - 2.0 * (ticks % 2)
    return rows.to(dtype)


@functools.lru_cache(maxsize=16)
def inverse(length: int, dtype: torch.dtype) -> Tensor:
    """Return the matrix, shape (length, length), that takes the rows of a transform back to ticks."""
    back = transform(length, torch.float64).T * (2.0 / length)
    back[:, -2:] *= 0.5
    return back.to(dtype).contiguous()


class FrequencyMethod:
    """The products of one projection along frequencies; see `snnsim.training.delayed_product.DelayedProduct`."""

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
        self.weights, self.delays = weights, delays
        self.longest = longest
        self.bump = bump_of(kernel, sigma, longest, weights.dtype)
        self.workers, self.workspace = workers, workspace
        self.dtype = weights.dtype
        _, self.sources, self.targets = weights.shape

    def forward(self, x: Tensor, scale: float, out: Tensor, fresh: bool) -> None:
        """Write or add the drive; see `DelayedProduct.forward`."""
        pieces = list(segments(x.shape[0], out.shape[0], self.longest))
        if fresh and _uncovered(pieces, out.shape[0]):
            out.zero_()
        taps = self._taps()
        for piece in pieces:
            signal = self._transformed("delayed.x", x[piece.low : piece.high], 0, piece.length, scale)
            result = self._take("delayed.y", (piece.length, out.shape[1], self.targets))
            self._multiply(signal, taps, result, forward=True)
            back = inverse(piece.length, self.dtype)[piece.first - piece.low : piece.stop - piece.low]
            self._bring_back(back, result, out[piece.first : piece.stop], fresh)

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
        pieces = list(segments(x.shape[0], gradient.shape[0], self.longest))
        # Segments share inputs, so only a single one may write instead of adding.
        alone = len(pieces) == 1 and pieces[0].low == 0 and pieces[0].high == x.shape[0]
        if below is not None and fresh and not alone:
            below.zero_()
        taps = None if below is None else self._taps()
        for piece in pieces:
            start = piece.first - piece.low
            drive = self._transformed("delayed.y", gradient[piece.first : piece.stop], start, piece.length, 1.0)
            if of_weights is not None or of_delays is not None:
                signal = self._transformed("delayed.x", x[piece.low : piece.high], 0, piece.length, scale)
                self._gradients(signal, drive, of_weights, of_delays)
            if below is not None and taps is not None:
                result = self._take("delayed.x", (piece.length, x.shape[1], self.sources))
                self._multiply(drive, taps, result, forward=False)
                back = inverse(piece.length, self.dtype)[: piece.high - piece.low] * scale
                self._bring_back(back, result, below[piece.low : piece.high], fresh and alone)

    def _take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return self.workspace.take(name, shape, self.dtype)

    def _taps(self) -> Tensor:
        """Return the taps of all synapses, shape (longest + 1, sources, targets)."""
        taps = self._take("delayed.taps", (self.longest + 1, self.sources, self.targets))
        weights, delays, held = self.weights.numpy(), self.delays.numpy(), taps.numpy()

        def work(low: int, high: int) -> None:
            kernels.write_taps(weights, delays, self.bump, low, high, held)

        self.workers.map(work, self.sources, 4 * taps.numel() * weights.shape[0])
        return taps

    def _transformed(self, name: str, signal: Tensor, start: int, length: int, scale: float) -> Tensor:
        """Return the transform of a signal that begins at tick `start`, shape (length, batch, neurons)."""
        ticks, batch, neurons = signal.shape
        flat = signal.reshape(ticks, -1)
        width = flat.shape[1]
        matrix = transform(length, self.dtype)[:, start : start + ticks]
        if scale != 1.0:
            matrix = matrix * scale
        result = self._take(name, (length, width))
        convert = flat.dtype != self.dtype
        held = self._take("delayed.scratch", (self.workers.count, ticks if convert else 0, COLUMNS))

        def work(worker: int, low: int, high: int) -> None:
            for chunk in range(low, high):
                columns = slice(chunk * COLUMNS, min((chunk + 1) * COLUMNS, width))
                part = flat[:, columns]
                if convert:
                    part = held[worker, :, : columns.stop - columns.start].copy_(part)
                torch.mm(matrix, part, out=result[:, columns])

        self.workers.share(work, -(-width // COLUMNS), length * ticks * width)
        return result.view(length, batch, neurons)

    def _bring_back(self, matrix: Tensor, result: Tensor, out: Tensor, fresh: bool) -> None:
        """Write or add the ticks of a transform to a signal."""
        flat, rows = out.view(out.shape[0], -1), result.view(result.shape[0], -1)
        width = flat.shape[1]

        def work(worker: int, low: int, high: int) -> None:
            for chunk in range(low, high):
                columns = slice(chunk * COLUMNS, min((chunk + 1) * COLUMNS, width))
                if fresh:
                    torch.mm(matrix, rows[:, columns], out=flat[:, columns])
                else:
                    flat[:, columns].addmm_(matrix, rows[:, columns])

        self.workers.share(work, -(-width // COLUMNS), matrix.numel() * width)

    def _multiply(self, signal: Tensor, taps: Tensor, result: Tensor, *, forward: bool) -> None:
        """Multiply transforms with those of the taps, or for the way back with their conjugate transposes."""
        length, batch, _ = signal.shape
        matrix = transform(length, self.dtype)[:, : self.longest + 1]
        flat = taps.view(self.longest + 1, -1)
        pairs = length // 2
        kernels = self._take("delayed.kernels", (self.workers.count, 2 * PAIRS + 1, self.sources, self.targets))
        sums = self._take("delayed.sums", (self.workers.count, batch, signal.shape[2]))

        def work(worker: int, low: int, high: int) -> None:
            *held, mixed = kernels[worker]
            rows = kernels[worker].view(2 * PAIRS + 1, -1)
            for chunk in range(low, high):
                first, stop = chunk * PAIRS, min((chunk + 1) * PAIRS, pairs)
                torch.mm(matrix[2 * first : 2 * stop], flat, out=rows[: 2 * (stop - first)])
                for pair in range(first, stop):
                    real, imaginary = held[2 * (pair - first)], held[2 * (pair - first) + 1]
                    source, target = signal[2 * pair : 2 * pair + 2], result[2 * pair : 2 * pair + 2]
                    if pair == pairs - 1:
                        torch.mm(source[0], real if forward else real.T, out=target[0])
                        torch.mm(source[1], imaginary if forward else imaginary.T, out=target[1])
                    elif forward:
                        _complex_product(source, real, imaginary, target, sums[worker], mixed)
                    else:
                        _conjugate_product(source, real, imaginary, target, sums[worker], mixed)

        work_of = 3 * batch + 4 * self.longest
        self.workers.share(work, -(-pairs // PAIRS), pairs * self.sources * self.targets * work_of)

    def _gradients(self, signal: Tensor, drive: Tensor, of_weights: Tensor | None, of_delays: Tensor | None) -> None:
        """Add the gradients of weights and delays, a part of the sources and targets at a time."""
        length, batch, _ = signal.shape
        extent, pairs = self.longest + 1, length // 2
        parts = [(low, high, begin, end) for low, high in _ranges(self.sources) for begin, end in _ranges(self.targets)]
        highest = max(high - low for low, high, _, _ in parts)
        broadest = max(end - begin for _, _, begin, end in parts)
        back = inverse(length, self.dtype)[:extent]
        count = self.workers.count
        spectra = self._take("delayed.kernels", (count, 2 * GATHERED, highest * broadest))
        gathered = self._take("delayed.scratch", (count, extent * highest * broadest))
        signal_sums = self._take("delayed.sums", (count, batch * highest))
        drive_sums = self._take("delayed.sums.drive", (count, batch * broadest))
        weights, delays = self.weights.numpy(), self.delays.numpy()
        nothing = weights[:0]
        results = [nothing if one is None else one.numpy() for one in (of_weights, of_delays)]

        def work(worker: int, first_part: int, last_part: int) -> None:
            for part in parts[first_part:last_part]:
                low, high, begin, end = part
                rows, columns = high - low, end - begin
                taps = gathered[worker, : extent * rows * columns].view(extent, rows * columns)
                sums = signal_sums[worker, : batch * rows].view(batch, rows)
                mixed = drive_sums[worker, : batch * columns].view(batch, columns)
                for first in range(0, pairs, GATHERED):
                    stop = min(first + GATHERED, pairs)
                    found = spectra[worker, : 2 * (stop - first), : rows * columns]
                    for pair in range(first, stop):
                        source = signal[2 * pair : 2 * pair + 2, :, low:high]
                        target = drive[2 * pair : 2 * pair + 2, :, begin:end]
                        product = found[2 * (pair - first) : 2 * (pair - first) + 2].view(2, rows, columns)
                        if pair == pairs - 1:
                            torch.mm(source[0].T, target[0], out=product[0])
                            torch.mm(source[1].T, target[1], out=product[1])
                        else:
                            _correlate(source, target, product, sums, mixed)
                    if first == 0:
                        torch.mm(back[:, 2 * first : 2 * stop], found, out=taps)
                    else:
                        taps.addmm_(back[:, 2 * first : 2 * stop], found)
                shaped = taps.view(extent, rows, columns).numpy()
                kernels.add_tap_gradients(shaped, weights, delays, self.bump, part, *results)

        self.workers.share(work, len(parts), pairs * self.sources * self.targets * (3 * batch + 2 * extent))


def _ranges(neurons: int) -> list[tuple[int, int]]:
    """Return ranges of about `TOGETHER` neurons."""
    count = max(1, round(neurons / TOGETHER))
    return [(neurons * part // count, neurons * (part + 1) // count) for part in range(count)]


def _uncovered(pieces: list[Segment], ticks_out: int) -> bool:
    """Return whether some outputs are in no segment, which is where no input reaches them."""
    return sum(piece.stop - piece.first for piece in pieces) < ticks_out


# Each of these does with three real products what a complex product does with four: with (a + ib)(c + id), the product
# (a + b)c is part of both, since ac - bd = (a + b)c - b(c + d) and ad + bc = (a + b)c + a(d - c).


def _complex_product(signal: Tensor, c: Tensor, d: Tensor, out: Tensor, sums: Tensor, mixed: Tensor) -> None:
    a, b = signal[0], signal[1]
    real, imaginary = out[0], out[1]
    torch.mm(torch.add(a, b, out=sums), c, out=real)
    imaginary.copy_(real)
    real.addmm_(b, torch.add(c, d, out=mixed), alpha=-1.0)
    imaginary.addmm_(a, torch.sub(d, c, out=mixed))


def _conjugate_product(signal: Tensor, c: Tensor, d: Tensor, out: Tensor, sums: Tensor, mixed: Tensor) -> None:
    """Multiply with the transpose of ``c - id``."""
    a, b = signal[0], signal[1]
    real, imaginary = out[0], out[1]
    torch.mm(torch.add(a, b, out=sums), c.T, out=real)
    imaginary.copy_(real)
    real.addmm_(b, torch.sub(c, d, out=mixed).T, alpha=-1.0)
    imaginary.addmm_(a, torch.add(c, d, out=mixed).T, alpha=-1.0)


def _correlate(signal: Tensor, drive: Tensor, out: Tensor, sums: Tensor, mixed: Tensor) -> None:
    """Multiply the transpose of ``a - ib`` with ``c + id``: summed over samples."""
    a, b = signal[0], signal[1]
    c, d = drive[0], drive[1]
    real, imaginary = out[0], out[1]
    torch.mm(torch.sub(a, b, out=sums).T, c, out=real)
    imaginary.copy_(real)
    real.addmm_(b.T, torch.add(c, d, out=mixed))
    imaginary.addmm_(a.T, torch.sub(d, c, out=mixed))
