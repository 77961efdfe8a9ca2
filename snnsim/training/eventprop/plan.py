"""Which networks EventProp trains, and what of them is learned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity import Dense, OneToOne, Sparse
from snnsim.errors import CapabilityError, NetworkError, ParameterError
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import LI, LIF, Exponential, Input
from snnsim.timebase import tick_count, to_ticks

RULES = (Dense, Sparse, OneToOne)


@dataclass(frozen=True, eq=False)
class DelayedLink:
    """A projection.

    Parameters
    ----------
    name, source, target : str
    weights : ndarray of float64
        In the shape of the rule's weights.
    delays : ndarray of int64, same shape
        Ticks.
    shortest, longest : int
        Ticks between which its delays are kept; what a cycle of projections passes through takes a tick at least.
    learned : bool
        Whether its delays are learned.
    """

    name: str
    source: str
    target: str
    weights: NDArray[np.float64]
    delays: NDArray[np.int64]
    shortest: int
    longest: int
    learned: bool


@dataclass(frozen=True, eq=False)
class DelayPlan:
    """A network with delays, checked for EventProp.

    Parameters
    ----------
    network : Network
        Without anything that is still to be drawn.
    inputs : tuple of str
    populations : tuple of Population
        Those of neurons, the readout last.
    links : tuple of DelayedLink
        In the order of the description.
    """

    network: Network
    inputs: tuple[str, ...]
    populations: tuple[Population, ...]
    links: tuple[DelayedLink, ...]

    @property
    def output(self) -> Population:
        """The readout."""
        return self.populations[-1]

    def order(self, immediate: tuple[bool, ...]) -> tuple[int, ...]:
        """Return the order of populations in a tick, given which projections have a delay of zero somewhere."""
        stand_ins = [
            replace(
                projection, connectivity=Sparse([0], [0], [0.0]), delay=0.0 if now else self.network.dt, plasticity=None
            )
            for projection, now in zip(self.network.projections, immediate, strict=True)
        ]
        return replace(self.network, projections=tuple(stand_ins)).order


def make_delay_plan(network: Network, maximum_delay: float | None, learned: Iterable[str]) -> DelayPlan:
    """Check a network for EventProp.

    Parameters
    ----------
    network : Network
    maximum_delay : float or None
        Seconds; None is the longest delay of the description, a tick at least.
    learned : iterable of str
        Projections whose delays are learned.

    Raises
    ------
    CapabilityError
        Something in the network that EventProp does not compute; the message names it.
    ParameterError
        `maximum_delay` is shorter than a learned delay of the description.
    """
    # Samples end when their recordings do, unless the description says otherwise: recurrent networks have no other end.
    extension = 0.0 if network.extension is None else network.extension
    network, learned = replace(network.resolved(), extension=extension), tuple(learned)
    for name in learned:
        network.projection(name)
    output = network.output
    neurons = []
    for population in network.populations:
        if isinstance(population.model, Input):
            continue
        _check_population(population, network.dt, readout=population is output)
        neurons.append(population)
    neurons.sort(key=lambda population: population is output)
    longest = max((network.connection(projection).longest_delay for projection in network.projections), default=0)
    if maximum_delay is not None:
        longest = tick_count(maximum_delay, network.dt, name="maximum_delay")
    reach = _reachable(network)
    links = [
        _link(network, projection, projection.name in learned, longest, projection.source in reach[projection.target])
        for projection in network.projections
    ]
    return DelayPlan(network, tuple(p.name for p in network.inputs), tuple(neurons), tuple(links))


def _check_population(population: Population, dt: float, readout: bool) -> None:
    model: Any = population.model
    where = f"EventProp: population {population.name!r}"
    if population.drive:
        raise CapabilityError(f"{where} has a drive, which draws events of its own; give them by an Input() population")
    kind = LI if readout else LIF
    if type(model) is not kind:
        place = "the readout" if readout else "every other population"
        raise CapabilityError(f"{where}: {type(model).__name__} is not trained; {place} must be {kind.__name__}(...)")
    if len(model.receptors) != 1 or not isinstance(model.receptors[0], Exponential):
        raise CapabilityError(f"{where}: its receptors must be one Exponential(...), got {list(model.receptors)}")
    if model.integration != "exact":
        raise CapabilityError(f"{where}: integration={model.integration!r}; the gradient is that of exact integration")
    if model.refractory_ticks(dt):
        raise CapabilityError(f"{where}: a refractory time is not trained")
    if np.any(np.asarray(model.time_constant) <= 0):
        raise CapabilityError(f"{where}: time_constant={model.time_constant!r}: must be above zero")


def _reachable(network: Network) -> dict[str, set[str]]:
    """Return, for each population, those that its spikes can reach, itself included."""
    reach = {population.name: {population.name} for population in network.populations}
    changed = True
    while changed:
        changed = False
        for projection in network.projections:
            for found in reach.values():
                if projection.source in found and projection.target not in found:
                    found.add(projection.target)
                    changed = True
    return reach


def _link(network: Network, projection: Projection, learned: bool, longest: int, cyclic: bool) -> DelayedLink:
    rule: Any = projection.connectivity
    where = f"EventProp: projection {projection.name!r}"
    if not isinstance(rule, RULES):
        names = ", ".join(kind.__name__ for kind in RULES)
        raise CapabilityError(f"{where}: {type(rule).__name__} is not trained; {names} are")
    given: Any = rule.weights
    weights = np.asarray(given, np.float64)
    if projection.plasticity is not None:
        raise CapabilityError(f"{where} is plastic; a projection is trained or plastic, not both")
    if isinstance(projection.delay, (float, np.ndarray)):
        ticks = np.broadcast_to(to_ticks(projection.delay, network.dt).reshape(-1), (weights.size,))
    else:
        raise NetworkError(f"{where}: delay={projection.delay!r}: give seconds, one number or one a synapse")
    ticks = ticks.reshape(weights.shape).astype(np.int64)
    shortest = int(cyclic)
    if learned and longest < max(shortest, int(ticks.max(initial=0))):
        raise ParameterError(
            f"maximum_delay={longest * network.dt:g} s: {projection.name!r} starts with delays up to "
            f"{ticks.max(initial=0) * network.dt:g} s, and what is in a cycle takes a tick at least"
        )
    bounds = (shortest, longest) if learned else (0, int(ticks.max(initial=0)))
    return DelayedLink(projection.name, projection.source, projection.target, weights, ticks, *bounds, learned)
