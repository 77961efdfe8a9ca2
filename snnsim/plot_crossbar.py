"""Pictures of crossbars and chips: conductances, programming, IR drop, converters, ageing, and where energy goes.

They take plain arrays, so that they draw measured arrays as they draw simulated ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.energy import EnergyReport
from snnsim.errors import ParameterError
from snnsim.monte_carlo import MonteCarlo
from snnsim.plot_style import BLUE, GREEN, GREY, LIGHT, ORANGE, PALETTE, PURPLE, SKY, VERMILION, one_axes, style
from snnsim.plot_style import whole_numbers as whole_numbers
from snnsim.tables import in_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: Cells that are drawn as points; more become a density.
_MOST_POINTS = 3000
#: Marks of a time axis that people read: name and seconds.
_AGES = (
    ("1 ms", 1e-3),
    ("1 s", 1.0),
    ("1 min", 60.0),
    ("1 h", 3600.0),
    ("1 day", 86400.0),
    ("1 month", 2.63e6),
    ("1 year", 3.156e7),
    ("10 years", 3.156e8),
)
#: Operations of an energy report by the beginning of their name; relatives share a hue.
_OPERATIONS = {
    "cells read": BLUE,
    "rows switched on": SKY,
    "conversions": VERMILION,
    "partial sums added": ORANGE,
    "weights added": GREEN,
    "weights read": "#66C2A4",
    "inputs read and written": "#B2E2D2",
    "neurons updated": PURPLE,
    "states read and written": "#EBCFDD",
    "spikes routed": GREY,
}


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
        Volt across each cell, as `snnsim.backends.crossbar.wires.cell_voltages` gives it. Rows of zeros or NaN
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


def adc_error(
    bits: ArrayLike,
    error: ArrayLike | Mapping[str, ArrayLike],
    *,
    rule: bool = True,
    label: str = "error of a column, root mean square (%)",
    axes: Axes | None = None,
) -> Axes:
    """Draw an error against the bits of the converters.

    Parameters
    ----------
    bits : array_like of int, shape (n,)
    error : array_like, or mapping of str to array_like, shape (n,) or (n, chips)
        Above zero. With several chips the median is drawn, in a band from the 5th to the 95th percentile.
    rule : bool
        Draw that rounding alone halves with each bit, from the first point of the first curve.
    label : str
        Of the vertical axis.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    steps = np.asarray(bits)
    if steps.ndim != 1 or not steps.size or steps.dtype.kind not in "iu":
        raise ParameterError(f"bits: expected whole numbers in one row, got shape {steps.shape} of {steps.dtype}")
    curves = _curves("error", error, steps.size)
    if any(np.any(values <= 0) for values in curves.values()):
        raise ParameterError("error: must be above zero, for it is drawn on a logarithmic axis")
    with style() as plt:
        axes = one_axes(plt, axes, (4.8, 3.3))
        for i, (name, values) in enumerate(curves.items()):
            _band(axes, steps, values, PALETTE[i % len(PALETTE)], name, "os^Dv<"[i % 6])
        axes.set_yscale("log")
        if rule:
            first = float(np.median(next(iter(curves.values()))[0]))
            halves = first * 2.0 ** (steps[0] - steps.astype(np.float64))
            bottom, top = axes.get_ylim()
            axes.plot(steps, halves, color=GREY, linestyle=":", linewidth=1.2, label="half with each bit", zorder=0)
            axes.set_ylim(bottom, top)
        bottom, top = axes.get_ylim()
        if top < 1e3 * bottom:  # 20 is easier to read than 2 x 10^1
            for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                formatter(lambda value, _: f"{value:g}" if f"{value:e}"[:3] in ("1.0", "2.0", "5.0") else "")
        axes.set(xlabel="bits of the converters", ylabel=label)
        whole_numbers(axes.xaxis)
        axes.grid(axis="y", which="major", color=LIGHT, linewidth=0.6, zorder=0)
        axes.set_axisbelow(True)
        if rule or len(curves) > 1:
            axes.legend()
    return axes


def accuracy_over_age(
    seconds: ArrayLike,
    accuracy: ArrayLike | Mapping[str, ArrayLike],
    *,
    software: float | None = None,
    chance: float | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw accuracy against the age of a chip, on a logarithmic axis of time.

    Parameters
    ----------
    seconds : array_like, shape (n,)
        Since programming, above zero, rising.
    accuracy : array_like, or mapping of str to array_like, shape (n,) or (n, chips)
        Shares from 0 to 1. With several chips the median is drawn, in a band from the 5th to the 95th percentile.
    software, chance : float, optional
        Accuracy without a chip, and of guessing, as lines.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    ages = np.asarray(seconds, np.float64)
    if ages.ndim != 1 or ages.size < 2 or np.any(ages <= 0) or np.any(np.diff(ages) <= 0):
        raise ParameterError("seconds: expected at least two ages above zero, rising")
    curves = _curves("accuracy", accuracy, ages.size)
    _check_shares("accuracy", *curves.values())
    with style() as plt:
        axes = one_axes(plt, axes, (5.6, 3.3))
        _levels(axes, software, chance)
        for i, (name, values) in enumerate(curves.items()):
            _band(axes, ages, 100 * values, PALETTE[i % len(PALETTE)], name, "os^Dv<"[i % 6])
        axes.set_xscale("log")
        marks = [(name, age) for name, age in _AGES if ages[0] * 0.999 <= age <= ages[-1] * 1.001]
        if len(marks) >= 2:
            axes.set_xticks([age for _, age in marks], [name for name, _ in marks])
            axes.minorticks_off()
        axes.set(xlabel="age" if len(marks) >= 2 else "age (s)", ylabel="accuracy (%)")
        if len(curves) > 1 or software is not None or chance is not None:
            axes.legend(loc="best")
    return axes


def accuracy_over_chips(
    chips: ArrayLike | MonteCarlo | Mapping[str, ArrayLike | MonteCarlo],
    *,
    quantity: str = "accuracy",
    software: float | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw how accuracy is spread over chips: each chip a point, the mean with its confidence, the 5th percentile.

    Parameters
    ----------
    chips : array_like or MonteCarlo, or mapping of str to one of them
        Accuracies of one kind of chip, or of several by name, as shares from 0 to 1.
    quantity : str
        Which quantity of a MonteCarlo.
    software : float, optional
        Accuracy without a chip, as a line.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    named: Mapping[str, Any] = chips if isinstance(chips, Mapping) else {"": chips}
    groups: dict[str, MonteCarlo] = {}
    for name, one in named.items():
        values = one.of(quantity) if isinstance(one, MonteCarlo) else np.asarray(one, np.float64)
        if values.ndim != 1 or not values.size:
            raise ParameterError(f"chips: {name or 'values'} has shape {values.shape}; expected one number a chip")
        groups[name] = MonteCarlo({quantity: values}, tuple(range(values.size)), 0, values.size)
    if not groups:
        raise ParameterError("chips: holds no chip")
    _check_shares("chips", *(one.of(quantity) for one in groups.values()))
    with style() as plt:
        axes = one_axes(plt, axes, (6.2, 1.0 + 0.66 * len(groups)))
        everything = np.concatenate([group.of(quantity) for group in groups.values()])
        # Points are as wide as this share of the axis.
        width = 100 * max(float(np.ptp(everything)), 1e-9) / 50
        for i, group in enumerate(groups.values()):
            values, middle = 100 * group.of(quantity), len(groups) - 1 - i
            first = i == 0
            axes.plot(
                values,
                middle + 0.12 + _swarm(values, width, 0.26),
                linestyle="none",
                marker="o",
                markersize=4.5,
                color=BLUE,
                markeredgewidth=0,
                alpha=0.55,
                label="chip" if first else None,
            )
            low, span = 100 * group.percentile(quantity, 5), [middle - 0.3, middle + 0.42]
            axes.plot([low] * 2, span, color=VERMILION, linewidth=2, label="5th percentile" if first else None)
            # Below the points, which it would hide.
            axes.plot(
                100 * group.mean(quantity),
                middle - 0.26,
                linestyle="none",
                marker="D",
                markersize=5,
                color="black",
                label="mean, 95 % confidence" if first else None,
            )
            ends = 100 * np.array(group.confidence(quantity))
            if np.all(np.isfinite(ends)):
                axes.plot(ends, [middle - 0.26] * 2, color="black", linewidth=2)
        if software is not None:
            _check_shares("software", np.array([software]))
            axes.axvline(100 * software, color=GREY, linestyle="--", linewidth=1.1, zorder=0, label="software")
        axes.set_yticks(range(len(groups)), list(groups)[::-1])
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel=f"{quantity} (%)", ylim=(-0.6, len(groups) - 0.4))
        if list(groups) == [""]:
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1.2, handletextpad=0.4)
    return axes


def energy(reports: EnergyReport | Sequence[EnergyReport], *, axes: Axes | None = None) -> Axes:
    """Draw where the energy of an inference goes.

    Parameters
    ----------
    reports : EnergyReport, or sequence of them
        Of one, each projection and population is a bar; of several, each report.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    many: list[Any] = list(reports) if isinstance(reports, Sequence) else [reports]
    if not many or not all(isinstance(one, EnergyReport) for one in many):
        raise ParameterError(f"reports={reports!r}: expected an EnergyReport, or several")
    bars: dict[str, dict[str, float]] = {}
    for i, one in enumerate(many):
        # Two reports may be of one table.
        twice = sum(other.table.name == one.table.name for other in many[:i])
        name = one.table.name.replace(", ", ",\n", 1) + (f" ({twice + 1})" if twice else "")
        for line in one.lines:
            bar = bars.setdefault(line.part if len(many) == 1 else name, {})
            kind = next((name for name in _OPERATIONS if line.operation.startswith(name)), line.operation)
            bar[kind] = bar.get(kind, 0.0) + line.energy
    totals = {name: sum(bar.values()) for name, bar in bars.items()}
    largest = max(totals.values(), default=0.0)
    if largest == 0:
        raise ParameterError("reports: no operation takes energy")
    factor, unit = _energy_unit(largest)
    kinds = [*_OPERATIONS, *sorted({kind for bar in bars.values() for kind in bar} - set(_OPERATIONS))]
    with style() as plt:
        own = axes is None
        axes = one_axes(plt, axes, (6.4, 1.7 + 0.36 * len(bars)))
        places = np.arange(len(bars))[::-1]
        left = np.zeros(len(bars))
        for kind in kinds:
            widths = np.array([bar.get(kind, 0.0) for bar in bars.values()]) * factor
            # What nobody could see needs no line in the legend.
            if not np.any(widths > 0.002 * largest * factor):
                left += widths
                continue
            axes.barh(places, widths, 0.68, left=left, color=_OPERATIONS.get(kind, LIGHT), label=kind, linewidth=0)
            left += widths
        for place, total in zip(places, totals.values(), strict=True):
            axes.annotate(
                in_unit(total, "J"),
                (total * factor, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.set_yticks(places, list(bars))
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel=f"energy an inference ({unit})", xlim=(0, 1.2 * largest * factor))
        if len(many) == 1:
            axes.set_title(f"{many[0].table.name}: {in_unit(many[0].energy, 'J')}", loc="left")
        if own:
            axes.figure.legend(loc="outside lower center", ncols=3)
        else:  # the others of the figure are not ours to move
            axes.legend(loc="lower right", fontsize=8)
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


def _curves(name: str, given: Any, n: int) -> dict[str, Floats]:
    """Return curves by name, each of shape (n, chips)."""
    curves = {}
    for label, values in (given if isinstance(given, Mapping) else {"": given}).items():
        array = np.asarray(values, np.float64)
        if array.ndim not in (1, 2) or array.shape[0] != n or not array.size:
            what = f"{name} of {label!r}" if label else name
            raise ParameterError(f"{what}: has shape {array.shape}; expected ({n},) or ({n}, chips)")
        curves[str(label)] = array.reshape(n, -1)
    if not curves:
        raise ParameterError(f"{name}: holds no curve")
    return curves


def _check_shares(name: str, *arrays: Floats) -> None:
    for values in arrays:
        if not np.all((values >= 0) & (values <= 1)):
            raise ParameterError(f"{name}: must be shares from 0 to 1, found {values.min():g} ... {values.max():g}")


def _band(axes: Axes, x: NDArray[Any], values: Floats, colour: str, name: str, marker: str) -> None:
    if values.shape[1] > 1:
        low, high = np.percentile(values, (5, 95), axis=1)
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    middle = np.median(values, axis=1)
    axes.plot(x, middle, color=colour, marker=marker, markersize=4, label=name or "median of chips")


def _levels(axes: Axes, software: float | None, chance: float | None) -> None:
    for name, level, look in (("software", software, "--"), ("chance", chance, ":")):
        if level is not None:
            _check_shares(name, np.array([level]))
            axes.axhline(100 * level, color=GREY, linestyle=look, linewidth=1.1, label=name, zorder=0)


def _swarm(values: Floats, width: float, reach: float) -> Floats:
    """Return offsets across a line that keep points nearer than `width` apart, the same each time."""
    cell = np.floor((values - values.min()) / width).astype(np.int64)
    offsets = np.zeros(values.size)
    for number in np.unique(cell):
        members = np.flatnonzero(cell == number)
        ranks = np.arange(members.size)
        # 0, 1, -1, 2, -2 ... outwards from the middle.
        offsets[members] = np.where(ranks % 2, (ranks + 1) // 2, -(ranks // 2))
    widest = float(np.abs(offsets).max())
    return offsets * min(0.11, reach / widest if widest else 0.11)


def _energy_unit(largest: float) -> tuple[float, str]:
    number, unit = in_unit(largest, "J").split()
    return float(number) / largest, unit


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
