"""Bring neurons that were left alone up to the present tick.

A backend that visits neurons only when events reach them leaves each at the tick of its last event
(`State.visited`). What goes on with such a state tick by tick must advance them first, by the closed form of
`snnsim.backends.cpu.visits`, here in NumPy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.base import State
from snnsim.backends.layout import Layout, Place
from snnsim.network import Network
from snnsim.neurons import Exponential


def settle(network: Network, layout: Layout, state: State, keep: Collection[int] = ()) -> None:
    """Advance the neurons of a state to its tick, in place.

    Parameters
    ----------
    network : Network
    layout : Layout
    state : State
    keep : collection of int
        Numbers of populations that are left where they are; without any, how far they were is forgotten.
    """
    if state.visited is None:
        return
    for recording in range(state.floats.shape[0]):
        for place in layout.places:
            if place.population in keep:
                continue
            ticks = state.tick - state.visited[recording, place.counters : place.counters + place.size]
            if np.any(ticks > 0):
                _settle_population(network, layout, state, recording, place, ticks)
            state.visited[recording, place.counters : place.counters + place.size] = state.tick
    if not len(keep):
        state.visited = None


def _settle_population(
    network: Network, layout: Layout, state: State, recording: int, place: Place, ticks: NDArray[np.int64]
) -> None:
    model: Any = network.populations[place.population].model
    counters = state.counters[recording, place.counters : place.counters + place.size]
    held = np.minimum(ticks, counters)
    free = (ticks - held).astype(np.float64)
    c = model.coefficients(network.dt)
    decay = np.broadcast_to(np.asarray(c.decay, np.float64), (place.size,))
    left = decay**free
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = np.where(decay < 1, (1 - left) / (1 - decay), free)
    membrane = layout.states(state.floats, place)[recording, 0]
    value = left * membrane.astype(np.float64) + c.offset * grown
    currents = layout.currents(state.floats, place)[recording]
    number = 0
    for receptor in model.receptor_list:
        if not isinstance(receptor, Exponential):
            continue
        current_decay, coupling = model.receptor_coefficients(receptor, network.dt)
        current = currents[number].astype(np.float64)
        apart = np.abs(decay - current_decay) > 1e-9
        gap = np.where(apart, decay - current_decay, 1.0)
        same = np.where(free > 0, free * decay ** np.maximum(free - 1, 0), 0.0)
        response = np.where(apart, (left - current_decay**free) / gap, same)
        value = value + c.gain * coupling * current * current_decay ** held.astype(np.float64) * response
        currents[number] = current * current_decay ** ticks.astype(np.float64)
        number += 1
    membrane[:] = np.where(free > 0, value, membrane)
    counters[:] = counters - held
