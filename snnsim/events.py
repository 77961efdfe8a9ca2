"""Events: recordings as sorted (tick, source) arrays, one or many of them, in memory and in HDF5.

A batch of recordings is one pair of flat arrays with `offsets`, as in a CSR matrix: recording `i` is
`ticks[offsets[i]:offsets[i + 1]]`. Nothing is stored where nothing happened. Each recording has a length of its own:
what answers, learns or counts heeds it, so that silence after a recording changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, exactly, whole
from snnsim.timebase import check_dt, check_span, same_dt, tick_count, tick_ratio, to_seconds, to_ticks

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True, eq=False)
class Events:
    """A batch of event recordings.

    Parameters
    ----------
    ticks : ndarray of int64, shape (events,)
        Time of each event in ticks of `dt`, ascending within a recording.
    sources : ndarray of int32, shape (events,)
        Which source each event came from, ascending within a tick. The same (tick, source) may
        appear more than once: each is an event of its own.
    offsets : ndarray of int64, shape (recordings + 1,)
        Where each recording starts in the two arrays.
    n_sources : int
        Number of sources; `sources` lie in ``0 ... n_sources - 1``.
    n_ticks : int
        Ticks that a dense array of the batch has; no recording is longer.
    dt : float
        Seconds a tick.
    lengths : ndarray of int64, shape (recordings,)
        Ticks of each recording, ``0 ... n_ticks``; its `ticks` lie in ``0 ... length - 1``, and what comes after is not
        part of it. Default `n_ticks` for all.
    """

    ticks: NDArray[np.int64]
    sources: NDArray[np.int32]
    offsets: NDArray[np.int64]
    n_sources: int
    n_ticks: int
    dt: float
    lengths: NDArray[np.int64] = None  # type: ignore[assignment]  # None is what may be given, not what is kept

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(
            self,
            ticks: ArrayLike,
            sources: ArrayLike,
            offsets: ArrayLike,
            n_sources: int,
            n_ticks: int,
            dt: float,
            lengths: ArrayLike | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        check_dt(self.dt)
        object.__setattr__(self, "ticks", _as_int64("ticks", self.ticks))
        object.__setattr__(self, "sources", _as_int32(self.sources))
        object.__setattr__(self, "offsets", _as_int64("offsets", self.offsets))
        try:
            object.__setattr__(self, "n_sources", whole("n_sources", self.n_sources, at_least=1))
            object.__setattr__(self, "n_ticks", whole("n_ticks", self.n_ticks))
        except ParameterError as error:
            raise DataError(f"events: {error}") from None
        ticks, sources, offsets = self.ticks, self.sources, self.offsets
        if ticks.shape != sources.shape or ticks.ndim != 1:
            raise DataError(f"events: {ticks.shape} ticks but {sources.shape} sources; both must be one flat array")
        if offsets.ndim != 1 or offsets.size < 1 or offsets[0] != 0 or offsets[-1] != ticks.size:
            raise DataError(f"events: offsets must run from 0 to the number of events, {ticks.size}")
        if np.any(np.diff(offsets) < 0):
            raise DataError("events: offsets must not fall")
        object.__setattr__(self, "lengths", lengths_of("events", self.lengths, offsets.size - 1, self.n_ticks))
        if ticks.size:
            self._check_contents()

    def _check_contents(self) -> None:
        ticks, sources = self.ticks, self.sources
        if ticks.min() < 0 or ticks.max() >= self.n_ticks:
            bad = int(ticks.min() if ticks.min() < 0 else ticks.max())
            raise DataError(f"events: tick {bad} lies outside 0 ... {self.n_ticks - 1}")
        if sources.min() < 0 or sources.max() >= self.n_sources:
            bad = int(sources.min() if sources.min() < 0 else sources.max())
            raise DataError(f"events: source {bad} lies outside 0 ... {self.n_sources - 1}")
        falls = (ticks[1:] < ticks[:-1]) | ((ticks[1:] == ticks[:-1]) & (sources[1:] < sources[:-1]))
        late = np.flatnonzero(ticks >= self.lengths[self.recordings])
        if late.size:
            sample = int(self.recordings[late[0]])
            raise DataError(
                f"events: tick {int(ticks[late[0]])} lies after the end of recording {sample}, which has "
                f"{int(self.lengths[sample])} ticks"
            )
        starts = self.offsets[1:-1]
        falls[starts[(starts > 0) & (starts < ticks.size)] - 1] = False  # a new recording may start anew
        if np.any(falls):
            where = int(np.argmax(falls)) + 1
            sample = int(np.searchsorted(self.offsets, where, side="right") - 1)
            event = where - int(self.offsets[sample])
            raise DataError(
                f"events: recording {sample} is not in order of (tick, source) at event {event}; "
                "Events.from_times(...) sorts"
            )

    # -- making ------------------------------------------------------------------------------------------

    @classmethod
    def from_times(
        cls,
        times: ArrayLike,
        sources: ArrayLike,
        *,
        n_sources: int,
        dt: float,
        duration: float | None = None,
        round: bool = False,
    ) -> Events:
        """Make one recording from times in seconds, in any order.

        Parameters
        ----------
        times : array_like of float, shape (events,)
            Seconds, zero or above; whole ticks of `dt` unless ``round=True``.
        sources : array_like of int, shape (events,)
        n_sources : int
        dt : float
            Seconds a tick.
        duration : float, optional
            Length in seconds; by default it ends with the tick of the last event.
        round : bool
            Take times between two ticks: an event at `t` lies in tick ``floor(t / dt)``, as all readers here count, and
            a duration is rounded up.

        Raises
        ------
        ParameterError
            A time is negative, not finite, or between two ticks without `round`; or the recording would have more than
            ten million ticks, as where microseconds are taken for seconds, and no `duration` says that this is meant.
        """
        tick = check_dt(dt)
        ticks = to_ticks(times, tick, name="times", round="down" if round else False)
        if duration is None:
            check_span(int(ticks.max(initial=-1)) + 1, tick, name="times")
            n_ticks = None
        else:
            n_ticks = tick_count(duration, tick, name="duration", round="up" if round else False)
        return cls.from_ticks(ticks, sources, n_sources=n_sources, n_ticks=n_ticks, dt=tick)

    @classmethod
    def from_ticks(
        cls, ticks: ArrayLike, sources: ArrayLike, *, n_sources: int, dt: float, n_ticks: int | None = None
    ) -> Events:
        """Make one recording from ticks and sources in any order; by default it ends with the last event."""
        tick_array = _as_int64("ticks", np.atleast_1d(np.asarray(ticks)))
        source_array = _as_int32(np.atleast_1d(np.asarray(sources)))
        if tick_array.shape != source_array.shape or tick_array.ndim != 1:
            raise DataError(
                f"events: {tick_array.shape} ticks but {source_array.shape} sources; both must be one flat array"
            )
        order = np.lexsort((source_array, tick_array))
        length = n_ticks if n_ticks is not None else int(tick_array.max(initial=-1)) + 1
        return cls(
            tick_array[order],
            source_array[order],
            np.array([0, tick_array.size], np.int64),
            n_sources,
            length,
            dt,
        )

    @classmethod
    def from_dense(cls, counts: ArrayLike, dt: float, *, lengths: ArrayLike | None = None) -> Events:
        """Make a batch from counts of shape (recordings, ticks, ...): entry 2 becomes two events.

        Parameters
        ----------
        counts : array_like, shape (recordings, ticks, sources...)
        dt : float
            Seconds a tick.
        lengths : array_like of int, shape (recordings,), optional
            Ticks of each recording where they differ; what comes after is padding, and must be zero. Default all ticks.
        """
        array = _as_array("counts", counts)
        if array.ndim < 3:
            raise ParameterError(f"counts has shape {array.shape}; expected (recordings, ticks, sources...)")
        if array.dtype.kind not in "biuf":
            raise ParameterError(f"counts of type {array.dtype}: must be whole numbers, zero or above")
        if not np.all((array >= 0) & (array < 2**31)) or np.any(array != np.rint(array)):  # also NaN
            raise ParameterError("counts must be whole numbers, zero or above and below 2**31")
        n_sources = int(np.prod(array.shape[2:]))
        flat = array.reshape(array.shape[0], array.shape[1], n_sources).astype(np.int64)
        recording, tick, source = np.nonzero(flat)
        repeat = flat[recording, tick, source]
        offsets = np.zeros(flat.shape[0] + 1, np.int64)
        np.cumsum(flat.sum(axis=(1, 2)), out=offsets[1:])
        ticks, sources = np.repeat(tick, repeat), np.repeat(source, repeat)
        return cls(ticks, sources, offsets, flat.shape[2], flat.shape[1], dt, lengths)

    @classmethod
    def concatenate(cls, batches: Iterable[Events]) -> Events:
        """Put the recordings of several batches one after another; each keeps its length."""
        batches = list(batches)
        if not batches:
            raise ParameterError("batches is empty; there is nothing to concatenate")
        if not all(isinstance(batch, Events) for batch in batches):
            raise ParameterError("batches must be a sequence of Events")
        first = batches[0]
        for other in batches[1:]:
            if other.n_sources != first.n_sources or not same_dt(other.dt, first.dt):
                raise ParameterError(
                    f"batches differ: {first.n_sources} sources at {exactly(first.dt)} s, "
                    f"{other.n_sources} at {exactly(other.dt)} s"
                )
        sizes = np.concatenate([np.diff(batch.offsets) for batch in batches])
        offsets = np.zeros(sizes.size + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        return cls(
            np.concatenate([batch.ticks for batch in batches]),
            np.concatenate([batch.sources for batch in batches]),
            offsets,
            first.n_sources,
            max(batch.n_ticks for batch in batches),
            first.dt,
            np.concatenate([batch.lengths for batch in batches]),
        )

    # -- looking -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of recordings."""
        return self.offsets.size - 1

    def __iter__(self) -> Iterator[Events]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, which: int | slice | ArrayLike) -> Events:
        """Return the chosen recordings as a new batch (an int gives a batch of one)."""
        if isinstance(which, (int, np.integer)) and not isinstance(which, bool):
            if not -len(self) <= which < len(self):
                raise IndexError(f"recording {which} of {len(self)}")
            chosen = np.array([int(which) % len(self)])
        elif isinstance(which, slice) and which.step in (None, 1):
            start, stop, _ = which.indices(len(self))
            stop = max(stop, start)
            low, high = int(self.offsets[start]), int(self.offsets[stop])
            offsets, lengths = self.offsets[start : stop + 1] - low, self.lengths[start:stop]
            return self._trusted(self.ticks[low:high], self.sources[low:high], offsets, lengths)
        else:
            chosen = np.arange(len(self))[which if isinstance(which, slice) else recording_index(which)]
        starts, sizes = self.offsets[chosen], self.offsets[chosen + 1] - self.offsets[chosen]
        offsets = np.zeros(chosen.size + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        index = np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])
        return self._trusted(self.ticks[index], self.sources[index], offsets, self.lengths[chosen])

    @classmethod
    def unchecked(
        cls,
        ticks: NDArray[np.int64],
        sources: NDArray[np.int32],
        offsets: NDArray[np.int64],
        n_sources: int,
        n_ticks: int,
        dt: float,
        lengths: NDArray[np.int64] | None = None,
    ) -> Events:
        """Make a batch from contiguous arrays known to be in order, without the check that costs several passes."""
        new = object.__new__(cls)
        own = np.full(offsets.size - 1, n_ticks, np.int64) if lengths is None else lengths
        for name, value in zip(_FIELDS, (ticks, sources, offsets, n_sources, n_ticks, dt, own), strict=True):
            object.__setattr__(new, name, value)
        return new

    def _trusted(
        self,
        ticks: NDArray[np.int64],
        sources: NDArray[np.int32],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
        n_ticks: int | None = None,
        dt: float | None = None,
    ) -> Events:
        """Make a batch of the same sources from parts known to be in order."""
        longest, tick = self.n_ticks if n_ticks is None else n_ticks, self.dt if dt is None else dt
        return self.unchecked(ticks, sources, offsets, self.n_sources, longest, tick, lengths)

    @property
    def times(self) -> NDArray[np.float64]:
        """Time of each event in seconds, shape (events,)."""
        return np.asarray(to_seconds(self.ticks, self.dt))

    @property
    def recordings(self) -> NDArray[np.int64]:
        """Which recording each event belongs to, shape (events,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def counts(self, windows: int = 1) -> NDArray[np.int64]:
        """Return how many events each source has in each recording, shape (recordings, windows * sources).

        Parameters
        ----------
        windows : int
            Count apart in so many parts of a recording, equally long to within a tick; the first part comes first.

        Raises
        ------
        ParameterError
            `windows` is no whole number, or more than the ticks of a recording.
        """
        windows = whole("windows", windows, at_least=1)
        shortest = int(self.lengths.min(initial=self.n_ticks))
        if windows > max(shortest, 1):
            raise ParameterError(f"windows={windows}: the shortest of the recordings has {shortest} ticks")
        recordings = self.recordings
        window = self.ticks * windows // self.lengths[recordings]
        place = (recordings * windows + window) * self.n_sources + self.sources
        counted = np.bincount(place, minlength=len(self) * windows * self.n_sources)
        return counted.reshape(len(self), windows * self.n_sources)

    @property
    def duration(self) -> float:
        """Length of the longest recording in seconds."""
        return float(to_seconds(self.lengths.max(initial=0), self.dt))

    @property
    def density(self) -> float:
        """Mean number of events for each (recording, tick, source), over the ticks of each recording."""
        cells = int(self.lengths.sum()) * self.n_sources
        return self.ticks.size / cells if cells else 0.0

    def __repr__(self) -> str:
        shortest, longest = int(self.lengths.min(initial=self.n_ticks)), int(self.lengths.max(initial=0))
        ticks = f"{self.n_ticks}" if shortest == self.n_ticks else f"{shortest} to {longest}"
        return (
            f"Events({len(self)} recordings, {self.ticks.size:,} events, {self.n_sources} sources, "
            f"{ticks} ticks of {self.dt:g} s)"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented
        return (
            (self.n_sources, self.n_ticks, self.dt) == (other.n_sources, other.n_ticks, other.dt)
            and np.array_equal(self.lengths, other.lengths)
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.ticks, other.ticks)
            and np.array_equal(self.sources, other.sources)
        )

    __hash__ = None  # type: ignore[assignment]

    # -- changing ----------------------------------------------------------------------------------------

    def with_dt(self, dt: float, *, n_ticks: int | None = None) -> Events:
        """Return the same events on coarser ticks of `dt` seconds (a whole multiple of the present ones).

        No event is dropped or merged: two that fall into the same tick stay two, unless `n_ticks` cuts
        the recordings short.
        """
        ratio = tick_ratio(dt, self.dt)
        ticks = self.ticks // ratio
        order = np.lexsort((self.sources, ticks, self.recordings))
        longest, lengths = -(-self.n_ticks // ratio), -(-self.lengths // ratio)
        coarse = self._trusted(ticks[order], self.sources[order], self.offsets, lengths, n_ticks=longest, dt=float(dt))
        return coarse if n_ticks is None else coarse.crop(n_ticks)

    def crop(self, n_ticks: int, start: int = 0) -> Events:
        """Return ticks ``start ... start + n_ticks - 1``, counted from `start`.

        Past its end a recording is silent, and that silence is no part of it: `crop` shortens recordings, and
        `with_lengths` makes them longer.
        """
        n_ticks, start = whole("crop n_ticks", n_ticks, at_least=1), whole("crop start", start)
        lengths = np.clip(self.lengths - start, 0, n_ticks)
        if len(self) == 1:
            # In order of ticks throughout: a run that crops window after window looks at each event once.
            low, high = np.searchsorted(self.ticks, (start, start + n_ticks))
            offsets = np.array([0, high - low], np.int64)
            return self._trusted(self.ticks[low:high] - start, self.sources[low:high], offsets, lengths, n_ticks)
        kept = self.selected((self.ticks >= start) & (self.ticks < start + n_ticks))
        return self._trusted(kept.ticks - start, kept.sources, kept.offsets, lengths, n_ticks)

    def with_lengths(self, lengths: ArrayLike) -> Events:
        """Return the same events as recordings of other lengths, such as some with silence that belongs to them.

        Parameters
        ----------
        lengths : int or array_like of int, shape (recordings,)
            Ticks of each recording, zero or above; no event may lie after the end of its recording.

        Raises
        ------
        DataError
            An event lies after the end of its recording (`crop` cuts them off).
        """
        given = _as_array("lengths", lengths)
        own = np.full(len(self), given) if given.ndim == 0 else given
        longest = int(own.max(initial=0)) if own.dtype.kind in "iu" else self.n_ticks
        return Events(self.ticks, self.sources, self.offsets, self.n_sources, longest, self.dt, own)

    def trimmed(self) -> Events:
        """Return the same recordings, each as long as up to its last event, included; a silent one has one tick."""
        filled = self.offsets[1:] > self.offsets[:-1]
        lengths = np.ones(len(self), np.int64)
        lengths[filled] += self.ticks[self.offsets[1:][filled] - 1]
        return self._trusted(self.ticks, self.sources, self.offsets, lengths)

    def selected(self, keep: NDArray[np.bool_], sources: NDArray[np.int32] | None = None) -> Events:
        """Return the events for which `keep` is True, optionally under other source numbers.

        Parameters
        ----------
        keep : ndarray of bool, shape (events,)
        sources : ndarray of int, shape (events,), optional
            New source of each event; must keep the order within each tick.
        """
        cumulative = np.concatenate(([0], np.cumsum(keep)))
        new = self.sources if sources is None else sources
        chosen = new[keep].astype(np.int32, copy=False)
        return self._trusted(self.ticks[keep], chosen, cumulative[self.offsets], self.lengths)

    def binarised(self) -> Events:
        """Return the batch with repeated events of one (tick, source) merged into one."""
        if not self.ticks.size:
            return self
        first = np.ones(self.ticks.size, bool)
        first[1:] = (self.ticks[1:] != self.ticks[:-1]) | (self.sources[1:] != self.sources[:-1])
        first[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        return self.selected(first)

    def to_dense(self, dtype: Any = np.float32) -> NDArray[Any]:
        """Return event counts of shape (recordings, ticks, sources)."""
        dense = np.zeros((len(self), self.n_ticks, self.n_sources), dtype)
        np.add.at(dense, (self.recordings, self.ticks, self.sources), 1)
        return dense

    # -- keeping -----------------------------------------------------------------------------------------

    def write(self, group: h5py.Group) -> None:
        """Write into an open HDF5 group."""
        from snnsim.storage.hdf5 import create_array

        group.attrs.update(n_sources=self.n_sources, n_ticks=self.n_ticks, dt=self.dt)
        for name in ("ticks", "sources", "offsets", "lengths"):
            data = getattr(self, name)
            create_array(group, name, data.shape, data.dtype)[...] = data

    @classmethod
    def read(cls, group: h5py.Group) -> Events:
        """Read what `write` wrote."""
        try:
            return cls(
                group["ticks"][()],
                group["sources"][()],
                group["offsets"][()],
                int(group.attrs["n_sources"]),
                int(group.attrs["n_ticks"]),
                float(group.attrs["dt"]),
                group["lengths"][()],
            )
        except KeyError as error:
            raise DataError(f"{group.file.filename}:{group.name} holds no events ({error})") from error

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file; the file is complete or not there at all."""
        from snnsim.storage.hdf5 import write_hdf5

        with write_hdf5(path, "events") as file:
            self.write(file)

    @classmethod
    def load(cls, path: str | Path) -> Events:
        """Load what `save` saved."""
        from snnsim.storage.hdf5 import read_hdf5

        with read_hdf5(path, "events") as file:
            return cls.read(file)


_FIELDS = ("ticks", "sources", "offsets", "n_sources", "n_ticks", "dt", "lengths")


def lengths_of(what: str, lengths: ArrayLike | None, recordings: int, n_ticks: int) -> NDArray[np.int64]:
    """Return the length of each recording, or raise `DataError` where they do not fit the batch."""
    if lengths is None:
        return np.full(recordings, n_ticks, np.int64)
    array = _as_int64("lengths", lengths)
    if array.shape != (recordings,):
        raise DataError(f"{what}: lengths have shape {array.shape}; {recordings} recordings have one each")
    if array.size and (array.min() < 0 or array.max() > n_ticks):
        bad = int(array.min() if array.min() < 0 else array.max())
        raise DataError(f"{what}: a length of {bad} ticks lies outside 0 ... {n_ticks}")
    return array


def recording_index(which: ArrayLike) -> NDArray[Any]:
    """Return recordings chosen by numbers or by a mask as a flat array."""
    index = np.asarray(which) if np.size(which) else np.zeros(0, np.int64)
    if index.ndim != 1:
        raise IndexError(f"recordings are chosen by an int, a slice or a flat array, not by shape {index.shape}")
    return index


def _as_array(name: str, values: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of unequal length
        raise DataError(f"events: {name}: {error}") from error


def _as_int64(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = _as_array(name, values)
    if array.size and array.dtype.kind not in "iu":
        raise DataError(f"events: {name} must be whole numbers, not {array.dtype}; Events.from_times takes seconds")
    return np.ascontiguousarray(array, np.int64)


def _as_int32(values: ArrayLike) -> NDArray[np.int32]:
    array = np.asarray(values)
    if array.dtype == np.int32:
        return np.ascontiguousarray(array)
    if array.size and array.dtype.kind not in "iu":
        raise DataError(f"events: sources must be whole numbers, not {array.dtype}")
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise DataError("events: source numbers must fit in 32 bits")
    return np.ascontiguousarray(array, np.int32)
