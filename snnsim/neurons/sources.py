"""Sources: populations without a membrane, whose events come from outside, from chance or from a script.

Their events are made here, the same for every backend, as a pure function of seed, recording, source and
tick; a backend receives them as input events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim import rng
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.neurons.parameters import Parameter, as_parameter
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
        if np.max(self.rate, initial=0.0) * dt > MOST_EVENTS_A_TICK:
            raise ParameterError(
                f"population {population!r}: rate={np.max(self.rate):g}/s is {np.max(self.rate) * dt:g} events a tick "
                f"of {dt:g} s; at most {MOST_EVENTS_A_TICK:g}"
            )

    def describe(self) -> str:
        """Return the mean rate."""
        return f"Poisson(rate={np.mean(self.rate):.4g}/s)"

    def generate(
        self, size: int, dt: float, start: int, n_ticks: int, recordings: NDArray[np.int64], seed: int, stream: int
    ) -> Events:
        """Draw the number of events of every (recording, tick, source) by inversion of one uniform number."""
        mean = np.broadcast_to(np.asarray(self.rate, np.float64) * dt, (size,))
        ticks, sources, counts = [], [], np.zeros(len(recordings), np.int64)
        # Blocks of ticks bound the memory: 2**22 uniform numbers are 32 MiB.
        block = max(1, 2**22 // max(size, 1))
        for i, recording in enumerate(recordings):
            for first in range(start, start + n_ticks, block):
                now = np.arange(first, min(first + block, start + n_ticks))
                element = np.uint64(recording) * np.uint64(size) + np.arange(size, dtype=np.uint64)
                number = _poisson(rng.uniform(seed, stream, element[None, :], now[:, None]), mean)
                tick, source = np.nonzero(number)
                repeat = number[tick, source]
                ticks.append(np.repeat(tick + first - start, repeat))
                sources.append(np.repeat(source, repeat))
                counts[i] += int(repeat.sum())
        offsets = np.concatenate(([0], np.cumsum(counts)))
        joined = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in (ticks, sources)]
        return Events(joined[0], joined[1].astype(np.int32), offsets, size, n_ticks, dt)

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

    times: NDArray[np.float64]
    sources: NDArray[np.int64]

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(self, times: ArrayLike, sources: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        times = np.atleast_1d(np.asarray(self.times, np.float64))
        sources = np.atleast_1d(np.asarray(self.sources))
        if times.shape != sources.shape or times.ndim != 1:
            raise ParameterError(
                f"Scripted: {times.shape} times but {sources.shape} sources; both must be flat and equally long"
            )
        if sources.size and (sources.dtype.kind not in "iu" or sources.min() < 0):
            raise ParameterError("Scripted: sources must be whole numbers, zero or above")
        to_ticks(times, 1e-12, name="Scripted times", round=True)  # refuses negative times and NaN
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "sources", sources.astype(np.int64))

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


def _poisson(uniform: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.int64]:
    """Turn uniform numbers into Poisson counts by inverting the cumulative distribution."""
    term = np.broadcast_to(np.exp(-mean), uniform.shape)
    cumulative = term.copy()
    count = np.zeros(uniform.shape, np.int64)
    k = 0
    above = uniform >= cumulative
    # Past 1 - 2**-53 the cumulative sum can stop below a uniform number by rounding; the bound ends the loop.
    while np.any(above) and k < 100 + 10 * float(mean.max(initial=0.0)):
        k += 1
        count += above
        term = term * (mean / k)
        cumulative = cumulative + term
        above = above & (uniform >= cumulative)
    return count
