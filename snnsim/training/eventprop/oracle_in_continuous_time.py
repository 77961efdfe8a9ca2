r"""EventProp in continuous time: the slow oracle that the tick-based kernels converge to as dt goes to zero.

Spikes are the exact threshold crossings, worked out one by one in float64, of

.. math:: \tau \, dV/dt = -(V - E) + I, \qquad \tau_s \, dI/dt = -I, \qquad V = \theta: \; V \leftarrow r

and the adjoint of `snnsim.training.eventprop.kernels` is propagated exactly between them. The readout is the average of
the readout's membrane weighted with exp(-t / T) / T. Time constants must differ.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.training.eventprop.plan import DelayPlan
from snnsim.training.eventprop.tables import Tables

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Arrival:
    """A spike that arrived: when, over which synapse, and which spike it was (-1 for an input)."""

    time: float
    synapse: int
    spike: int


@dataclass(frozen=True)
class Spike:
    """A spike: when, of which neuron, and tau dV/dt just before it."""

    time: float
    neuron: int
    slope: float


class ContinuousNetwork:
    """A network in continuous time.

    Parameters
    ----------
    plan : DelayPlan
    weights, delays : dict of str to ndarray of float64
        By projection, in the shape of the rule; delays in seconds.
    """

    def __init__(self, plan: DelayPlan, weights: Mapping[str, Floats], delays: Mapping[str, Floats]) -> None:
        self.plan, self.tables = plan, Tables(plan, np.dtype(np.float64))
        dt, neurons = plan.network.dt, self.tables.neurons
        self.tau, self.tau_s = neurons.tau * dt, neurons.current_tau * dt
        self.threshold, self.drive, self.drop = neurons.threshold, neurons.drive, neurons.drop
        self.initial = neurons.initial
        self.weights = np.concatenate([weights[link.name].reshape(-1) for link in plan.links])
        self.delays = np.concatenate([delays[link.name].reshape(-1) for link in plan.links])
        self.targets = np.zeros(self.weights.size, np.int64)
        #: Synapses of each source; inputs are -1, -2, ...
        self.outgoing: dict[int, list[int]] = {}
        first = 0
        for link in plan.links:
            synapses = plan.network.synapses(plan.network.projection(link.name))
            count = synapses.targets.size
            order = np.arange(count) if synapses.order is None else synapses.order
            sources = np.repeat(np.arange(synapses.offsets.size - 1), np.diff(synapses.offsets))
            for source, target, element in zip(
                sources.tolist(), synapses.targets.tolist(), order.tolist(), strict=True
            ):
                own = -1 - source if link.source in plan.inputs else self.tables.first[link.source] + source
                self.outgoing.setdefault(own, []).append(first + element)
                self.targets[first + element] = self.tables.first[link.target] + target
            first += count

    def run(self, times: Floats, sources: NDArray[Any], duration: float) -> ContinuousRun:
        """Run the network on the events of its one input.

        Parameters
        ----------
        times : ndarray of float64, shape (events,)
            Seconds.
        sources : ndarray of int, shape (events,)
        duration : float
            Seconds T.
        """
        arrivals: list[tuple[float, int, int]] = []

        def send(source: int, time: float, spike: int) -> None:
            for synapse in self.outgoing.get(source, []):
                if time + self.delays[synapse] < duration:
                    heapq.heappush(arrivals, (time + float(self.delays[synapse]), synapse, spike))

        for time, source in zip(times.tolist(), sources.tolist(), strict=True):
            send(-1 - source, time, -1)
        now, log, spikes = 0.0, list[Arrival | Spike](), 0
        voltage, current = self.initial.copy(), np.zeros(self.tau.size)
        while True:
            until = arrivals[0][0] if arrivals else duration
            crossings = [self._crossing(i, voltage[i], current[i], until - now) for i in range(self.tau.size)]
            fires = int(np.argmin(crossings))
            step = min(crossings[fires], until - now)
            voltage, current = self._advance(voltage, current, step)
            if crossings[fires] <= until - now:
                now += step
                log.append(Spike(now, fires, float(self.drive[fires] + current[fires] - self.threshold[fires])))
                voltage[fires] = self.threshold[fires] - self.drop[fires]
                send(fires, now, spikes)
                spikes += 1
                continue
            if not arrivals:
                return ContinuousRun(self, log, duration)
            now, synapse, spike = heapq.heappop(arrivals)
            current[self.targets[synapse]] += self.weights[synapse]
            log.append(Arrival(now, synapse, spike))

    def _advance(self, voltage: Floats, current: Floats, time: float) -> tuple[Floats, Floats]:
        after = self.drive + (voltage - self.drive) * np.exp(-time / self.tau) + current * self.response(time)
        return after, current * np.exp(-time / self.tau_s)

    def response(self, time: float) -> Floats:
        """Return the membrane of all neurons so long after a current of one began."""
        share = self.tau_s / (self.tau_s - self.tau)
        return np.asarray(share * (np.exp(-time / self.tau_s) - np.exp(-time / self.tau)))

    def _crossing(self, i: int, voltage: float, current: float, within: float) -> float:
        """Return when a neuron reaches its threshold, inf where it does not; its membrane turns at most once."""
        tau, tau_s, drive = float(self.tau[i]), float(self.tau_s[i]), float(self.drive[i])
        share = current * tau_s / (tau_s - tau)

        def above(time: float) -> float:
            decayed = drive + (voltage - drive - share) * math.exp(-time / tau) + share * math.exp(-time / tau_s)
            return decayed - float(self.threshold[i])

        edges = [0.0, within]
        ratio = (drive + share - voltage) * tau_s / (share * tau) if share else 0.0
        if ratio > 0:
            turn = -math.log(ratio) / (1 / tau_s - 1 / tau)
            if 0 < turn < within:
                edges.insert(1, turn)
        for low, high in itertools.pairwise(edges):
            if above(low) < 0 <= above(high):
                while low < (middle := 0.5 * (low + high)) < high:
                    low, high = (middle, high) if above(middle) < 0 else (low, middle)
                return high
        return math.inf


@dataclass(frozen=True, eq=False)
class ContinuousRun:
    """A run in continuous time: its events in the order in which they happened."""

    network: ContinuousNetwork
    log: list[Arrival | Spike]
    duration: float

    @property
    def spikes(self) -> list[Spike]:
        """All spikes in order of time."""
        return [event for event in self.log if isinstance(event, Spike)]

    def _readout_adjoint(self, time: float) -> tuple[Floats, Floats]:
        """Return d(readout)/dV and d(readout)/dI of the readout neurons at a time."""
        own = slice(-self.network.plan.output.size, None)
        tau, tau_s = self.network.tau[own], self.network.tau_s[own]

        def average(constant: Floats) -> Floats:
            rate = 1 / self.duration + 1 / constant
            left = -np.expm1(-rate * (self.duration - time))
            return np.asarray(math.exp(-time / self.duration) / self.duration * left / rate)

        slow, fast = average(tau), average(tau_s)
        return slow, tau_s / (tau_s - tau) * (fast - slow)

    @property
    def readout(self) -> Floats:
        """Membrane of the readout averaged over time, shape (classes,); from rest, without bias."""
        first = self.network.tau.size - self.network.plan.output.size
        total = np.zeros(self.network.plan.output.size)
        for event in self.log:
            if isinstance(event, Arrival) and self.network.targets[event.synapse] >= first:
                j = self.network.targets[event.synapse] - first
                total[j] += self.network.weights[event.synapse] * self._readout_adjoint(event.time)[1][j]
        return total

    def gradients(self, gradient: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Return dL/d(weight) and dL/d(delay in seconds) by projection.

        Parameters
        ----------
        gradient : ndarray, shape (classes,)
            dL/d(readout).
        """
        net = self.network
        n, first = net.tau.size, net.tau.size - net.plan.output.size
        a, b, now = np.zeros(n), np.zeros(n), self.duration
        by_weight, by_delay = np.zeros(net.weights.size), np.zeros(net.weights.size)
        by_time = dict[int, float]()  # dL/d(time) of each spike
        number = len(self.spikes)
        for event in reversed(self.log):
            step = now - event.time
            b = b * np.exp(-step / net.tau_s) + a * net.response(step)
            a, now = a * np.exp(-step / net.tau), event.time
            a[first:], b[first:] = (gradient * one for one in self._readout_adjoint(now))
            if isinstance(event, Arrival):
                i = net.targets[event.synapse]
                later = net.weights[event.synapse] * (b[i] / net.tau_s[i] - a[i] / net.tau[i])
                by_weight[event.synapse] += b[i]
                by_delay[event.synapse] += later
                by_time[event.spike] = by_time.get(event.spike, 0.0) + float(later)
                continue
            number -= 1
            i, x = event.neuron, event.slope
            a[i] = ((x + net.drop[i]) * a[i] - net.tau[i] * by_time.get(number, 0.0)) / x
        edges = np.cumsum([0, *(link.weights.size for link in net.plan.links)])
        parts = [
            {
                link.name: values[low:high].reshape(link.weights.shape)
                for link, low, high in zip(net.plan.links, edges, edges[1:], strict=False)
            }
            for values in (by_weight, by_delay)
        ]
        return parts[0], parts[1]
