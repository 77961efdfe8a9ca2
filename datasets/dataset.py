"""EventDataset: labelled event recordings with what is needed to use them: classes, sensor, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from snnsim.datasets.frames import FrameBatch, frame_batches, pooled_channels
from snnsim.errors import DataError, ParameterError
from snnsim.events import Events
from snnsim.frames import Recordings
from snnsim.numerics.sampling import (
    IntArray,
    batch_indices,
    check_seed,
    grouped_part,
    stratified_folds,
    stratified_part,
)
from snnsim.storage.hdf5 import read_hdf5, write_hdf5


class LabelledEvents(Protocol):
    """Anything with recordings and labels, such as an `EventDataset` or a `FrameDataset`."""

    @property
    def events(self) -> Recordings:
        """One recording a sample: events, or frames of real values."""

    @property
    def labels(self) -> IntArray:
        """Class of each sample."""


@dataclass(frozen=True, eq=False)
class EventDataset:
    """Labelled event recordings.

    Parameters
    ----------
    events : Events
        One recording a sample.
    labels : ndarray of int64, shape (samples,)
        Class of each sample, an index into `classes`.
    classes : tuple of str
        Names of the classes.
    sensor_shape : tuple of int
        Shape of the sensor, for a camera (polarity, y, x) with polarity 0 = OFF and 1 = ON. The source number of an
        event is its flat index in C order: ``(p * height + y) * width + x``.
    name : str
        Short name, such as ``"nmnist-train"``.
    source : str
        Where the data come from, in a sentence; simulated data say so here.
    groups : ndarray of int64, shape (samples,), optional
        What samples have in common besides their class, such as the number of the speaker.

    Raises
    ------
    DataError
        The parts do not fit together.
    """

    events: Events
    labels: IntArray
    classes: tuple[str, ...]
    sensor_shape: tuple[int, ...]
    name: str
    source: str
    groups: IntArray | None = None

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels)
        if labels.size and labels.dtype.kind not in "iu":
            raise DataError(f"labels: must be whole numbers, not {labels.dtype}")
        labels = np.ascontiguousarray(labels, np.int64)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        object.__setattr__(self, "sensor_shape", tuple(int(size) for size in self.sensor_shape))
        if labels.shape != (len(self.events),):
            raise DataError(f"labels has shape {labels.shape}, but there are {len(self.events)} recordings")
        if labels.size and (labels.min() < 0 or labels.max() >= len(self.classes)):
            bad = int(labels.min() if labels.min() < 0 else labels.max())
            raise DataError(
                f"labels: {bad} is not one of the {len(self.classes)} classes 0 ... {len(self.classes) - 1}"
            )
        if int(np.prod(self.sensor_shape)) != self.events.n_sources:
            raise DataError(
                f"sensor_shape={self.sensor_shape} has {int(np.prod(self.sensor_shape))} sources, "
                f"the recordings have {self.events.n_sources}"
            )
        if self.groups is not None:
            groups = np.asarray(self.groups)
            if groups.shape != labels.shape or (groups.size and groups.dtype.kind not in "iu"):
                raise DataError(
                    f"groups: {groups.dtype} of shape {groups.shape}; must be a whole number for each of the "
                    f"{len(self)} samples, or None"
                )
            object.__setattr__(self, "groups", np.ascontiguousarray(groups, np.int64))

    # -- looking -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.events)

    def __iter__(self) -> Iterator[EventDataset]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, which: int | slice | ArrayLike) -> EventDataset:
        """Return the chosen samples as a data set (an int gives a data set of one)."""
        if isinstance(which, (int, np.integer)) and not isinstance(which, (bool, np.bool_)):
            events, kept = self.events[int(which)], np.array([int(which)])
            return self._part(events, kept)
        if not isinstance(which, slice):
            which = np.asarray(which)
            if which.size == 0:
                which = np.zeros(0, np.int64)
        return self._part(self.events[which], which)

    def _part(self, events: Events, which: slice | NDArray[Any]) -> EventDataset:
        groups = None if self.groups is None else self.groups[which]
        return replace(self, events=events, labels=self.labels[which], groups=groups)

    @property
    def class_counts(self) -> IntArray:
        """Number of samples of each class, shape (classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def event_counts(self) -> IntArray:
        """Number of events of each sample, shape (samples,)."""
        return np.diff(self.events.offsets)

    @property
    def lengths(self) -> IntArray:
        """Ticks of each sample, shape (samples,)."""
        return self.events.lengths

    def __repr__(self) -> str:
        shape = "x".join(str(size) for size in self.sensor_shape)
        return (
            f"EventDataset({self.name!r}: {len(self):,} samples, {len(self.classes)} classes, sensor {shape}, "
            f"{self.events.ticks.size:,} events, {self.events.n_ticks:,} ticks of {self.events.dt:g} s)"
        )

    def summary(self) -> str:
        """Return a few lines of text on what the data set holds."""
        counts = self.event_counts
        lines = [repr(self), f"  source   {self.source}", f"  length   {self._length()}"]
        if counts.size:
            low, middle, high = int(counts.min()), float(np.median(counts)), int(counts.max())
            lines.append(f"  events   {low:,} to {high:,} a sample, median {middle:,.0f}")
        pairs = (f"{name} {count}" for name, count in zip(self.classes, self.class_counts, strict=True))
        lines.append(f"  classes  {', '.join(pairs)}")
        if self.groups is not None:
            lines.append(f"  groups   {np.unique(self.groups).size:,}")
        return "\n".join(lines)

    def _length(self) -> str:
        if not len(self) or self.lengths.min() == self.lengths.max():
            return f"{self.events.duration:g} s a sample"
        return f"{self.lengths.min() * self.events.dt:g} to {self.events.duration:g} s a sample"

    # -- changing ----------------------------------------------------------------------------------------

    def with_dt(self, dt: float, n_ticks: int | None = None) -> EventDataset:
        """Return the samples on coarser ticks of `dt` seconds, a whole multiple of the present ones.

        Events that fall into the same tick stay apart (see `binarised`); `n_ticks` cuts or pads the samples.
        """
        return replace(self, events=self.events.with_dt(dt, n_ticks=n_ticks))

    def binarised(self) -> EventDataset:
        """Return the samples with repeated events of one (tick, source) merged into one."""
        return replace(self, events=self.events.binarised())

    def pooled(self, size: int) -> EventDataset:
        """Return the samples with `size` neighbouring sources summed into one, such as 700 channels into 140.

        Events stay apart: two of one tick that come into one channel are counted twice.

        Raises
        ------
        ParameterError
            The sensor has more than one dimension, or `size` does not divide the number of sources.
        """
        if len(self.sensor_shape) != 1:
            raise ParameterError(f"sensor_shape={self.sensor_shape}: only sources in a row can be pooled")
        channels = pooled_channels(self.events.n_sources, size).astype(np.int32)
        events, count = self.events, int(channels[-1]) + 1
        sources = channels[events.sources]  # ascending within a tick as before
        pooled = Events.unchecked(
            events.ticks, sources, events.offsets, count, events.n_ticks, events.dt, events.lengths
        )
        return replace(self, events=pooled, sensor_shape=(count,))

    def frames(
        self, which: slice | ArrayLike | None = None, dtype: DTypeLike = np.int16, *, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Return counts of events, shape (samples, ticks, *sensor_shape).

        Parameters
        ----------
        which : slice or array_like, optional
            Samples to count; all by default, which for ticks of a microsecond takes more memory than there is.
        dtype : dtype
            Type of the counts. A count that does not fit wraps around.
        out : ndarray, shape (samples or more, ticks, *sensor_shape), optional
            Fill (the beginning of) this array, which fixes the type, instead of making a new one.

        Raises
        ------
        ParameterError
            `out` has another shape, or is not contiguous.
        """
        from snnsim.datasets.event_kernels import count_events

        events = self.events if which is None else self[which].events
        shape = (len(events), events.n_ticks, *self.sensor_shape)
        if out is None:
            out = np.zeros(shape, dtype)
        elif out.shape[1:] != shape[1:] or len(out) < len(events) or not out.flags.c_contiguous:
            raise ParameterError(f"out has shape {out.shape}; it must be contiguous, of shape {shape} or longer")
        else:
            out[: len(events)] = 0
        counts = out[: len(events)]
        count_events(events.ticks, events.sources, events.offsets, counts.reshape(len(events), events.n_ticks, -1))
        return counts

    # -- dividing ----------------------------------------------------------------------------------------

    def split(self, fraction: float, seed: int, stratified: bool = True) -> tuple[EventDataset, EventDataset]:
        """Divide into two, for instance training and validation data.

        Divide training data only: a validation set taken from the test data makes the test result worthless.

        Parameters
        ----------
        fraction : float
            Share of the samples that goes into the first part, above 0 and below 1.
        seed : int
            The same seed gives the same division on every machine.
        stratified : bool
            Give each class the same share, as near as whole samples allow.

        Returns
        -------
        (EventDataset, EventDataset)
            Both in the order of this data set.

        Raises
        ------
        ParameterError
            `fraction` is out of range, or leaves one of the parts empty.
        """
        if not isinstance(fraction, (int, float, np.number)) or not 0 < fraction < 1:
            raise ParameterError(f"fraction={fraction!r}: must lie above 0 and below 1")
        labels = self.labels if stratified else np.zeros(len(self), np.int64)
        chosen = np.zeros(len(self), bool)
        chosen[stratified_part(labels, float(fraction), check_seed("seed", seed))] = True
        if not chosen.any() or chosen.all():
            raise ParameterError(f"fraction={fraction!r} of {len(self)} samples leaves one of the two parts empty")
        return self[np.flatnonzero(chosen)], self[np.flatnonzero(~chosen)]

    def split_by_group(self, fraction: float, seed: int) -> tuple[EventDataset, EventDataset]:
        """Divide into two that have no group in common, such as speakers to train with and speakers to validate with.

        Parameters
        ----------
        fraction : float
            Share of the groups in the first part, rounded to whole groups; each part has one at least.
        seed : int
            Which groups they are.

        Raises
        ------
        ParameterError
            The samples have no groups, or are all of one; `fraction` is out of range.
        """
        if self.groups is None:
            raise ParameterError(f"{self.name}: the samples have no groups to divide by; split(...) divides samples")
        if not isinstance(fraction, (int, float, np.number)) or not 0 < fraction < 1:
            raise ParameterError(f"fraction={fraction!r}: must lie above 0 and below 1")
        chosen = grouped_part(self.groups, float(fraction), check_seed("seed", seed))
        return self[np.flatnonzero(chosen)], self[np.flatnonzero(~chosen)]

    def folds(self, k: int, seed: int) -> list[tuple[IntArray, IntArray]]:
        """Return `k` stratified (train indices, test indices) for cross-validation.

        Raises
        ------
        ParameterError
            `k` is not between 2 and the number of samples.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 2 <= k <= len(self):
            raise ParameterError(f"k={k!r}: must be a whole number from 2 to the {len(self)} samples")
        everything = np.arange(len(self))
        parts = stratified_folds(self.labels, int(k), check_seed("seed", seed))
        return [(np.setdiff1d(everything, part, assume_unique=True), part) for part in parts]

    def batches(
        self, batch_size: int, seed: int | None = None, epoch: int = 0, *, drop_last: bool = False
    ) -> Iterator[tuple[Events, IntArray]]:
        """Iterate over (events, labels) of `batch_size` samples.

        Parameters
        ----------
        batch_size : int
        seed : int, optional
            Shuffle with this seed; None keeps the order.
        epoch : int
            Each epoch of a seed has an order of its own, so that a run can be resumed at any epoch.
        drop_last : bool
            Leave out a last batch that is not full.

        Raises
        ------
        ParameterError
            `batch_size` is not a whole number of at least 1, or seed or epoch is negative.
        """
        indices = batch_indices(len(self), batch_size, seed, epoch, drop_last=drop_last)
        return ((self.events[chosen], self.labels[chosen]) for chosen in indices)

    def frame_batches(
        self, batch_size: int, seed: int | None = None, epoch: int = 0, *, drop_last: bool = False
    ) -> Iterator[FrameBatch]:
        """Iterate over (frames, lengths, labels) of `batch_size` samples, each padded to the longest of its batch.

        Parameters
        ----------
        batch_size, seed, epoch, drop_last
            As for `batches`, with the same order.

        Yields
        ------
        FrameBatch
            ``frames`` are float32 counts of shape (samples, ticks, sources), in which the ticks are those of the
            longest sample of the batch, ``lengths`` the ticks of each sample, ``mask`` tells them from padding.

        Raises
        ------
        ParameterError
            As for `batches`.
        """
        indices = batch_indices(len(self), batch_size, seed, epoch, drop_last=drop_last)
        return frame_batches(self.events, self.labels, indices)

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path, **attributes: str) -> None:
        """Save to an HDF5 file, complete or not there at all; `attributes` are kept as notes in it."""
        with write_hdf5(path, "dataset") as file:
            file.attrs.update(
                name=self.name,
                source=self.source,
                classes=json.dumps(self.classes),
                sensor_shape=json.dumps(self.sensor_shape),
                **attributes,
            )
            file.create_dataset("labels", data=self.labels)
            if self.groups is not None:
                file.create_dataset("groups", data=self.groups)
            self.events.write(file.create_group("events"))

    @classmethod
    def load(cls, path: str | Path) -> EventDataset:
        """Load what `save` saved.

        Raises
        ------
        DataError
            No such file, a damaged one, or one of another kind.
        """
        with read_hdf5(path, "dataset") as file:
            try:
                return cls(
                    Events.read(file["events"]),
                    file["labels"][()],
                    tuple(json.loads(file.attrs["classes"])),
                    tuple(json.loads(file.attrs["sensor_shape"])),
                    str(file.attrs["name"]),
                    str(file.attrs["source"]),
                    file["groups"][()] if "groups" in file else None,
                )
            except DataError:
                raise
            except (KeyError, OSError, ValueError, TypeError) as error:
                raise DataError(f"{path}: the data set in it is damaged ({error})") from error
