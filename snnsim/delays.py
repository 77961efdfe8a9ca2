"""Delays that are drawn from a distribution: all of a projection, or the longest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnsim import rng
from snnsim.connectivity.distributions import Distribution
from snnsim.connectivity.draw import CHUNK, Plan, spread
from snnsim.connectivity.recipe import Values
from snnsim.learnable import Learnable
from snnsim.timebase import LONGEST_TICKS, check_length, to_ticks

if TYPE_CHECKING:
    from snnsim.network import Network, Projection


def delay_recipe(network: Network, projection: Projection) -> Values:
    """Return how the delays of a projection are drawn, in seconds; its delay must be a Distribution."""
    assert isinstance(projection.delay, Distribution)
    source, target = network.population(projection.source), network.population(projection.target)
    fan_in = projection.rule.expected(source.shape, target.shape) / target.size
    return projection.delay.recipe(network.seed, rng.stream_number(projection.name, "delays"), fan_in)


def drawn_delays(network: Network, projection: Projection, n_synapses: int) -> NDArray[np.int32]:
    """Return the delays of all synapses in ticks, in the order of `Network.synapses`.

    Raises
    ------
    ParameterError
        A delay has more ticks than 32 bits hold.
    """
    longest_drawn(network, projection)  # checks the length
    recipe = delay_recipe(network, projection)
    plan = _plan(network, projection)
    if plan is not None:
        return plan.drawn_delays(recipe, network.dt)
    from snnsim.connectivity.draw_kernels import draw_elements

    seconds = np.empty(n_synapses)
    draw_elements(recipe, 0, seconds)
    return np.asarray(np.rint(np.maximum(seconds, network.dt) / network.dt), np.int32)


def longest_drawn(network: Network, projection: Projection) -> int:
    """Return the longest delay of a projection in ticks, 0 where it has no synapses."""
    recipe = delay_recipe(network, projection)
    plan = _plan(network, projection)
    seconds = _longest_element(network, projection, recipe) if plan is None else plan.longest(recipe)
    if seconds == -np.inf:
        return 0
    name = f"projection {projection.name!r}: delay"
    ticks = to_ticks(max(seconds, network.dt), network.dt, name=name, round="nearest")
    check_length(ticks, network.dt, name=name)
    return int(ticks)


def likely_longest(network: Network, projection: Projection) -> int:
    """Return a delay in ticks that the longest of a projection hardly exceeds; nothing is drawn."""
    source, target = network.population(projection.source), network.population(projection.target)
    expected = projection.rule.expected(source.shape, target.shape)
    if not isinstance(projection.delay, Distribution) or expected == 0:
        return network.longest_delay(projection)
    _, seconds = projection.delay.reach(expected, expected / target.size)
    return round(min(max(seconds / network.dt, 1.0), LONGEST_TICKS))


def lingering(network: Network, projection: Projection) -> int:
    """Return for how many ticks a projection goes on to deliver once its source has fallen silent."""
    if isinstance(projection.delay, Learnable):
        return projection.delay.longest(network.dt) // 2
    return network.longest_delay(projection)


def delay_extension(network: Network) -> int:
    """Return the ticks that delays add up to from an `Input` to an end of a network; see `Network.extension_ticks`."""
    onward: dict[str, list[Projection]] = {population.name: [] for population in network.populations}
    for projection in network.projections:
        onward[projection.source].append(projection)
    reached = [population.name for population in network.inputs]
    for name in reached:  # which grows meanwhile
        reached += {projection.target for projection in onward[name]}.difference(reached)
    arriving = dict.fromkeys(reached, 0)
    for name in reached:
        for projection in onward[name]:
            arriving[projection.target] += 1
    order = [name for name in reached if not arriving[name]]
    for name in order:
        for projection in onward[name]:
            arriving[projection.target] -= 1
            if not arriving[projection.target]:
                order.append(projection.target)
    if len(order) < len(reached):  # a cycle
        return 0
    longest = dict.fromkeys(reached, 0)
    for name in order:
        for projection in onward[name]:
            after = longest[name] + lingering(network, projection)
            longest[projection.target] = max(longest[projection.target], after)
    return max(longest.values(), default=0)


def _plan(network: Network, projection: Projection) -> Plan | None:
    source, target = network.population(projection.source), network.population(projection.target)
    return projection.rule.plan(source.shape, target.shape, network.key(projection))


def _longest_element(network: Network, projection: Projection, recipe: Values) -> float:
    from snnsim.connectivity.draw_kernels import draw_elements

    source, target = network.population(projection.source), network.population(projection.target)
    count = projection.rule.count(source.shape, target.shape)
    assert count is not None

    def longest(first: int) -> float:
        drawn = np.empty(min(CHUNK, count - first))
        draw_elements(recipe, first, drawn)
        return float(drawn.max())

    return max(spread(longest, list(range(0, count, CHUNK))), default=-np.inf)
