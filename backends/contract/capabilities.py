"""What a backend can do, and what of a network it cannot."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from snnsim.network.network import Network


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do beyond running a network tick by tick; plasticity is that of one long run.

    `frames` are inputs of real values (`snnsim.Frames`).

    A backend that runs every model, those of users too, gives the live ``MODELS.keys()`` as its models.
    """

    delays: bool = True
    batch: bool = True
    early_exit: bool = True
    drives: bool = False
    frames: bool = False
    plasticity: bool = False
    receptors: frozenset[str] = frozenset({"Delta", "Exponential"})
    models: Set[str] = field(default_factory=frozenset)


class Missing(NamedTuple):
    """What a backend cannot run, in words, and how to tell the backends that can."""

    what: str
    able: Callable[[Capabilities], bool]


def missing(network: Network, capabilities: Capabilities) -> Missing | None:
    """Return what a network asks for that is not among the capabilities, or None."""

    def models(name: str) -> Callable[[Capabilities], bool]:
        return lambda c: name in c.models

    def receptors(name: str) -> Callable[[Capabilities], bool]:
        return lambda c: name in c.receptors

    for population in network.populations:
        model = population.model
        name = type(model).__name__
        where = f"of population {population.name!r}"
        if not population.is_source and name not in capabilities.models:
            return Missing(f"the neuron model {name} {where}", models(name))
        if population.drive and not capabilities.drives:
            return Missing(f"the drive {where}", lambda c: c.drives)
        for receptor in population.receptors:
            kind = type(receptor).__name__
            if kind not in capabilities.receptors:
                return Missing(f"the {kind} receptor {where}", receptors(kind))
    for projection in network.projections:
        if projection.plasticity is not None and not capabilities.plasticity:
            return Missing(f"the plasticity of projection {projection.name!r}", lambda c: c.plasticity)
    for connection in network.connections:
        if not capabilities.delays and (connection.minimum_delay > 0 or not connection.has_one_delay):
            return Missing(f"the delay of projection {connection.name!r}", lambda c: c.delays)
    return None
