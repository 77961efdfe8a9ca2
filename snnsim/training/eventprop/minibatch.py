"""A minibatch through the kernels of EventProp: one sample after another in every thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.training.compute.threads import Workers
from snnsim.training.eventprop.kernels import EVERY, Given, Wiring, reverse_sample, run_sample
from snnsim.training.eventprop.tables import Tables

#: Rows of a window beyond those that are needed, so that it is moved back seldom.
SPARE_ROWS = 64
#: Operations per synapse and tick that make a minibatch worth sharing among threads, see `Workers.map`.
ALWAYS = 2**30


@dataclass(frozen=True, eq=False)
class Spikes:
    """The spikes of a sample in order of time, as the backward pass needs them.

    Parameters
    ----------
    ticks, neurons : ndarray of int32, shape (spikes,)
    slopes : ndarray, shape (spikes,)
        tau dV/dt just before the spike.
    """

    ticks: NDArray[np.int32]
    neurons: NDArray[np.int32]
    slopes: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays."""
        return self.ticks.nbytes + self.neurons.nbytes + self.slopes.nbytes


class Minibatch:
    """A minibatch on its way forward and back.

    Parameters
    ----------
    tables : Tables
    wiring : Wiring
    weights : ndarray, shape (synapses,)
    given : Given
    ends : ndarray of int64, shape (batch,)
        Ticks of each sample.
    mode : int
        What the readout makes of its membrane, see `snnsim.training.eventprop.kernels`.
    shares : ndarray, shape (batch, ticks)
        Of the ticks of each sample in the average of the readout, padding included.
    """

    def __init__(
        self,
        tables: Tables,
        wiring: Wiring,
        weights: NDArray[Any],
        given: Given,
        ends: NDArray[np.int64],
        mode: int,
        shares: NDArray[Any],
    ) -> None:
        self.tables, self.wiring, self.weights, self.given = tables, wiring, weights, given
        self.ends, self.mode, self.shares = ends, mode, shares
        self.batch = given.begin.shape[0]
        rows, classes = shares.shape[1] if mode == EVERY else 1, tables.plan.output.size
        # Of every tick, zero from the end of a sample on.
        self.readout = np.zeros((self.batch, rows, classes), tables.dtype)
        self.counts = np.empty((self.batch, tables.n_neurons), tables.dtype)
        self._largest = np.zeros((self.batch, classes), np.int64)
        self.spikes: list[Spikes] = []

    @property
    def nbytes(self) -> int:
        """Bytes kept for the backward pass."""
        return sum(one.nbytes for one in self.spikes) + self._largest.nbytes

    def forward(self, team: Workers, keep: bool) -> None:
        """Run all samples; `keep` their spikes for the backward pass."""
        found: list[Spikes | None] = [None] * self.batch
        team.map(lambda low, high: self._forward(low, high, found if keep else None), self.batch, ALWAYS)
        self.spikes = [one for one in found if one is not None]

    def _forward(self, low: int, high: int, found: list[Spikes | None] | None) -> None:
        n, dtype, depth = self.tables.n_neurons, self.tables.dtype, self.wiring.depth
        window = np.empty((max(depth, SPARE_ROWS) + depth) * n, dtype)
        states, now = np.empty((2, n), dtype), np.empty(n, np.int32)
        pointers = np.empty(self.given.begin.shape[1], np.int64)
        room = self._room(0 if found is None else max(1024, n))
        for sample in range(low, high):
            while True:
                count = run_sample(
                    sample,
                    int(self.ends[sample]),
                    self.wiring,
                    self.tables.neurons,
                    self.weights,
                    self.given,
                    self.mode,
                    self.shares[sample],
                    window,
                    states,
                    pointers,
                    now,
                    self.readout[sample],
                    self._largest[sample],
                    self.counts[sample],
                    *room,
                )
                if found is None or count <= room[0].size:
                    break
                room = self._room(count + count // 2)
            if found is not None:
                found[sample] = Spikes(*(values[:count].copy() for values in room))

    def _room(self, size: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]:
        return np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, self.tables.dtype)

    def backward(
        self, team: Workers, gradient: NDArray[Any], by_count: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Go back through all samples.

        Parameters
        ----------
        team : Workers
        gradient : ndarray, shape (batch, 1 or ticks, classes)
            That of the readout.
        by_count : ndarray, shape (batch, neurons)
            That of the number of spikes.

        Returns
        -------
        by_weight, by_delay : ndarray, shape (synapses,)
            dL/d(weight) and dL/d(delay in ticks).
        """
        parts: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}
        lock = threading.Lock()

        def work(low: int, high: int) -> None:
            sums = self._backward(low, high, gradient, by_count)
            with lock:
                parts[low] = sums

        team.map(work, self.batch, ALWAYS)
        by_weight, by_delay = parts[0]
        for low in sorted(parts)[1:]:  # in order of samples, whoever was ready first
            by_weight += parts[low][0]
            by_delay += parts[low][1]
        by_delay *= self.weights
        return by_weight, by_delay

    def _backward(
        self, low: int, high: int, gradient: NDArray[Any], by_count: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        n, dtype, depth = self.tables.n_neurons, self.tables.dtype, self.wiring.depth
        coming = np.empty(((max(depth, SPARE_ROWS) + depth) * n, 2), dtype)
        adjoints = np.empty((2, n), dtype)
        pointers = np.empty(self.given.begin.shape[1], np.int64)
        sums = np.zeros(self.weights.size, dtype), np.zeros(self.weights.size, dtype)
        for sample in range(low, high):
            spikes = self.spikes[sample]
            reverse_sample(
                sample,
                int(self.ends[sample]),
                self.wiring,
                self.tables.neurons,
                self.weights,
                self.given,
                self.mode,
                self.shares[sample],
                coming,
                adjoints,
                pointers,
                gradient[sample],
                self._largest[sample],
                by_count[sample],
                spikes.ticks,
                spikes.neurons,
                spikes.slopes,
                *sums,
            )
        return sums
