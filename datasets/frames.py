"""Frames: counts of events in ticks, batches of them padded to their longest recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, whole
from snnsim.events import Events
from snnsim.numerics.sampling import IntArray


class FrameBatch(NamedTuple):
    """Frames of a batch; a recording shorter than the longest is followed by zeros.

    Attributes
    ----------
    frames : ndarray of float32, shape (samples, ticks, channels)
        Number of events in each tick and channel.
    lengths : ndarray of int64, shape (samples,)
        Ticks of each recording.
    labels : ndarray of int64, shape (samples,)
    """

    frames: NDArray[np.float32]
    lengths: IntArray
    labels: IntArray

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether a tick belongs to the recording, shape (samples, ticks)."""
        inside: NDArray[np.bool_] = np.arange(self.frames.shape[1]) < self.lengths[:, None]
        return inside


def pooled_channels(n_sources: int, size: int) -> IntArray:
    """Return the channel of each source where `size` neighbours make one.

    Raises
    ------
    ParameterError
        `size` is not a whole number that divides the number of sources.
    """
    neighbours = whole("size", size, at_least=1)
    if n_sources % neighbours:
        raise ParameterError(f"size={size}: {n_sources} sources are not a whole number of groups of {size}")
    return np.arange(n_sources) // neighbours


def frame_batches(events: Events, labels: IntArray, indices: Iterable[IntArray]) -> Iterator[FrameBatch]:
    """Yield the frames of the recordings of each array of `indices`."""
    channels = np.arange(events.n_sources)
    for chosen in indices:
        yield FrameBatch(count_frames(events, chosen, channels), events.lengths[chosen], labels[chosen])


def count_frames(events: Events, chosen: IntArray, channels: IntArray) -> NDArray[np.float32]:
    """Return counts of shape (chosen, ticks of the longest of them, channels)."""
    from snnsim.datasets.event_kernels import count_channels

    longest = int(events.lengths[chosen].max(initial=0))
    counts = np.zeros((chosen.size, longest, int(channels[-1]) + 1), np.float32)
    count_channels(events.ticks, events.sources, events.offsets, chosen, channels, counts)
    return counts
