"""Plastic projections in NumPy: every synapse is brought up to date at every spike on either side of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.plasticity import (
    Constants,
    PlasticState,
    check_bounds,
    check_synapses,
    plastic_projections,
)
from snnsim.backends.numpy_engine.deliver import row_of
from snnsim.network.network import Network
from snnsim.plasticity.arithmetic import DEPENDENCE
from snnsim.plasticity.decay import DecayTable
from snnsim.plasticity.normalisation import NOTHING


class Plasticity:
    """All plastic projections of a network during a run.

    Parameters
    ----------
    network : Network
    dtype : dtype
        Precision of the run.
    """

    def __init__(self, network: Network, dtype: np.dtype[Any]) -> None:
        self._projections = {i: PlasticProjection(network, i, dtype) for i in plastic_projections(network)}
        self._position = {population: place for place, population in enumerate(network.order)}

    def begin(self, states: tuple[PlasticState, ...], tick: int) -> None:
        """Take up the states of a run; `tick` is the next one."""
        for state in states:
            self._projections[state.projection].begin(state, tick)

    def end(self, tick: int) -> None:
        """Leave everything in the states; `tick` is the next one."""
        for projection in self._projections.values():
            projection.end(tick)

    def reward(self, state: PlasticState, value: float, tick: int) -> None:
        """Turn the eligibility of a projection into weight; `tick` is the next one."""
        projection = self._projections[state.projection]
        projection.begin(state, tick)
        projection.reward(value, tick)

    def arrive(self, ring_of: Callable[[int], NDArray[Any]], tick: int) -> None:
        """Let spikes arrive where they are due in this tick, in the order of sending."""
        due = [
            (sent, self._position[projection.source_population], number, flight)
            for number, projection in self._projections.items()
            for sent, flight in projection.due(tick)
        ]
        for _, _, number, flight in sorted(due):
            projection = self._projections[number]
            projection.arrive(ring_of(projection.row.target), flight, tick)

    def send(self, number: int, spikes: NDArray[np.int64], tick: int) -> int | None:
        """Send spikes off on projection `number`; return the number of synapses, None where it is not plastic."""
        return self._projections[number].send(spikes, tick) if number in self._projections else None

    def finish(self, fired: Mapping[int, NDArray[np.int64]], tick: int) -> None:
        """End a tick in which neurons of populations have fired."""
        for projection in self._projections.values():
            projection.fire(fired[projection.row.target], tick)
            projection.normalise(tick)


class PlasticProjection:
    """A plastic projection during a run.

    Parameters
    ----------
    network : Network
    number : int
        Which projection.
    dtype : dtype
        Precision of the run.
    """

    def __init__(self, network: Network, number: int, dtype: np.dtype[Any]) -> None:
        connection = network.connections[number]
        projection, row = connection.projection, row_of(connection, dtype)
        check_bounds(projection, row.weights)
        synapses = row.synapses
        self.network, self.number, self.row = network, number, row
        self.source_population = connection.source_number
        self.sources = np.repeat(np.arange(synapses.offsets.size - 1), np.diff(synapses.offsets))
        self.targets = synapses.targets.astype(np.int64)
        self.delays = np.full(self.targets.shape, row.delay) if synapses.delays is None else synapses.delays
        self.delays = self.delays.astype(np.int64)
        self.longest = connection.longest_delay
        self.constants = Constants.of(network, projection, dtype)
        self.change = DEPENDENCE[self.constants.rule.weight_dependence]
        # Sums over a target are made in the order of source, then delay.
        self.summing_order = np.lexsort((self.delays, self.sources))

    # -- between runs ------------------------------------------------------------------------------------

    def begin(self, state: PlasticState, tick: int) -> None:
        """Take up a state; `tick` is the next one."""
        check_synapses(self.network, state, self.sources.size)
        if state.weights is None:
            state.weights = self.row.weights.copy()
        if self.constants.eligibility_decay is not None and state.eligibility is None:
            state.eligibility = np.zeros_like(state.weights)
        self.state, self.weights, self.eligibility = state, state.weights, state.eligibility
        #: Spikes that may be on their way: (source, tick, tick of the one before, traces after that).
        self.flights: list[tuple[int, int, int, NDArray[Any]]] = []
        if state.flight_sources is not None:
            assert state.flight_ticks is not None
            assert state.flight_before_ticks is not None
            assert state.flight_before is not None
            columns = (state.flight_sources, state.flight_ticks, state.flight_before_ticks)
            self.flights = [
                (int(source), int(sent), int(before), state.flight_before[:, i].copy())
                for i, (source, sent, before) in enumerate(zip(*columns, strict=True))
            ]
        # What each synapse has seen of its source: all but the spikes that have not arrived.
        self.arrived = state.pre_ticks[self.sources] + self.delays
        self.traces = state.pre_traces[:, self.sources]
        for source, sent, before, traces in reversed(self.flights):
            coming = (self.sources == source) & (sent + self.delays >= tick)
            self.arrived[coming] = before + self.delays[coming]
            self.traces[:, coming] = traces[:, None]
        self.touched = np.maximum(self.arrived, state.post_ticks[self.targets])

    def end(self, tick: int) -> None:
        """Leave everything in the state; `tick` is the next one."""
        self.flights = [flight for flight in self.flights if flight[1] + self.longest >= tick]
        flights, state = self.flights, self.state
        n_traces, dtype = state.pre_traces.shape[0], state.pre_traces.dtype
        state.flight_sources, state.flight_ticks, state.flight_before_ticks = (
            np.array([flight[i] for flight in flights], np.int64) for i in range(3)
        )
        state.flight_before = np.array([flight[3] for flight in flights], dtype).reshape(-1, n_traces).T.copy()

    # -- within a tick -----------------------------------------------------------------------------------

    def due(self, tick: int) -> list[tuple[int, int]]:
        """Return when each spike that may arrive in this tick was sent, and its place among the flights."""
        self.flights = [flight for flight in self.flights if flight[1] + self.longest >= tick]
        return [(sent, i) for i, (_, sent, _, _) in enumerate(self.flights)]

    def arrive(self, ring: NDArray[Any], flight: int, tick: int) -> None:
        """Let a spike arrive at its synapses that are due: depress, then deliver.

        Parameters
        ----------
        ring : ndarray, shape (slots, receptors, neurons)
            Input of the target population on its way.
        flight : int
            Place among the flights.
        tick : int
            The present tick.
        """
        source, sent, _, _ = self.flights[flight]
        index = np.flatnonzero((self.sources == source) & (sent + self.delays == tick))
        targets, state, own = self.targets[index], self.state, self.constants
        c = own.coefficients
        elapsed = tick - self.arrived[index]
        before = _decayed(self.traces[:, index], own.pre_decays, elapsed)
        loss = c.pair_depression
        if len(before) == 2:
            loss = loss + c.triplet_depression * before[1]
        seen = state.post_traces[0, targets] * own.post_decays[0].after(tick - state.post_ticks[targets])
        self._change(index, -self.change.depression(self.weights[index], seen, loss, c), tick)
        self._jump(self.traces, index, before)
        self.arrived[index] = tick
        np.add.at(ring[tick % ring.shape[0], self.row.receptor], targets, self.weights[index])

    def send(self, spikes: NDArray[np.int64], tick: int) -> int:
        """Send spikes off; return the number of synapses they reach."""
        state, own = self.state, self.constants
        for source in spikes.tolist():
            before = int(state.pre_ticks[source])
            traces = state.pre_traces[:, source].copy()
            self.flights.append((source, tick, before, traces))
            left = _decayed(traces, own.pre_decays, tick - before)
            self._jump(state.pre_traces, np.array([source]), left)
            state.pre_ticks[source] = tick
        return int(np.diff(self.row.synapses.offsets)[spikes].sum())

    def fire(self, spikes: NDArray[np.int64], tick: int) -> None:
        """Potentiate the synapses of targets that fired."""
        state, own = self.state, self.constants
        c = own.coefficients
        before = _decayed(state.post_traces[:, spikes], own.post_decays, tick - state.post_ticks[spikes])
        gains = np.full(state.post_ticks.shape, c.pair_potentiation)
        if len(before) == 2:
            gains[spikes] = c.pair_potentiation + c.triplet_potentiation * before[1]
        index = np.flatnonzero(np.isin(self.targets, spikes))
        seen = self.traces[0, index] * own.pre_decays[0].after(tick - self.arrived[index])
        gain = gains[self.targets[index]]
        self._change(index, self.change.potentiation(self.weights[index], seen, gain, c), tick)
        self._jump(state.post_traces, spikes, before)
        state.post_ticks[spikes] = tick

    def normalise(self, tick: int) -> None:
        """Scale the weights of each target to their sum of sizes at the end of a tick, where it is time."""
        every, rule = self.constants.normalise_every, self.constants.rule
        if every == 0 or (tick + 1) % every != 0:
            return
        assert rule.normalisation is not None
        sums = np.zeros(self.state.post_ticks.size)
        order = self.summing_order
        np.add.at(sums, self.targets[order], np.abs(self.weights[order].astype(np.float64)))
        total = rule.normalisation.total
        factors = np.divide(total, sums, out=np.ones_like(sums), where=sums > NOTHING * total)
        self._set(self.weights * factors.astype(self.weights.dtype)[self.targets])

    def reward(self, value: float, tick: int) -> None:
        """Turn the eligibility into weight; `tick` is the next one."""
        decay = self.constants.eligibility_decay
        assert decay is not None
        assert self.eligibility is not None
        left = self.eligibility * decay.after(tick - self.touched)
        self._set(self.weights + self.weights.dtype.type(value) * left)

    # -- what these share --------------------------------------------------------------------------------

    def _set(self, weights: NDArray[Any]) -> None:
        """Take over weights, cut at the bounds."""
        self.weights[:] = np.clip(weights, self.constants.coefficients.minimum, self.constants.coefficients.maximum)

    def _change(self, index: NDArray[np.int64], change: NDArray[Any], tick: int) -> None:
        """Change weights, or the eligibility that stands for them."""
        decay = self.constants.eligibility_decay
        if decay is None:
            c = self.constants.coefficients
            self.weights[index] = np.clip(self.weights[index] + change, c.minimum, c.maximum)
            return
        assert self.eligibility is not None
        self.eligibility[index] = self.eligibility[index] * decay.after(tick - self.touched[index]) + change
        self.touched[index] = tick

    def _jump(self, traces: NDArray[Any], index: NDArray[np.int64], left: list[Any]) -> None:
        """Let traces jump at a spike; `left` is what was left of them."""
        one = traces.dtype.type(1)
        for trace, value in zip(traces, left, strict=True):
            trace[index] = one if self.constants.nearest else value + one


def _decayed(traces: NDArray[Any], decays: tuple[DecayTable, ...], ticks: Any) -> list[Any]:
    """Return what is left of each trace."""
    return [trace * decay.after(ticks) for trace, decay in zip(traces, decays, strict=True)]
