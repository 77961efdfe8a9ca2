"""Files of spike trains in the form of the Spiking Heidelberg Digits, read from where they lie.

The form, in HDF5: ``spikes/times`` and ``spikes/units`` hold one array of their own length a sample, times in seconds
(float16 in the published files) and channel numbers; ``labels`` the class of each sample; ``extra/speaker`` who spoke,
``extra/keys`` the names of the classes and ``extra/meta_info`` whatever else is known, if they are there.

Cramer, Stradmann, Schemmel, Zenke: The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks, IEEE Transactions on Neural Networks and Learning Systems 33:2744 (2022, online 2020),
doi:10.1109/TNNLS.2020.3044364.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from snnsim.datasets.formats.spike_trains.layout import Description, describe
from snnsim.datasets.formats.spike_trains.rounding import Columns, Rounding, as_seconds
from snnsim.datasets.frames import FrameBatch, count_frames, pooled_channels
from snnsim.errors import DataError, ResourceError
from snnsim.events import Events
from snnsim.numerics.sampling import IntArray, batch_indices
from snnsim.system.machine import available_memory
from snnsim.system.tables import in_bytes

#: Samples read at a time: enough to make the calls cheap, few enough for what HDF5 keeps of them at once.
CHUNK = 64
#: From how many samples on a progress bar is worth its place.
SHOWN_FROM = 2000
#: Channels of the published files, and of a file that does not say.
UNITS = 700
#: Bytes of an event in `Events`.
EVENT_BYTES = 12

_opening = threading.Lock()


def _unlock() -> None:
    """Forget in a forked process a lock that a thread of the parent may have held: nobody would ever open it."""
    global _opening
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class SpikesFile:
    """A file of spike trains in the form of the Spiking Heidelberg Digits (SHD).

    Labels and the like are read at once, spikes when they are asked for. The file is opened at the first of these
    requests in each process and stays open, so that an object may be handed to worker processes, forked or spawned,
    and used by several threads.

    Parameters
    ----------
    path : path
    n_units : int, optional
        Number of channels; by default the attribute ``channels`` of the file, or 700 without one.
    sort : bool
        Accept samples whose times are not in order, and sort them.
    allow_empty : bool
        Accept samples without a spike.

    Attributes
    ----------
    labels : ndarray of int64, shape (samples,)
    classes : tuple of str
        ``extra/keys``, or numbers where the file has none.
    groups : ndarray of int64, shape (samples,), or None
        ``extra/speaker``. Speakers that are named by text are numbered by a hash of it, the same in every file.
    meta : dict of str to ndarray
        What is in ``extra/meta_info``.
    description : str
        The attribute of this name of the file, or nothing.

    Raises
    ------
    DataError
        No such file, a damaged one, one of another form, or one without samples.
    """

    labels: IntArray
    classes: tuple[str, ...]
    groups: IntArray | None
    meta: dict[str, NDArray[Any]]

    def __init__(
        self, path: str | Path, *, n_units: int | None = None, sort: bool = False, allow_empty: bool = False
    ) -> None:
        self.path = Path(path).absolute()
        self.sort, self.allow_empty = sort, allow_empty
        with open_hdf5(self.path) as file:
            self._version = _version(self.path)
            found: Description = describe(file, self.path, n_units, UNITS)
        self.n_units, self.labels, self.classes = found.n_units, found.labels, found.classes
        self.groups, self.meta, self.description = found.groups, found.meta, found.description
        self._opened: tuple[int, h5py.File] | None = None

    # -- between processes -------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _file(self) -> h5py.File:
        """Return the file, open in this process."""
        process = os.getpid()
        with _opening:
            if self._opened is None or self._opened[0] != process:
                if self._opened is not None:
                    with contextlib.suppress(Exception):  # the parent's: only the copy in this process is closed
                        self._opened[1].close()
                file = open_hdf5(self.path)
                if _version(self.path) != self._version:
                    file.close()
                    raise DataError(f"{self.path}: has changed since its labels were read; make the SpikesFile anew")
                self._opened = (process, file)
            return self._opened[1]

    def close(self) -> None:
        """Close the file; the next request opens it again."""
        if self._opened is not None and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._opened = None

    # -- looking -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self.labels.size)

    def __repr__(self) -> str:
        return f"SpikesFile({str(self.path)!r}: {len(self):,} samples, {self.n_units} units)"

    def __getitem__(self, which: int) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
        """Return times in seconds, units, and label of one sample, as they are in the file."""
        if not -len(self) <= which < len(self):
            raise IndexError(f"sample {which} of {len(self)}")
        number = int(which) % len(self)
        columns = self._columns(np.array([number]))
        return as_seconds(columns.times), columns.units.astype(np.int64), int(self.labels[number])

    def events(
        self,
        which: slice | ArrayLike | None = None,
        *,
        dt: float = 0.01,
        from_first_event: bool = False,
        closed_end: bool = True,
        progress: bool = False,
    ) -> Events:
        """Return samples as events in ticks; every spike is kept, and rounded once, down to its tick.

        Parameters
        ----------
        which : slice or array_like of int, optional
            Samples; all by default.
        dt : float
            Seconds a tick. A spike at `t` lies in tick floor(t / dt); a time within a billionth of a tick of the
            border between two counts as lying on it.
        from_first_event : bool
            Count the times of a sample from its first spike instead of from 0, as spikingjelly does.
        closed_end : bool
            A spike that lies on the end of a sample's last tick belongs to that tick, so that a sample whose last
            spike is at `t` has ceil(t / dt) ticks; otherwise it begins a tick of its own.
        progress : bool
            Show a progress bar while many samples are read, if standard error is a terminal.

        Returns
        -------
        Events
            Each sample as long as up to its last spike, a silent one of one tick.

        Raises
        ------
        DataError
            A sample is damaged, empty, out of order, or has a time or a unit that cannot be; the message names it.
        ResourceError
            The events do not fit into memory.
        """
        if which is None or isinstance(which, slice):
            numbers = np.arange(len(self))[slice(None) if which is None else which]
        else:
            chosen = np.asarray(which) if np.size(which) else np.zeros(0, np.int64)
            numbers = np.atleast_1d(np.arange(len(self))[chosen])
        return self._events(numbers, Rounding(dt, from_first_event, closed_end), progress, ordered=True)

    def frame_batches(
        self,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        *,
        dt: float = 0.01,
        pool: int = 1,
        from_first_event: bool = False,
        closed_end: bool = True,
        drop_last: bool = False,
    ) -> Iterator[FrameBatch]:
        """Iterate over batches of frames, read from the file batch by batch.

        The batches are those of `EventDataset.frame_batches` for the same settings, while no more than one of them is
        in memory.

        Parameters
        ----------
        batch_size, seed, epoch, drop_last
            As for `EventDataset.batches`.
        dt, from_first_event, closed_end
            As for `events`.
        pool : int
            Sum so many neighbouring units into one channel.

        Yields
        ------
        FrameBatch

        Raises
        ------
        ParameterError, DataError
            As for `EventDataset.batches` and for `events`.
        """
        channels = pooled_channels(self.n_units, pool)
        rounding = Rounding(dt, from_first_event, closed_end)
        indices = batch_indices(len(self), batch_size, seed, epoch, drop_last=drop_last)

        def batches() -> Iterator[FrameBatch]:
            for chosen in indices:
                events = self._events(chosen, rounding, False, ordered=False)
                frames = count_frames(events, np.arange(chosen.size), channels)
                yield FrameBatch(frames, events.lengths, self.labels[chosen])

        return batches()

    # -- reading -----------------------------------------------------------------------------------------

    def _events(self, numbers: IntArray, rounding: Rounding, progress: bool, *, ordered: bool) -> Events:
        from snnsim.datasets.event_kernels import order_recordings

        # First all as it is stored, which for the published files is a third of what it becomes; then the room that
        # is needed is known, and each part makes way for what is made of it.
        parts = list(self._parts(numbers, progress))
        total = sum(part.times.size for part in parts)
        _check_room(self.path, total)
        ticks, sources = np.empty(total, np.int64), np.empty(total, np.int32)
        offsets = np.zeros(numbers.size + 1, np.int64)
        done = begin = 0
        for part in _taken(parts):
            after, end = done + part.offsets.size - 1, begin + part.times.size
            chosen = numbers[done:after]
            rounding.apply(part, self.n_units, self.sort, chosen, self._named, ticks[begin:end], sources[begin:end])
            if ordered:
                order_recordings(ticks[begin:end], sources[begin:end], part.offsets, self.n_units)
            offsets[done + 1 : after + 1] = begin + part.offsets[1:]
            done, begin = after, end
        longest = int(ticks.max(initial=0)) + 1
        return Events.unchecked(ticks, sources, offsets, self.n_units, longest, rounding.dt).trimmed()

    def _parts(self, numbers: IntArray, progress: bool) -> Iterator[Columns]:
        # None: only where standard error is a terminal.
        shown = None if progress and numbers.size > SHOWN_FROM else True
        with tqdm(total=numbers.size, unit="sample", desc=self.path.name, disable=shown) as bar:
            for first in range(0, numbers.size, CHUNK):
                chosen = numbers[first : first + CHUNK]
                yield self._columns(chosen)
                bar.update(chosen.size)

    def _columns(self, numbers: IntArray) -> Columns:
        """Read samples in any order, and check that each has a unit for each time."""
        file = self._file()
        times, units = self._column(file, "times", numbers), self._column(file, "units", numbers)
        sizes = np.array([column.size for column in times], np.int64)
        found = np.array([column.size for column in units], np.int64)
        for bad in np.flatnonzero(sizes != found)[:1]:
            raise DataError(f"{self._named(numbers[bad])}: {sizes[bad]} times but {found[bad]} units")
        for bad in np.flatnonzero(sizes == 0)[:1]:
            if not self.allow_empty:
                raise DataError(f"{self._named(numbers[bad])} has no spikes; pass allow_empty=True to accept that")
        return Columns(np.concatenate(([0], np.cumsum(sizes))), np.concatenate(times), np.concatenate(units))

    def _column(self, file: h5py.File, name: str, numbers: IntArray) -> list[NDArray[Any]]:
        column = file[f"spikes/{name}"]
        try:
            if numbers.size and np.all(np.diff(numbers) == 1):
                return list(column[int(numbers[0]) : int(numbers[-1]) + 1])
            ascending, place = np.unique(numbers, return_inverse=True)  # HDF5 reads in this order only
            read = column[ascending] if ascending.size else ()
            return [read[i] for i in place]
        except (OSError, RuntimeError) as error:
            if numbers.size > 1:
                for number in numbers:  # one by one, to find out which
                    self._column(file, name, np.array([number]))
            reason = str(error).splitlines()[0]
            raise DataError(f"{self._named(numbers[0])}: damaged ({reason}); get the file afresh") from error

    def _named(self, number: Any) -> str:
        return f"{self.path}: sample {int(number)}"


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading, or raise a `DataError` that names it."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: not a readable HDF5 file; it may be cut short or of another format ({reason})"
        ) from error


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _taken(parts: list[Columns]) -> Iterator[Columns]:
    """Yield the parts and forget each one once the next is asked for."""
    parts.reverse()
    while parts:
        yield parts.pop()


def _check_room(path: Path, events: int) -> None:
    needed, there_is = events * EVENT_BYTES, available_memory()
    if there_is is not None and needed > there_is:
        raise ResourceError(
            f"{path}: {events:,} spikes take {in_bytes(needed)} of memory as events, there are {in_bytes(there_is)}; "
            "take fewer samples (limit=...), or read them batch by batch with SpikesFile(...).frame_batches(...)"
        )
