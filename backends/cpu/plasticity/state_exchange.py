"""Plastic projections of a long run: their state into the tables of the parts and back, rewards."""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.plasticity import Constants, PlasticState, check_bounds, check_synapses
from snnsim.backends.contract.state import State
from snnsim.backends.cpu.compiler import pointers
from snnsim.backends.cpu.parts import plasticity_records, records
from snnsim.backends.cpu.parts import plasticity_records as t
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.cpu.parts.plasticity_records import Flights
from snnsim.backends.cpu.parts.projection_groups import Group
from snnsim.backends.cpu.parts.records import ROWS, WEIGHTS, Part, Shared
from snnsim.backends.cpu.plasticity import catch_up, kernels
from snnsim.backends.cpu.plasticity.synapse_order import ListedOrder, Order, RowOrder
from snnsim.backends.cpu.plasticity.tables import no_flights
from snnsim.errors import ParameterError
from snnsim.network.network import Network
from snnsim.numerics import specialise
from snnsim.numerics.specialise import digest, specialised
from snnsim.plasticity import arithmetic, normalisation


@functools.cache
def _kernels() -> tuple[Any, Any]:
    """Return what is compiled beside the engine: catching up and rewards."""
    modules = (specialise, catch_up, plasticity_records, records, pointers, kernels, arithmetic, normalisation)
    version = digest([sys.modules[module.__name__] for module in modules])
    templates = (catch_up.catch_up_all, catch_up.reward)
    first, second = (specialised(template, f"{template.__name__}_{version}", cache=True) for template in templates)
    return first, second


class PlasticRun:
    """What a long run knows of its plastic projections.

    The parts hold the weights in an order of their own. As long as one state is run on, they stay there; `settle`
    brings them into the state, and a state that comes from elsewhere is brought into the parts.

    Parameters
    ----------
    network : Network
    dtype : dtype
    partition : Partition
    groups : sequence of Group
    shared : Shared
    parts : dict of int to Part
        Own parts, which this object changes.
    summed : callable
        Adds up, over ranks, arrays of which each rank has filled its own places.
    """

    def __init__(
        self,
        network: Network,
        dtype: np.dtype[Any],
        partition: Partition,
        groups: Sequence[Group],
        shared: Shared,
        parts: dict[int, Part],
        summed: Callable[[Any], Any],
    ) -> None:
        self.network, self.dtype, self.partition, self.shared = network, dtype, partition, shared
        self.parts, self.summed = parts, summed
        self._groups = [group for group in groups if group.plastic]
        self._numbers = [group.connections[0].number for group in self._groups]
        self._constants = [Constants.of(network, network.projections[i], dtype) for i in self._numbers]
        self._fresh = True  # the parts hold the weights that the network says
        self._live: weakref.ref[State] | None = None
        self._tick, self._settled = 0, False

    # -- around a run ------------------------------------------------------------------------------------

    def begin(self, state: State, n_ticks: int) -> None:
        """Make the parts hold a state that is run on by `n_ticks`."""
        if n_ticks > t.LAST_TICK:
            raise ParameterError(
                f"a run of {n_ticks} ticks is too long for plastic projections; run {t.LAST_TICK} ticks at a time"
            )
        self._take_up(state)
        table = next(iter(self.parts.values())).learning.table
        if state.tick + n_ticks - table[0, t.ORIGIN] > t.LAST_TICK:
            self._catch_up(state.tick)
            for part in self.parts.values():
                self._set_origin(part, state.tick)

    def end(self, state: State, flights: Mapping[int, Flights]) -> None:
        """Keep what a run has left behind; `flights` are those of each part."""
        for number, left in flights.items():
            part = self.parts[number]
            self.parts[number] = part._replace(learning=part.learning._replace(flights=left))
        self._tick, self._settled = state.tick, False

    def settle(self, state: State) -> None:
        """Bring weights and traces into a state that the parts hold."""
        if self._live is None or self._live() is not state or self._tick != state.tick or self._settled:
            return
        self._catch_up(state.tick)
        for k, number in enumerate(self._numbers):
            for plastic in state.plastic:
                if plastic.projection == number:
                    self._store(plastic, k, state.tick)
        self._settled = True

    def reward(self, state: State, projection: int, value: float) -> None:
        """Turn the eligibility of a projection into weight."""
        self._take_up(state)
        k = self._numbers.index(projection)
        self._on_all(lambda part: _kernels()[1](part, self.shared, k, value, state.tick))
        self._settled = False

    def _on_all(self, work: Callable[[Part], Any]) -> None:
        """Do something with each part, on a thread of its own."""
        with ThreadPoolExecutor(len(self.parts)) as pool:
            list(pool.map(work, self.parts.values()))

    def _catch_up(self, tick: int) -> None:
        self._on_all(lambda part: _kernels()[0](part, self.shared, tick))

    def _take_up(self, state: State) -> None:
        """Make the parts hold a state."""
        if self._live is not None and self._live() is state and self._tick == state.tick:
            return
        held = None if self._live is None else self._live()
        if held is not None and held is not state:
            self.settle(held)
        for k, number in enumerate(self._numbers):
            for plastic in state.plastic:
                if plastic.projection == number:
                    self._load_synapses(plastic, k)
        for number, part in self.parts.items():
            self._load(part, state)
            flights = self._flights(part, state)
            self.parts[number] = part._replace(learning=part.learning._replace(flights=flights))
        self._live, self._tick, self._settled = weakref.ref(state), state.tick, False

    # -- synapses ----------------------------------------------------------------------------------------

    @functools.cached_property
    def _orders(self) -> dict[tuple[int, int], Order]:
        """The order of each part's synapses, by group and part."""
        orders: dict[tuple[int, int], Order] = {}
        for k, group in enumerate(self._groups):
            connection = self.network.connections[self._numbers[k]]
            target = connection.target_number
            if group.delay < 0:
                for number in self.parts:
                    low, high = (int(edge[number, target]) for edge in (self.partition.low, self.partition.high))
                    orders[k, number] = ListedOrder.of(connection, low, high)
                continue
            degrees = self._degrees(k)
            starts = np.cumsum(degrees.sum(axis=0)) - degrees.sum(axis=0)
            for number, part in self.parts.items():
                orders[k, number] = RowOrder(self._rows(part, k), starts + degrees[:number].sum(axis=0))
        return orders

    def _rows(self, part: Part, k: int) -> NDArray[np.int64]:
        """Return where the rows of a group begin in a part, counted from the first."""
        row = part.learning.table[k]
        begin = part.groups[row[t.GROUP], ROWS]
        return np.asarray(part.rows[begin : begin + row[t.SOURCES] + 1])

    def _degrees(self, k: int) -> NDArray[np.int64]:
        """Return how many synapses each source has on each part, of all ranks."""
        sources = self.network.populations[self._groups[k].source].size
        degrees = np.zeros((self.partition.n_parts, sources), np.int64)
        for number, part in self.parts.items():
            degrees[number] = np.diff(self._rows(part, k))
        return np.asarray(self.summed(degrees))

    def _places(self, part: Part, k: int) -> tuple[slice, slice]:
        """Return where the weights of a group and its eligibilities lie in a part."""
        row, count = part.learning.table[k], int(self._rows(part, k)[-1])
        own, eligible = part.groups[row[t.GROUP], WEIGHTS], row[t.ELIGIBILITY]
        return slice(own, own + count), slice(eligible, eligible + (count if row[t.ELIGIBLE] else 0))

    def _load_synapses(self, plastic: PlasticState, k: int) -> None:
        weights = plastic.weights
        if weights is not None or plastic.eligibility is not None:
            check_synapses(self.network, plastic, int(self._degrees(k).sum()))
        projection = self.network.projections[plastic.projection]
        if weights is None and not self._fresh:
            weights = self.network.synapses(projection).weights.astype(self.dtype)
        for number, part in self.parts.items():
            own, eligible = self._places(part, k)
            if weights is not None:
                check_bounds(projection, weights)
                self._orders[k, number].into_part(weights, part.weights[own])
            part.learning.eligibility[eligible] = 0
            if plastic.eligibility is not None:
                self._orders[k, number].into_part(plastic.eligibility, part.learning.eligibility[eligible])
        self._fresh = False

    def _store(self, plastic: PlasticState, k: int, tick: int) -> None:
        """Bring a group into the state of its projection."""
        first = next(iter(self.parts.values())).learning
        size = int(self._degrees(k).sum())
        weights = np.zeros(size, self.dtype)
        eligibility = np.zeros(size if first.table[k, t.ELIGIBLE] else 0, self.dtype)
        post_ticks, post_traces = np.zeros_like(plastic.post_ticks), np.zeros_like(plastic.post_traces)
        for number, part in self.parts.items():
            own, eligible = self._places(part, k)
            learning, row = part.learning, part.learning.table[k]
            self._orders[k, number].out_of_part(part.weights[own], weights)
            if row[t.ELIGIBLE]:
                self._orders[k, number].out_of_part(learning.eligibility[eligible], eligibility)
            neurons = slice(self.partition.low[number, row[t.TARGET]], self.partition.high[number, row[t.TARGET]])
            post_ticks[neurons] = learning.post_ticks[row[t.POST] : row[t.POST] + row[t.OWN]]
            traces = learning.post_traces[row[t.POST_TRACES] :][: post_traces.shape[0] * row[t.OWN]]
            post_traces[:, neurons] = traces.reshape(post_traces.shape[0], row[t.OWN])
        plastic.weights = self.summed(weights)
        plastic.eligibility = self.summed(eligibility) if first.table[k, t.ELIGIBLE] else None
        plastic.post_ticks, plastic.post_traces = self.summed(post_ticks), self.summed(post_traces)
        row = first.table[k]
        plastic.pre_ticks = first.pre_ticks[row[t.PRE] : row[t.PRE] + row[t.SOURCES]].copy()
        traces = first.pre_traces[row[t.PRE_TRACES] :][: plastic.pre_traces.size]
        plastic.pre_traces = traces.reshape(plastic.pre_traces.shape).copy()
        count = first.flights.numbers[t.FLIGHTS]
        flights = first.flights.table[:, :count]
        mine = np.flatnonzero((flights[t.FLIGHT_GROUP] == row[t.GROUP]) & (flights[t.SENT] + row[t.LONGEST] >= tick))
        plastic.flight_sources, plastic.flight_ticks = flights[t.FLIGHT_SOURCE][mine], flights[t.SENT][mine]
        plastic.flight_before_ticks = flights[t.BEFORE][mine]
        columns = range(1 + int(row[t.TRIPLETS]))
        plastic.flight_before = np.array([first.flights.values[mine, column] for column in columns], self.dtype)

    # -- neurons and spikes ------------------------------------------------------------------------------

    def _load(self, part: Part, state: State) -> None:
        """Bring the traces of a state into a part."""
        learning = part.learning
        for k, number in enumerate(self._numbers):
            row = learning.table[k]
            plastic = next(p for p in state.plastic if p.projection == number)
            neurons = slice(part.low[row[t.TARGET]], part.high[row[t.TARGET]])
            learning.pre_ticks[row[t.PRE] : row[t.PRE] + row[t.SOURCES]] = plastic.pre_ticks
            learning.pre_traces[row[t.PRE_TRACES] :][: plastic.pre_traces.size] = plastic.pre_traces.reshape(-1)
            learning.post_ticks[row[t.POST] : row[t.POST] + row[t.OWN]] = plastic.post_ticks[neurons]
            traces = plastic.post_traces[:, neurons].reshape(-1)
            learning.post_traces[row[t.POST_TRACES] :][: traces.size] = traces
        learning.pre_flights[:] = -1
        self._set_origin(part, state.tick)

    def _set_origin(self, part: Part, tick: int) -> None:
        """Count ticks from a new origin; all postsynaptic spikes before it have acted."""
        learning = part.learning
        learning.table[:, t.ORIGIN], learning.table[:, t.FLOOR], learning.table[:, t.LATEST] = tick, 0, t.LONG_AGO
        learning.pending[:] = 0
        learning.history[:] = t.LONG_AGO
        for row in learning.table:
            last = learning.post_ticks[row[t.POST] : row[t.POST] + row[t.OWN]]
            learning.history[row[t.HISTORY] : row[t.HISTORY] + row[t.OWN]] = np.maximum(last - tick, t.LONG_AGO)

    def _flights(self, part: Part, state: State) -> Flights:
        """Return the flights of a state in the order of sending, and note the last one of each source."""
        found = []
        for k, number in enumerate(self._numbers):
            plastic = next(p for p in state.plastic if p.projection == number)
            row, constants = part.learning.table[k], self._constants[k]
            if plastic.flight_sources is None:
                continue
            assert plastic.flight_ticks is not None
            assert plastic.flight_before_ticks is not None
            assert plastic.flight_before is not None
            for i, source in enumerate(plastic.flight_sources.tolist()):
                sent, before = int(plastic.flight_ticks[i]), int(plastic.flight_before_ticks[i])
                traces = plastic.flight_before[:, i]
                loss, slow = constants.coefficients.pair_depression, self.dtype.type(0)
                if traces.size == 2:
                    slow = traces[1]
                    left = slow * constants.pre_decays[1].after(sent - before)
                    loss = loss + constants.coefficients.triplet_depression * left
                key = (sent, int(self.shared.position[row[t.SOURCE]]), int(row[t.GROUP]), i)
                found.append((key, k, source, before, (traces[0], slow, loss)))
        flights = no_flights(self.dtype, len(found))
        for i, (key, k, source, before, values) in enumerate(sorted(found, key=lambda flight: flight[0])):
            place = part.learning.table[k, t.PRE] + source
            flights.table[:, i] = key[2], source, key[0], before, part.learning.pre_flights[place]
            flights.values[i] = values
            part.learning.pre_flights[place] = i
        flights.numbers[t.FLIGHTS] = len(found)
        return flights
