"""The kernels of EventProp once more in plain NumPy: slow, with all of time in memory, for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.training.eventprop.kernels import EVERY, SUM, Given, Wiring
from snnsim.training.eventprop.tables import Tables

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PlainRun:
    """A sample after its forward pass.

    Parameters
    ----------
    membrane : ndarray, shape (ticks, classes)
        Of the readout.
    spikes : list of (tick, neuron, slope)
        In order of time; the slope is tau dV/dt just before the spike.
    """

    membrane: Values
    spikes: list[tuple[int, int, Any]]


class PlainSample:
    """One sample of a minibatch.

    Parameters
    ----------
    tables : Tables
    wiring : Wiring
    weights : ndarray, shape (synapses,)
    given : Given
    sample, ticks : int
    """

    def __init__(self, tables: Tables, wiring: Wiring, weights: Values, given: Given, sample: int, ticks: int) -> None:
        self.tables, self.wiring, self.weights, self.ticks = tables, wiring, weights, ticks
        self.n = tables.n_neurons
        self.delays, self.targets = np.divmod(wiring.place.astype(np.int64), self.n)
        self.inputs: dict[int, list[list[int]]] = {}
        for population in np.flatnonzero(wiring.given >= 0):
            number = wiring.given[population]
            own = slice(given.begin[sample, number], given.end[sample, number])
            at = [given.sources[own][given.ticks[own] == tick].tolist() for tick in range(ticks)]
            self.inputs[int(population)] = at

    def synapses(self, projection: int, source: int) -> slice:
        """Return the synapses of a source."""
        row = self.wiring.base[projection] + source
        return slice(int(self.wiring.rows[row]), int(self.wiring.rows[row + 1]))

    def projections(self, population: int) -> Values:
        """Return the projections of a population."""
        edges = self.wiring.sent_begin
        return np.asarray(self.wiring.sent[edges[population] : edges[population + 1]])

    def run(self) -> PlainRun:
        """Run the sample forward."""
        c, dtype, n = self.tables.neurons, self.tables.dtype, self.n
        arriving = np.zeros((self.ticks + self.wiring.depth, n), dtype)
        membrane, current = c.initial.copy(), np.zeros(n, dtype)
        seen, spikes = [], []
        for tick in range(self.ticks):
            for k in self.wiring.order:
                if k in self.inputs:
                    fired = self.inputs[k][tick]
                else:
                    own = slice(self.wiring.first[k], self.wiring.first[k] + self.wiring.size[k])
                    old = membrane[own].copy()
                    membrane[own] = c.decay[own] * old + (c.gain[own] * (c.coupling * current)[own] + c.offset[own])
                    current[own] = c.current_decay[own] * current[own] + arriving[tick, own]
                    fired = np.flatnonzero(membrane[own] >= c.level[own]).tolist()
                    for j in fired:
                        i = own.start + j
                        slope = max(c.tau[i] * (membrane[i] - old[j]), c.least[i])
                        spikes.append((tick, int(i), slope))
                        membrane[i] = c.subtract[i] * (membrane[i] - c.threshold[i]) + c.reset_value[i]
                for projection in self.projections(k):
                    for source in fired:
                        s = self.synapses(projection, source)
                        np.add.at(arriving, (tick + self.delays[s], self.targets[s]), self.weights[s])
            seen.append(membrane[n - self.tables.plan.output.size :].copy())
        return PlainRun(np.array(seen), spikes)

    def readout(self, run: PlainRun, mode: int, shares: Values) -> Values:
        """Return what the losses see, shape (1 or ticks, classes)."""
        if mode == EVERY:
            return run.membrane
        if mode == SUM:
            return np.asarray((shares[:, None] * run.membrane).sum(0)[None])
        return np.asarray(run.membrane.max(0)[None])

    def reverse(
        self, run: PlainRun, mode: int, shares: Values, gradient: Values, by_count: Values
    ) -> tuple[Values, Values]:
        """Return dL/d(weight) and dL/d(delay in ticks) of all synapses.

        Parameters
        ----------
        run : PlainRun
        mode : int
        shares : ndarray, shape (ticks,)
        gradient : ndarray, shape (1 or ticks, classes)
            That of the readout.
        by_count : ndarray, shape (neurons,)
            That of the number of spikes.
        """
        c, dtype, n = self.tables.neurons, self.tables.dtype, self.n
        classes = self.tables.plan.output.size
        by_weight, by_delay = np.zeros((2, self.weights.size), dtype)
        # What an arrival in a tick would find; nothing after the last one.
        by_current = np.zeros((self.ticks + self.wiring.depth, n), dtype)
        by_lateness = np.zeros_like(by_current)
        a, b = np.zeros((2, n), dtype)
        for tick in reversed(range(self.ticks)):
            b, a = c.current_decay * b + c.gain * c.coupling * a, c.decay * a
            jump = np.zeros(n, dtype)
            if mode == SUM:
                jump[n - classes :] = shares[tick] * gradient[0]
            elif mode == EVERY:
                jump[n - classes :] = gradient[tick]
            else:
                jump[n - classes :] = np.where(run.membrane.argmax(0) == tick, gradient[0], 0)
            by_current[tick] = b
            by_lateness[tick] = b / c.current_tau - (a + jump / 2) / c.tau
            a = a + jump
            for when, i, slope in run.spikes:
                if when == tick:
                    k = self.wiring.population[i]
                    later = self._collect(
                        k, i - self.wiring.first[k], tick, by_current, by_lateness, by_weight, by_delay
                    )
                    a[i] = ((slope + c.drop[i]) * a[i] - c.tau[i] * later) / slope + by_count[i]
            for k, at in self.inputs.items():
                for source in at[tick]:
                    self._collect(k, source, tick, by_current, by_lateness, by_weight, by_delay)
        return by_weight, by_delay

    def _collect(
        self,
        population: int,
        source: int,
        tick: int,
        by_current: Values,
        by_lateness: Values,
        by_weight: Values,
        by_delay: Values,
    ) -> Any:
        """Add the gradients of a spike's synapses; return dL/d(time of the spike)."""
        total = self.tables.dtype.type(0)
        for projection in self.projections(population):
            s = self.synapses(projection, source)
            where = tick + self.delays[s], self.targets[s]
            by_weight[s] += by_current[where]
            by_delay[s] += self.weights[s] * by_lateness[where]
            total += (self.weights[s] * by_lateness[where]).sum()
        return total
