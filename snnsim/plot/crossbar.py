"""Pictures of crossbars and chips: conductances, programming, IR drop, converters, ageing, and where energy goes.

They take plain arrays, so that they draw measured arrays as they draw simulated ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError
from snnsim.plot.style import BLUE, GREY, LIGHT, VERMILION, one_axes, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: Cells that are drawn as points; more become a density.
_MOST_POINTS = 3000


def conductance_map(
    conductance: ArrayLike,
    *,
    pairs: bool = False,
    limits: tuple[float, float] | None = None,
    label: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw the conductance of each cell of an array.

    Parameters
    ----------
    conductance : array_like, shape (rows, columns)
        Microsiemens; NaN where there is no cell, drawn in grey.
    pairs : bool
        Draw the difference of plus and minus column of each pair, columns 2j and 2j + 1, around zero.
    limits : (low, high), optional
        Ends of the colours in microsiemens; default all values, with `pairs` alike on both sides.
    label : str, optional
        Beside the colours.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    values = _matrix("conductance", conductance)
    if pairs:
        if values.shape[1] % 2:
            raise ParameterError(f"conductance: has {values.shape[1]} columns; pairs need an even number")
        values = values[:, ::2] - values[:, 1::2]
    low, high = (float(end) for end in limits) if limits else _ends(values, around_zero=pairs)
    with style() as plt:
        axes = _map_axes(plt, axes, values.shape)
        colours = plt.matplotlib.colormaps["RdBu" if pairs else "viridis"].with_extremes(bad=LIGHT)
        drawn = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="auto")
        text = label or ("G⁺ − G⁻ (µS)" if pairs else "conductance (µS)")
        axes.figure.colorbar(drawn, ax=axes, label=text, pad=0.02)
        axes.set(xlabel="pair" if pairs else "column", ylabel="row")
        _frame(axes)
    return axes


def programming(
    target: ArrayLike,
    programmed: ArrayLike,
    *,
    sigma: Callable[[Floats], ArrayLike] | None = None,
    bins: int = 80,
    axes: Axes | None = None,
) -> Axes:
    """Draw what cells were programmed to against what they were meant to be: points, or a density where there are many.

    Parameters
    ----------
    target, programmed : array_like of one shape
        Microsiemens. Cells whose target or value is NaN are left out.
    sigma : callable, optional
        Standard deviation in microsiemens for an array of targets, such as a device's programming noise; its bands of
        one and two are drawn, and the legend says how many cells lie in them.
    bins : int
        Of the density, each way.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    wanted, got = np.asarray(target, np.float64), np.asarray(programmed, np.float64)
    if wanted.shape != got.shape:
        raise ParameterError(f"programmed has shape {got.shape}, target {wanted.shape}; they must agree")
    known = np.isfinite(wanted) & np.isfinite(got)
    wanted, got = wanted[known], got[known]
    if not wanted.size:
        raise ParameterError("target: holds no number")
    if bins < 2:
        raise ParameterError(f"bins={bins}: must be 2 or above")
    top = float(max(wanted.max(), got.max()))
    low, high = float(wanted.min()), float(wanted.max())
    margin = 0.03 * (high - low or top or 1.0)
    line = np.linspace(low - margin, high + margin, 200)
    few = wanted.size <= _MOST_POINTS
    with style() as plt:
        axes = one_axes(plt, axes, (4.6, 3.8))
        if sigma is not None:
            within = np.linspace(low, high, 200)
            spread = np.asarray(sigma(within), np.float64)
            if spread.shape != within.shape:
                raise ParameterError(f"sigma: returned shape {spread.shape} for targets of shape {within.shape}")
            off = np.abs(got - wanted) / np.maximum(np.asarray(sigma(wanted), np.float64), 1e-300)
            for times, alpha, dashes in ((2, 0.12, (4, 2)), (1, 0.22, ())):
                share = 100 * np.mean(off <= times)
                label = f"± {'2 ' if times == 2 else ''}σ: {share:.1f} % of cells"
                ends = (within - times * spread, within + times * spread)
                if few:
                    axes.fill_between(within, *ends, color=VERMILION, alpha=alpha, linewidth=0, label=label)
                else:  # a density would hide the band: its edges lie on top
                    for end, name in zip(ends, (label, None), strict=True):
                        axes.plot(within, end, color=VERMILION, linewidth=1.0, dashes=dashes, label=name, zorder=3)
        if few:
            axes.plot(wanted, got, linestyle="none", marker=".", markersize=2.5, alpha=0.5, color=BLUE)
        else:
            span = [[low - margin, high + margin], [min(float(got.min()), low) - margin, top + margin]]
            counts, x, y = np.histogram2d(wanted, got, bins=bins, range=span)
            drawn = axes.pcolormesh(
                x,
                y,
                np.ma.masked_equal(counts.T, 0),
                norm=plt.matplotlib.colors.LogNorm(1, max(float(counts.max()), 2)),
                cmap=plt.matplotlib.colors.LinearSegmentedColormap.from_list("", ["#CFE3F2", BLUE, "#002B45"]),
                rasterized=True,
            )
            axes.figure.colorbar(drawn, ax=axes, label="cells", pad=0.02)
        axes.plot(line, line, color=GREY, linewidth=1.0, linestyle="--", label="as meant")
        error = got - wanted
        axes.set(
            xlabel="target (µS)",
            ylabel="programmed (µS)",
            xlim=(line[0], line[-1]),
            title=f"{wanted.size:,} cells: error {error.mean():+.2g} ± {error.std():.2g} µS",
        )
        # From the smallest sigma first, as they lie.
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="upper left")
    return axes


def ir_drop(cell_voltage: ArrayLike, read_voltage: float, *, axes: Axes | None = None) -> Axes:
    """Draw how much of the read voltage the wires take from each cell.

    Parameters
    ----------
    cell_voltage : array_like, shape (rows, columns)
        Volt across each cell, as `snnsim.backends.crossbar.wires.currents.cell_voltages` gives it. Rows of zeros or NaN
        throughout are off; they are grey, or left out where they are more than half of all, and the axis keeps the
        numbers of the others.
    read_voltage : float
        Volt at the driver.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    values = _matrix("cell_voltage", cell_voltage)
    if not read_voltage > 0:
        raise ParameterError(f"read_voltage={read_voltage!r}: must be above zero")
    off = np.all(np.isnan(values) | (values == 0), axis=1)
    if np.all(off):
        raise ParameterError("cell_voltage: no row is on, all are zero")
    lost = np.where(off[:, None], np.nan, 100 * (1 - values / read_voltage))
    active = np.flatnonzero(~off)
    few = active.size < len(lost) / 2
    shown = lost[active] if few else lost
    with style() as plt:
        axes = _map_axes(
            plt, axes, shown.shape if not few else (max(shown.shape[0], shown.shape[1] // 2), shown.shape[1])
        )
        colours = plt.matplotlib.colormaps["magma_r"].with_extremes(bad=LIGHT)
        drawn = axes.imshow(shown, cmap=colours, interpolation="nearest", aspect="auto", vmin=min(0, np.nanmin(lost)))
        axes.figure.colorbar(drawn, ax=axes, label="voltage lost to wires (%)", pad=0.02)
        axes.set(xlabel="column (sink after the last row)", ylabel="row (driven from the left)")
        if few:
            every = -(-active.size // 16)
            axes.set_yticks(np.arange(active.size)[::every], [str(row) for row in active[::every]])
            axes.set_ylabel("active row")
        rows = f"{active.size} of {len(lost)} rows on: " if active.size < len(lost) else ""
        axes.set_title(f"{rows}mean {np.nanmean(lost):.2g} %, worst {np.nanmax(lost):.2g} %")
        _frame(axes)
    return axes


# -- helping ---------------------------------------------------------------------------------------------


def _matrix(name: str, given: ArrayLike) -> Floats:
    values = np.asarray(given, np.float64)
    if values.ndim != 2 or not values.size:
        raise ParameterError(f"{name}: has shape {values.shape}; expected (rows, columns)")
    if not np.any(np.isfinite(values)):
        raise ParameterError(f"{name}: holds no number")
    return values


def _ends(values: Floats, *, around_zero: bool) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if around_zero:
        high = max(abs(low), abs(high)) or 1.0
        return -high, high
    return (low, high) if high > low else (low, low + 1.0)


def _map_axes(plt: Any, axes: Axes | None, shape: tuple[int, ...]) -> Axes:
    """Return axes in the proportions of an array, within reason."""
    ratio = float(np.clip(shape[0] / shape[1], 0.35, 1.4))
    return one_axes(plt, axes, (4.8, 0.6 + 3.6 * ratio))


def _frame(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set(visible=True, color=LIGHT)
    whole_numbers(axes.xaxis)
    if not any(label.get_text() for label in axes.get_yticklabels()):
        whole_numbers(axes.yaxis)
