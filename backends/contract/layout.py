"""Where each number of a running network lies: one flat row of floats and one of counters a recording.

For each population in turn the floats hold its neuron states, the states of its receptors (currents, conductances),
and a ring of slots for input on its way: ``ring[slot, receptor, neuron]`` with slot = tick modulo the number of slots,
which is the longest delay into the population plus one. Each part begins at a whole number of `LINE` elements, where
vector instructions read and write fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.network.network import Network
from snnsim.neurons import NeuronModel, Receptor

#: Elements of four bytes in a line of the cache.
LINE = 16


@dataclass(frozen=True, eq=False)
class Place:
    """Where a population's numbers lie; `receptor_states` tells the number of each receptor's first state."""

    population: int
    name: str
    size: int
    state_names: tuple[str, ...]
    initial: tuple[Any, ...]
    n_receptors: int
    receptor_states: tuple[int, ...]
    n_receptor_states: int
    slots: int
    states: int
    currents: int
    ring: int
    counters: int


class PopulationViews(NamedTuple):
    """A population's numbers in the rows of a state, to be read and written.

    Attributes
    ----------
    states : ndarray, shape (recordings, states, neurons)
    currents : ndarray, shape (recordings, receptor states, neurons)
        States of all receptors.
    ring : ndarray, shape (recordings, slots, receptors, neurons)
        Input on its way.
    counters : ndarray of int32, shape (recordings, neurons)
        Refractory ticks left.
    """

    states: NDArray[Any]
    currents: NDArray[Any]
    ring: NDArray[Any]
    counters: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Layout:
    """Places of all populations that are not sources, and the lengths of the rows."""

    places: tuple[Place, ...]
    n_floats: int
    n_counters: int

    @classmethod
    def of(cls, network: Network, delays: Sequence[int] | None = None) -> Layout:
        """Lay out a network.

        Parameters
        ----------
        network : Network
        delays : sequence of int, optional
            The longest delay of each projection in ticks; default `Connection.longest_delay`, which draws delays.
        """
        if delays is None:
            delays = [connection.longest_delay for connection in network.connections]
        longest = [0] * len(network.populations)
        for connection, delay in zip(network.connections, delays, strict=True):
            longest[connection.target_number] = max(longest[connection.target_number], delay)
        places, floats, counters = [], 0, 0
        for number, population in enumerate(network.populations):
            model = population.model
            if not isinstance(model, NeuronModel):
                continue
            receptors = population.receptors
            edges = [0, *accumulate(_n_states(receptor) for receptor in receptors)]
            names, slots, n = model.arithmetic.states, longest[number] + 1, population.size
            currents = _aligned(floats + len(names) * n)
            ring = _aligned(currents + edges[-1] * n)
            places.append(
                Place(
                    number,
                    population.name,
                    n,
                    names,
                    tuple(model.initial_states()),
                    len(receptors),
                    tuple(edges[:-1]),
                    edges[-1],
                    slots,
                    floats,
                    currents,
                    ring,
                    counters,
                )
            )
            floats = _aligned(ring + slots * len(receptors) * n)
            counters = _aligned(counters + n)
        return cls(tuple(places), floats, counters)

    def states(self, floats: NDArray[Any], place: Place) -> NDArray[Any]:
        """Return the neuron states, shape (recordings, states, neurons), as a view."""
        return self._view(floats, place.states, (len(place.state_names), place.size))

    def currents(self, floats: NDArray[Any], place: Place) -> NDArray[Any]:
        """Return the states of all receptors, shape (recordings, receptor states, neurons), as a view."""
        return self._view(floats, place.currents, (place.n_receptor_states, place.size))

    def ring(self, floats: NDArray[Any], place: Place) -> NDArray[Any]:
        """Return the input on its way, shape (recordings, slots, receptors, neurons), as a view."""
        return self._view(floats, place.ring, (place.slots, place.n_receptors, place.size))

    def views(self, floats: NDArray[Any], counters: NDArray[np.int32]) -> dict[int, PopulationViews]:
        """Return the numbers of each population that is no source, by its own number, as views."""
        return {
            place.population: PopulationViews(
                self.states(floats, place),
                self.currents(floats, place),
                self.ring(floats, place),
                counters[:, place.counters : place.counters + place.size],
            )
            for place in self.places
        }

    @staticmethod
    def _view(floats: NDArray[Any], start: int, shape: tuple[int, ...]) -> NDArray[Any]:
        count = math.prod(shape)
        return floats[:, start : start + count].reshape(floats.shape[0], *shape)


def zeros(recordings: int, length: int, dtype: Any) -> NDArray[Any]:
    """Return rows of zeros for a state, shape (recordings, length), which begin at a line of the cache."""
    count, size = recordings * length, np.dtype(dtype).itemsize
    room = np.zeros(count + LINE, dtype)
    first = -room.ctypes.data // size % LINE
    return room[first : first + count].reshape(recordings, length)


def _aligned(place: int) -> int:
    return -(-place // LINE) * LINE


def _n_states(receptor: Receptor) -> int:
    return 0 if receptor.arithmetic is None else len(receptor.arithmetic.states)
