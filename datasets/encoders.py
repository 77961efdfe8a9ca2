"""From images or signals to what a network takes: events or frames.

Values are brightness 0 to 1; images of bytes are divided by 255. A source is the flat index of a pixel in C order. What
is random is a pure function of (seed, number of the recording, tick, source), so that a sample is encoded alike
whichever others are.

| encoder | gives | a value x becomes |
| --- | --- | --- |
| `direct` | `Frames` | itself at every tick, normalised |
| `poisson` | `Events` | a Poisson number of events a tick, of mean ``x * rate * dt`` |
| `bernoulli` | `Events` | one event in a tick or none, with probability ``x * probability`` |
| `latency` | `Events` | one event, the earlier the larger x is |
| `delta` | `Events` | events where a signal has moved by a threshold, up or down |
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, exactly, one_of, positive, whole
from snnsim.events import Events
from snnsim.frames import Frames
from snnsim.numerics import rng
from snnsim.numerics.sampling import check_seed
from snnsim.timebase import check_dt

#: Mean events a tick up to which Poisson counts are drawn; exp(-500) is far from zero in float64.
MOST_EVENTS_A_TICK = 500.0
#: Random numbers that are made at a time.
_TOGETHER = 2**22


def direct(
    images: ArrayLike,
    *,
    n_ticks: int,
    dt: float,
    mean: ArrayLike = 0.0,
    standard_deviation: ArrayLike = 1.0,
) -> Frames:
    """Return images as real values that drive the first layer at every tick ("direct", "analog" or constant input).

    Parameters
    ----------
    images : array_like, shape (recordings, channels, height, width) or (recordings, ...)
        uint8, or real values of any size.
    n_ticks : int
        Ticks that each is shown; it is kept once.
    dt : float
        Seconds a tick.
    mean, standard_deviation : float or array_like of shape (channels,)
        Of the training data, as `ImageDataset.statistics` gives them: values become
        ``(x - mean) / standard_deviation``.

    Returns
    -------
    Frames
        float32, or float64 where the images are.
    """
    array = np.asarray(images)
    if array.dtype.kind not in "fiub":
        raise DataError(f"images of type {array.dtype}: must be real numbers")
    values = array if array.dtype == np.float64 else array.astype(np.float32)
    if array.dtype == np.uint8:
        values /= np.float32(255)
    means, deviations = (_by_channel(name, given, values) for name, given in
                         (("mean", mean), ("standard_deviation", standard_deviation)))  # fmt: skip
    if not (deviations > 0).all():
        raise ParameterError(f"standard_deviation={standard_deviation!r}: must be above zero")
    return Frames.constant(((values - means) / deviations).astype(values.dtype, copy=False), n_ticks=n_ticks, dt=dt)


def poisson(
    images: ArrayLike,
    *,
    n_ticks: int,
    dt: float,
    rate: float,
    seed: int = 0,
    recordings: ArrayLike | None = None,
) -> Events:
    """Return images as independent Poisson processes (rate code).

    Parameters
    ----------
    images : array_like, shape (recordings, ...)
        uint8, or values 0 to 1.
    n_ticks : int
    dt : float
        Seconds a tick.
    rate : float
        Events a second of a pixel of value 1; several of one pixel may fall into a tick.
    seed : int
    recordings : array_like of int, shape (recordings,), optional
        Number of each recording, which keys its random numbers; default 0, 1, ...
    """
    values, ticks, step = _brightness(images), whole("n_ticks", n_ticks, at_least=1), check_dt(dt)
    positive("rate", rate, zero=True)
    if rate * step > MOST_EVENTS_A_TICK:
        raise ParameterError(
            f"rate={exactly(rate)}/s is {exactly(rate * step)} events a tick of {exactly(step)} s; at most "
            f"{MOST_EVENTS_A_TICK:g}"
        )

    def counts(value: NDArray[np.float64], number: NDArray[np.float64]) -> NDArray[np.int64]:
        # By inversion: as many events as there are k with F(k) at or below the number.
        found, k, share = np.zeros(number.shape, np.int64), 0, np.exp(-value * rate * step)
        below = np.broadcast_to(share, number.shape).copy()
        most = 100 + 10 * rate * step
        while (more := number >= below).any() and k < most:
            found += more
            k += 1
            share = share * (value * rate * step) / k
            below += share
        return found

    return _drawn(values, ticks, step, "poisson", seed, recordings, counts)


def bernoulli(
    images: ArrayLike,
    *,
    n_ticks: int,
    dt: float,
    probability: float = 1.0,
    seed: int = 0,
    recordings: ArrayLike | None = None,
) -> Events:
    """Return images as independent Bernoulli trials: at each tick one event of a pixel or none (rate code).

    Parameters
    ----------
    images, n_ticks, dt, seed, recordings
        As for `poisson`.
    probability : float
        Of an event in a tick at a pixel of value 1; at most 1.
    """
    values, ticks, step = _brightness(images), whole("n_ticks", n_ticks, at_least=1), check_dt(dt)
    positive("probability", probability, zero=True)
    if probability > 1:
        raise ParameterError(f"probability={probability!r}: must be at most 1")
    return _drawn(
        values, ticks, step, "bernoulli", seed, recordings, lambda value, number: (number < value * probability) * 1
    )


def latency(
    images: ArrayLike,
    *,
    n_ticks: int,
    dt: float,
    law: str = "linear",
    threshold: float = 0.01,
    time_constant: float | None = None,
) -> Events:
    """Return images as one event a pixel, the earlier the brighter it is (time to first spike).

    Parameters
    ----------
    images : array_like, shape (recordings, ...)
        uint8, or values 0 to 1.
    n_ticks : int
    dt : float
        Seconds a tick.
    law : {"linear", "logarithmic"}
        With T = `n_ticks`, a value x above the threshold h fires in tick ``floor((1 - x) / (1 - h) * (T - 1))``; or,
        ``"logarithmic"``, at the time ``tau * ln(x / (x - h))`` at which a leaky membrane that x drives from 0 reaches
        h, rounded down to a tick; what comes later than the last tick does not fire.
    threshold : float
        Values at or below it do not fire; above 0 and below 1.
    time_constant : float, optional
        The tau of the logarithmic law in seconds; default that at which a value of twice the threshold fires in the
        last tick.
    """
    values, ticks, step = _brightness(images), whole("n_ticks", n_ticks, at_least=1), check_dt(dt)
    one_of("law", law, ("linear", "logarithmic"))
    positive("threshold", threshold)
    if threshold >= 1:
        raise ParameterError(f"threshold={threshold!r}: must be below 1")
    if time_constant is not None:
        if law == "linear":
            raise ParameterError(f"time_constant={time_constant!r}: is of law='logarithmic'")
        positive("time_constant", time_constant)
    recording, source = np.nonzero(values > threshold)
    x = values[recording, source]
    if law == "linear":
        tick = np.floor((1.0 - x) / (1.0 - threshold) * (ticks - 1)).astype(np.int64)
    else:
        tau = (ticks - 1) * step / math.log(2.0) if time_constant is None else time_constant
        at = np.floor(tau * np.log(x / (x - threshold)) / step)
        keep = at < ticks
        recording, source, tick = recording[keep], source[keep], at[keep].astype(np.int64)
    return _sorted(recording, tick, source, len(values), values.shape[1], ticks, step)


def delta(signals: ArrayLike, *, dt: float, threshold: float) -> Events:
    """Return signals as events where they have moved by a threshold, as event cameras see brightness (send on delta).

    Each source holds the level that its last event stands for, at first its value at tick 0. Where the signal is n
    thresholds or more above it, n events of polarity 1 are sent and the level rises by as much; below it, of polarity
    0. So the levels that events add up to stay within a threshold of the signal.

    Parameters
    ----------
    signals : array_like, shape (recordings, ticks, sources...)
        uint8 (divided by 255), or finite real values of any size.
    dt : float
        Seconds a tick.
    threshold : float

    Returns
    -------
    Events
        With twice the sources: source s of polarity p is number ``p * sources + s``.
    """
    array = np.asarray(signals)
    if array.ndim < 3:
        raise ParameterError(f"signals has shape {array.shape}; expected (recordings, ticks, sources...)")
    positive("threshold", threshold)
    step, values = check_dt(dt), _finite("signals", array).reshape(*array.shape[:2], -1)
    recordings, ticks, sources = values.shape
    level = values[:, 0].copy() if ticks else np.zeros((recordings, sources))
    counts = np.zeros((recordings, ticks, 2, sources), np.int64)
    for tick in range(ticks):
        # Towards zero: only whole thresholds count.
        moved = np.trunc((values[:, tick] - level) / threshold)
        level += moved * threshold
        counts[:, tick, 1], counts[:, tick, 0] = np.maximum(moved, 0), np.maximum(-moved, 0)
    return Events.from_dense(counts, step)


# -- helping -----------------------------------------------------------------------------------------------


def _brightness(images: ArrayLike) -> NDArray[np.float64]:
    """Return values 0 to 1, shape (recordings, sources)."""
    array = np.asarray(images)
    if array.ndim < 2:
        raise ParameterError(f"images has shape {array.shape}; expected (recordings, sources...)")
    values = _finite("images", array).reshape(len(array), -1)
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ParameterError(
            f"images: values lie in {values.min():g} ... {values.max():g}; this encoder takes brightness 0 to 1, or "
            "bytes (uint8)"
        )
    return values


def _finite(name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} of type {array.dtype}: must be real numbers")
    values = array.astype(np.float64)
    if array.dtype == np.uint8:
        values /= 255.0
    if not np.isfinite(values).all():
        raise DataError(f"{name}: every value must be finite; {int((~np.isfinite(values)).sum())} are not")
    return values


def _by_channel(name: str, given: ArrayLike, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a number for all, or one a channel, in a shape that fits images."""
    numbers = np.asarray(given, np.float64)
    channels = values.shape[1] if values.ndim > 2 else 1
    if not np.isfinite(numbers).all() or numbers.shape not in ((), (1,), (channels,)):
        raise ParameterError(f"{name}={given!r}: must be one finite number, or one for each of {channels} channels")
    return numbers.reshape((1, -1, *[1] * (values.ndim - 2))) if numbers.ndim else numbers


def _drawn(
    values: NDArray[np.float64],
    n_ticks: int,
    dt: float,
    name: str,
    seed: int,
    recordings: ArrayLike | None,
    counts: Any,
) -> Events:
    """Return events of which ``counts(value, number)`` says how many there are, with a random number for each tick."""
    check_seed("seed", seed)
    numbers = np.arange(len(values)) if recordings is None else np.asarray(recordings)
    if numbers.shape != (len(values),) or (numbers.size and (numbers.dtype.kind not in "iu" or numbers.min() < 0)):
        raise ParameterError(f"recordings: must be a whole number, zero or above, for each of {len(values)} recordings")
    stream, size = rng.stream_number("encoder", name), values.shape[1]
    found: list[tuple[NDArray[np.int64], ...]] = [(np.zeros(0, np.int64),) * 3]
    for part in _parts(len(values), n_ticks * size):
        element = numbers[part].astype(np.uint64)[:, None] * np.uint64(size) + np.arange(size, dtype=np.uint64)
        random = rng.uniform(seed, stream, element[:, None], np.arange(n_ticks)[:, None])
        events = counts(values[part][:, None], random)
        recording, tick, source = np.nonzero(events)
        repeat = events[recording, tick, source]
        found.append(tuple(np.repeat(one, repeat) for one in (recording + part.start, tick, source)))
    recording, tick, source = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _sorted(recording, tick, source, len(values), size, n_ticks, dt)


def _parts(recordings: int, numbers: int) -> Iterator[slice]:
    """Return parts of the recordings, each of which takes so many random numbers."""
    step = max(1, _TOGETHER // max(numbers, 1))
    return (slice(first, min(first + step, recordings)) for first in range(0, recordings, step))


def _sorted(
    recording: NDArray[np.int64],
    tick: NDArray[np.int64],
    source: NDArray[np.int64],
    recordings: int,
    n_sources: int,
    n_ticks: int,
    dt: float,
) -> Events:
    order = np.lexsort((source, tick, recording))
    offsets = np.searchsorted(recording[order], np.arange(recordings + 1))
    return Events(tick[order], source[order], offsets, n_sources, n_ticks, dt)
