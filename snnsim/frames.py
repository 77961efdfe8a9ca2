"""Frames: recordings as real values of every source, tick by tick or the same at all ticks; one or many of them.

At each tick that it is shown a value multiplies the weights of its source, as a count of spikes does (see
docs/semantics.md). A frame that is the same at all ticks, as a still image is ("direct" or "analog" input), is
kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, exactly, whole
from snnsim.events import Events, lengths_of, recording_index
from snnsim.timebase import check_dt, same_dt, to_seconds


@dataclass(frozen=True, eq=False)
class Frames:
    """A batch of recordings of real values.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (recordings, frames, sources)
        Finite. One frame a tick, or a single one that is shown at every tick.
    n_ticks : int
        Ticks that a dense array of the batch has; no recording is longer.
    dt : float
        Seconds a tick.
    lengths : ndarray of int64, shape (recordings,)
        Ticks of each recording, ``0 ... n_ticks``; from there on its values are zero. Default `n_ticks` for all.

    Raises
    ------
    DataError
        A value is not finite, or shapes do not fit together.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((100, 28, 28), np.float32)
    >>> Frames.constant(images, n_ticks=5, dt=1e-3)
    Frames(100 recordings, 784 sources, 5 ticks of 0.001 s, the same at all ticks)
    """

    values: NDArray[Any]
    n_ticks: int
    dt: float
    lengths: NDArray[np.int64] = None  # type: ignore[assignment]  # None is what may be given, not what is kept

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(self, values: ArrayLike, n_ticks: int, dt: float, lengths: ArrayLike | None = None) -> None: ...

    def __post_init__(self) -> None:
        check_dt(self.dt)
        object.__setattr__(self, "values", _as_values(self.values))
        try:
            object.__setattr__(self, "n_ticks", whole("n_ticks", self.n_ticks))
        except ParameterError as error:
            raise DataError(f"frames: {error}") from None
        if self.values.ndim != 3 or self.values.shape[1] not in (1, self.n_ticks):
            raise DataError(
                f"frames: values have shape {self.values.shape}; expected (recordings, frames, sources) with one frame "
                f"for each of the {self.n_ticks} ticks, or a single one"
            )
        if self.values.shape[2] < 1:
            raise DataError("frames: values have no sources")
        object.__setattr__(self, "lengths", lengths_of("frames", self.lengths, len(self), self.n_ticks))
        if not np.isfinite(self.values).all():
            recording, frame, source = (int(i) for i in np.argwhere(~np.isfinite(self.values))[0])
            raise DataError(
                f"frames: recording {recording}, frame {frame}, source {source} is "
                f"{self.values[recording, frame, source]}; every value must be finite"
            )

    # -- making ------------------------------------------------------------------------------------------

    @classmethod
    def constant(cls, images: ArrayLike, *, n_ticks: int, dt: float) -> Frames:
        """Make a batch of still images, each shown at all ticks and kept once.

        Parameters
        ----------
        images : array_like, shape (recordings, sources...)
            A source is the flat index of a pixel in C order; whole numbers become float32.
        n_ticks : int
            At least 1.
        dt : float
            Seconds a tick.
        """
        array = _as_values(images)
        if array.ndim < 2:
            raise ParameterError(f"images has shape {array.shape}; expected (recordings, sources...)")
        return cls(array.reshape(array.shape[0], 1, -1), whole("n_ticks", n_ticks, at_least=1), dt)

    @classmethod
    def from_dense(cls, values: ArrayLike, dt: float, *, lengths: ArrayLike | None = None) -> Frames:
        """Make a batch of values of shape (recordings, ticks, sources...).

        Parameters
        ----------
        values : array_like, shape (recordings, ticks, sources...)
            Whole numbers become float32.
        dt : float
            Seconds a tick.
        lengths : array_like of int, shape (recordings,), optional
            Ticks of each recording where they differ; what comes after is not looked at.
        """
        array = _as_values(values)
        if array.ndim < 3:
            raise ParameterError(f"values has shape {array.shape}; expected (recordings, ticks, sources...)")
        return cls(array.reshape(*array.shape[:2], -1), array.shape[1], dt, lengths)

    @classmethod
    def concatenate(cls, batches: Iterable[Frames]) -> Frames:
        """Put the recordings of several batches one after another.

        Raises
        ------
        ParameterError
            Sources or ticks differ, or some batches are the same at all ticks and others are not.
        """
        batches = list(batches)
        if not batches or not all(isinstance(batch, Frames) for batch in batches):
            raise ParameterError("batches: expected Frames, one batch at least")
        first = batches[0]
        for other in batches[1:]:
            same = other.values.shape[1:] == first.values.shape[1:] and other.n_ticks == first.n_ticks
            if not same or not same_dt(other.dt, first.dt):
                raise ParameterError(f"batches differ: {first!r} and {other!r}")
        lengths = np.concatenate([batch.lengths for batch in batches])
        return cls(np.concatenate([batch.values for batch in batches]), first.n_ticks, first.dt, lengths)

    # -- looking -----------------------------------------------------------------------------------------

    @property
    def n_sources(self) -> int:
        """Number of sources."""
        return int(self.values.shape[2])

    @property
    def is_constant(self) -> bool:
        """Whether there is one frame that is shown at every tick."""
        return int(self.values.shape[1]) == 1

    @property
    def duration(self) -> float:
        """Length of the longest recording in seconds."""
        return float(to_seconds(self.lengths.max(initial=0), self.dt))

    def __len__(self) -> int:
        """Return the number of recordings."""
        return int(self.values.shape[0])

    def __iter__(self) -> Iterator[Frames]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, which: int | slice | ArrayLike) -> Frames:
        """Return the chosen recordings as a new batch (an int gives a batch of one)."""
        chosen: Any = which
        if isinstance(which, (int, np.integer)) and not isinstance(which, bool):
            if not -len(self) <= which < len(self):
                raise IndexError(f"recording {which} of {len(self)}")
            chosen = slice(int(which) % len(self), int(which) % len(self) + 1)
        elif not isinstance(which, slice):
            chosen = recording_index(which)
        return self._trusted(self.values[chosen], self.n_ticks, self.lengths[chosen])

    def at(self, recording: int, tick: int) -> NDArray[Any]:
        """Return the values of a recording at a tick, shape (sources,): zeros once it has ended."""
        if not 0 <= tick < self.lengths[recording]:
            return np.zeros(self.n_sources, self.values.dtype)
        shown: NDArray[Any] = self.values[recording, 0 if self.is_constant else tick]
        return shown

    def to_dense(self) -> NDArray[Any]:
        """Return the values at every tick, shape (recordings, ticks, sources): zeros once a recording has ended."""
        inside = np.arange(self.n_ticks) < self.lengths[:, None]
        return np.where(inside[:, :, None], self.values, self.values.dtype.type(0))

    def __repr__(self) -> str:
        shortest, longest = int(self.lengths.min(initial=self.n_ticks)), int(self.lengths.max(initial=0))
        ticks = f"{self.n_ticks}" if shortest == self.n_ticks else f"{shortest} to {longest}"
        same = ", the same at all ticks" if self.is_constant else ""
        return f"Frames({len(self)} recordings, {self.n_sources} sources, {ticks} ticks of {self.dt:g} s{same})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frames):
            return NotImplemented
        mine, theirs = ((one.n_ticks, one.dt, str(one.values.dtype)) for one in (self, other))
        pairs = ((self.lengths, other.lengths), (self.values, other.values))
        return mine == theirs and all(np.array_equal(*pair) for pair in pairs)

    __hash__ = None  # type: ignore[assignment]

    # -- changing ----------------------------------------------------------------------------------------

    def crop(self, n_ticks: int, start: int = 0) -> Frames:
        """Return ticks ``start ... start + n_ticks - 1``, counted from `start`; as `Events.crop` does."""
        n_ticks, start = whole("crop n_ticks", n_ticks, at_least=1), whole("crop start", start)
        lengths = np.clip(self.lengths - start, 0, n_ticks)
        if self.is_constant:
            return self._trusted(self.values, n_ticks, lengths)
        shown = self.values[:, start : start + n_ticks]
        missing = n_ticks - shown.shape[1]
        if missing:
            shown = np.pad(shown, ((0, 0), (0, missing), (0, 0)))
        return self._trusted(shown, n_ticks, lengths)

    def with_lengths(self, lengths: ArrayLike) -> Frames:
        """Return the same frames as recordings of other lengths, at most as many ticks as there are frames.

        Parameters
        ----------
        lengths : int or array_like of int, shape (recordings,)
            Frames that are the same at all ticks may be shown for longer than they were.
        """
        given = np.asarray(lengths)
        own = np.full(len(self), given) if given.ndim == 0 else given
        n_ticks = self.n_ticks
        if self.is_constant and own.size and own.dtype.kind in "iu":
            n_ticks = int(own.max())
        return Frames(self.values, n_ticks, self.dt, own)

    def with_dt(self, dt: float) -> Frames:
        """Return the same frames at ticks of `dt` seconds, which must be those they have, but for rounding."""
        if not same_dt(dt, self.dt):
            raise ParameterError(
                f"dt={exactly(dt)} s: the frames are at ticks of {exactly(self.dt)} s, and values between two frames "
                "are not known; make them anew"
            )
        return self._trusted(self.values, self.n_ticks, self.lengths, float(dt))

    def _trusted(
        self, values: NDArray[Any], n_ticks: int, lengths: NDArray[np.int64], dt: float | None = None
    ) -> Frames:
        """Make a batch of parts known to be right, without looking at every value again."""
        new = object.__new__(Frames)
        for name, value in (("values", values), ("n_ticks", n_ticks), ("dt", self.dt if dt is None else dt)):
            object.__setattr__(new, name, value)
        object.__setattr__(new, "lengths", lengths)
        return new


def _as_values(values: Any) -> NDArray[Any]:
    """Return real values as a contiguous array of float32 or float64."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of unequal length
        raise DataError(f"frames: values: {error}") from error
    if array.dtype.kind not in "fiub":
        raise DataError(f"frames: values of type {array.dtype}: must be real numbers")
    kept = np.float64 if array.dtype == np.float64 else np.float32
    if array.dtype.kind in "iu" and array.size and max(-int(array.min()), int(array.max())) > 2**24:
        kept = np.float64  # whole numbers that float32 does not hold
    return np.ascontiguousarray(array, kept)


#: What may be given to an `Input` population.
Recordings = Events | Frames
