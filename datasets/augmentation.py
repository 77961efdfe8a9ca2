"""Random changes of training recordings, each a pure function of (seed, epoch, recording)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, whole
from snnsim.events import Events
from snnsim.numerics import rng


@dataclass(frozen=True)
class RandomShift:
    """Move each recording by a random whole number of pixels; events that leave the sensor are lost.

    Parameters
    ----------
    sensor_shape : sequence of int
        (channels, height, width).
    pixels : int
        Largest shift along height and width, in either direction.
    """

    sensor_shape: Sequence[int]
    pixels: int = 2

    def __post_init__(self) -> None:
        given = self.sensor_shape
        if np.shape(given) != (3,):
            raise ParameterError(f"sensor_shape={given!r}: expected (channels, height, width)")
        shape = tuple(whole("sensor_shape", extent, at_least=1) for extent in given)
        pixels = whole("pixels", self.pixels)
        if pixels >= min(shape[1:]):
            raise ParameterError(f"pixels={pixels}: must lie in 0 ... {min(shape[1:]) - 1}")
        object.__setattr__(self, "sensor_shape", shape)
        object.__setattr__(self, "pixels", pixels)

    def __call__(self, events: Events, recordings: NDArray[np.int64], seed: int, epoch: int) -> Events:
        """Return the changed batch.

        Parameters
        ----------
        events : Events
            A batch.
        recordings : ndarray of int64, shape (recordings of the batch,)
            Number of each recording in its data set: the same number is moved alike, whatever batch it is in.
        seed, epoch : int
            Key of the random numbers.
        """
        _, height, width = self.sensor_shape
        if not isinstance(events, Events):
            raise ParameterError(f"RandomShift moves Events, not {type(events).__name__}")
        if events.n_sources != int(np.prod(self.sensor_shape)):
            raise ParameterError(
                f"events have {events.n_sources} sources, sensor_shape={self.sensor_shape} another number"
            )
        span = 2 * self.pixels + 1
        down, right = (
            np.floor(rng.uniform(seed, rng.stream_number("shift", axis), recordings, epoch) * span).astype(np.int64)
            - self.pixels
            for axis in ("down", "right")
        )
        which = events.recordings
        row, column = events.sources // width % height + down[which], events.sources % width + right[which]
        keep = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        # Every source of a recording moves by the same distance, so the order within a tick stays.
        return events.selected(keep, events.sources + (down * width + right)[which])
