"""What happens within a tick, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from snnsim.network.connection import Connection
from snnsim.network.population import Population
from snnsim.system.tables import table


def schedule_table(populations: Sequence[Population], connections: Sequence[Connection], order: Sequence[int]) -> str:
    """Return the order of operations within one tick of a network."""
    rows: list[tuple[str, str, str]] = []

    def add(operation: str, detail: str) -> None:
        rows.append((str(len(rows) + 1), operation, detail))

    plastic = [c for c in connections if c.projection.plasticity is not None]
    late = [c for c in connections if c.minimum_delay > 0 or not c.has_one_delay]
    delayed = [c.name for c in late if c not in plastic]
    if delayed:
        add("deliver", "spikes sent earlier that are due now, oldest first: " + ", ".join(delayed))
    if plastic:
        add("depress, deliver", "the same on plastic projections, after the others: " + _names(plastic))
    for number in order:
        population = populations[number]
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
        for connection in connections:
            if connection.source_number == number:
                when = "now, in order of source" if connection.minimum_delay == 0 else "at tick + delay"
                add("send", f"{connection.name}: {connection.projection.connectivity.describe()}, {when}")
    if plastic:
        add("potentiate", "by the spikes of the targets of " + _names(plastic))
    normalised = [c for c in plastic if getattr(c.projection.plasticity, "normalisation", None) is not None]
    if normalised:
        add("normalise", "at the end of each period: " + _names(normalised))
    add("record", "probes")
    return table(("step", "operation", "what"), rows, right=(0,))


def _names(connections: Sequence[Connection]) -> str:
    return ", ".join(connection.name for connection in connections)
