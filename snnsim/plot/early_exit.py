"""Pictures of early exit: accuracy against latency, and confidence over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from snnsim.dynamic_confidence import DynamicConfidence, Readout, check_labels, softmax_maximum
from snnsim.early_exit.curves import AccuracyLatencyCurve, OracleCurve
from snnsim.errors import ParameterError
from snnsim.plot.style import BLUE, GREY, LIGHT, VERMILION, one_axes, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def accuracy_latency(
    curve: AccuracyLatencyCurve, oracle: OracleCurve | None = None, chosen: Any = None, *, axes: Axes | None = None
) -> Axes:
    """Draw accuracy against mean latency of early exit.

    Parameters
    ----------
    curve : AccuracyLatencyCurve
        Of `snnsim.early_exit.curves.accuracy_latency_curve`; its Pareto-optimal thresholds are joined by a line.
    oracle : OracleCurve, optional
        Of `snnsim.early_exit.curves.oracle_curve`: the bound of stopping at the first right answer.
    chosen : int, or object with `mean_ticks` and `accuracy`, optional
        The threshold that is used, by its place in the curve, or for instance an `ExitReport` or a `Calibration`.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    point: tuple[float, float] | None = None
    if isinstance(chosen, (int, np.integer)):
        if not 0 <= chosen < len(curve.mean_ticks):
            raise ParameterError(f"chosen={chosen}: the curve has thresholds 0 ... {len(curve.mean_ticks) - 1}")
        point = float(curve.mean_ticks[chosen]), float(curve.accuracy[chosen])
    elif chosen is not None:
        point = float(chosen.mean_ticks), float(chosen.accuracy)
    with style() as plt:
        axes = one_axes(plt, axes, (5.2, 3.6))
        axes.plot(
            curve.mean_ticks,
            100 * curve.accuracy,
            linestyle="none",
            marker="o",
            markersize=4,
            color=LIGHT,
            label="all thresholds",
        )
        best = np.flatnonzero(curve.pareto)
        best = best[np.argsort(curve.mean_ticks[best], kind="stable")]
        axes.plot(
            curve.mean_ticks[best],
            100 * curve.accuracy[best],
            color=BLUE,
            marker="o",
            markersize=4,
            label="Pareto-optimal",
        )
        if oracle is not None:
            axes.plot(oracle.mean_ticks_wrong_as_cap, 100 * oracle.accuracy, color=GREY, linestyle="--", label="oracle")
        if point is not None:
            axes.plot(
                point[0],
                100 * point[1],
                linestyle="none",
                marker="*",
                markersize=14,
                color=VERMILION,
                label=f"chosen: {100 * point[1]:.1f} % at {point[0]:.1f} ticks",
                zorder=5,
            )
        axes.set(xlabel="mean latency (ticks)", ylabel="accuracy (%)")
        axes.legend(loc="lower right")
    return axes


def confidence(
    readout: Readout,
    labels: ArrayLike,
    rule: DynamicConfidence,
    samples: int | Sequence[int] = 6,
    *,
    axes: Axes | None = None,
) -> Axes:
    """Draw how sure the network is over time, and where the rule stops each sample.

    Parameters
    ----------
    readout : Result, or array_like of shape (samples, ticks, classes)
    labels : array_like of int, shape (samples,)
    rule : DynamicConfidence
    samples : int or sequence of int
        How many of the samples from the first, or which.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    recorded = rule.recorded(readout)
    truth = check_labels(labels, recorded.scores)
    chosen = np.arange(min(samples, truth.size)) if isinstance(samples, int) else np.asarray(samples)
    if chosen.ndim != 1 or not chosen.size or chosen.min() < 0 or chosen.max() >= truth.size:
        raise ParameterError(f"samples={samples!r}: must choose at least one of the samples 0 ... {truth.size - 1}")
    sure = np.where(recorded.inside, softmax_maximum(recorded.scores, rule.smoothing), np.nan)
    answers, exits = np.argmax(recorded.scores, axis=2), rule.exits(recorded)
    ticks = np.arange(1, sure.shape[1] + 1)
    with style() as plt:
        axes = one_axes(plt, axes, (6.0, 3.4))
        threshold = rule.thresholds(ticks.size)
        shown = np.where(np.isfinite(threshold), threshold, np.nan)
        axes.step(ticks, shown, where="mid", color=GREY, linestyle="--", linewidth=1.1, label="threshold")
        named: set[str] = set()
        for sample in chosen:
            stop = int(exits[sample])
            right = bool(answers[sample, stop - 1] == truth[sample])
            name, colour, marker = ("right", BLUE, "o") if right else ("wrong", VERMILION, "X")
            axes.plot(ticks[stop - 1 :], sure[sample, stop - 1 :], color=colour, linewidth=0.9, alpha=0.35)
            axes.plot(ticks[:stop], sure[sample, :stop], color=colour)
            label = None if name in named else f"stopped, {name}"
            axes.plot(stop, sure[sample, stop - 1], linestyle="none", marker=marker, color=colour, label=label)
            named.add(name)
        axes.set(xlabel="time (ticks)", ylabel="confidence", ylim=(0, 1.03))
        axes.margins(x=0.02)
        whole_numbers(axes.xaxis)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes
