"""A made-up task for delays: which channel comes when. Every recording has the same spikes but for their order."""

from __future__ import annotations

import itertools

import numpy as np

from snnsim.datasets.dataset import EventDataset
from snnsim.errors import ParameterError, whole
from snnsim.events import Events
from snnsim.numerics import rng
from snnsim.numerics.sampling import check_seed

#: Orders that a task can have.
MOST_ORDERS = 1000


def lag_patterns(
    samples: int,
    *,
    channels: int = 4,
    classes: int = 6,
    lag: int = 6,
    jitter: int = 1,
    latest_onset: int = 20,
    dt: float = 1e-3,
    seed: int = 0,
) -> EventDataset:
    """Return recordings in which each channel fires once, in an order that is the class.

    A network without memory across ticks cannot tell them apart: it sees single spikes, the same ones in every class.

    Parameters
    ----------
    samples : int
    channels : int
        Channels, each of which fires once.
    classes : int
        Orders, at most the factorial of `channels`.
    lag : int
        Ticks between one channel and the next.
    jitter : int
        Each spike comes up to so many ticks early or late.
    latest_onset : int
        The first spike comes at a random tick from `jitter` to here.
    dt : float
        Seconds a tick.
    seed : int

    Returns
    -------
    EventDataset
        Of ``latest_onset + (channels - 1) * lag + jitter + 1`` ticks.

    Raises
    ------
    ParameterError
        There are not so many orders, or spikes could change places.
    """
    samples = whole("samples", samples, at_least=1)
    channels = whole("channels", channels, at_least=2)
    orders = list(itertools.islice(itertools.permutations(range(channels)), MOST_ORDERS))
    classes = whole("classes", classes, at_least=2)
    if classes > len(orders):
        raise ParameterError(f"classes={classes}: at most {len(orders)} orders of {channels} channels can be told")
    check_seed("seed", seed)
    lag, jitter = whole("lag", lag, at_least=1), whole("jitter", jitter)
    latest_onset = whole("latest_onset", latest_onset)
    if 2 * jitter >= lag:
        raise ParameterError(f"jitter={jitter}: must be less than half of lag={lag}, or spikes would change places")
    if latest_onset < jitter:
        raise ParameterError(f"latest_onset={latest_onset}: must be jitter={jitter} or later")
    picked = rng.permutation(0, rng.stream_number("lag patterns", "orders", channels), len(orders))[:classes]
    places = np.argsort(np.array([orders[i] for i in picked]), axis=1)  # when each channel comes

    def numbers(name: str, count: int, below: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        stream = rng.stream_number("lag patterns", name)
        return (rng.uniform(seed, stream, np.arange(count)) * below).astype(np.int64)

    labels = rng.permutation(seed, rng.stream_number("lag patterns", "labels"), samples) % classes
    onset = jitter + numbers("onset", samples, latest_onset - jitter + 1)
    moved = numbers("jitter", samples * channels, 2 * jitter + 1).reshape(samples, channels) - jitter
    ticks = onset[:, None] + lag * places[labels] + moved
    order = np.argsort(ticks, axis=1, kind="stable")
    n_ticks = latest_onset + (channels - 1) * lag + jitter + 1
    events = Events(
        np.take_along_axis(ticks, order, axis=1).reshape(-1),
        order.reshape(-1).astype(np.int32),
        np.arange(samples + 1, dtype=np.int64) * channels,
        channels,
        n_ticks,
        dt,
    )
    names = tuple("".join(str(channel) for channel in orders[i]) for i in picked)
    return EventDataset(
        events,
        labels,
        names,
        (channels,),
        "lag-patterns",
        "made up by snnsim: one spike a channel, the order is the class",
    )
