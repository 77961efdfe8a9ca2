"""Bring neurons that were left alone up to the present tick.

A backend that visits neurons only when events reach them leaves each at the tick of its last event
(`State.visited`). What goes on with such a state tick by tick must advance them first, by their closed form
(`snnsim.neurons.membrane.silent_ticks`), here in NumPy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout, Place
from snnsim.backends.contract.state import State
from snnsim.network.network import Network
from snnsim.neurons.membrane.silent_ticks import closed_form, powers, response


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
    form, offset = closed_form(model, network.dt), model.coefficients(network.dt).offset
    exponent = powers(free, form.log_decay)
    grown = np.where(form.rise > 0, -np.expm1(exponent) * form.rise, free)
    membrane = layout.states(state.floats, place)[recording, 0]
    value = np.exp(exponent) * membrane.astype(np.float64) + offset * grown
    currents = layout.currents(state.floats, place)[recording]
    for own, current in zip(currents, form.currents, strict=True):
        kept = own.astype(np.float64)
        seen = kept * np.exp(powers(held, current.log_decay))
        value = value + current.factor * seen * response(free, form.log_decay, current)
        own[:] = kept * np.exp(powers(ticks, current.log_decay))
    membrane[:] = np.where(free > 0, value, membrane)
    counters[:] = counters - held
