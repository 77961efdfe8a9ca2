"""Retrieval across two modalities: what is nearest to a query, how often it is of its class, how sure that is.

Nothing here knows how scores were made: any array of one row a query and one column an item of the gallery will do.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, whole
from snnsim.numerics import rng

IntArray = NDArray[np.int64]
#: Items of the gallery that are kept of each ranking. A resample of the gallery leaves out 37 % of the items, so that
#: it leaves out all of these with probability 1e-28.
DEPTH = 64


class Interval(NamedTuple):
    """Bounds of an interval."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Retrieval:
    """The nearest items of a gallery for each query.

    Parameters
    ----------
    query_labels : ndarray of int64, shape (queries,)
    gallery_labels : ndarray of int64, shape (items,)
    nearest : ndarray of int64, shape (queries, depth)
        Places in the gallery, the best first; the first 64, or all.
    query_numbers : ndarray of int64, shape (queries,)
        Numbers of the recordings, by which several retrievals know what they have in common.
    gallery_numbers : ndarray of int64, shape (items,)
    """

    query_labels: IntArray
    gallery_labels: IntArray
    nearest: IntArray
    query_numbers: IntArray
    gallery_numbers: IntArray

    def __post_init__(self) -> None:
        queries, items = self.query_labels.shape, self.gallery_labels.shape
        if self.query_numbers.shape != queries or self.gallery_numbers.shape != items:
            raise DataError(
                f"numbers have shapes {self.query_numbers.shape} and {self.gallery_numbers.shape}, "
                f"labels {queries} and {items}"
            )
        nearest = self.nearest
        if nearest.ndim != 2 or nearest.shape[0] != queries[0] or not 1 <= nearest.shape[1] <= items[0]:
            raise DataError(f"nearest has shape {nearest.shape} for {queries[0]} queries and {items[0]} items")
        if nearest.min() < 0 or nearest.max() >= items[0]:
            raise DataError(f"nearest: {nearest.min()} ... {nearest.max()} do not all lie in a gallery of {items[0]}")

    def __len__(self) -> int:
        """Return the number of queries."""
        return int(self.query_labels.size)

    @property
    def answers(self) -> IntArray:
        """Label of the nearest item of each query, shape (queries,)."""
        return np.asarray(self.gallery_labels[self.nearest[:, 0]])

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether the nearest item is of the query's class, shape (queries,)."""
        return np.asarray(self.answers == self.query_labels)

    @property
    def accuracy(self) -> float:
        """Share of queries whose nearest item is of their class."""
        return float(self.hits.mean())

    @property
    def chance(self) -> float:
        """Accuracy of an item drawn from the gallery with every item alike."""
        classes = np.union1d(self.query_labels, self.gallery_labels)
        shares = [(labels[:, None] == classes).mean(axis=0) for labels in (self.query_labels, self.gallery_labels)]
        return float(shares[0] @ shares[1])

    def confusion(self, classes: Sequence[int]) -> IntArray:
        """Return counts, shape (classes, classes): rows are classes of queries, columns those of their answers."""
        wanted = np.asarray(classes, np.int64)
        counts = (self.query_labels[:, None] == wanted).T.astype(np.int64) @ (self.answers[:, None] == wanted)
        return np.asarray(counts, np.int64)

    def wilson(self, confidence: float = 0.95) -> Interval:
        """Return Wilson's interval over the queries; it takes the gallery as given."""
        return wilson_interval(int(self.hits.sum()), len(self), confidence)

    # -- keeping -----------------------------------------------------------------------------------------

    def write(self, group: h5py.Group) -> None:
        """Write into an open HDF5 group."""
        for name in _ARRAYS:
            group.create_dataset(name, data=getattr(self, name))

    @classmethod
    def read(cls, group: h5py.Group) -> Retrieval:
        """Read what `write` wrote."""
        return cls(*(np.asarray(group[name][()], np.int64) for name in _ARRAYS))


_ARRAYS = ("query_labels", "gallery_labels", "nearest", "query_numbers", "gallery_numbers")


def retrieve(
    scores: ArrayLike,
    query_labels: ArrayLike,
    gallery_labels: ArrayLike,
    *,
    query_numbers: ArrayLike | None = None,
    gallery_numbers: ArrayLike | None = None,
    seed: int = 0,
) -> Retrieval:
    """Rank a gallery for each query.

    Parameters
    ----------
    scores : array_like, shape (queries, items)
        The higher the nearer.
    query_labels, gallery_labels : array_like of int, shapes (queries,) and (items,)
    query_numbers, gallery_numbers : array_like of int, optional
        Numbers of the recordings; by default they are counted.
    seed : int
        Decides between items of equal score. The order of the gallery does not: it is mostly sorted by class.

    Returns
    -------
    Retrieval

    Raises
    ------
    DataError
        Shapes do not fit together, or a score is not finite.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"scores has shape {values.shape}; must be (queries, items), one of each at least")
    if not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"scores: {values[tuple(bad)]} of query {bad[0]} and item {bad[1]}; must be finite")
    queries = _whole_numbers("query_labels", query_labels, values.shape[0])
    items = _whole_numbers("gallery_labels", gallery_labels, values.shape[1])
    places = rng.permutation(seed, rng.stream_number("retrieval", "ties"), items.size)
    order = np.argsort(-values[:, places], axis=1, kind="stable")[:, :DEPTH]
    first, second = (
        np.arange(size) if given is None else _whole_numbers(name, given, size)
        for name, given, size in (
            ("query_numbers", query_numbers, queries.size),
            ("gallery_numbers", gallery_numbers, items.size),
        )
    )
    return Retrieval(queries, items, places[order], first, second)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Parameters
    ----------
    successes, trials : int
    confidence : float
        Above 0 and below 1.
    """
    trials = whole("trials", trials, at_least=1)
    successes = whole("successes", successes)
    if successes > trials:
        raise ParameterError(f"successes={successes}: must be at most trials={trials}")
    z = statistics.NormalDist().inv_cdf(0.5 + 0.5 * _confidence(confidence))
    share, weight = successes / trials, z * z / trials
    middle = (share + 0.5 * weight) / (1 + weight)
    half = z / (1 + weight) * (share * (1 - share) / trials + 0.25 * weight / trials) ** 0.5
    return Interval(0.0 if successes == 0 else middle - half, 1.0 if successes == trials else middle + half)


def bootstrap_interval(
    runs: Sequence[Retrieval], *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return an interval of the mean accuracy of several runs, over recordings of both modalities and over runs.

    In a resample, recordings of the queries and of the gallery are drawn anew with replacement, each class apart, and
    so are the runs, where there are several. A recording that takes part in several runs is drawn once for all of them:
    runs that share their recordings are no further recordings. Few recordings of the gallery that are near to many
    queries widen the interval, which they do not where queries alone are drawn anew. It is still too narrow then,
    since the nearest item is an extreme: where 60 items are near or far for whole classes by accident, 79 to 94 % of
    such 95 % intervals hold the true value, from strong accidents to weak ones, and 26 to 80 % of Wilson's (100 made-up
    sets each).
    Nor does it say anything of other classes: those of the runs are taken as they are.

    Parameters
    ----------
    runs : sequence of Retrieval
        Of one task, such as over seeds.
    confidence : float
    resamples : int
    seed : int

    Returns
    -------
    Interval
        Quantiles of the resamples' deviations from their own mean, around the mean accuracy: a resample of the gallery
        has only 63 % of its items, which by itself moves accuracy a little.

    Raises
    ------
    DataError
        A recording has different labels in different runs.
    """
    if not runs:
        raise ParameterError("runs is empty; an interval takes one retrieval at least")
    resamples = whole("resamples", resamples, at_least=2)
    tail = 50 * (1 - _confidence(confidence))
    queries = _Recordings([(run.query_numbers, run.query_labels) for run in runs], "queries")
    items = _Recordings([(run.gallery_numbers, run.gallery_labels) for run in runs], "gallery")
    correct = [run.gallery_labels[run.nearest] == run.query_labels[:, None] for run in runs]
    means = np.empty(resamples)
    for number in range(resamples):
        weights, kept = queries.drawn(seed, number), items.drawn(seed, number) > 0
        values = []
        for k, run in enumerate(runs):
            weight = weights[queries.places[k]]
            first = _first(kept[items.places[k]], run.nearest)
            total = weight.sum()
            values.append((weight @ correct[k][np.arange(first.size), first]) / total if total else np.nan)
        stream = rng.stream_number("bootstrap", "runs")
        chosen = (rng.uniform(seed, stream, np.arange(len(runs)), number) * len(runs)).astype(np.int64)
        means[number] = np.asarray(values)[chosen].mean()
    deviations = means[np.isfinite(means)]
    low, high = np.percentile(deviations - deviations.mean(), [tail, 100 - tail])
    middle = float(np.mean([run.accuracy for run in runs]))
    return Interval(max(0.0, middle + float(low)), min(1.0, middle + float(high)))


class _Recordings:
    """All recordings of one modality that take part in some runs."""

    def __init__(self, sides: list[tuple[IntArray, IntArray]], name: str) -> None:
        pairs = np.unique(np.concatenate([np.stack(side, axis=1) for side in sides]), axis=0)
        numbers, labels = pairs[:, 0], pairs[:, 1]
        if np.unique(numbers).size != numbers.size:
            twice = numbers[np.flatnonzero(np.diff(numbers) == 0)[0]]
            raise DataError(f"{name}: recording {twice} has different labels in different runs")
        self.name, self.size = name, numbers.size
        self.places = [np.searchsorted(numbers, side[0]) for side in sides]
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def drawn(self, seed: int, number: int) -> IntArray:
        """Return how often each recording is in a resample."""
        draw = rng.uniform(seed, rng.stream_number("bootstrap", self.name), np.arange(self.size), number)
        counts = np.zeros(self.size, np.int64)
        for members in self.members:
            picked = (draw[members] * members.size).astype(np.int64)
            counts[members] = np.bincount(picked, minlength=members.size)
        return counts


def _first(kept: NDArray[np.bool_], nearest: IntArray) -> IntArray:
    """Return the place of the first item of each row that is kept; mostly it is among the first few."""
    few = kept[nearest[:, :16]]
    first = few.argmax(axis=1)
    for row in np.flatnonzero(~few[np.arange(first.size), first]):
        first[row] = kept[nearest[row]].argmax()
    return np.asarray(first)


def _confidence(value: float) -> float:
    if not 0 < value < 1:
        raise ParameterError(f"confidence={value!r}: must lie above 0 and below 1")
    return float(value)


def _whole_numbers(name: str, values: ArrayLike, size: int) -> IntArray:
    array = np.asarray(values)
    if array.shape != (size,) or array.dtype.kind not in "iu":
        raise DataError(f"{name}: {array.dtype} of shape {array.shape}; must be {size} whole numbers")
    return array.astype(np.int64)
