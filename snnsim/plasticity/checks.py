"""Whether a projection can be plastic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnsim.errors import NetworkError
from snnsim.neurons.receptors import check_weights

if TYPE_CHECKING:
    from snnsim.network import Network, Projection

#: Rules in which each synapse has a weight of its own.
_OWN_WEIGHTS = ("Dense", "Sparse", "OneToOne", "FixedProbability", "FixedInDegree", "FixedTotalNumber")


def check_plasticity(network: Network, projection: Projection) -> None:
    """Raise an error where a plastic projection of a network asks for what has no meaning."""
    rule = projection.plasticity
    if rule is None:
        return
    where = f"projection {projection.name!r}"
    connectivity = type(projection.connectivity).__name__
    if connectivity not in _OWN_WEIGHTS:
        raise NetworkError(
            f"{where}: plasticity={type(rule).__name__} needs a weight for each synapse, which {connectivity} has not; "
            f"there are: {', '.join(_OWN_WEIGHTS)}"
        )
    target = network.population(projection.target)
    if not getattr(target.model, "spiking", False):
        raise NetworkError(
            f"{where}: plasticity={type(rule).__name__} needs spikes of the target, and {target.name!r} "
            f"({type(target.model).__name__}) does not spike"
        )
    receptor = getattr(target.model, "receptor_list", ())[network.receptor_number(projection)]
    check_weights(f"{where}: minimum={rule.minimum!r}", receptor, rule.minimum)
    if network.minimum_delay(projection) < 1:
        raise NetworkError(f"{where}: a plastic projection needs a delay of one tick ({network.dt:g} s) or more")
    rule.check_times(network.dt, where)
