"""Drawing converters (error against bits, conversions beyond the range), and accuracy over chips and over age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.contract.activity import SATURATED, ChipActivity
from snnsim.errors import ParameterError
from snnsim.monte_carlo import MonteCarlo
from snnsim.plot.style import BLUE, GREY, LIGHT, PALETTE, VERMILION, one_axes, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: Tiles that are drawn.
_MOST_TILES = 24
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


def saturation(activity: ChipActivity, *, axes: Axes | None = None) -> Axes:
    """Draw how many conversions of each tile went beyond the range of its converters, the worst tiles first.

    Parameters
    ----------
    activity : ChipActivity
        As `Result.chip`.
    axes : Axes, optional

    Returns
    -------
    Axes
    """
    if not isinstance(activity, ChipActivity):
        raise ParameterError(f"activity={type(activity).__name__}: expected a ChipActivity, such as result.chip")
    counted = [(one.name, *tile) for one in activity.projections for tile in one.of_tiles if tile[1]]
    if not counted:
        raise ParameterError("activity: no tile of the chip tells its conversions")
    shares = sorted(((beyond / n, name, tile) for name, tile, n, beyond in counted), key=lambda one: (-one[0], one[2]))
    shown = shares[:_MOST_TILES]
    with style() as plt:
        axes = one_axes(plt, axes, (5.6, 1.0 + 0.26 * len(shown)))
        places = np.arange(len(shown))[::-1]
        colours = [VERMILION if share > SATURATED else BLUE for share, _, _ in shown]
        axes.barh(places, [100 * share for share, _, _ in shown], 0.68, color=colours, linewidth=0)
        axes.axvline(100 * SATURATED, color=GREY, linestyle="--", linewidth=1.1, label=f"{SATURATED:.0%}")
        axes.set_yticks(places, [f"{name}, tile {tile}" for _, name, tile in shown])
        axes.tick_params(axis="y", length=0)
        rest = f" ({len(shown)} of {len(shares)} tiles)" if len(shares) > len(shown) else ""
        axes.set(xlabel=f"conversions beyond the range (%){rest}")
        axes.set_xlim(0, max(200 * SATURATED, 105 * shown[0][0]))
        axes.legend(loc="lower right")
    return axes


# -- helping ---------------------------------------------------------------------------------------------


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
