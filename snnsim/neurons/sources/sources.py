"""Sources: populations without a membrane, whose events come from outside, from chance or from a script.

Their events are made here, the same for every backend, as a pure function of seed, recording, source and
tick; a backend receives them as input events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, exactly
from snnsim.events import Events
from snnsim.neurons.parameters import Parameter, as_parameter
from snnsim.numerics import rng
from snnsim.timebase import to_ticks

#: Mean events a tick up to which Poisson counts are drawn; exp(-745) is zero in float64.
MOST_EVENTS_A_TICK = 500.0


class Source(ABC):
    """Base of all sources; concrete sources are frozen dataclasses."""

    @abstractmethod
    def generate(
        self, size: int, dt: float, start: int, n_ticks: int, recordings: NDArray[np.int64], seed: int, stream: int
    ) -> Events | None:
        """Return the events of ticks ``start ... start + n_ticks - 1`` counted from `start`, or None for `Input`.

        Parameters
        ----------
        size : int
            Number of sources in the population.
        dt : float
            Seconds a tick.
        start, n_ticks : int
            First tick and number of ticks.
        recordings : ndarray of int64
            Number of each recording of the batch; a source of chance differs between recordings.
        seed, stream : int
            Key of the random numbers.
        """

    def check_size(self, size: int, population: str) -> None:  # noqa: B027 - nothing to check by default
        """Raise `ParameterError` where the source does not fit a population of that size."""

    def check_dt(self, dt: float, population: str) -> None:  # noqa: B027 - nothing to check by default
        """Raise `ParameterError` where the source does not fit ticks of `dt` seconds."""

    def describe(self) -> str:
        """Return the source in one line."""
        return f"{type(self).__name__}()"


@dataclass(frozen=True, eq=False)
class Input(Source):
    """Events that are given at each run."""

    def generate(
        self, size: int, dt: float, start: int, n_ticks: int, recordings: NDArray[np.int64], seed: int, stream: int
    ) -> Events | None:
        """Return None: the run brings the events."""
        return None


@dataclass(frozen=True, eq=False)
class Poisson(Source):
    """Independent Poisson processes.

    Parameters
    ----------
    rate : float or array
        Mean events a second of each source. Several events of one source may fall into one tick; the mean
        number of events a tick must be at most 500.
    """

    rate: Parameter = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", as_parameter("rate", self.rate, at_least=0.0))

    def check_size(self, size: int, population: str) -> None:
        """Check that rates given per source fit the population."""
        if isinstance(self.rate, np.ndarray) and self.rate.shape != (size,):
            raise ParameterError(
                f"population {population!r}: rate has shape {self.rate.shape}, expected one number or ({size},)"
            )

    def check_dt(self, dt: float, population: str) -> None:
        """Check that the events of a tick can be drawn by inversion, where exp(-mean) must not underflow."""
        if float(np.max(self.rate, initial=0.0)) * dt > MOST_EVENTS_A_TICK:
            highest = float(np.max(self.rate))
            raise ParameterError(
                f"population {population!r}: rate={exactly(highest)}/s is {exactly(highest * dt)} events a tick of "
                f"{exactly(dt)} s; at most {MOST_EVENTS_A_TICK:g}"
            )

    def describe(self) -> str:
        """Return the mean rate."""
        return f"Poisson(rate={np.mean(self.rate):.4g}/s)"

    def generate(
        self, size: int, dt: float, start: int, n_ticks: int, recordings: NDArray[np.int64], seed: int, stream: int
    ) -> Events:
        """Draw the number of events of every (recording, tick, source) by inversion of one uniform number."""
        from snnsim.neurons.sources.poisson_kernels import draw_events  # compiled: not when snnsim is imported

        mean = np.array(np.broadcast_to(np.asarray(self.rate, np.float64) * dt, (size,)))
        zero = np.exp(-mean)
        limit = np.ceil(zero * 2.0**53).astype(np.int64)
        most = 100 + 10 * float(mean.max(initial=0.0))
        expected = float(mean.sum()) * n_ticks
        parts, counts = [], np.zeros(len(recordings), np.int64)
        for i, recording in enumerate(recordings):
            element = np.uint64(recording) * np.uint64(size) + np.arange(size, dtype=np.uint64)
            keys = rng.element_keys(seed, stream, element)
            room = int(expected + 6 * np.sqrt(expected)) + 64
            progress, done = np.zeros(2, np.int64), False
            drawn: tuple[NDArray[Any], ...] = np.zeros(1, np.int64), np.zeros(1, np.int32)
            while not done:
                drawn = tuple(_enlarged(values, room) for values in drawn)
                done = draw_events(keys, mean, zero, limit, most, start, n_ticks, *drawn, progress)
                room *= 2
            counts[i] = progress[1]
            parts.append([values[: counts[i]] for values in drawn])
        ticks, sources = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Events.unchecked(ticks, sources, np.concatenate(([0], np.cumsum(counts))), size, n_ticks, dt)

    def __repr__(self) -> str:
        return self.describe()


@dataclass(frozen=True, eq=False)
class Scripted(Source):
    """Events at given times, the same in every recording.

    Parameters
    ----------
    times : array of float, shape (events,)
        Seconds; whole ticks of the network's `dt`.
    sources : array of int, shape (events,)
        Which source of the population emits each event.
    """

    times: NDArray[np.floating[Any]]
    sources: NDArray[np.int64]

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(self, times: ArrayLike, sources: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        to_ticks(self.times, 1e-12, name="Scripted times", round="nearest")  # refuses negative times and NaN
        times = np.atleast_1d(np.asarray(self.times))
        if times.dtype != np.float32:  # whose spacing decides what is a whole tick
            times = times.astype(np.float64)
        try:
            sources = np.atleast_1d(np.asarray(self.sources))
        except (TypeError, ValueError, OverflowError) as error:
            raise ParameterError(f"Scripted: sources must be a flat list of whole numbers ({error})") from error
        if times.shape != sources.shape or times.ndim != 1:
            raise ParameterError(
                f"Scripted: {times.shape} times but {sources.shape} sources; both must be flat and equally long"
            )
        if sources.size and (sources.dtype.kind not in "iu" or sources.min() < 0):
            raise ParameterError("Scripted: sources must be whole numbers, zero or above")
        for name, given in (("times", times), ("sources", sources.astype(np.int64))):
            kept = given.copy()  # a network does not change with the caller's array
            kept.setflags(write=False)
            object.__setattr__(self, name, kept)

    def check_size(self, size: int, population: str) -> None:
        """Check that the sources exist in the population."""
        if self.sources.size and self.sources.max() >= size:
            raise ParameterError(
                f"population {population!r}: Scripted names source {int(self.sources.max())}, the population has {size}"
            )

    def check_dt(self, dt: float, population: str) -> None:
        """Check that all times are whole ticks."""
        to_ticks(self.times, dt, name=f"population {population!r}: Scripted times")

    def describe(self) -> str:
        """Return the number of scripted events."""
        return f"Scripted({self.times.size} events)"

    def generate(
        self, size: int, dt: float, start: int, n_ticks: int, recordings: NDArray[np.int64], seed: int, stream: int
    ) -> Events:
        """Return the scripted events that fall into the ticks asked for, once for each recording."""
        ticks = to_ticks(self.times, dt, name="Scripted times")
        keep = (ticks >= start) & (ticks < start + n_ticks)
        one = Events.from_ticks(ticks[keep] - start, self.sources[keep], n_sources=size, n_ticks=n_ticks, dt=dt)
        return one[np.zeros(len(recordings), np.int64)]


def _enlarged(values: NDArray[Any], room: int) -> NDArray[Any]:
    """Return a longer array that begins with the values."""
    longer = np.empty(room, values.dtype)
    longer[: values.size] = values
    return longer
