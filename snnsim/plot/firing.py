"""Pictures of the activity of networks: irregularity, correlation, rates over time, weights, and one page of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim import analysis
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.plot.style import BLUE, GREY, PALETTE, VERMILION, milliseconds, one_axes, style, time_axis
from snnsim.simulation.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Spikes that a raster shows at most; more make a grey block and a large file.
_MOST_POINTS = 60_000
#: Populations whose activities can be told apart as lines.
_MOST_LINES = 3


def population_activity(
    result: Result, populations: Sequence[str] | None = None, *, bin_width: float = 5e-3, axes: Axes | None = None
) -> Axes:
    """Draw spikes a second and neuron over time: lines for up to three populations, else one band of colour each.

    Bins begin with the run, which begins at the time of its `Result.start_tick`.

    Parameters
    ----------
    result : Result
    populations : sequence of str, optional
        Default: all recorded.
    bin_width : float
        Seconds.
    axes : Axes, optional
    """
    names = _names(result, populations)
    with style() as plt:
        axes = one_axes(plt, axes, (6.0, 2.6))
        pairs = [analysis.population_activity(result.spikes[name], bin_width) for name in names]
        start = milliseconds(result.start_tick, result.dt)
        if len(names) <= _MOST_LINES:
            for i, (times, rates) in enumerate(pairs):
                axes.plot(start + 1e3 * times, rates, color=PALETTE[i], linewidth=1.0, label=names[i])
            axes.set(ylabel="rate (spikes/s)", ylim=(0, None))
            axes.legend(ncols=len(names))
        else:
            times = pairs[0][0]
            edges = start + 1e3 * np.append(times - times[0], times[-1] + times[0])
            values = np.array([rates for _, rates in pairs])
            top = float(np.percentile(values, 99.5))
            drawn = axes.pcolormesh(
                edges, np.arange(len(names) + 1) - 0.5, values, cmap="viridis", vmin=0, vmax=top or 1
            )
            axes.set_yticks(np.arange(len(names)), names)
            axes.set(ylim=(len(names) - 0.5, -0.5))
            axes.figure.colorbar(drawn, ax=axes, label="spikes/s", pad=0.01)
        time_axis(axes, result.start_tick, result.n_ticks, result.dt)
    return axes


def irregularity(result: Result, populations: Sequence[str] | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw the coefficient of variation of the intervals of each population's neurons as boxes; 1 is Poisson."""
    names = _names(result, populations)
    values = [_finite(analysis.interval_variation(result.spikes[name])) for name in names]
    with style() as plt:
        axes = one_axes(plt, axes, (6.0, 2.6))
        axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle=":")
        _boxes(axes, values, names)
        axes.set(xlabel="CV of inter-spike intervals", xlim=(0, None))
    return axes


def firing_rates(result: Result, populations: Sequence[str] | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw the rates of each population's neurons as boxes, and their mean as a diamond."""
    names = _names(result, populations)
    values = [analysis.firing_rates(result.spikes[name]) for name in names]
    with style() as plt:
        axes = one_axes(plt, axes, (6.0, 2.6))
        _boxes(axes, values, names)
        axes.plot([v.mean() for v in values], np.arange(len(names)), "D", color=VERMILION, markersize=4)
        axes.set(xlabel="rate (spikes/s; ◆ mean)", xlim=(0, None))
    return axes


def intervals(events: Events, *, bins: int = 50, axes: Axes | None = None) -> Axes:
    """Draw the histogram of inter-spike intervals over all neurons."""
    seconds, _ = analysis.intervals(events)
    with style() as plt:
        axes = one_axes(plt, axes, (4.0, 2.6))
        axes.hist(1e3 * seconds, bins=bins, color=BLUE)
        axes.set(xlabel="inter-spike interval (ms)", ylabel="intervals")
    return axes


def correlation(events: Events, *, bin_width: float = 10e-3, bins: int = 50, axes: Axes | None = None) -> Axes:
    """Draw the histogram of pairwise correlations of spike counts, and their mean."""
    values = analysis.count_correlations(events, bin_width)
    with style() as plt:
        axes = one_axes(plt, axes, (4.0, 2.6))
        axes.hist(values, bins=bins, color=BLUE)
        if values.size:
            axes.axvline(values.mean(), color=VERMILION, linewidth=1.0, label=f"mean {values.mean():.3g}")
            axes.legend()
        axes.set(xlabel=f"correlation of counts in {1e3 * bin_width:g} ms", ylabel="pairs of neurons")
    return axes


def weights(values: ArrayLike, *, before: ArrayLike | None = None, bins: int = 50, axes: Axes | None = None) -> Axes:
    """Draw the histogram of weights, and of those before learning as an outline.

    Parameters
    ----------
    values : array
    before : array, optional
    bins : int
    axes : Axes, optional
    """
    now = np.asarray(values, np.float64).reshape(-1)
    old = None if before is None else np.asarray(before, np.float64).reshape(-1)
    if not now.size:
        raise ParameterError("weights: there are none to draw")
    edges: list[float] = np.histogram_bin_edges(now if old is None else np.concatenate([now, old]), bins).tolist()
    with style() as plt:
        axes = one_axes(plt, axes, (4.0, 2.6))
        axes.hist(now, edges, color=BLUE, label="now")
        if old is not None:
            axes.hist(old, edges, histtype="step", color=VERMILION, linewidth=1.2, label="before")
            axes.legend()
        axes.set(xlabel="weight", ylabel="synapses")
    return axes


def activity(
    result: Result, populations: Sequence[str] | None = None, *, bin_width: float = 5e-3, seed: int = 0
) -> Figure:
    """Draw one page: raster, activity over time, rates and irregularity of each population.

    Parameters
    ----------
    result : Result
    populations : sequence of str, optional
        Default: all recorded, the first on top.
    bin_width : float
        Seconds, of the activity.
    seed : int
        Chooses the neurons of the raster where there are too many spikes to show; the title says how many.
    """
    names = _names(result, populations)
    with style() as plt:
        figure: Figure = plt.figure(figsize=(10.0, 2.2 + max(3.2, 0.32 * len(names) + 2.0)), layout="constrained")
        grid = figure.add_gridspec(2, 4, height_ratios=(3, 2))
        upper = figure.add_subplot(grid[0, :3])
        _raster(upper, result, names, seed)
        lower = figure.add_subplot(grid[1, :3], sharex=upper)
        population_activity(result, names, bin_width=bin_width, axes=lower)
        firing_rates(result, names, axes=figure.add_subplot(grid[0, 3]))
        irregularity(result, names, axes=figure.add_subplot(grid[1, 3]))
    return figure


def _raster(axes: Axes, result: Result, names: Sequence[str], seed: int) -> None:
    """Draw all populations in bands, those neurons only whose spikes are few enough together."""
    total = sum(result.spikes[name].ticks.size for name in names)
    share = min(1.0, _MOST_POINTS / max(total, 1))
    place, ticks = 0.0, []
    for i, name in enumerate(names):
        events = result.spikes[name]
        shown = max(1, round(share * events.n_sources))
        chosen = np.sort(np.random.default_rng(seed).permutation(events.n_sources)[:shown])
        rank = np.full(events.n_sources, -1)
        rank[chosen] = np.arange(shown)
        mine = rank[events.sources] >= 0
        axes.plot(
            milliseconds(result.start_tick + events.ticks[mine], result.dt),
            place + rank[events.sources[mine]],
            ".",
            color=PALETTE[i % len(PALETTE)],
            markersize=1.2,
            markeredgewidth=0,
            rasterized=True,
        )
        ticks.append(place + shown / 2)
        place += shown
    axes.set_yticks(ticks, names)
    axes.set(ylim=(place, 0))
    axes.tick_params(labelbottom=False)
    if share < 1:
        axes.set_title(f"{100 * share:.2g} % of the neurons shown, {total:,} spikes in all", loc="left")


def _boxes(axes: Axes, values: Sequence[NDArray[np.float64]], names: Sequence[str]) -> None:
    drawn = axes.boxplot(
        values,
        positions=np.arange(len(names)),
        orientation="horizontal",
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        medianprops={"color": "black"},
    )
    for i, box in enumerate(drawn["boxes"]):
        box.set(facecolor=PALETTE[i % len(PALETTE)], alpha=0.6, linewidth=0.8)
    axes.set_yticks(np.arange(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.5))


def _names(result: Result, populations: Sequence[str] | None) -> list[str]:
    names = list(result.spikes) if populations is None else list(populations)
    for name in names:
        if name not in result.spikes:
            known = ", ".join(result.spikes) or "none"
            raise ParameterError(f"populations: spikes of {name!r} were not recorded; there are: {known}")
    if not names:
        raise ParameterError("populations: the result holds no spikes")
    return names


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
