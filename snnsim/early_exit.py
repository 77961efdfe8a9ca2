"""Dynamic Confidence: stop a sample as soon as its running answer is sure enough.

A readout gives analog values ``y_k[t]`` of class `k` at every tick. The running sums, their softmax and
one threshold decide when to stop (Li, Jones, Furber, ICCV 2023, arXiv:2303.10276)::

    S_k[t] = sum over u <= t of y_k[u]                               (a sum, not a mean)
    c[t]   = max_k softmax(S[t] / alpha)_k                           alpha: `smoothing`
           = 1 / sum_k exp((S_k[t] - max_j S_j[t]) / alpha)
    t*     = min{ t >= t_min : c[t] > theta },  else T               theta: `threshold`, a strict test
    answer = argmax_k S_k[t*]                                        the lowest class on a tie

`alpha` makes the confidence honest and never changes the answer; `theta` trades latency for accuracy.
Because logits are summed, both belong to one network and one T: `snnsim.calibration.calibrate` finds
them on held-out training data, and `snnsim.exit_curves` has the oracle's bound.

Throughout, a recorded readout has shape (samples, ticks, classes), and a latency counts the ticks that
were run: 1 is the first tick, T the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, positive

if TYPE_CHECKING:
    import h5py

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def accumulate(readout: ArrayLike) -> Floats:
    """Return the running sums of a readout.

    Each sum is made in float64, one tick after another from tick 1, so that an engine which adds
    every tick's values to a float64 accumulator holds the same bits.

    Parameters
    ----------
    readout : array_like, shape (samples, ticks, classes)
        Analog readout of every tick.

    Returns
    -------
    ndarray of float64, shape (samples, ticks, classes)

    Raises
    ------
    ParameterError
        `readout` has another shape, is empty, or holds a value that is not finite.
    """
    values = np.asarray(readout)
    if values.ndim != 3 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise ParameterError(
            f"readout has shape {values.shape} and type {values.dtype}; "
            "expected real numbers of shape (samples, ticks, classes), none of them zero"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.cumsum(values, axis=1, dtype=np.float64)
    if not np.all(np.isfinite(sums)):
        raise ParameterError("readout holds NaN, infinity, or numbers too large to add up in float64")
    return sums


def softmax_maximum(sums: ArrayLike, smoothing: float) -> Floats:
    """Return the largest softmax probability of `sums` over their last axis.

    The arithmetic is fixed, so that an engine can repeat it: ``1 / sum_k exp((S_k - max S) / alpha)`` in
    float64, the classes added one after another from class 0. Only `exp` may differ between maths
    libraries, in its last bit.

    Parameters
    ----------
    sums : array_like, shape (..., classes)
        Running sums of the readout.
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


def confidence(readout: ArrayLike, smoothing: float) -> Floats:
    """Return the confidence ``c[t]`` of every tick, shape (samples, ticks); see `softmax_maximum`."""
    return softmax_maximum(accumulate(readout), smoothing)


def predictions(readout: ArrayLike) -> Integers:
    """Return the class with the largest running sum at every tick, shape (samples, ticks)."""
    return np.asarray(np.argmax(accumulate(readout), axis=2), dtype=np.int64)


def check_labels(labels: ArrayLike, readout: ArrayLike) -> Integers:
    """Return `labels` as int64, or raise `ParameterError` unless they fit the samples and classes of `readout`."""
    shape = np.shape(readout)
    values = np.asarray(labels)
    if len(shape) != 3 or values.shape != shape[:1]:
        raise ParameterError(f"labels has shape {values.shape}; a readout of shape {shape} needs one label a sample")
    if values.dtype.kind not in "iu":
        raise ParameterError(f"labels has type {values.dtype}; expected whole numbers")
    if values.size and (values.min() < 0 or values.max() >= shape[2]):
        raise ParameterError(f"labels span {values.min()} ... {values.max()}; allowed: 0 ... {shape[2] - 1}")
    return values.astype(np.int64)


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
    n_ticks : int
        Ticks that a sample runs without the rule, T.
    """

    accuracy: float
    full_accuracy: float
    mean_ticks: float
    exit_ticks: Integers
    predictions: Integers
    n_ticks: int

    @property
    def ticks_saved(self) -> float:
        """Fraction of the ticks that the rule saved."""
        return 1.0 - self.mean_ticks / self.n_ticks

    def __str__(self) -> str:
        return (
            f"{self.accuracy:.2%} at {self.mean_ticks:.2f} ticks of {self.n_ticks} "
            f"({self.ticks_saved:.1%} saved; {self.full_accuracy:.2%} without stopping)"
        )


@dataclass(frozen=True, eq=False)
class DynamicConfidence:
    """The stopping rule ``t* = min{t >= t_min : c[t] > theta}``, else the last tick.

    Sums and confidence are those of `accumulate` and `softmax_maximum`: float64, ticks and classes
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

    Raises
    ------
    ParameterError
        A parameter is out of its range.
    """

    smoothing: float
    threshold: float | Floats
    minimum_ticks: int = 1

    def __post_init__(self) -> None:
        positive("smoothing", self.smoothing)
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
        return (self.smoothing, self.minimum_ticks) == (other.smoothing, other.minimum_ticks) and np.array_equal(
            self.threshold, other.threshold
        )

    __hash__ = None  # type: ignore[assignment]

    def thresholds(self, n_ticks: int) -> Floats:
        """Return the threshold of every tick, shape (n_ticks,); infinite before `minimum_ticks`."""
        given = np.asarray(self.threshold)
        if given.ndim and given.size < n_ticks:
            raise ParameterError(f"threshold has {given.size} values, for as many ticks; the run has {n_ticks}")
        values = np.array(given[:n_ticks] if given.ndim else np.full(n_ticks, given), dtype=np.float64)
        values[: self.minimum_ticks - 1] = np.inf
        return values

    def stops(self, sums: ArrayLike, tick: int) -> NDArray[np.bool_]:
        """Say which samples stop after `tick` ticks, given their running sums.

        Parameters
        ----------
        sums : array_like, shape (..., classes)
            Running float64 sums of the readout over the first `tick` ticks.
        tick : int
            Ticks run so far, 1 or above.

        Returns
        -------
        ndarray of bool, shape (...)
        """
        if tick < 1:
            raise ParameterError(f"tick={tick!r}: counts the ticks run so far; must be 1 or above")
        return np.asarray(softmax_maximum(sums, self.smoothing) > self.thresholds(tick)[-1])

    def exit_ticks(self, readout: ArrayLike) -> Integers:
        """Return after how many ticks each recorded sample stops, shape (samples,), ``1 ... T``."""
        return self._exits(accumulate(readout))

    def evaluate(self, readout: ArrayLike, labels: ArrayLike) -> ExitReport:
        """Apply the rule to recorded samples.

        `readout` has shape (samples, ticks, classes), `labels` shape (samples,); `ParameterError` is raised
        where they have not, or hold values that are not allowed.
        """
        sums = accumulate(readout)
        truth = check_labels(labels, sums)
        exits = self._exits(sums)
        answers = np.argmax(sums[np.arange(len(sums)), exits - 1], axis=1).astype(np.int64)
        return ExitReport(
            accuracy=float(np.mean(answers == truth)),
            full_accuracy=float(np.mean(np.argmax(sums[:, -1], axis=1) == truth)),
            mean_ticks=float(np.mean(exits)),
            exit_ticks=exits,
            predictions=answers,
            n_ticks=sums.shape[1],
        )

    def _exits(self, sums: Floats) -> Integers:
        stop = softmax_maximum(sums, self.smoothing) > self.thresholds(sums.shape[1])
        stop[:, -1] = True
        return np.asarray(np.argmax(stop, axis=1) + 1, dtype=np.int64)

    def write(self, group: h5py.Group) -> None:
        """Write into an open HDF5 group."""
        group.attrs.update(smoothing=self.smoothing, minimum_ticks=self.minimum_ticks)
        group.create_dataset("threshold", data=self.threshold)

    @classmethod
    def read(cls, group: h5py.Group) -> DynamicConfidence:
        """Read what `write` wrote."""
        try:
            smoothing, minimum = float(group.attrs["smoothing"]), int(group.attrs["minimum_ticks"])
            threshold: Any = group["threshold"][()]
        except KeyError as error:
            raise DataError(f"{group.file.filename}:{group.name} holds no stopping rule ({error})") from error
        return cls(smoothing, threshold, minimum)

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file; the file is complete or not there at all."""
        from snnsim.storage import write_hdf5

        with write_hdf5(path, "early_exit") as file:
            self.write(file)

    @classmethod
    def load(cls, path: str | Path) -> DynamicConfidence:
        """Load what `save` saved."""
        from snnsim.storage import read_hdf5

        with read_hdf5(path, "early_exit") as file:
            return cls.read(file)
