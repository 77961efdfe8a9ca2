"""Bring neurons that were left alone up to the present tick.

A backend that visits neurons only when events reach them leaves each at the tick of its last event
(`State.visited`). What goes on with such a state tick by tick must advance them first, by their closed form
(`snnsim.neurons.membrane.silent_ticks`): the functions by which that backend would have advanced them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout, Place
from snnsim.backends.contract.state import State
from snnsim.network.network import Network
from snnsim.neurons.arithmetic.closed_form import CurrentForm, MembraneForm
from snnsim.neurons.membrane import silent_ticks
from snnsim.numerics import specialise
from snnsim.numerics.specialise import digest, jit, specialised

# What the template names; `_kernel` puts the compiled functions in their place.
silent: Any = None
silent_current: Any = None
response: Any = None


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
    form = model.closed_form(network.dt)
    # Rounded, as ticks have it.
    offset = np.asarray(model.coefficients(network.dt).offset).astype(state.floats.dtype)
    _kernel()(
        layout.states(state.floats, place)[recording, 0],
        layout.currents(state.floats, place)[recording],
        state.counters[recording, place.counters : place.counters + place.size],
        ticks,
        np.broadcast_to(offset, (place.size,)).astype(np.float64),
        _table(MembraneForm, (form.membrane,), place.size),
        _table(CurrentForm, form.currents, place.size),
    )


def _table(kind: type[Any], records: tuple[Any, ...], size: int) -> Any:
    """Return records of one kind as one of arrays, shape (records, neurons)."""
    columns = ([np.broadcast_to(getattr(record, name), (size,)) for record in records] for name in kind._fields)
    return kind(*(np.array(rows, np.float64).reshape(len(records), size) for rows in columns))


@functools.cache
def _kernel() -> Any:
    """Return the compiled `settle_neurons`."""
    version = digest([specialise, silent_ticks, sys.modules[__name__]])
    functions = ("silent", "silent_current", "response")
    names = {name: jit(getattr(silent_ticks, name)) for name in functions}
    return specialised(settle_neurons, f"settle_neurons_{version}", cache=True, **names)


def settle_neurons(membranes, currents, counters, ticks, offsets, forms, pulls):  # type: ignore[no-untyped-def]
    """Advance neurons by ticks without input, as `silent_membrane` of the cpu backend does."""
    for j in range(membranes.size):
        if ticks[j] <= 0:
            continue
        held = min(ticks[j], np.int64(counters[j]))
        free = ticks[j] - held
        log_decay, rise, membrane = forms.log_decay[0, j], forms.rise[0, j], np.float64(membranes[j])
        if free > 0:
            membrane = silent(membrane, free, offsets[j], log_decay, rise)
        for k in range(currents.shape[0]):
            log_current, current = pulls.log_decay[k, j], np.float64(currents[k, j])
            seen = silent_current(current, held, log_current)
            if free > 0 and seen != 0:
                answer = response(free, log_decay, log_current, pulls.apart[k, j], pulls.share[k, j])
                membrane += pulls.factor[k, j] * seen * answer
            currents[k, j] = silent_current(current, ticks[j], log_current)
        membranes[j] = membrane
        counters[j] -= held
