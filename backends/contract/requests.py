"""What a program is asked to run and to record, and what it hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.events import Events
from snnsim.frames import Frames, Recordings
from snnsim.network.network import Network
from snnsim.scores import SCORES


@dataclass(frozen=True)
class TraceRequest:
    """One state of some neurons at every n-th tick."""

    population: int
    state: int
    every: int
    neurons: NDArray[np.int64]

    def records(self, start: int, n_ticks: int) -> int:
        """Return how many of the ticks ``start ... start + n_ticks - 1`` are recorded."""
        return -(-(start + n_ticks) // self.every) + (-start // self.every)


@dataclass(frozen=True)
class ExitRequest:
    """When to stop a recording: the confidence of a readout exceeds the tick's threshold (`snnsim.early_exit`)."""

    population: int
    smoothing: float
    thresholds: NDArray[np.float64]
    score: str = SCORES[0]


@dataclass(frozen=True)
class RunRequest:
    """What to run and what to record.

    Parameters
    ----------
    n_ticks : int
        Ticks to advance.
    inputs : mapping of int to Events or Frames
        Of each source population, one recording for each of the state's.
    spikes : tuple of int
        Populations whose spikes are recorded.
    traces : tuple of TraceRequest
    exit : ExitRequest, optional
    first_recording : int
        Number of the first recording, which keys the random numbers of drives.
    ends : ndarray of int64, shape (recordings,), optional
        Ticks after which each recording is left, ``1 ... n_ticks``; default `n_ticks` for all.
    """

    n_ticks: int
    inputs: Mapping[int, Recordings]
    spikes: tuple[int, ...] = ()
    traces: tuple[TraceRequest, ...] = ()
    exit: ExitRequest | None = None
    first_recording: int = 0
    ends: NDArray[np.int64] | None = None

    def ends_of(self, recordings: int) -> NDArray[np.int64]:
        """Return after how many ticks each recording is left."""
        return np.full(recordings, self.n_ticks, np.int64) if self.ends is None else self.ends

    @property
    def frames(self) -> dict[int, Frames]:
        """The inputs that are frames."""
        return {number: given for number, given in self.inputs.items() if isinstance(given, Frames)}

    def events_of(self, population: int) -> Events:
        """Return the events of a source population that is given events."""
        given = self.inputs[population]
        assert isinstance(given, Events)
        return given

    @cached_property
    def cut_short(self) -> bool:
        """Whether a recording may be left before the last tick."""
        return self.exit is not None or (self.ends is not None and least(self.ends) < self.n_ticks)


def least(counts: NDArray[np.int64]) -> int:
    """Return the smallest of some counts; of a single one without NumPy's reduction, which takes longer than a tick."""
    return int(counts[0] if counts.size == 1 else counts.min())


def most(counts: NDArray[np.int64]) -> int:
    """Return the largest of some counts, as `least` does."""
    return int(counts[0] if counts.size == 1 else counts.max())


def recording_ends(network: Network, inputs: Mapping[int, Recordings]) -> NDArray[np.int64]:
    """Return after how many ticks each recording is left: its length, and what the network needs after that.

    Of several inputs the longest counts.
    """
    lengths = [events.lengths for events in inputs.values()]
    longest = lengths[0] if len(lengths) == 1 else np.max(lengths, axis=0)
    return np.asarray(longest + network.extension_ticks, np.int64)


@dataclass
class RunOutput:
    """What a run recorded and counted.

    Parameters
    ----------
    spikes : dict of int to Events
        Ticks count from the first tick of the run; recordings are as long as was computed of them.
    traces : list of ndarray, shape (recordings, records, neurons)
        One for each trace asked for; NaN after a recording's exit or end.
    population_spikes : ndarray of int64, shape (recordings, populations)
        Spikes (of sources: events; none of frames).
    membrane_updates : ndarray of int64, shape (recordings, populations)
        Neurons advanced by a tick.
    synaptic_operations : ndarray of int64, shape (recordings, projections)
        Weights added to an input; where the source is given frames, products of a value and a weight.
    exit_ticks : ndarray of int64, shape (recordings,)
        Ticks that were computed.
    """

    spikes: dict[int, Events]
    traces: list[NDArray[Any]]
    population_spikes: NDArray[np.int64]
    membrane_updates: NDArray[np.int64]
    synaptic_operations: NDArray[np.int64]
    exit_ticks: NDArray[np.int64]
