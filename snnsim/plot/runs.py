"""Pictures of runs: spikes, states and rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from snnsim.backends.contract.requests import TraceRequest
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.plot.style import (
    BLUE,
    LIGHT,
    PALETTE,
    VERMILION,
    check_recording,
    milliseconds,
    one_axes,
    style,
    time_axis,
    whole_numbers,
)
from snnsim.simulation.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    check_recording(recording, len(first))
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
    check_recording(recording, len(result))
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
