"""Where the blocks of a long run go: into memory, or into a stream on the disk."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.requests import RunOutput, TraceRequest
from snnsim.backends.contract.state import State
from snnsim.events import Events
from snnsim.simulation.stream.segments import Counts, SegmentFolder

#: Bytes of spikes and traces that a stream holds in memory before it writes a segment.
SEGMENT_BYTES = 2**25
#: Ticks of a segment count from its start, in 32 bits.
_LONGEST_SEGMENT = 2**31


class SpikeLog:
    """Spikes of blocks of ticks, at 8 bytes each until they are taken.

    Parameters
    ----------
    populations : sequence of int
        Which are recorded.
    """

    def __init__(self, populations: Sequence[int]) -> None:
        self._blocks: dict[int, list[tuple[int, NDArray[np.uint32], NDArray[np.int32]]]] = {p: [] for p in populations}
        self.nbytes = 0

    def add(self, spikes: Mapping[int, Events], first: int) -> None:
        """Add the spikes of a block that begins at tick `first`."""
        for number, blocks in self._blocks.items():
            events = spikes[number]
            if events.ticks.size:
                blocks.append((first, events.ticks.astype(np.uint32), events.sources))
                self.nbytes += 8 * events.ticks.size

    def take(self, number: int, dtype: type[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return ticks (of type `dtype`) and sources of a population, and forget them."""
        blocks, self._blocks[number] = self._blocks[number], []
        total = sum(ticks.size for _, ticks, _ in blocks)
        self.nbytes -= 8 * total
        all_ticks, all_sources, place = np.empty(total, dtype), np.empty(total, np.int32), 0
        # Block after block is let go, so that the most memory at a time is little more than the outcome.
        blocks.reverse()
        while blocks:
            first, ticks, sources = blocks.pop()
            np.add(ticks, first, out=all_ticks[place : place + ticks.size], dtype=dtype, casting="unsafe")
            all_sources[place : place + ticks.size] = sources
            place += ticks.size
        return all_ticks, all_sources


class Sink(ABC):
    """Takes what the blocks of a run recorded, one after another."""

    #: Ticks that are done, counted from the start of the run.
    done: int = 0

    #: Whether it wants the state now and then, at moments of its own choice.
    checkpoints: bool = False

    def room(self) -> int | None:
        """Return how many ticks the next block may have at most, or None for any number."""
        return None

    @abstractmethod
    def add(self, output: RunOutput, n_ticks: int, seconds: float) -> None:
        """Take the outcome of a block of so many ticks that took so many seconds."""

    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return False

    def pause(self, state: State) -> None:  # noqa: B027 - memory keeps nothing for later
        """Keep what there is and the state after it, so that the run may go on from here."""


class MemorySink(Sink):
    """Keeps everything in memory.

    Parameters
    ----------
    spikes : sequence of int
        Populations that are recorded.
    traces : sequence of TraceRequest
    start, n_ticks : int
        First tick and length of the run.
    """

    def __init__(self, spikes: Sequence[int], traces: Sequence[TraceRequest], start: int, n_ticks: int) -> None:
        self._spikes, self._traces = spikes, traces
        self._start, self._n_ticks = start, n_ticks
        self._log = SpikeLog(spikes)
        self._values: list[NDArray[Any]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._first: RunOutput | None = None
        self.seconds = 0.0

    def add(self, output: RunOutput, n_ticks: int, seconds: float) -> None:
        """Take the outcome of a block."""
        self.seconds += seconds
        if n_ticks == self._n_ticks:  # the whole run in one block: nothing to join
            self._first, self.done = output, n_ticks
            return
        if not self.done:
            self._values = [
                np.empty((1, trace.records(self._start, self._n_ticks), trace.neurons.size), values.dtype)
                for trace, values in zip(self._traces, output.traces, strict=True)
            ]
        for trace, whole, values in zip(self._traces, self._values, output.traces, strict=True):
            place = trace.records(self._start, self.done)
            whole[:, place : place + values.shape[1]] = values
        counts = [output.population_spikes, output.membrane_updates, output.synaptic_operations, output.exit_ticks]
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)] if self._counts else counts
        self._log.add(output.spikes, self.done)
        self.done += n_ticks

    def finish(self, sizes: Sequence[int], dt: float) -> RunOutput:
        """Return the outcome of the run; `sizes` are those of all populations."""
        if self._first is not None:
            return self._first
        spikes = {}
        for number in self._spikes:
            ticks, sources = self._log.take(number, np.int64)
            offsets = np.array([0, ticks.size], np.int64)
            spikes[number] = Events.unchecked(ticks, sources, offsets, sizes[number], self._n_ticks, dt)
        return RunOutput(spikes, self._values, *self._counts)


class StreamSink(Sink):
    """Writes segments into a folder, and checkpoints between them.

    Parameters
    ----------
    folder : SegmentFolder, optional
        Open for writing; without one what is recorded is dropped, for another process writes the same.
    spikes : sequence of int
        Populations that are recorded.
    done : int
        Ticks of the run whose segments are there already.
    save : callable, optional
        Writes a checkpoint of a state; default none is written.
    every : int, optional
        Ticks between checkpoints, counted from the start of the run; default about `CHECKPOINT_SECONDS` of work.
    """

    #: Seconds of work between checkpoints where nothing else is said.
    CHECKPOINT_SECONDS = 300.0

    def __init__(
        self,
        folder: SegmentFolder | None,
        spikes: Sequence[int],
        done: int,
        save: Callable[[State], None] | None = None,
        every: int | None = None,
    ) -> None:
        self._folder, self._spikes, self._save, self._every = folder, spikes, save, every
        self.done = self._written = done
        self.checkpoints = save is not None
        self._log = SpikeLog(spikes)
        self._traces: list[list[NDArray[Any]]] = []
        self._counts: Counts | None = None
        self._trace_bytes = 0
        # The tick of the newest checkpoint: a run begins with one, and goes on from one.
        self._saved, self._saved_at = done, time.monotonic()

    def room(self) -> int | None:
        """Return the ticks up to the next checkpoint."""
        if self._save is None or self._every is None:
            return None
        return self._every - self.done % self._every

    def add(self, output: RunOutput, n_ticks: int, seconds: float) -> None:
        """Take the outcome of a block, and write a segment when there is enough."""
        first, self.done = self.done, self.done + n_ticks
        if self._folder is None:
            return
        self._log.add(output.spikes, first - self._written)
        self._traces = self._traces or [[] for _ in output.traces]
        for kept, values in zip(self._traces, output.traces, strict=True):
            kept.append(values[0])
            self._trace_bytes += values.nbytes
        counts = Counts(output.population_spikes[0], output.membrane_updates[0], output.synaptic_operations[0], seconds)
        if self._counts is None:
            self._counts = counts
        else:
            self._counts.add(counts)
        if self._log.nbytes + self._trace_bytes > SEGMENT_BYTES or self.done - self._written > _LONGEST_SEGMENT:
            self.flush()

    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        if self._every is None:
            return time.monotonic() - self._saved_at > self.CHECKPOINT_SECONDS
        return self.done % self._every == 0

    def pause(self, state: State) -> None:
        """Write what there is, then a checkpoint: what comes before a checkpoint must be on the disk before it."""
        self.flush()
        if self._save is not None and self._saved != self.done:
            self._save(state)
            self._saved, self._saved_at = self.done, time.monotonic()

    def flush(self) -> None:
        """Write what there is as a segment."""
        if self._folder is None or self._counts is None:
            return
        self._folder.write(
            self._written,
            self.done,
            [self._log.take(number, np.uint32) for number in self._spikes],
            [np.concatenate(kept) for kept in self._traces],
            self._counts,
        )
        self._written, self._counts, self._traces, self._trace_bytes = self.done, None, [], 0
