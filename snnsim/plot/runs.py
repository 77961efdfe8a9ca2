"""Pictures of networks, runs and learning.

Every function draws into the axes it is given or makes a figure, returns what it drew into, and never shows it:
in a notebook the picture appears by itself, in a script call `save`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.contract.requests import TraceRequest
from snnsim.dynamic_confidence import DynamicConfidence, Readout, check_labels, softmax_maximum
from snnsim.early_exit.curves import AccuracyLatencyCurve, OracleCurve
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.plot.style import (
    BLUE,
    GREY,
    LIGHT,
    PALETTE,
    VERMILION,
    milliseconds,
    one_axes,
    style,
    time_axis,
    whole_numbers,
)
from snnsim.simulation.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def raster(
    result: Result | Events, population: str | None = None, recording: int = 0, *, axes: Axes | None = None
) -> Axes:
    """Draw each spike as a point at its neuron and its time: tick k of the network at k dt, where its state stands too.

    Parameters
    ----------
    result : Result or Events
    population : str, optional
        Default: all populations whose spikes were recorded, one band each.
    recording : int
        Which recording of the batch.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    if isinstance(result, Events):
        bands: Mapping[str, Events] = {population or "source": result}
    else:
        if population is not None and population not in result.spikes:
            raise ParameterError(
                f"raster: spikes of {population!r} were not recorded; there are: {', '.join(result.spikes) or 'none'}"
            )
        bands = result.spikes if population is None else {population: result.spikes[population]}
        if not bands:
            raise ParameterError("raster: the result holds no spikes; run with record=['population']")
    first = next(iter(bands.values()))
    _check_recording(recording, len(first))
    start = result.start_tick if isinstance(result, Result) else 0
    with style() as plt:
        axes = one_axes(plt, axes, (6.4, 3.4))
        base, middles = 0, []
        for i, events in enumerate(bands.values()):
            one = events[recording]
            # Fewer neurons leave room for larger marks.
            size = float(np.clip(600 / max(sum(band.n_sources for band in bands.values()), 1), 2.2, 6))
            axes.plot(
                milliseconds(start + one.ticks, first.dt),
                base + one.sources,
                linestyle="none",
                marker="|" if size > 3 else ".",
                markersize=size,
                markeredgewidth=1.0 if size > 3 else 0,
                color=PALETTE[i % len(PALETTE)],
            )
            middles.append(base + (events.n_sources - 1) / 2)
            base += events.n_sources
            if i + 1 < len(bands):
                axes.axhline(base - 0.5, color=LIGHT, linewidth=0.8, zorder=0)
        time_axis(axes, start, first.n_ticks, first.dt)
        axes.set(ylim=(-0.5, base - 0.5))
        if len(bands) > 1:
            axes.set_yticks(middles, list(bands))
            axes.tick_params(axis="y", length=0)
        else:
            axes.set_ylabel(f"neuron of {next(iter(bands))}" if isinstance(result, Result) else "source")
            whole_numbers(axes.yaxis)
    return axes


def trace(
    result: Result,
    key: str,
    recording: int = 0,
    neurons: ArrayLike | None = None,
    *,
    every: int | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw a recorded state over time: that at the end of tick k of the network at k dt, where its spikes stand too.

    Parameters
    ----------
    result : Result
    key : str
        ``"population.state"``.
    recording : int
        Which recording of the batch.
    neurons : array of int, optional
        Which of the recorded neurons (columns of the trace); default all.
    every : int, optional
        The `every` of the `Trace`; needed only where it was not 1.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    if key not in result.traces:
        raise ParameterError(f"trace: {key!r} was not recorded; there are: {', '.join(result.traces) or 'none'}")
    _check_recording(recording, len(result))
    values = np.asarray(result.traces[key][recording])
    step = 1 if every is None else every
    request = TraceRequest(0, 0, step, np.arange(values.shape[1]))
    if step < 1 or request.records(result.start_tick, result.n_ticks) != values.shape[0]:
        raise ParameterError(
            f"trace: every={every!r} does not give the {values.shape[0]} records of {key} in {result.n_ticks} ticks; "
            "pass the `every` of the Trace"
        )
    chosen = np.arange(values.shape[1]) if neurons is None else np.atleast_1d(np.asarray(neurons))
    if chosen.size and (chosen.dtype.kind not in "iu" or chosen.min() < 0 or chosen.max() >= values.shape[1]):
        raise ParameterError(f"trace: neurons={neurons!r}: must be whole numbers in 0 ... {values.shape[1] - 1}")
    first = -(-result.start_tick // step) * step
    times = milliseconds(first + step * np.arange(values.shape[0]), result.dt)
    population, _, state = key.rpartition(".")
    with style() as plt:
        axes = one_axes(plt, axes, (6.4, 3.0))
        many = chosen.size > len(PALETTE)
        for i, neuron in enumerate(chosen):
            look: dict[str, Any] = {"color": BLUE, "alpha": 0.35, "linewidth": 0.8} if many else {"color": PALETTE[i]}
            axes.plot(times, values[:, neuron], label=str(neuron), **look)
        time_axis(axes, result.start_tick, result.n_ticks, result.dt)
        axes.set(ylabel=f"{state} of {population}\n(units of the weights)")
        if chosen.size > 1 and not many:
            axes.legend(title="neuron", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


def learning_curve(history: Any, *, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw loss and accuracy over the epochs.

    Parameters
    ----------
    history : object or mapping
        With lists `loss`, `train_accuracy` and `validation_accuracy` (shares from 0 to 1); any may be missing or
        empty, not all.
    axes : two Axes, optional
        For the loss and for the accuracy.

    Returns
    -------
    Figure
    """
    curves: dict[str, NDArray[np.float64]] = {}
    for name in ("loss", "train_accuracy", "validation_accuracy"):
        given = history.get(name) if isinstance(history, Mapping) else getattr(history, name, None)
        values = np.asarray([] if given is None else given, np.float64)
        if values.ndim != 1:
            raise ParameterError(f"history: {name} has shape {values.shape}; expected one number an epoch")
        # A training without validation data has NaN there: no curve, and no line in the legend.
        curves[name] = values if not np.all(np.isnan(values)) else values[:0]
    if not any(values.size for values in curves.values()):
        raise ParameterError("history: holds no loss, train_accuracy or validation_accuracy")
    if axes is not None and len(axes) != 2:
        raise ParameterError(f"axes: learning_curve draws into two, got {len(axes)}")
    with style() as plt:
        left, right = plt.subplots(1, 2, figsize=(7.6, 3.0), layout="constrained")[1] if axes is None else axes
        _epochs(left, curves["loss"], BLUE, "training", "o")
        left.set(xlabel="epoch", ylabel="loss")
        _epochs(right, 100 * curves["train_accuracy"], BLUE, "training", "o")
        validation = 100 * curves["validation_accuracy"]
        _epochs(right, validation, VERMILION, "validation", "s")
        right.set(xlabel="epoch", ylabel="accuracy (%)")
        if validation.size:
            best = int(np.nanargmax(validation))
            right.axhline(validation[best], color=VERMILION, linewidth=0.8, linestyle=":", zorder=0)
            right.set_title(f"best validation {validation[best]:.1f} % in epoch {best + 1}", fontsize=9.5)
        if curves["train_accuracy"].size and validation.size:
            right.legend(loc="lower right")
        for panel in (left, right):
            whole_numbers(panel.xaxis)
        made: Any = left.figure
    figure: Figure = made
    return figure


def _epochs(axes: Axes, values: NDArray[np.float64], colour: str, label: str, marker: str) -> None:
    if values.size:
        # Marks show the epochs while there are few of them.
        shape = marker if values.size <= 30 else None
        axes.plot(np.arange(1, values.size + 1), values, color=colour, label=label, marker=shape, markersize=3.5)


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


def rates(result: Result, population: str, *, bins: int = 30, axes: Axes | None = None) -> Axes:
    """Draw how many neurons of a population fire at which rate, averaged over the recordings.

    Parameters
    ----------
    result : Result
    population : str
        One whose spikes were recorded.
    bins : int
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    values = result.rates(population).mean(axis=0)
    with style() as plt:
        axes = one_axes(plt, axes, (4.6, 3.0))
        axes.hist(values, bins=bins, color=BLUE, alpha=0.85)
        axes.axvline(values.mean(), color=VERMILION, linewidth=1.4, label=f"mean {values.mean():.3g} spikes/s")
        axes.set(xlabel=f"rate of {population} (spikes/s)", ylabel="neurons")
        whole_numbers(axes.yaxis)
        # Above the bars, wherever they are.
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    return axes


def events_frames(events: Events, sensor_shape: Sequence[int], n: int = 6, recording: int = 0) -> Figure:
    """Draw a recording of an event camera as frames of equal duration.

    Parameters
    ----------
    events : Events
    sensor_shape : (2, height, width) or (height, width)
        With polarities, channel 0 is OFF (darker) and channel 1 ON (brighter).
    n : int
        Number of frames.
    recording : int
        Which recording of the batch.

    Returns
    -------
    Figure
    """
    shape = tuple(int(extent) for extent in sensor_shape)
    polarities = shape[0] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or polarities not in (1, 2) or int(np.prod(shape)) != events.n_sources:
        raise ParameterError(
            f"sensor_shape={shape}: expected (2, height, width) or (height, width) of {events.n_sources} sources"
        )
    _check_recording(recording, len(events))
    one = events[recording]
    if n < 1 or n > one.n_ticks:
        raise ParameterError(f"n={n}: must lie in 1 ... {one.n_ticks}, the ticks of the recording")
    edges = np.linspace(0, one.n_ticks, n + 1).astype(np.int64)
    place = (np.searchsorted(edges, one.ticks, side="right") - 1) * one.n_sources + one.sources
    counts = np.bincount(place, minlength=n * one.n_sources).reshape(n, polarities, *shape[-2:])
    # The busiest hundredth of the pixels is drawn full; one hot pixel must not darken the rest.
    full = max(1.0, float(np.percentile(counts[counts > 0], 99)) if counts.any() else 1.0)
    strength = np.minimum(counts / full, 1.0)
    with style() as plt:
        to_rgb = plt.matplotlib.colors.to_rgb
        colours = [to_rgb(VERMILION), to_rgb(BLUE)][-polarities:]
        columns = min(n, 6)
        rows = -(-n // columns)
        size = (1.5 * columns, (1.5 * shape[-2] / shape[-1] + 0.3) * rows + (0.35 if polarities == 2 else 0.1))
        figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for panel in grid.flat[n:]:
            panel.set_axis_off()
        for i, panel in enumerate(grid.flat[:n]):
            # White paper, from which each polarity takes away what its own colour lacks.
            picture = np.ones((*shape[-2:], 3))
            for channel, colour in enumerate(colours):
                picture -= strength[i, channel][..., None] * (1 - np.array(colour))
            panel.imshow(np.clip(picture, 0, 1), interpolation="nearest")
            low, high = milliseconds(edges[i : i + 2], one.dt)
            panel.set_title(f"{low:.4g}–{high:.4g} ms", fontsize=9)
            panel.set(xticks=[], yticks=[])
            for spine in panel.spines.values():
                spine.set(visible=True, color=LIGHT)
        if polarities == 2:
            patch = plt.matplotlib.patches.Patch
            figure.legend(
                handles=[patch(color=BLUE, label="ON"), patch(color=VERMILION, label="OFF")],
                loc="outside lower center",
                ncols=2,
            )
    made: Figure = figure
    return made


def _check_recording(recording: int, count: int) -> None:
    if not 0 <= recording < count:
        raise ParameterError(f"recording={recording}: there are recordings 0 ... {count - 1}")
