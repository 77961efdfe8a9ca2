"""From one network to another in the middle of a long run: what of the state goes on, and what is refused.

Both have the same populations with the same states and receptors; parameters, weights, delays, rates, drives and whole
projections may differ. Membranes, currents and traces go on as they are, and refractory ticks up to the new refractory
time. Spikes on their way arrive when the old network says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout, Place, zeros
from snnsim.backends.contract.plasticity import PlasticState, check_bounds, initial_states
from snnsim.backends.contract.silent_neurons import settle
from snnsim.backends.contract.state import State
from snnsim.connectivity import Synapses
from snnsim.errors import NetworkError, exactly
from snnsim.network.fingerprint import fingerprint
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import NeuronModel
from snnsim.timebase import same_dt


def carried(state: State, old: Network, new: Network) -> State:
    """Return the state in which a run of the network `old` goes on as one of `new`.

    Parameters
    ----------
    state : State
        Of `old`, with the weights of its plastic projections in it; left as it is.
    old, new : Network

    Raises
    ------
    NetworkError
        Something of the state has no place in the new network; the message names it.
    """
    check_layout(old, new)
    before, after = Layout.of(old), Layout.of(new)
    visited = None if state.visited is None else state.visited.copy()
    now = State(state.floats.copy(), state.counters.copy(), state.tick, visited)
    # Neurons of a model that stays may go on waiting for events; others follow the old one up to this tick.
    pairs = zip(old.populations, new.populations, strict=True)
    settle(old, before, now, [i for i, (one, other) in enumerate(pairs) if _same(one.model, other.model)])
    dtype = state.floats.dtype
    plastic = []
    for begun in initial_states(new, dtype):
        projection = new.projections[begun.projection]
        learned = _state_of(state, old, projection)
        plastic.append(begun if learned is None else _learning(learned, old, projection, new, begun.projection))
    for ended in state.plastic:
        projection = old.projections[ended.projection]
        if not _goes_on_learning(projection, new):
            _send_off(ended, old, projection, before, now)
    floats = zeros(1, after.n_floats, dtype)
    for one, other in zip(before.places, after.places, strict=True):
        after.states(floats, other)[:] = before.states(now.floats, one)
        after.currents(floats, other)[:] = before.currents(now.floats, one)
        model = new.populations[other.population].model
        assert isinstance(model, NeuronModel)
        left = now.counters[:, other.counters : other.counters + other.size]
        np.minimum(left, model.refractory_ticks(new.dt), out=left)  # no neuron is held for longer than it would be now
        _move_ring(before.ring(now.floats, one)[0], after.ring(floats, other)[0], now.tick, other)
    return State(floats, now.counters, now.tick, now.visited, tuple(plastic))


def check_layout(old: Network, new: Network) -> None:
    """Raise `NetworkError` where two networks differ in what a state is made of."""
    if not same_dt(old.dt, new.dt):
        raise NetworkError(f"change: dt is {exactly(old.dt)} s, in the new network {exactly(new.dt)} s")
    names = [[population.name for population in network.populations] for network in (old, new)]
    if names[0] != names[1]:
        raise NetworkError(
            f"change: the populations are {', '.join(names[0])}; those of the new one {', '.join(names[1])}"
        )
    for one, other in zip(old.populations, new.populations, strict=True):
        if one.size != other.size:
            raise NetworkError(f"change: population {one.name!r} has {one.size} neurons, in the new one {other.size}")
        for what, parts in _parts(one).items():
            others = _parts(other)[what]
            if parts != others:
                raise NetworkError(
                    f"change: population {one.name!r} has the {what} {_listed(parts)}, in the new one {_listed(others)}"
                )


def _parts(population: Population) -> dict[str, tuple[str, ...]]:
    """Return the names of what the state of a population is made of."""
    model = population.model
    if not isinstance(model, NeuronModel):
        return {"states": (), "receptors": ()}
    receptors = tuple(f"{receptor.name} ({type(receptor).__name__})" for receptor in model.receptor_list)
    return {"states": model.arithmetic.states, "receptors": receptors}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none (a source)"


def _same(first: Any, second: Any) -> bool:
    return fingerprint(first) == fingerprint(second)


# -- plastic projections -------------------------------------------------------------------------------------------


def _goes_on_learning(projection: Projection, new: Network) -> bool:
    return any(other.name == projection.name and other.plasticity is not None for other in new.projections)


def _state_of(state: State, old: Network, projection: Projection) -> PlasticState | None:
    """Return the state of the plastic projection of that name, or None where there was none."""
    return next((one for one in state.plastic if old.projections[one.projection].name == projection.name), None)


def _learning(learned: PlasticState, old: Network, projection: Projection, new: Network, number: int) -> PlasticState:
    """Return the state of a projection that goes on learning, with its own weights unless the description has others.

    Raises
    ------
    NetworkError
        It has other ends, synapses, delays or traces.
    """
    before = old.projections[learned.projection]
    where = f"change: projection {before.name!r} goes on learning"
    for what, one, other in (
        ("another source", before.source, projection.source),
        ("another target", before.target, projection.target),
        ("other traces", _traces(before), _traces(projection)),
    ):
        if one != other:
            raise NetworkError(f"{where}, and has {what} in the new network ({one}, {other}); name it otherwise there")
    arrays = {
        field.name: value.copy()
        for field in dataclasses.fields(learned)
        if isinstance(value := getattr(learned, field.name), np.ndarray)
    }
    parts = [(network.seed, one.connectivity, one.delay) for network, one in ((old, before), (new, projection))]
    if not _same(*parts):
        drawn, fresh = old.synapses(before), new.synapses(projection)
        if not (np.array_equal(drawn.offsets, fresh.offsets) and np.array_equal(drawn.targets, fresh.targets)):
            raise NetworkError(f"{where}, and is wired otherwise in the new network; name it otherwise there")
        if not np.array_equal(_delays(old, before, drawn), _delays(new, projection, fresh)):
            raise NetworkError(f"{where}, and has other delays in the new network; name it otherwise there")
        if not np.array_equal(drawn.weights, fresh.weights):
            arrays.pop("weights", None)  # it begins with those of the new network
    if "weights" in arrays:
        check_bounds(projection, arrays["weights"])
    return PlasticState(number, **arrays)


def _traces(projection: Projection) -> str:
    rule = projection.plasticity
    assert rule is not None
    pairs = "triplets" if len(rule.pre_time_constants) == 2 else "pairs"
    return pairs if rule.eligibility is None else f"eligibility of {pairs}"


def _delays(network: Network, projection: Projection, synapses: Synapses) -> NDArray[np.int64]:
    """Return the delay of every synapse in ticks."""
    delays = network.connection(projection).minimum_delay if synapses.delays is None else synapses.delays
    return np.broadcast_to(np.asarray(delays, np.int64), synapses.targets.shape)


def _send_off(plastic: PlasticState, old: Network, projection: Projection, layout: Layout, now: State) -> None:
    """Put spikes on their way over a projection that learns no more into the ring, with its weights of now."""
    if plastic.flight_sources is None or plastic.flight_ticks is None:
        return
    synapses, dtype = old.synapses(projection), now.floats.dtype
    weights = synapses.weights.astype(dtype) if plastic.weights is None else plastic.weights
    delays = _delays(old, projection, synapses)
    target = old.population_number(projection.target)
    place = next(place for place in layout.places if place.population == target)
    ring = layout.ring(now.floats, place)[0]
    for source, sent in zip(plastic.flight_sources.tolist(), plastic.flight_ticks.tolist(), strict=True):
        row = np.arange(synapses.offsets[source], synapses.offsets[source + 1])
        row = row[sent + delays[row] >= now.tick]
        slots = (sent + delays[row]) % place.slots
        np.add.at(ring, (slots, old.connection(projection).receptor_number, synapses.targets[row]), weights[row])


# -- spikes on their way -------------------------------------------------------------------------------------------


def _move_ring(before: NDArray[Any], after: NDArray[Any], tick: int, place: Place) -> None:
    """Move input on its way, shape (slots, receptors, neurons), to a ring with more slots or fewer."""
    for ahead in range(before.shape[0]):
        due = before[(tick + ahead) % before.shape[0]]
        if ahead < after.shape[0]:
            after[(tick + ahead) % after.shape[0]] = due
        elif np.any(due):
            raise NetworkError(
                f"change: population {place.name!r} has input on its way that is due in {ahead} ticks, and no delay in "
                f"the new network is longer than {after.shape[0] - 1}; run on before the change, or keep a longer delay"
            )
