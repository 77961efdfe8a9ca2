"""ImageDataset: labelled images as bytes; FrameDataset: labelled frames of real values, which networks learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.dataset import EventDataset
from snnsim.errors import DataError, ParameterError
from snnsim.events import Events
from snnsim.frames import Frames
from snnsim.numerics.sampling import IntArray, check_seed, stratified_folds, stratified_part

#: Turns images, or an `ImageDataset`, into recordings: one of `snnsim.datasets.encoders`, or a function of one's own.
Encoder = Callable[..., Events | Frames]


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images.

    Parameters
    ----------
    images : ndarray of uint8, shape (samples, channels, height, width)
        Brightness 0 to 255.
    labels : ndarray of int64, shape (samples,)
        Class of each sample, an index into `classes`.
    classes : tuple of str
        Names of the classes.
    name : str
        Short name, such as ``"mnist-train"``.
    source : str
        Where the data come from, in a sentence.

    Raises
    ------
    DataError
        The parts do not fit together.
    """

    images: NDArray[np.uint8]
    labels: IntArray
    classes: tuple[str, ...]
    name: str
    source: str

    def __post_init__(self) -> None:
        images = np.asarray(self.images)
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape[1:]:
            raise DataError(
                f"images: {images.dtype} of shape {images.shape}; expected uint8 of shape "
                "(samples, channels, height, width)"
            )
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", checked_labels(self.labels, len(images), len(self.classes)))
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: (channels, height, width)."""
        return tuple(self.images.shape[1:])

    @property
    def class_counts(self) -> IntArray:
        """Number of samples of each class, shape (classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    def __getitem__(self, which: int | slice | ArrayLike) -> ImageDataset:
        """Return the chosen samples as a data set (an int gives a data set of one)."""
        chosen = chosen_samples(which, len(self))
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def __repr__(self) -> str:
        shape = "x".join(str(size) for size in self.shape)
        return f"ImageDataset({self.name!r}: {len(self):,} images of {shape}, {len(self.classes)} classes)"

    def summary(self) -> str:
        """Return a few lines of text on what the data set holds."""
        pairs = (f"{name} {count}" for name, count in zip(self.classes, self.class_counts, strict=True))
        return "\n".join([repr(self), f"  source   {self.source}", f"  classes  {', '.join(pairs)}"])

    def statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of each channel, of values 0 to 1, for `encoders.direct`.

        Take those of the training data for the test data, too.
        """
        if not len(self):
            raise ParameterError(f"{self.name}: holds no images to take statistics of")
        # Counted, so that the sums are exact, and no image is turned into floats.
        counts = np.stack([np.bincount(channel.reshape(-1), minlength=256) for channel in self.images.swapaxes(0, 1)])
        values = np.arange(256) / 255.0
        mean = counts @ values / counts.sum(axis=1)
        variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
        return mean, np.sqrt(variance)

    def split(self, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Divide into two, each class in the same share: see `EventDataset.split`."""
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float, np.number)) or not 0 < fraction < 1:
            raise ParameterError(f"fraction={fraction!r}: must lie above 0 and below 1")
        chosen = np.zeros(len(self), bool)
        chosen[stratified_part(self.labels, float(fraction), check_seed("seed", seed))] = True
        if not chosen.any() or chosen.all():
            raise ParameterError(f"fraction={fraction!r} of {len(self)} samples leaves one of the two parts empty")
        return self[np.flatnonzero(chosen)], self[np.flatnonzero(~chosen)]

    def folds(self, k: int, seed: int) -> list[tuple[IntArray, IntArray]]:
        """Return `k` stratified (train indices, test indices) for cross-validation; see `EventDataset.folds`."""
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 2 <= k <= len(self):
            raise ParameterError(f"k={k!r}: must be a whole number from 2 to the {len(self)} samples")
        everything = np.arange(len(self))
        parts = stratified_folds(self.labels, int(k), check_seed("seed", seed))
        return [(np.setdiff1d(everything, part, assume_unique=True), part) for part in parts]

    def encoded(self, encoder: Encoder, **arguments: Any) -> EventDataset | FrameDataset:
        """Return the samples as recordings that networks run and learn.

        Parameters
        ----------
        encoder : callable
            Takes the images, shape (samples, channels, height, width), and `arguments`: one of
            `snnsim.datasets.encoders`, or a function of one's own that gives `Events` or `Frames`.
        **arguments
            Of the encoder, such as ``n_ticks=5, dt=1e-3``.

        Returns
        -------
        EventDataset or FrameDataset
            As the encoder gives events or frames. Where events have more sources than the images pixels, as those of
            `encoders.delta` have, they come as (polarity, pixels) in a row.
        """
        found = encoder(self.images, **arguments)
        name = f"{self.name}-{getattr(encoder, '__name__', 'encoded')}"
        if isinstance(found, Frames):
            return FrameDataset(found, self.labels, self.classes, self.shape, name, self.source)
        if not isinstance(found, Events):
            raise ParameterError(f"encoder={encoder!r}: gave {type(found).__name__}, expected Events or Frames")
        size = int(np.prod(self.shape))
        shape = self.shape if found.n_sources == size else (found.n_sources,)
        return EventDataset(found, self.labels, self.classes, shape, name, self.source)


@dataclass(frozen=True, eq=False)
class FrameDataset:
    """Labelled frames of real values, as `train`, `evaluate` and `Simulation.run_samples` take them.

    Parameters
    ----------
    events : Frames
        One recording a sample; called as in an `EventDataset`, in whose place it stands.
    labels : ndarray of int64, shape (samples,)
    classes : tuple of str
    sensor_shape : tuple of int
        Shape of a frame, for an image (channels, height, width).
    name, source : str

    Raises
    ------
    DataError
        The parts do not fit together.
    """

    events: Frames
    labels: IntArray
    classes: tuple[str, ...]
    sensor_shape: tuple[int, ...]
    name: str
    source: str

    def __post_init__(self) -> None:
        if not isinstance(self.events, Frames):
            raise DataError(f"events: {type(self.events).__name__}; expected Frames")
        object.__setattr__(self, "labels", checked_labels(self.labels, len(self.events), len(self.classes)))
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        object.__setattr__(self, "sensor_shape", tuple(int(size) for size in self.sensor_shape))
        if int(np.prod(self.sensor_shape)) != self.events.n_sources:
            raise DataError(
                f"sensor_shape={self.sensor_shape} has {int(np.prod(self.sensor_shape))} sources, the frames have "
                f"{self.events.n_sources}"
            )

    @property
    def frames(self) -> Frames:
        """The frames, by their own name."""
        return self.events

    @property
    def lengths(self) -> IntArray:
        """Ticks of each sample, shape (samples,)."""
        return self.events.lengths

    @property
    def class_counts(self) -> IntArray:
        """Number of samples of each class, shape (classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.events)

    def __getitem__(self, which: int | slice | ArrayLike) -> FrameDataset:
        """Return the chosen samples as a data set (an int gives a data set of one)."""
        chosen = chosen_samples(which, len(self))
        return replace(self, events=self.events[chosen], labels=self.labels[chosen])

    def __repr__(self) -> str:
        shape = "x".join(str(size) for size in self.sensor_shape)
        return (
            f"FrameDataset({self.name!r}: {len(self):,} samples, {len(self.classes)} classes, frames of {shape}, "
            f"{self.events.n_ticks:,} ticks of {self.events.dt:g} s)"
        )


def checked_labels(labels: ArrayLike, samples: int, classes: int) -> IntArray:
    """Return labels as int64, or raise `DataError` where they do not fit samples and classes."""
    given = np.asarray(labels)
    if given.size and given.dtype.kind not in "iu":
        raise DataError(f"labels: must be whole numbers, not {given.dtype}")
    if given.shape != (samples,):
        raise DataError(f"labels has shape {given.shape}, but there are {samples} samples")
    if given.size and (given.min() < 0 or given.max() >= classes):
        bad = int(given.min() if given.min() < 0 else given.max())
        raise DataError(f"labels: {bad} is not one of the {classes} classes 0 ... {classes - 1}")
    return np.ascontiguousarray(given, np.int64)


def chosen_samples(which: int | slice | ArrayLike, samples: int) -> Any:
    """Return what picks some samples of a data set as an index of an array."""
    if isinstance(which, (int, np.integer)) and not isinstance(which, (bool, np.bool_)):
        if not -samples <= which < samples:
            raise IndexError(f"sample {which} of {samples}")
        return np.array([int(which)])
    if isinstance(which, slice):
        return which
    chosen = np.asarray(which)
    return chosen if chosen.size else np.zeros(0, np.int64)
