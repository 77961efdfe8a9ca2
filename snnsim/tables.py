"""Plain-text tables, and the table of what happens within a tick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from snnsim.connectivity.base import describe_values
from snnsim.learnable import Learnable
from snnsim.neurons.base import NeuronModel

if TYPE_CHECKING:
    from snnsim.network import Network, Projection

_PREFIXES = (("G", 9), ("M", 6), ("k", 3), ("", 0), ("m", -3), ("µ", -6), ("n", -9), ("p", -12), ("f", -15), ("a", -18))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Return rows under a header, in columns as wide as their widest entry.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        One entry a column; anything that has a text.
    right : sequence of int
        Columns to align to the right.
    """
    text = [[str(entry) for entry in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in text) for i in range(len(header))]
    lines = []
    for row in text:
        cells = [
            entry.rjust(width) if i in right else entry.ljust(width)
            for i, (entry, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def projection_row(network: Network, projection: Projection) -> tuple[str, ...]:
    """Return what is shown of a projection: name, synapses, connectivity, delay, receptor and plasticity."""
    source, target = network.population(projection.source), network.population(projection.target)
    count = projection.rule.count(source.shape, target.shape)
    delay, model = projection.delay, target.model
    assert isinstance(model, NeuronModel)
    if isinstance(delay, Learnable):
        shown = delay.describe()
    else:
        shown = f"{delay:g} s" if isinstance(delay, float) else describe_values(delay)
    return (
        projection.name,
        "random" if count is None else f"{count:,}",
        projection.connectivity.describe(),
        shown,
        projection.receptor or model.receptor_list[0].name,
        "" if projection.plasticity is None else projection.plasticity.describe(),
    )


def schedule_table(network: Network) -> str:
    """Return the order of operations within one tick of a network."""
    rows: list[tuple[str, str, str]] = []

    def add(operation: str, detail: str) -> None:
        rows.append((str(len(rows) + 1), operation, detail))

    plastic = [p for p in network.projections if p.plasticity is not None]
    late = [p for p in network.projections if network.minimum_delay(p) > 0 or not isinstance(p.delay, float)]
    delayed = [p.name for p in late if p not in plastic]
    if delayed:
        add("deliver", "spikes sent earlier that are due now, oldest first: " + ", ".join(delayed))
    if plastic:
        add("depress, deliver", "the same on plastic projections, after the others: " + _names(plastic))
    for number in network.order:
        population = network.populations[number]
        if population.is_source:
            add("events", f"{population.name}: {population.model.describe()}")
        else:
            for drive in population.drive:
                add("drive", f"{population.name}: {drive.describe()}")
            spiking = getattr(population.model, "spiking", True)
            add(
                "integrate, fire, reset" if spiking else "integrate",
                f"{population.name}: {population.model.describe()}",
            )
        for projection in network.projections:
            if projection.source == population.name:
                now = network.minimum_delay(projection) == 0
                when = "now, in order of source" if now else "at tick + delay"
                add("send", f"{projection.name}: {projection.connectivity.describe()}, {when}")
    if plastic:
        add("potentiate", "by the spikes of the targets of " + _names(plastic))
    normalised = [p for p in plastic if p.plasticity is not None and p.plasticity.normalisation is not None]
    if normalised:
        add("normalise", "at the end of each period: " + _names(normalised))
    add("record", "probes")
    return table(("step", "operation", "what"), rows, right=(0,))


def _names(projections: Sequence[Projection]) -> str:
    return ", ".join(projection.name for projection in projections)


def in_unit(value: float, unit: str) -> str:
    """Return a quantity with three digits and the prefix that suits it: 2.58e-12 J as 2.58 pJ."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    prefix = 0
    # 999.5 would round to 1000: it takes the next prefix.
    while prefix < len(_PREFIXES) - 1 and abs(value) < 0.9995 * 10.0 ** _PREFIXES[prefix][1]:
        prefix += 1
    letter, power = _PREFIXES[prefix]
    return f"{value / 10.0**power:.3g} {letter}{unit}"
