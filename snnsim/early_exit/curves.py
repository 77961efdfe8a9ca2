"""What a recorded readout says about early exit: reliability, accuracy against latency, and the oracle's bound.

For Dynamic Confidence (Li, Jones, Furber, ICCV 2023, arXiv:2303.10276); see `snnsim.dynamic_confidence` for the rule
and for the shape of a readout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.dynamic_confidence import DynamicConfidence, Floats, Integers, Readout, Recorded, softmax_maximum
from snnsim.errors import ParameterError


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of equal width, right-closed as in arXiv:1706.04599.

    Attributes
    ----------
    edges : ndarray of float64, shape (bins + 1,)
    counts : ndarray of int64, shape (bins,)
        Pairs in each bin.
    confidence, accuracy : ndarray of float64, shape (bins,)
        Means in each bin; NaN where it is empty.
    """

    edges: Floats
    counts: Integers
    confidence: Floats
    accuracy: Floats

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean gap between accuracy and confidence, by count."""
        full = self.counts > 0
        gaps = np.abs(self.accuracy[full] - self.confidence[full])
        return float(np.sum(gaps * self.counts[full]) / self.counts.sum())


def reliability(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> Reliability:
    """Return confidence against accuracy in `bins` bins.

    Parameters
    ----------
    confidence : array_like
        Confidences between 0 and 1, of any shape, such as (samples, ticks).
    correct : array_like of bool, same shape
        Whether each answer was right.
    bins : int
        Number of bins of equal width, 1 or above.

    Returns
    -------
    Reliability

    Raises
    ------
    ParameterError
        The shapes differ, nothing is given, or a confidence is outside 0 ... 1.
    """
    values, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct)
    if values.shape != right.shape or values.size == 0:
        raise ParameterError(
            f"correct has shape {right.shape}, confidence {values.shape}; they must agree, and not be empty"
        )
    if not np.all((values >= 0) & (values <= 1)):
        raise ParameterError("confidence must lie between 0 and 1")
    if right.dtype.kind != "b":
        raise ParameterError(f"correct has type {right.dtype}; expected bool")
    if bins < 1:
        raise ParameterError(f"bins={bins!r}: must be 1 or above")
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, values.ravel(), side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    divisor = np.where(counts > 0, counts, np.nan)
    return Reliability(
        edges=edges,
        counts=counts.astype(np.int64),
        confidence=np.bincount(place, values.ravel(), minlength=bins) / divisor,
        accuracy=np.bincount(place, right.ravel().astype(np.float64), minlength=bins) / divisor,
    )


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over bins, between 0 and 1; see `reliability`."""
    return reliability(confidence, correct, bins=bins).expected_error


@dataclass(frozen=True)
class AccuracyLatencyCurve:
    """Accuracy and mean latency of the stopping rule for each threshold.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (thresholds,)
        Ascending.
    accuracy, mean_ticks : ndarray of float64, shape (thresholds,)
    pareto : ndarray of bool, shape (thresholds,)
        Where no other threshold is better in accuracy or latency and at least as good in the other.
    drop, drop_error : ndarray of float64, shape (thresholds,)
        Accuracy lost against the last tick, sample by sample, and the standard error of that mean.
    """

    thresholds: Floats
    accuracy: Floats
    mean_ticks: Floats
    pareto: NDArray[np.bool_]
    drop: Floats
    drop_error: Floats


def accuracy_latency_curve(
    readout: Readout,
    labels: ArrayLike,
    smoothing: float,
    thresholds: ArrayLike,
    *,
    minimum_ticks: int = 1,
    score: str | None = None,
    lengths: ArrayLike | None = None,
) -> AccuracyLatencyCurve:
    """Apply the stopping rule for every threshold of a grid.

    Parameters
    ----------
    readout : array_like of shape (samples, ticks, classes), or Result
    labels : array_like of int, shape (samples,)
    smoothing : float
        Temperature `alpha`, in units of the readout; above zero.
    thresholds : array_like, shape (thresholds,)
        Values of `theta`, 0 or above; sorted here.
    minimum_ticks : int
        No sample stops before this many ticks.
    score, lengths
        As for `snnsim.dynamic_confidence.Recorded.of`.

    Returns
    -------
    AccuracyLatencyCurve

    Raises
    ------
    ParameterError
        An argument has a wrong shape or value.
    """
    recorded = Recorded.of(readout, score, lengths)
    grid = np.sort(np.asarray(thresholds, dtype=np.float64))
    if grid.ndim != 1 or grid.size == 0 or not np.all(grid >= 0):
        raise ParameterError("thresholds must be a flat array of numbers from 0 up, at least one")
    correct = recorded.correct(labels)
    n_samples, n_ticks = correct.shape
    # With one threshold for all ticks, a sample stops where the largest confidence so far passes it.
    blocked = DynamicConfidence(smoothing, 0.0, minimum_ticks).thresholds(n_ticks) > 0
    so_far = np.maximum.accumulate(np.where(blocked, -1.0, softmax_maximum(recorded.scores, smoothing)), axis=1)
    samples = np.arange(n_samples)
    accuracy, mean_ticks, drop, drop_error = np.empty((4, grid.size))
    for i, threshold in enumerate(grid):
        exits = np.minimum(np.count_nonzero(so_far <= threshold, axis=1) + 1, recorded.lengths)
        right = correct[samples, exits - 1]
        lost = correct[:, -1].astype(np.float64) - right
        accuracy[i], mean_ticks[i] = right.mean(), exits.mean()
        drop[i], drop_error[i] = lost.mean(), lost.std() / np.sqrt(n_samples)
    return AccuracyLatencyCurve(grid, accuracy, mean_ticks, _pareto(mean_ticks, accuracy), drop, drop_error)


def _pareto(mean_ticks: Floats, accuracy: Floats) -> NDArray[np.bool_]:
    quicker_or_same = mean_ticks[:, np.newaxis] <= mean_ticks
    righter_or_same = accuracy[:, np.newaxis] >= accuracy
    better = (mean_ticks[:, np.newaxis] < mean_ticks) | (accuracy[:, np.newaxis] > accuracy)
    return np.asarray(~np.any(quicker_or_same & righter_or_same & better, axis=0))


@dataclass(frozen=True)
class OracleCurve:
    """The bound of an oracle that stops each sample at its first right answer, for every cap on T.

    Attributes
    ----------
    first_correct : ndarray of int64, shape (samples,)
        First tick with the right answer; 0 where there is none.
    accuracy : ndarray of float64, shape (ticks,)
        Fraction of samples right at some tick up to the cap ``1 ... T``. It exceeds the accuracy at
        T, because answers flip.
    mean_ticks_wrong_as_cap, mean_ticks_wrong_as_one : ndarray of float64, shape (ticks,)
        Mean latency where samples never right up to the cap count as the cap (or as all their ticks, where they end
        before it), or as 1 (an oracle that gives up at once). Publications use both.
    """

    first_correct: Integers
    accuracy: Floats
    mean_ticks_wrong_as_cap: Floats
    mean_ticks_wrong_as_one: Floats


def oracle_curve(
    readout: Readout, labels: ArrayLike, *, score: str | None = None, lengths: ArrayLike | None = None
) -> OracleCurve:
    """Return the accuracy and latency of stopping each sample at its first right answer.

    Parameters
    ----------
    readout : array_like of shape (samples, ticks, classes), or Result
    labels : array_like of int, shape (samples,)
    score, lengths
        As for `snnsim.dynamic_confidence.Recorded.of`.

    Returns
    -------
    OracleCurve
    """
    recorded = Recorded.of(readout, score, lengths)
    correct = recorded.correct(labels) & recorded.inside
    first = np.where(correct.any(axis=1), np.argmax(correct, axis=1) + 1, 0).astype(np.int64)
    caps = np.arange(1, correct.shape[1] + 1)
    right = (first[:, np.newaxis] > 0) & (first[:, np.newaxis] <= caps)
    ticks = first[:, np.newaxis]
    return OracleCurve(
        first_correct=first,
        accuracy=np.mean(right, axis=0),
        mean_ticks_wrong_as_cap=np.mean(np.where(right, ticks, np.minimum(caps, recorded.lengths[:, None])), axis=0),
        mean_ticks_wrong_as_one=np.mean(np.where(right, ticks, 1), axis=0),
    )
