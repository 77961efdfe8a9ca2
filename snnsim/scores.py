"""Scores: how the values of a readout over the ticks of a recording become one number a class.

The class with the highest score is the answer. A `Network` says by which score it answers, training sets it, and
whatever answers heeds it. With the readout ``y_k[t]`` of class `k` at tick `t` of a recording of `T` ticks, the score
after tick `t` is

========================  ==================================================================================
``summed_readout``        sum over u <= t of y_k[u]
``summed_softmax``        sum over u <= t of softmax(y[u])_k  (arXiv:2306.17670)
``mean_readout``          sum over u <= t of y_k[u], divided by t + 1
``last_readout``          y_k[t]
``largest_readout``       largest y_k[u] of u <= t
``exponential_readout``   sum over u <= t of exp(-u / T) y_k[u] / T
========================  ==================================================================================

All in float64, one tick after another, so that an engine which adds every tick holds the same bits; only the
exponential may differ between maths libraries, in its last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, one_of

Floats = NDArray[np.float64]

#: Every score by name. Files and models hold their place in this list, so that a new one goes to its end.
SCORES = (
    "summed_readout",
    "summed_softmax",
    "mean_readout",
    "last_readout",
    "largest_readout",
    "exponential_readout",
)
(SUMMED, SOFTMAX, MEAN, LAST, LARGEST, EXPONENTIAL) = range(len(SCORES))


class RunningScore:
    """The scores of some recordings while their ticks come in, one after another.

    Parameters
    ----------
    score : str
        One of `SCORES`.
    n_ticks : ndarray of int64, shape (recordings,)
        Ticks of each recording, `T`.
    """

    def __init__(self, score: str, n_ticks: NDArray[np.int64]) -> None:
        self._kind, self._n_ticks, self._tick = SCORES.index(score), n_ticks, 0
        self._kept: Any = None

    def add(self, values: NDArray[Any]) -> Floats:
        """Take in the next tick's readout, shape (recordings, classes), and return the scores after it."""
        now = np.array(values, np.float64)  # a copy: what is given may be the state of a run
        tick, self._tick = self._tick, self._tick + 1
        if self._kind == SOFTMAX:
            now = softmax(now)
        elif self._kind == EXPONENTIAL:
            now = now * (np.exp(-tick / self._n_ticks) / self._n_ticks)[:, None]
        if self._kept is None or self._kind == LAST:
            self._kept = now
        else:
            self._kept = np.maximum(self._kept, now) if self._kind == LARGEST else self._kept + now
        return self._kept / self._tick if self._kind == MEAN else np.asarray(self._kept)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Go on with some of the recordings."""
        self._kept, self._n_ticks = self._kept[chosen], self._n_ticks[chosen]


def softmax(values: Floats) -> Floats:
    """Return the softmax over the last axis, its exponentials added one after another from class 0."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / np.cumsum(powers, axis=-1)[..., -1:])


def running_scores(
    readout: ArrayLike,
    score: str = "summed_readout",
    lengths: ArrayLike | None = None,
    whole: NDArray[np.int64] | None = None,
) -> Floats:
    """Return the scores after every tick.

    Parameters
    ----------
    readout : array_like, shape (samples, ticks, classes)
        What comes after the end of a sample is not looked at.
    score : str
        One of `SCORES`.
    lengths : array_like of int, shape (samples,), optional
        Ticks of each sample; default all.
    whole : ndarray of int, shape (samples,), optional
        Ticks that each sample would have had, `T`, where it was stopped after `lengths`; default those.

    Returns
    -------
    ndarray of float64, shape (samples, ticks, classes)
        Past the end of a sample the last score stays.

    Raises
    ------
    ParameterError
        `readout` has another shape, is empty, or holds a value that is not finite; `lengths` do not fit it; or the
        score is not known.
    """
    values = check_readout(readout)
    own = check_lengths(lengths, values)
    one_of("score", score, SCORES)
    inside = np.arange(values.shape[1]) < own[:, None]
    if not np.all(np.isfinite(values[inside])):
        raise ParameterError("readout holds NaN or infinity within a sample; lengths=... says where samples end")
    result = np.empty(values.shape)
    running, last = RunningScore(score, own if whole is None else whole), np.zeros(values.shape[::2])
    with np.errstate(over="ignore", invalid="ignore"):
        for tick in range(values.shape[1]):
            now = inside[:, tick]
            last = np.where(now[:, None], running.add(np.where(now[:, None], values[:, tick], 0.0)), last)
            result[:, tick] = last
    if not np.all(np.isfinite(result)):
        raise ParameterError("readout holds numbers too large to add up in float64")
    return result


def final_scores(
    readout: ArrayLike,
    score: str = "summed_readout",
    lengths: ArrayLike | None = None,
    whole: NDArray[np.int64] | None = None,
) -> Floats:
    """Return the scores after the last tick of each sample, shape (samples, classes); see `running_scores`."""
    return running_scores(readout, score, lengths, whole)[:, -1]


def check_readout(readout: ArrayLike) -> NDArray[Any]:
    """Return a readout as an array, or raise `ParameterError` unless it has shape (samples, ticks, classes)."""
    values = np.asarray(readout)
    if values.ndim != 3 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise ParameterError(
            f"readout has shape {values.shape} and type {values.dtype}; "
            "expected real numbers of shape (samples, ticks, classes), none of them zero"
        )
    return values


def whole_labels(labels: ArrayLike, samples: int, classes: int) -> NDArray[np.int64]:
    """Return labels as int64, or raise `ParameterError` unless there is the number of one of the classes a sample."""
    try:
        values = np.asarray(labels)
    except ValueError as error:  # rows of unequal length
        raise ParameterError(f"labels: {error}") from error
    if values.shape != (samples,):
        raise ParameterError(f"labels has shape {values.shape}; {samples} samples have one each")
    if values.dtype.kind not in "iu":
        raise ParameterError(f"labels has type {values.dtype}; expected whole numbers, 0 ... {classes - 1}")
    if values.size and (values.min() < 0 or values.max() >= classes):
        raise ParameterError(f"labels span {values.min()} ... {values.max()}; allowed: 0 ... {classes - 1}")
    return values.astype(np.int64)


def check_lengths(lengths: ArrayLike | None, readout: NDArray[Any]) -> NDArray[np.int64]:
    """Return the ticks of each sample of a readout, or raise `ParameterError` where they do not fit it."""
    samples, ticks = readout.shape[:2]
    if lengths is None:
        return np.full(samples, ticks, np.int64)
    own = np.asarray(lengths)
    if own.shape != (samples,) or own.dtype.kind not in "iu" or own.min() < 1 or own.max() > ticks:
        found = f"{own.min()} ... {own.max()}" if own.size and own.dtype.kind in "iu" else f"{own.dtype}"
        raise ParameterError(
            f"lengths: {found} of shape {own.shape}; expected whole numbers of shape ({samples},), 1 ... {ticks}"
        )
    return own.astype(np.int64)
