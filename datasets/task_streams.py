"""Streams of tasks for continual learning, made of one data set: pixels in other orders, or some classes at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.image_dataset import FrameDataset, ImageDataset
from snnsim.errors import DataError, ParameterError, one_of, whole
from snnsim.events import Events
from snnsim.frames import Frames
from snnsim.numerics import rng
from snnsim.numerics.sampling import check_seed

DataT = TypeVar("DataT", ImageDataset, FrameDataset, EventDataset)


class TaskStream(Sequence[DataT], Generic[DataT]):
    """Tasks one after another, each made when it is asked for: ten tasks take the memory of one.

    Parameters
    ----------
    length : int
    make : callable
        Returns the task of a number.
    """

    def __init__(self, length: int, make: Callable[[int], DataT]) -> None:
        self._length = length
        self._make: Callable[[int], Any] = make

    def __len__(self) -> int:
        """Return the number of tasks."""
        return self._length

    @overload
    def __getitem__(self, which: int) -> DataT: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[DataT]: ...
    def __getitem__(self, which: int | slice) -> Any:
        """Return a task, or some as a stream."""
        chosen = range(self._length)[which]
        if isinstance(chosen, range):
            return TaskStream(len(chosen), lambda number: self._make(chosen[number]))
        return self._make(chosen)


def permuted_tasks(dataset: DataT, n: int, seed: int, *, first_as_it_is: bool = False) -> TaskStream[DataT]:
    """Return tasks of the same images with their pixels in other orders (Permuted MNIST).

    Goodfellow, Mirza, Xiao, Courville, Bengio 2013, arXiv:1312.6211. Task i has the same order for the same seed and
    number of pixels: give the training and the test data the same seed.

    Parameters
    ----------
    dataset : ImageDataset, FrameDataset or EventDataset
        Of an image all channels and pixels change places with one another; of events, sources.
    n : int
        Number of tasks.
    seed : int
        Which orders they are; the first n of more tasks are the same.
    first_as_it_is : bool
        Leave task 0 in its own order.

    Returns
    -------
    TaskStream
        Sequence of data sets of the same kind, each made when it is asked for.
    """
    _check(dataset)
    count, key = whole("n", n, at_least=1), check_seed("seed", seed)

    def make(number: int) -> Any:
        if number == 0 and first_as_it_is:
            return dataset
        order = rng.permutation(key, rng.stream_number("permuted tasks", number), _sources(dataset))
        return _permuted(dataset, order, f"{dataset.name}-permuted-{number}")

    return TaskStream(count, make)


def split_tasks(
    dataset: DataT, classes_per_task: int, *, order: ArrayLike | None = None, labels: str = "within_task"
) -> TaskStream[DataT]:
    """Return tasks of some classes each (Split MNIST).

    Zenke, Poole, Ganguli 2017, arXiv:1703.04200.

    Parameters
    ----------
    dataset : ImageDataset, FrameDataset or EventDataset
    classes_per_task : int
        Must divide the number of classes.
    order : array_like of int, shape (classes,), optional
        The classes in the order of the tasks; default as they are numbered.
    labels : {"within_task", "all"}
        Count classes anew in each task, as for a head of its own and for domain-incremental learning; or keep the
        labels and classes of the whole data set.

    Returns
    -------
    TaskStream
        Sequence of data sets of the same kind, each made when it is asked for.

    Raises
    ------
    ParameterError
        `classes_per_task` does not divide the classes, or `order` does not hold each once.
    DataError
        A class has no samples, so that its task could not be learned.
    """
    _check(dataset)
    count, number = len(dataset.classes), whole("classes_per_task", classes_per_task, at_least=1)
    one_of("labels", labels, ("within_task", "all"))
    if count % number:
        raise ParameterError(f"classes_per_task={number}: does not divide the {count} classes of {dataset.name!r}")
    chosen = np.arange(count) if order is None else np.asarray(order)
    if chosen.dtype.kind not in "iu" or not np.array_equal(np.sort(chosen), np.arange(count)):
        raise ParameterError(f"order={order!r}: must hold each of the classes 0 ... {count - 1} once")
    empty = [dataset.classes[label] for label in np.flatnonzero(dataset.class_counts == 0)]
    if empty:
        raise DataError(f"{dataset.name}: has no samples of {', '.join(map(repr, empty))}; its task would be empty")

    def make(task: int) -> Any:
        own = chosen[task * number : (task + 1) * number]
        part: Any = dataset[np.flatnonzero(np.isin(dataset.labels, own))]
        name = f"{dataset.name}-task-{task}"
        if labels == "all":
            return replace(part, name=name)
        places = np.full(count, -1, np.int64)
        places[own] = np.arange(number)
        names = tuple(dataset.classes[label] for label in own)
        # At once: labels of before are none of the fewer classes.
        return replace(part, labels=places[part.labels], classes=names, name=name)

    return TaskStream(count // number, make)


def _check(dataset: Any) -> None:
    if not isinstance(dataset, (ImageDataset, FrameDataset, EventDataset)):
        raise ParameterError(
            f"dataset={type(dataset).__name__}: expected an ImageDataset, a FrameDataset or an EventDataset"
        )


def _sources(dataset: Any) -> int:
    return int(np.prod(dataset.shape)) if isinstance(dataset, ImageDataset) else int(dataset.events.n_sources)


def _permuted(dataset: Any, order: NDArray[np.int64], name: str) -> Any:
    """Return a data set in which place i shows what place ``order[i]`` showed."""
    if isinstance(dataset, ImageDataset):
        flat = dataset.images.reshape(len(dataset), -1)[:, order]
        return replace(dataset, images=flat.reshape(dataset.images.shape), name=name)
    if isinstance(dataset, FrameDataset):
        frames = dataset.events
        shown = Frames(frames.values[:, :, order], frames.n_ticks, frames.dt, frames.lengths)
        return replace(dataset, events=shown, name=name)
    events, place = dataset.events, np.empty(order.size, np.int32)
    place[order] = np.arange(order.size)
    sources = place[events.sources]
    sorted_ = np.lexsort((sources, events.ticks, events.recordings))
    moved = Events.unchecked(
        events.ticks, sources[sorted_], events.offsets, events.n_sources, events.n_ticks, events.dt, events.lengths
    )
    return replace(dataset, events=moved, name=name)
