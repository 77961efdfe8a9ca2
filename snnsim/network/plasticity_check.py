"""Whether a projection can be plastic."""

from __future__ import annotations

from snnsim.errors import NetworkError
from snnsim.network.connection import Connection
from snnsim.neurons.receptors import check_weights

#: Rules in which each synapse has a weight of its own.
_OWN_WEIGHTS = ("Dense", "Sparse", "OneToOne", "FixedProbability", "FixedInDegree", "FixedTotalNumber")


def check_plasticity(connection: Connection) -> None:
    """Raise an error where a plastic projection of a network asks for what has no meaning."""
    rule = connection.projection.plasticity
    if rule is None:
        return
    where = f"projection {connection.name!r}"
    connectivity = type(connection.projection.connectivity).__name__
    if connectivity not in _OWN_WEIGHTS:
        raise NetworkError(
            f"{where}: plasticity={type(rule).__name__} needs a weight for each synapse, which {connectivity} has not; "
            f"there are: {', '.join(_OWN_WEIGHTS)}"
        )
    target, dt = connection.target, connection.dt
    if not connection.model.spiking:
        raise NetworkError(
            f"{where}: plasticity={type(rule).__name__} needs spikes of the target, and {target.name!r} "
            f"({type(target.model).__name__}) does not spike"
        )
    check_weights(f"{where}: minimum={rule.minimum!r}", connection.receptor, rule.minimum)
    if connection.minimum_delay < 1:
        raise NetworkError(f"{where}: a plastic projection needs a delay of one tick ({dt:g} s) or more")
    rule.check_times(dt, where)
