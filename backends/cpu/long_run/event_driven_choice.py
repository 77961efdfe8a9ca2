"""Which populations are visited at every tick, and which only when an event reaches them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu.long_run.event_driven import can_be_visited
from snnsim.errors import CapabilityError
from snnsim.network.network import Network
from snnsim.neurons import NeuronModel, Poisson

#: Spikes a second that a neuron is taken to send where nothing else is known.
_ASSUMED_RATE = 10.0
#: Events a neuron and tick below which visiting neurons one by one costs less than passing over all of them.
_FEW_EVENTS = 0.02
#: Seconds a tick from which on passing over all neurons is cheap enough not to ask. Coarser networks so keep their
#: bit-for-bit agreement with the reference, which a closed form has only up to rounding.
_COARSE_TICK = 2e-5


def visited_by_events(network: Network, visit: str | Mapping[str, str]) -> NDArray[np.int64]:
    """Return 1 for each population whose neurons are visited only when events reach them.

    Raises
    ------
    CapabilityError
        A population that must be visited at every tick is asked to be visited by events.
    """
    marks = np.zeros(len(network.populations), np.int64)
    for number, population in enumerate(network.populations):
        if population.is_source:
            continue
        wanted = visit if isinstance(visit, str) else visit.get(population.name, "auto")
        able = can_be_visited(network, number)
        if wanted == "events" and not able:
            raise CapabilityError(
                f"visit='events': population {population.name!r} ({type(population.model).__name__}) has no closed "
                "form between events, which says what n silent ticks do (`silent`) and that a neuron cannot fire in "
                "them (`bound`); LIF and LI with Delta and Exponential receptors and without a drive have one"
            )
        if wanted == "events" or (wanted == "auto" and able and _is_quiet(network, number)):
            marks[number] = 1
    return marks


def _is_quiet(network: Network, number: int) -> bool:
    """Return whether few events a tick are to be expected, and no neuron fires without any."""
    if network.dt >= _COARSE_TICK:
        return False
    model = network.populations[number].model
    assert isinstance(model, NeuronModel)
    form = model.closed_form(network.dt)
    assert form is not None
    if np.any(form.membrane.settled >= form.membrane.threshold):
        return False
    size, name = network.populations[number].size, network.populations[number].name
    events = 0.0
    for projection in network.projections:
        if projection.target == name:
            source = network.population(projection.source)
            model = source.model
            expected = projection.rule.expected(source.shape, network.populations[number].shape)
            rate = float(np.mean(model.rate)) if isinstance(model, Poisson) else _ASSUMED_RATE
            events += rate * network.dt * expected / size
    return events < _FEW_EVENTS
