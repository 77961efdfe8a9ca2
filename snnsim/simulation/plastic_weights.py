"""What a run has learned: the present weights, and the network that has them."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.program import Program
from snnsim.backends.contract.state import State
from snnsim.errors import ParameterError
from snnsim.network.network import Network


def weights(program: Program, state: State, name: str) -> NDArray[Any]:
    """Return the weights of a projection as they stand, in the order of `Network.synapses` and the run's precision."""
    network = program.network
    projection = network.projection(name)
    if projection.plasticity is not None:
        program.settle(state)
        for plastic in state.plastic:
            if network.projections[plastic.projection] is projection and plastic.weights is not None:
                return plastic.weights.copy()
    return network.synapses(projection).weights.astype(program.dtype)


def reward(program: Program, state: State, name: str, value: Any) -> None:
    """Give a reward to a projection with `RewardModulatedSTDP`; see `Simulation.reward`."""
    network = program.network
    projection = network.projection(name)
    rule = projection.plasticity
    if rule is None or rule.eligibility is None:
        kind = "no plasticity" if rule is None else type(rule).__name__
        raise ParameterError(f"reward: projection {name!r} has {kind}; only RewardModulatedSTDP waits for a reward")
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ParameterError(f"reward: value={value!r}: must be a finite number")
    program.reward(state, network.projections.index(projection), float(value))


def network_with_weights(program: Program, state: State) -> Network:
    """Return the network with the weights of its plastic projections as they stand, and their wiring written out."""
    network = program.network
    plastic = tuple(projection for projection in network.projections if projection.plasticity is not None)
    changed = []
    for projection in replace(network, projections=plastic).resolved().projections:
        plasticity = projection.plasticity
        assert plasticity is not None
        # A bound as float32 has it may lie beyond the bound itself.
        learned = weights(program, state, projection.name).astype(np.float64)
        learned = np.clip(learned, plasticity.minimum, plasticity.maximum)
        order = network.synapses(network.projection(projection.name)).order
        rule: Any = projection.connectivity
        if order is not None:
            learned[order] = learned.copy()
        if type(rule).__name__ == "Dense":
            source, target = network.population(projection.source), network.population(projection.target)
            learned = learned.reshape(source.size, target.size)
        changed.append(replace(projection, connectivity=replace(rule, weights=learned)))
    return network.replaced(projections=changed)
