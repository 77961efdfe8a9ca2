"""Drawing where the energy of an inference goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.energy.lines import EnergyReport
from snnsim.errors import ParameterError
from snnsim.plot.style import BLUE, GREEN, GREY, LIGHT, ORANGE, PURPLE, SKY, VERMILION, one_axes, style
from snnsim.system.tables import in_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def _energy_unit(largest: float) -> tuple[float, str]:
    number, unit = in_unit(largest, "J").split()
    return float(number) / largest, unit
