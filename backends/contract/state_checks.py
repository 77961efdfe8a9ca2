"""A state from a file: whether it can be one of its network, before compiled code takes its numbers for places."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnsim.backends.contract.layout import Layout
from snnsim.backends.contract.plasticity import PlasticState, check_synapses
from snnsim.backends.contract.state import State
from snnsim.errors import DataError
from snnsim.network.network import Network
from snnsim.neurons import NeuronModel


def check_state(network: Network, layout: Layout, state: State, where: str) -> None:
    """Raise `DataError` unless a state can be one of a network.

    Parameters
    ----------
    network : Network
    layout : Layout
    state : State
        Its arrays of floats and counters have the shapes of the layout.
    where : str
        Where it comes from.
    """
    for wrong in _wrong(network, layout, state):
        raise DataError(f"{where}: the state in the checkpoint is damaged: {wrong}")


def _wrong(network: Network, layout: Layout, state: State) -> Iterator[str]:
    """Yield what is wrong."""
    if state.tick < 0:
        yield f"tick {state.tick}"
    if np.any(state.counters < 0):
        yield "refractory ticks below zero"
    if state.visited is not None:
        if state.visited.shape != (1, layout.n_counters) or state.visited.dtype != np.int64:
            yield f"visited holds {state.visited.dtype} {state.visited.shape}, expected int64 {(1, layout.n_counters)}"
        for place in layout.places:
            ticks = state.visited[0, place.counters : place.counters + place.size]
            model = network.populations[place.population].model
            waits = isinstance(model, NeuronModel) and model.closed_form(network.dt) is not None
            lowest = 0 if waits else state.tick
            if np.any((ticks < lowest) | (ticks > state.tick)):
                yield f"population {place.name!r} is not advanced to a tick from {lowest} to {state.tick}"
    for plastic in state.plastic:
        for wrong in _wrong_in_plastic(network, state, plastic):
            yield f"projection {network.projections[plastic.projection].name!r}: {wrong}"


def _wrong_in_plastic(network: Network, state: State, plastic: PlasticState) -> Iterator[str]:
    projection = network.projections[plastic.projection]
    synapses = network.synapses(projection).targets.size if plastic.weights is not None else 0
    check_synapses(network, plastic, synapses)
    for name in ("weights", "eligibility"):
        values = getattr(plastic, name)
        if values is not None and values.dtype != state.floats.dtype:
            yield f"{name} are {values.dtype}, the state is {state.floats.dtype}"
    if np.any(plastic.pre_ticks >= state.tick) or np.any(plastic.post_ticks >= state.tick):
        yield f"spikes after tick {state.tick - 1}"
    flights = plastic.flight_sources, plastic.flight_ticks, plastic.flight_before_ticks, plastic.flight_before
    if all(array is None for array in flights):
        return
    sources, ticks, before, values = flights
    if sources is None or ticks is None or before is None or values is None:
        yield "spikes on their way are not complete"
        return
    shapes = [array.shape for array in (sources, ticks, before, values)]
    n = sources.size
    if shapes != [(n,), (n,), (n,), (plastic.pre_traces.shape[0], n)]:
        yield f"spikes on their way have shapes {shapes}"
        return
    if np.any((sources < 0) | (sources >= network.population(projection.source).size)):
        yield "a spike on its way comes from a source that is not there"
    if np.any(np.diff(ticks) < 0) or np.any(ticks >= state.tick) or np.any(before > ticks):
        yield "spikes on their way are not in order of sending"
