"""Groups of projections: those from one population that nothing but their targets tells apart share rows of synapses.

So a spike has few rows to walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.network.connection import Connection
from snnsim.network.network import Network


@dataclass(frozen=True)
class Group:
    """Projections from one population whose synapses stand in common rows.

    Parameters
    ----------
    source : int
        Number of the source population.
    connections : tuple of Connection
        In the order of the network.
    delay : int
        Ticks, or -1 where the synapses differ.
    weight : float or None
        Weight of all synapses, or None where they differ.
    plastic : bool
        Whether the weights change.
    """

    source: int
    connections: tuple[Connection, ...]
    delay: int
    weight: float | None
    plastic: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the projections, ascending."""
        return tuple(connection.number for connection in self.connections)


def groups_of(network: Network) -> list[Group]:
    """Return the groups of a network, those of one source population together and in order of their projections.

    Members of a group agree in delay, or each synapse has its own; the same for weights; and no two of them reach the
    same accumulator. Spikes are delivered group by group: where two projections reach the same accumulator, the
    earlier one is in an earlier group.
    """
    drafts: list[list[tuple[Any, list[Connection], set[tuple[int, int]]]]] = [[] for _ in network.populations]
    for connection in network.connections:
        mine = drafts[connection.source_number]
        accumulators = (connection.target_number, connection.receptor_number)
        form = _form(connection)
        for known, members, reached in reversed(mine):
            if accumulators in reached:  # so it comes later than this group
                mine.append((form, [connection], {accumulators}))
                break
            if known == form:
                members.append(connection)
                reached.add(accumulators)
                break
        else:
            mine.append((form, [connection], {accumulators}))
    return [
        Group(source, tuple(members), form[0], form[1], form[2] is not None)
        for source, groups in enumerate(drafts)
        for form, members, _ in groups
    ]


def _form(connection: Connection) -> tuple[int, float | None, int | None]:
    """Return what the members of a group have in common: delay, weight, and the number of a plastic projection."""
    plastic = connection.projection.plasticity is not None
    weights = connection.projection.connectivity.weights
    return (
        connection.minimum_delay if connection.has_one_delay else -1,
        weights if isinstance(weights, float) and not plastic else None,
        connection.number if plastic else None,
    )


def delay_type(groups: Sequence[Group]) -> np.dtype[Any]:
    """Return the smallest type that holds every delay that a synapse has of its own."""
    members = [connection for group in groups if group.delay < 0 for connection in group.connections]
    longest = max((connection.longest_delay for connection in members), default=0)
    return np.dtype(np.uint8 if longest < 2**8 else np.uint16 if longest < 2**16 else np.int32)
