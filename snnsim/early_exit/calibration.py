"""Calibrate Dynamic Confidence on held-out training data, and show what it can and cannot gain.

`calibrate` follows Li, Jones, Furber (ICCV 2023, arXiv:2303.10276): record the readout of every tick once,
choose the smoothing that makes the confidence honest, sweep the threshold, keep the Pareto-optimal pairs of
latency and accuracy, take the quickest that costs no accuracy. Use held-out TRAINING data: the released
code calibrates on test images, which leaks.

A threshold chosen at exactly no loss on few samples loses accuracy elsewhere. On scikit-learn's digits
(converted 64-64-64-64-10 network, T = 32, smoothing 3, 6 and 15, thresholds chosen on 300 samples, 180 random
splits) the plain choice lost 0.4 points on average and 1.1 in the worst tenth, at 3.6 ticks; the default
`margin` of one standard error lost 0.06 and 0.4, at 4.5 ticks.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.dynamic_confidence import (
    DynamicConfidence,
    Floats,
    Integers,
    Readout,
    Recorded,
    check_labels,
    softmax_maximum,
)
from snnsim.early_exit.curves import AccuracyLatencyCurve, accuracy_latency_curve, expected_calibration_error
from snnsim.errors import ParameterError, one_of, positive

#: Below this many samples a calibration warns: one sample is then worth a point of accuracy or more.
FEW_SAMPLES = 100
#: Smoothing tried, in units of the spread of the summed logits: ten a decade.
_RELATIVE_SMOOTHING = np.geomspace(1e-2, 1e2, 41)


@dataclass(frozen=True)
class Calibration:
    """A stopping rule and what it was chosen from; all figures are of the calibration samples.

    Attributes
    ----------
    rule : DynamicConfidence
        The rule chosen.
    curve : AccuracyLatencyCurve
        Accuracy and latency of every threshold tried.
    chosen : int
        Place of the rule's threshold in `curve`.
    acceptable : ndarray of bool, shape (thresholds,)
        Which thresholds lose no more than allowed, margin included.
    ece : float
        Expected calibration error at the chosen smoothing, over all pairs of sample and tick.
    accuracy, mean_ticks, full_accuracy : float
        At the chosen threshold, and without stopping.
    accuracy_interval, mean_ticks_interval, drop_interval : tuple of float, or None
        95 % bootstrap intervals over samples for the chosen rule, `drop` being the accuracy lost against
        the last tick; None without bootstrap. They do not include the choice of the threshold itself.
    n_samples : int
    note : str
        What to be careful about; empty if nothing.
    """

    rule: DynamicConfidence
    curve: AccuracyLatencyCurve
    chosen: int
    acceptable: NDArray[np.bool_]
    ece: float
    accuracy: float
    mean_ticks: float
    full_accuracy: float
    accuracy_interval: tuple[float, float] | None
    mean_ticks_interval: tuple[float, float] | None
    drop_interval: tuple[float, float] | None
    n_samples: int
    note: str

    @property
    def pareto(self) -> NDArray[np.bool_]:
        """Which thresholds of `curve` are Pareto-optimal, shape (thresholds,)."""
        return self.curve.pareto


def default_thresholds() -> Floats:
    """Return the thresholds that `calibrate` tries: hundredths, then ever finer towards 1, and 1 itself."""
    # As close to 1 as float64 tells apart: where the smoothing is small, late ticks lie beyond 1 - 1e-6.
    return np.unique(np.concatenate((np.linspace(0, 0.99, 100), 1 - np.geomspace(1e-2, 1e-14, 121), [1.0])))


def calibrate(
    readout: Readout,
    labels: ArrayLike,
    *,
    score: str | None = None,
    lengths: ArrayLike | None = None,
    smoothing: float | None = None,
    criterion: Literal["ece", "nll"] = "ece",
    allowed_drop: float = 0.0,
    minimum_ticks: int = 1,
    grid: ArrayLike | None = None,
    margin: float = 1.0,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Choose smoothing and threshold of Dynamic Confidence from held-out training samples.

    Parameters
    ----------
    readout : Result, or array_like of shape (samples, ticks, classes)
        Readout of every tick, up to the T that will be used; 1,000 samples are a good number. A result of `run_samples`
        brings its network's score and the length of each recording.
    labels : array_like of int, shape (samples,)
    score : str, optional
        What the network answers by, one of `snnsim.scores.SCORES`; default that of the result, and ``"summed_readout"``
        of an array. The rule belongs to it.
    lengths : array_like of int, shape (samples,), optional
        Ticks of each sample of an array; default all.
    smoothing : float, optional
        Temperature `alpha`, in units of the readout. Left out, it is the one of 41 values (ten a decade
        around the root-mean-square spread of the sums over classes) that is best by `criterion`.
    criterion : {"ece", "nll"}
        Expected calibration error, or mean negative log likelihood of the label, over all pairs of sample
        and tick from `minimum_ticks` on.
    allowed_drop : float
        Accuracy that may be lost against the last tick, as a fraction, ``0 ... 1``.
    minimum_ticks : int
        No sample stops before this many ticks, ``1 ... T``.
    grid : array_like, optional
        Thresholds to try; by default `default_thresholds`. 1, which never stops, is always added.
    margin : float
        Standard errors to stay on the safe side. A threshold is acceptable where
        ``drop + margin * standard error of drop <= allowed_drop`` (`drop` is paired, sample by sample) and,
        if `margin` is above zero, where every higher threshold is acceptable too, so that no lucky dip is
        taken. The quickest acceptable threshold is chosen. 0 is the published choice: the quickest
        Pareto-optimal point that loses no more than allowed on these very samples.
    bootstrap : int
        Resamplings for the intervals; 0 for none.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Calibration

    Raises
    ------
    ParameterError
        An argument has a wrong shape or value.

    Warns
    -----
    UserWarning
        Fewer than 100 samples, or the best smoothing lies at the edge of what was tried; also in `note`.
    """
    recorded = Recorded.of(readout, score, lengths)
    truth = check_labels(labels, recorded.scores)
    n_samples, n_ticks, _ = recorded.scores.shape
    one_of("criterion", criterion, ("ece", "nll"))
    positive("margin", margin, zero=True)
    if not 0 <= allowed_drop <= 1:
        raise ParameterError(f"allowed_drop={allowed_drop!r}: must be a fraction between 0 and 1")
    if not 1 <= minimum_ticks <= n_ticks:
        raise ParameterError(f"minimum_ticks={minimum_ticks!r}: must be between 1 and the {n_ticks} ticks of readout")
    if bootstrap < 0:
        raise ParameterError(f"bootstrap={bootstrap!r}: must be 0 or above")
    notes = []
    if n_samples < FEW_SAMPLES:
        notes.append(
            f"calibrated on {n_samples} samples: a threshold chosen on fewer than {FEW_SAMPLES} may lose points of "
            "accuracy elsewhere; use 1,000 or more"
        )
    if smoothing is None:
        smoothing, at_edge = _best_smoothing(recorded, truth, criterion, minimum_ticks)
        if at_edge:
            notes.append(
                f"the best smoothing, {smoothing:.4g}, lies at the edge of what was tried: the readout may be right "
                "(or wrong) almost everywhere; check it, or give smoothing"
            )
    thresholds = default_thresholds() if grid is None else np.unique(np.append(np.asarray(grid, np.float64), 1.0))
    curve = accuracy_latency_curve(
        readout, truth, smoothing, thresholds, minimum_ticks=minimum_ticks, score=score, lengths=lengths
    )
    acceptable = curve.drop + margin * curve.drop_error <= allowed_drop + 1e-12
    if margin > 0:
        acceptable = np.logical_and.accumulate(acceptable[::-1])[::-1]
    # 1 never stops and loses nothing, so one is always acceptable. Quickest first; of those that stop every sample at
    # the same tick, and so answer the same, the most cautious.
    order = np.lexsort((-curve.thresholds, curve.mean_ticks))
    chosen = int(order[acceptable[order]][0])

    rule = DynamicConfidence(smoothing, float(curve.thresholds[chosen]), minimum_ticks, recorded.score)
    report = rule.evaluate(readout, truth, lengths=lengths)
    correct, pairs = recorded.correct(truth), _pairs(recorded, minimum_ticks)
    sure = softmax_maximum(recorded.scores, smoothing)
    right = report.predictions == truth
    lost = correct[:, -1].astype(np.float64) - right
    intervals = _bootstrap((right, report.exit_ticks, lost), bootstrap, seed)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return Calibration(
        rule=rule,
        curve=curve,
        chosen=chosen,
        acceptable=acceptable,
        ece=expected_calibration_error(sure[pairs], correct[pairs]),
        accuracy=report.accuracy,
        mean_ticks=report.mean_ticks,
        full_accuracy=report.full_accuracy,
        accuracy_interval=intervals[0],
        mean_ticks_interval=intervals[1],
        drop_interval=intervals[2],
        n_samples=n_samples,
        note="; ".join(notes),
    )


def _pairs(recorded: Recorded, minimum_ticks: int) -> NDArray[np.bool_]:
    """Return which pairs of sample and tick count: those within the sample, from `minimum_ticks` on."""
    return recorded.inside & (np.arange(recorded.scores.shape[1]) >= minimum_ticks - 1)


def _best_smoothing(recorded: Recorded, truth: Integers, criterion: str, minimum_ticks: int) -> tuple[float, bool]:
    pairs = _pairs(recorded, minimum_ticks)
    scores, correct = recorded.scores[pairs], recorded.correct(truth)[pairs]
    spread = float(np.sqrt(np.mean(np.var(scores, axis=1))))
    if spread == 0:
        raise ParameterError("readout has the same value for every class; there is no confidence to calibrate")
    tried = spread * _RELATIVE_SMOOTHING
    label = np.broadcast_to(truth[:, np.newaxis], pairs.shape)[pairs]
    of_label = np.take_along_axis(scores, label[:, np.newaxis], axis=1)[:, 0] - scores.max(axis=1)
    costs = []
    for alpha in tried:
        sure = softmax_maximum(scores, float(alpha))
        if criterion == "ece":
            costs.append(expected_calibration_error(sure, correct))
        else:
            costs.append(float(-np.mean(of_label / alpha + np.log(sure))))
    best = int(np.argmin(costs))
    return float(tried[best]), best in (0, len(tried) - 1)


def _bootstrap(columns: tuple[NDArray[np.generic], ...], repeats: int, seed: int) -> list[tuple[float, float] | None]:
    """Return the 95 % interval of the mean of each column over resampled samples."""
    if repeats == 0:
        return [None] * len(columns)
    values = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    generator = np.random.default_rng(seed)
    means = np.stack([values[generator.integers(len(values), size=len(values))].mean(axis=0) for _ in range(repeats)])
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
