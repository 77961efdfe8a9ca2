"""Which networks can go in parts, and so in a long run on several threads."""

from __future__ import annotations

from snnsim.network.network import Network


def unsupported(network: Network) -> str | None:
    """Return why a network cannot go in parts, or None."""
    for connection in network.connections:
        if type(connection.projection.connectivity).__name__ == "MaxPool2d":
            return f"projection {connection.name!r} is a MaxPool2d"
        if connection.minimum_delay == 0 and not connection.source.is_source:
            return f"projection {connection.name!r} has no delay"
        if connection.minimum_delay == 0 and not connection.has_one_delay:
            return f"projection {connection.name!r} has delays of zero among others"
    return None
