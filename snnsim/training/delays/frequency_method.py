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
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.delays import tap_kernels
from snnsim.training.delays.taps import bump_of

#: Columns (sample, neuron) that a worker transforms at a time: signal and transform stay in its second-level cache.
COLUMNS = 1024
#: Synapses whose taps become frequencies in one product; a product first makes a copy of what it is given.
PACKED = 2**13
#: Pairs of rows whose kernels a worker makes at a time.
PAIRS = 4
#: Pairs of rows whose kernel gradients are brought back to taps at a time.
GATHERED = 16
#: Sources and targets, about, whose kernel gradients belong to one piece of work.
TOGETHER = 128
#: Bytes of the transforms held at a time, about; more frequencies than fit go one band after another.
HELD = 6 * 2**20
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
    """The products of one projection along frequencies; see `snnsim.training.delays.product.DelayedProduct`."""

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
            back = inverse(piece.length, self.dtype)[piece.first - piece.low : piece.stop - piece.low]
            for band in self._bands(piece.length, x.shape[1]):
                matrix = scale * transform(piece.length, self.dtype)[band, : piece.high - piece.low]
                signal = self._transformed("delayed.x", matrix, x[piece.low : piece.high])
                result = self._take("delayed.y", (signal.shape[0], out.shape[1], self.targets))
                self._multiply(signal, taps, result, piece.length, band, forward=True)
                self._bring_back(back[:, band], result, out[piece.first : piece.stop], fresh and band.start == 0)

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
        wanted = of_weights is not None or of_delays is not None
        found: list[Tensor] = []
        for piece in pieces:
            start, rows = piece.first - piece.low, transform(piece.length, self.dtype)
            back = inverse(piece.length, self.dtype)
            for band in self._bands(piece.length, x.shape[1]):
                matrix = rows[band, start : start + piece.stop - piece.first]
                drive = self._transformed("delayed.y", matrix, gradient[piece.first : piece.stop])
                if wanted:
                    matrix = scale * rows[band, : piece.high - piece.low]
                    signal = self._transformed("delayed.x", matrix, x[piece.low : piece.high])
                    found = self._correlate(signal, drive, piece.length, band, found)
                if below is not None and taps is not None:
                    result = self._take("delayed.x", (drive.shape[0], x.shape[1], self.sources))
                    self._multiply(drive, taps, result, piece.length, band, forward=False)
                    matrix = scale * back[: piece.high - piece.low, band]
                    self._bring_back(matrix, result, below[piece.low : piece.high], fresh and alone and band.start == 0)
        if found:
            self._bring_home(found, of_weights, of_delays)

    def _bands(self, length: int, batch: int) -> list[slice]:
        """Return ranges of rows of a transform, whole chunks of pairs, that are held at a time."""
        size = length * batch * (self.sources + self.targets) * self.dtype.itemsize
        chunks = -(-length // (2 * GATHERED))
        count = min(chunks, max(1, round(size / HELD)))
        edges = [min(length, 2 * GATHERED * (chunks * part // count)) for part in range(count + 1)]
        return [slice(first, stop) for first, stop in itertools.pairwise(edges)]

    def _take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return self.workspace.take(name, shape, self.dtype)

    def _taps(self) -> Tensor:
        """Return the taps of all synapses, shape (longest + 1, sources, targets)."""
        taps = self._take("delayed.taps", (self.longest + 1, self.sources, self.targets))
        weights, delays, held = self.weights.numpy(), self.delays.numpy(), taps.numpy()

        def work(low: int, high: int) -> None:
            tap_kernels.write_taps(weights, delays, self.bump, low, high, held)

        self.workers.map(work, self.sources, 4 * taps.numel() * weights.shape[0])
        return taps

    def _transformed(self, name: str, matrix: Tensor, signal: Tensor) -> Tensor:
        """Return rows of the transform of a signal, shape (rows, batch, neurons)."""
        ticks, batch, neurons = signal.shape
        flat = signal.reshape(ticks, -1)
        width = flat.shape[1]
        result = self._take(name, (matrix.shape[0], width))
        convert = flat.dtype != self.dtype
        held = self._take("delayed.scratch", (self.workers.count, ticks if convert else 0, COLUMNS))

        def work(worker: int, low: int, high: int) -> None:
            for chunk in range(low, high):
                columns = slice(chunk * COLUMNS, min((chunk + 1) * COLUMNS, width))
                part = flat[:, columns]
                if convert:
                    part = held[worker, :, : columns.stop - columns.start].copy_(part)
                torch.mm(matrix, part, out=result[:, columns])

        self.workers.share(work, -(-width // COLUMNS), matrix.numel() * width)
        return result.view(matrix.shape[0], batch, neurons)

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

    def _multiply(
        self, signal: Tensor, taps: Tensor, result: Tensor, length: int, band: slice, *, forward: bool
    ) -> None:
        """Multiply transforms with those of the taps, or for the way back with their conjugate transposes."""
        rows, batch, neurons = signal.shape
        matrix = transform(length, self.dtype)[band, : self.longest + 1]
        flat = taps.view(self.longest + 1, -1)
        pairs, product = rows // 2, _complex_product if forward else _conjugate_product
        spectra = self._take("delayed.kernels", (self.workers.count, 2 * PAIRS + 1, self.sources, self.targets))
        sums = self._take("delayed.sums", (self.workers.count, batch, neurons))

        def work(worker: int, low: int, high: int) -> None:
            *held, mixed = spectra[worker]
            for chunk in range(low, high):
                first, stop = chunk * PAIRS, min((chunk + 1) * PAIRS, pairs)
                made = spectra[worker, : 2 * (stop - first)].view(2 * (stop - first), -1)
                for part in range(0, flat.shape[1], PACKED):
                    columns = slice(part, part + PACKED)
                    torch.mm(matrix[2 * first : 2 * stop], flat[:, columns], out=made[:, columns])
                for pair in range(first, stop):
                    real, imaginary = held[2 * (pair - first)], held[2 * (pair - first) + 1]
                    source, target = signal[2 * pair : 2 * pair + 2], result[2 * pair : 2 * pair + 2]
                    if band.start + 2 * pair + 2 == length:
                        torch.mm(source[0], real if forward else real.T, out=target[0])
                        torch.mm(source[1], imaginary if forward else imaginary.T, out=target[1])
                    else:
                        product(source, real, imaginary, target, sums[worker], mixed)

        each = 3 * batch + 4 * self.longest
        self.workers.share(work, -(-pairs // PAIRS), pairs * self.sources * self.targets * each)

    def _parts(self) -> list[tuple[int, int, int, int]]:
        """Return ranges of sources and targets whose gradients are one piece of work."""
        return [(low, high, begin, end) for low, high in _ranges(self.sources) for begin, end in _ranges(self.targets)]

    def _correlate(self, signal: Tensor, drive: Tensor, length: int, band: slice, found: list[Tensor]) -> list[Tensor]:
        """Add the gradients of the taps, each of shape (longest + 1, sources * targets of a part), to `found`."""
        rows, batch, _ = signal.shape
        extent, parts = self.longest + 1, self._parts()
        sizes = [(high - low) * (end - begin) for low, high, begin, end in parts]
        fresh = not found
        if fresh:
            taken = self._take("delayed.found", (extent * sum(sizes),))
            ends = itertools.accumulate(extent * size for size in sizes)
            found = [taken[end - extent * size : end].view(extent, size) for end, size in zip(ends, sizes, strict=True)]
        back = inverse(length, self.dtype)[:extent, band]
        count = self.workers.count
        spectra = self._take("delayed.kernels", (count, 2 * GATHERED * max(sizes)))
        signal_sums = self._take("delayed.sums", (count, batch * max(high - low for low, high, _, _ in parts)))
        drive_sums = self._take("delayed.sums.drive", (count, batch * max(end - begin for *_, begin, end in parts)))

        def work(worker: int, first_part: int, last_part: int) -> None:
            for part in range(first_part, last_part):
                low, high, begin, end = parts[part]
                sums = signal_sums[worker, : batch * (high - low)].view(batch, -1)
                mixed = drive_sums[worker, : batch * (end - begin)].view(batch, -1)
                for first in range(0, rows, 2 * GATHERED):
                    stop = min(first + 2 * GATHERED, rows)
                    spectrum = spectra[worker, : (stop - first) * sizes[part]].view(-1, high - low, end - begin)
                    for row in range(first, stop, 2):
                        source, target = signal[row : row + 2, :, low:high], drive[row : row + 2, :, begin:end]
                        product = spectrum[row - first : row - first + 2]
                        if band.start + row + 2 == length:
                            torch.mm(source[0].T, target[0], out=product[0])
                            torch.mm(source[1].T, target[1], out=product[1])
                        else:
                            _correlated_product(source, target, product, sums, mixed)
                    flat = spectrum.view(stop - first, -1)
                    if fresh and first == 0:
                        torch.mm(back[:, first:stop], flat, out=found[part])
                    else:
                        found[part].addmm_(back[:, first:stop], flat)

        each = 3 * batch + 4 * extent
        self.workers.share(work, len(parts), rows // 2 * self.sources * self.targets * each)
        return found

    def _bring_home(self, found: list[Tensor], of_weights: Tensor | None, of_delays: Tensor | None) -> None:
        """Add the gradients of weights and delays, given those of the taps."""
        parts, weights, delays = self._parts(), self.weights.numpy(), self.delays.numpy()
        results = [weights[:0] if one is None else one.numpy() for one in (of_weights, of_delays)]

        def work(first: int, last: int) -> None:
            for part, taps in zip(parts[first:last], found[first:last], strict=True):
                low, high, begin, end = part
                shaped = taps.view(-1, high - low, end - begin).numpy()
                tap_kernels.add_tap_gradients(shaped, weights, delays, self.bump, part, *results)

        self.workers.map(work, len(parts), 8 * sum(taps.numel() for taps in found))


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


def _correlated_product(signal: Tensor, drive: Tensor, out: Tensor, sums: Tensor, mixed: Tensor) -> None:
    """Multiply the transpose of ``a - ib`` with ``c + id``: summed over samples."""
    a, b = signal[0], signal[1]
    c, d = drive[0], drive[1]
    real, imaginary = out[0], out[1]
    torch.mm(torch.sub(a, b, out=sums).T, c, out=real)
    imaginary.copy_(real)
    real.addmm_(b.T, torch.add(c, d, out=mixed))
    imaginary.addmm_(a.T, torch.sub(d, c, out=mixed))
