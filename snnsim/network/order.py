"""Orders that follow from who projects to whom: of populations within a tick, and how long a network goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snnsim.errors import NetworkError
from snnsim.network.connection import Connection
from snnsim.network.population import Population


def advance_order(populations: Sequence[Population], connections: Sequence[Connection]) -> tuple[int, ...]:
    """Return the order in which populations are advanced within a tick: topological over zero-delay projections.

    Raises
    ------
    NetworkError
        There is a cycle of zero-delay projections.
    """
    waiting = {i: set[int]() for i in range(len(populations))}
    for connection in connections:
        if connection.minimum_delay == 0:
            waiting[connection.target_number].add(connection.source_number)
    done: list[int] = []
    while waiting:
        ready = [i for i, sources in waiting.items() if not sources]
        if not ready:
            ring = " -> ".join(populations[i].name for i in _cycle(waiting))
            raise NetworkError(f"zero-delay cycle: {ring}; give one of these projections a delay")
        done.append(ready[0])
        del waiting[ready[0]]
        for sources in waiting.values():
            sources.discard(ready[0])
    return tuple(done)


def _cycle(waiting: Mapping[int, set[int]]) -> list[int]:
    path = [next(iter(waiting))]
    while True:
        before = min(waiting[path[-1]])
        if before in path:
            return [before, *reversed(path[path.index(before) :])]
        path.append(before)


def delay_extension(inputs: Sequence[Population], connections: Sequence[Connection]) -> int:
    """Return the ticks that delays add up to from an input to an end of a network; see `Network.extension_ticks`."""
    onward: dict[str, list[Connection]] = {}
    for connection in connections:
        onward.setdefault(connection.source.name, []).append(connection)
    reached = [population.name for population in inputs]
    for name in reached:  # which grows meanwhile
        reached += {connection.target.name for connection in onward.get(name, ())}.difference(reached)
    arriving = dict.fromkeys(reached, 0)
    for name in reached:
        for connection in onward.get(name, ()):
            arriving[connection.target.name] += 1
    order = [name for name in reached if not arriving[name]]
    for name in order:
        for connection in onward.get(name, ()):
            arriving[connection.target.name] -= 1
            if not arriving[connection.target.name]:
                order.append(connection.target.name)
    if len(order) < len(reached):  # a cycle
        return 0
    longest = dict.fromkeys(reached, 0)
    for name in order:
        for connection in onward.get(name, ()):
            target = connection.target.name
            longest[target] = max(longest[target], longest[name] + connection.lingering)
    return max(longest.values(), default=0)
