"""Dynamic Confidence: stop a sample as soon as its running answer is sure enough.

A readout gives analog values ``y_k[t]`` of class `k` at every tick. The running scores, their softmax and
one threshold decide when to stop (Li, Jones, Furber, ICCV 2023, arXiv:2303.10276)::

    S_k[t] = sum over u <= t of y_k[u]                               (a sum, not a mean; or another of `snnsim.scores`)
    c[t]   = max_k softmax(S[t] / alpha)_k                           alpha: `smoothing`
           = 1 / sum_k exp((S_k[t] - max_j S_j[t]) / alpha)
    t*     = min{ t >= t_min : c[t] > theta },  else T               theta: `threshold`, a strict test
    answer = argmax_k S_k[t*]                                        the lowest class on a tie

`alpha` makes the confidence honest and never changes the answer; `theta` trades latency for accuracy.
Because logits are summed, both belong to one network, one score and one T: `snnsim.early_exit.calibration.calibrate`
finds them on held-out training data, and `snnsim.early_exit.curves` has the oracle's bound.

Throughout, a recorded readout has shape (samples, ticks, classes) or is a `Result`, which knows by what score its
network answers and where each recording ends; a latency counts the ticks that were run: 1 is the first tick, T the
last one of the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, one_of, positive
from snnsim.scores import SCORES, check_lengths, running_scores, whole_labels
from snnsim.storage.hdf5 import read_hdf5, write_hdf5

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@runtime_checkable
class AnsweredRun(Protocol):
    """What a rule asks of a `Result`."""

    @property
    def score(self) -> str:
        """By which score the network answers."""

    @property
    def exit_ticks(self) -> Integers:
        """Ticks computed for each recording."""

    @property
    def lengths(self) -> Integers:
        """Ticks of each recording."""

    def readout(self, population: str | None = None) -> Floats:
        """Return the values of the output, shape (recordings, ticks, classes)."""

    def __len__(self) -> int: ...


Readout = ArrayLike | AnsweredRun


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a stopping rule looks at: the scores of samples after every tick, and where each sample ends.

    Parameters
    ----------
    scores : ndarray of float64, shape (samples, ticks, classes)
        Past the end of a sample its last one.
    lengths : ndarray of int64, shape (samples,)
        Ticks of each sample.
    score : str
        By which of `snnsim.scores.SCORES`.
    """

    scores: Floats
    lengths: Integers
    score: str

    @classmethod
    def of(cls, readout: Readout, score: str | None = None, lengths: ArrayLike | None = None) -> Recorded:
        """Return the scores of a readout.

        Parameters
        ----------
        readout : array_like of shape (samples, ticks, classes), or Result
            Of a result, the readout of its network's output.
        score : str, optional
            Default that of the result's network, and ``"summed_readout"`` of an array.
        lengths : array_like of int, shape (samples,), optional
            Ticks of each sample; default those of the result's recordings, and all of an array.

        Raises
        ------
        ParameterError
            An argument has a wrong shape or a value that is not allowed, or the result is of a run with early exit.
        """
        if isinstance(readout, AnsweredRun):
            if lengths is not None:
                raise ParameterError("lengths: a result knows its own; give them with an array")
            stopped = int(np.count_nonzero(readout.exit_ticks < readout.lengths))
            if stopped:
                raise ParameterError(
                    f"readout: {stopped} of {len(readout)} recordings of this result were stopped before their end, so "
                    "that nothing is known of the rest; give the result of a run without early_exit"
                )
            return cls.of(readout.readout(), score or readout.score, readout.exit_ticks)
        chosen = SCORES[0] if score is None else score
        return cls(running_scores(readout, chosen, lengths), check_lengths(lengths, np.asarray(readout)), chosen)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which ticks belong to each sample, shape (samples, ticks)."""
        return np.asarray(np.arange(self.scores.shape[1]) < self.lengths[:, None])

    def correct(self, labels: ArrayLike) -> NDArray[np.bool_]:
        """Return where the answer is the label, shape (samples, ticks)."""
        return np.asarray(np.argmax(self.scores, axis=2) == check_labels(labels, self.scores)[:, np.newaxis])


def softmax_maximum(sums: ArrayLike, smoothing: float) -> Floats:
    """Return the largest softmax probability of `sums` over their last axis.

    The arithmetic is fixed, so that an engine can repeat it: ``1 / sum_k exp((S_k - max S) / alpha)`` in
    float64, the classes added one after another from class 0. Only `exp` may differ between maths
    libraries, in its last bit.

    Parameters
    ----------
    sums : array_like, shape (..., classes)
        Scores of the readout.
    smoothing : float
        Temperature `alpha`, in units of the readout; above zero.

    Returns
    -------
    ndarray of float64, shape (...)
        Confidence, between 1 / classes and 1.
    """
    positive("smoothing", smoothing)
    values = np.asarray(sums, dtype=np.float64)
    largest = values.max(axis=-1)
    total = np.zeros(largest.shape)
    with np.errstate(under="ignore", over="ignore"):
        for k in range(values.shape[-1]):
            total += np.exp((values[..., k] - largest) / smoothing)
    return np.asarray(1.0 / total)


def confidence(
    readout: Readout, smoothing: float, *, score: str | None = None, lengths: ArrayLike | None = None
) -> Floats:
    """Return the confidence ``c[t]`` of every tick, shape (samples, ticks); see `softmax_maximum` and `Recorded.of`."""
    return softmax_maximum(Recorded.of(readout, score, lengths).scores, smoothing)


def predictions(readout: Readout, *, score: str | None = None, lengths: ArrayLike | None = None) -> Integers:
    """Return the class with the largest score at every tick, shape (samples, ticks); see `Recorded.of`."""
    return np.asarray(np.argmax(Recorded.of(readout, score, lengths).scores, axis=2), dtype=np.int64)


def check_labels(labels: ArrayLike, readout: ArrayLike) -> Integers:
    """Return `labels` as int64, or raise `ParameterError` unless they fit the samples and classes of `readout`."""
    shape = np.shape(readout)
    if len(shape) != 3:
        raise ParameterError(f"a readout of shape {shape}; expected (samples, ticks, classes)")
    return whole_labels(labels, shape[0], shape[2])


@dataclass(frozen=True)
class ExitReport:
    """What a stopping rule did to recorded samples, in algorithmic ticks (not in measured time).

    Attributes
    ----------
    accuracy, full_accuracy : float
        Fraction of samples that are right when stopped by the rule, and when run to the last tick.
    mean_ticks : float
        Mean number of ticks run.
    exit_ticks : ndarray of int64, shape (samples,)
        Ticks run by each sample, ``1 ... T``.
    predictions : ndarray of int64, shape (samples,)
        Class answered for each sample when it stopped.
    full_ticks : float
        Mean number of ticks without the rule.
    """

    accuracy: float
    full_accuracy: float
    mean_ticks: float
    exit_ticks: Integers
    predictions: Integers
    full_ticks: float

    @property
    def ticks_saved(self) -> float:
        """Fraction of the ticks that the rule saved."""
        return 1.0 - self.mean_ticks / self.full_ticks

    def __str__(self) -> str:
        return (
            f"{self.accuracy:.2%} at {self.mean_ticks:.2f} ticks of {self.full_ticks:.4g} "
            f"({self.ticks_saved:.1%} saved; {self.full_accuracy:.2%} without stopping)"
        )


@dataclass(frozen=True, eq=False)
class DynamicConfidence:
    """The stopping rule ``t* = min{t >= t_min : c[t] > theta}``, else the last tick.

    Scores and confidence are those of `snnsim.scores` and `softmax_maximum`: float64, ticks and classes
    added in ascending order, ``c = 1 / sum_k exp((S_k - max S) / alpha)``, a strict ``>``. An engine
    that stops samples for real asks `stops` after each tick and reaches the same exits as `exit_ticks`.

    Parameters
    ----------
    smoothing : float
        Temperature `alpha`, in units of the readout; above zero.
    threshold : float or array_like, shape (ticks,)
        `theta`, from 0 (stop at `minimum_ticks`) up; 1 or more never stops. An array gives a threshold
        for every tick, the first for tick 1, and must reach to the last tick of the run.
    minimum_ticks : int
        `t_min`: no sample stops before this many ticks; 1 or above. Networks converted from a
        conventional one can be badly biased at tick 1.
    score : str
        The score that it was chosen for, one of `snnsim.scores.SCORES`; a network that answers by another is refused.

    Raises
    ------
    ParameterError
        A parameter is out of its range.
    """

    smoothing: float
    threshold: float | Floats
    minimum_ticks: int = 1
    score: str = SCORES[0]

    def __post_init__(self) -> None:
        positive("smoothing", self.smoothing)
        one_of("score", self.score, SCORES)
        try:
            threshold = np.array(self.threshold, dtype=np.float64)
        except (TypeError, ValueError):
            raise ParameterError(f"threshold={self.threshold!r}: must be a number, or one for every tick") from None
        if threshold.ndim > 1 or threshold.size == 0 or not np.all(threshold >= 0):
            raise ParameterError(
                f"threshold={self.threshold!r}: must be a number from 0 up, or a flat array of one for every tick"
            )
        if isinstance(self.minimum_ticks, bool) or not isinstance(self.minimum_ticks, (int, np.integer)):
            raise ParameterError(f"minimum_ticks={self.minimum_ticks!r}: must be a whole number, 1 or above")
        if self.minimum_ticks < 1:
            raise ParameterError(f"minimum_ticks={self.minimum_ticks}: must be 1 or above")
        threshold.setflags(write=False)
        object.__setattr__(self, "smoothing", float(self.smoothing))
        object.__setattr__(self, "threshold", threshold if threshold.ndim else float(threshold))
        object.__setattr__(self, "minimum_ticks", int(self.minimum_ticks))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DynamicConfidence):
            return NotImplemented
        mine, theirs = ((rule.smoothing, rule.minimum_ticks, rule.score) for rule in (self, other))
        return mine == theirs and np.array_equal(self.threshold, other.threshold)

    __hash__ = None  # type: ignore[assignment]

    def thresholds(self, n_ticks: int) -> Floats:
        """Return the threshold of every tick, shape (n_ticks,); infinite before `minimum_ticks`."""
        given = np.asarray(self.threshold)
        if given.ndim and given.size < n_ticks:
            raise ParameterError(f"threshold has {given.size} values, for as many ticks; the run has {n_ticks}")
        values = np.array(given[:n_ticks] if given.ndim else np.full(n_ticks, given), dtype=np.float64)
        values[: self.minimum_ticks - 1] = np.inf
        return values

    def stops(self, scores: ArrayLike, tick: int) -> NDArray[np.bool_]:
        """Say which samples stop after `tick` ticks, given their scores.

        Parameters
        ----------
        scores : array_like, shape (..., classes)
            float64 scores of the readout after the first `tick` ticks.
        tick : int
            Ticks run so far, 1 or above.

        Returns
        -------
        ndarray of bool, shape (...)
        """
        if tick < 1:
            raise ParameterError(f"tick={tick!r}: counts the ticks run so far; must be 1 or above")
        return np.asarray(softmax_maximum(scores, self.smoothing) > self.thresholds(tick)[-1])

    def exit_ticks(self, readout: Readout, *, lengths: ArrayLike | None = None) -> Integers:
        """Return after how many ticks each recorded sample stops, shape (samples,), ``1 ... T``."""
        return self.exits(self.recorded(readout, lengths))

    def evaluate(self, readout: Readout, labels: ArrayLike, *, lengths: ArrayLike | None = None) -> ExitReport:
        """Apply the rule to recorded samples.

        Parameters
        ----------
        readout : array_like of shape (samples, ticks, classes), or Result
        labels : array_like of int, shape (samples,)
        lengths : array_like of int, shape (samples,), optional
            Ticks of each sample of an array; default all.

        Raises
        ------
        ParameterError
            An argument has a wrong shape or value, or the result is of a network that answers by another score.
        """
        recorded = self.recorded(readout, lengths)
        truth = check_labels(labels, recorded.scores)
        exits = self.exits(recorded)
        answers = np.argmax(recorded.scores[np.arange(truth.size), exits - 1], axis=1).astype(np.int64)
        return ExitReport(
            accuracy=float(np.mean(answers == truth)),
            full_accuracy=float(np.mean(np.argmax(recorded.scores[:, -1], axis=1) == truth)),
            mean_ticks=float(np.mean(exits)),
            exit_ticks=exits,
            predictions=answers,
            full_ticks=float(np.mean(recorded.lengths)),
        )

    def check_score(self, score: str) -> None:
        """Raise `ParameterError` where a network answers by another score than the rule was chosen for."""
        if score != self.score:
            raise ParameterError(
                f"early_exit: the rule was chosen for the score {self.score!r}, the network answers by {score!r}; "
                "calibrate(result, labels) chooses one for the network"
            )

    def recorded(self, readout: Readout, lengths: ArrayLike | None = None) -> Recorded:
        """Return the scores of a readout, of an array by the rule's own score; see `Recorded.of`."""
        recorded = Recorded.of(readout, None if hasattr(readout, "score") else self.score, lengths)
        self.check_score(recorded.score)
        return recorded

    def exits(self, recorded: Recorded) -> Integers:
        """Return after how many ticks each sample stops, shape (samples,)."""
        stop = softmax_maximum(recorded.scores, self.smoothing) > self.thresholds(recorded.scores.shape[1])
        stop[:, -1] = True
        ticks: Integers = np.minimum(np.argmax(stop, axis=1) + 1, recorded.lengths)
        return ticks

    def write(self, group: h5py.Group) -> None:
        """Write into an open HDF5 group."""
        group.attrs.update(smoothing=self.smoothing, minimum_ticks=self.minimum_ticks, score=self.score)
        group.create_dataset("threshold", data=self.threshold)

    @classmethod
    def read(cls, group: h5py.Group) -> DynamicConfidence:
        """Read what `write` wrote."""
        try:
            smoothing, minimum = float(group.attrs["smoothing"]), int(group.attrs["minimum_ticks"])
            threshold: Any = group["threshold"][()]
            score = str(group.attrs["score"])
        except KeyError as error:
            raise DataError(f"{group.file.filename}:{group.name} holds no stopping rule ({error})") from error
        return cls(smoothing, threshold, minimum, score)

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file; the file is complete or not there at all."""
        with write_hdf5(path, "early_exit") as file:
            self.write(file)

    @classmethod
    def load(cls, path: str | Path) -> DynamicConfidence:
        """Load what `save` saved."""
        with read_hdf5(path, "early_exit") as file:
            return cls.read(file)
