"""What the drawing kernels need to know of a random projection, and what is asked of them for a whole projection.

The definition of random wiring is in `snnsim.connectivity.draw_kernels`, which is imported where it is used: a network
without chance in it compiles nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity.draw_records import CHANCE, CONSTANT, COUNTED, SAME, Room, Values, Wiring
from snnsim.connectivity.synapses import Synapses
from snnsim.numerics import rng
from snnsim.system.machine import cores

#: Synapses that a thread draws at once: enough to forget what a call costs, few enough to show progress.
CHUNK = 2**20
_NO_DEGREES = np.zeros(0, np.int32)
_ONE_TICK = 1.0


@dataclass(frozen=True, eq=False)
class Plan:
    """A random projection, ready to be drawn.

    Parameters
    ----------
    wiring : Wiring
    weights : Values
    mean_in_degree : float
        Expected synapses a target.
    """

    wiring: Wiring
    weights: Values
    mean_in_degree: float

    @property
    def largest_in_degree(self) -> int:
        """No target has more synapses."""
        if self.wiring.kind == CHANCE:
            return self.wiring.n_sources
        return self.wiring.degree if self.wiring.kind == SAME else int(self.wiring.degrees.max(initial=0))

    def room(self) -> Room:
        """Return arrays for the synapses of one target; each thread needs its own."""
        n = self.largest_in_degree
        return Room(np.empty(n, np.int32), np.empty(n), np.empty(n), np.empty(n, np.int64))

    def chunks(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Cut a range of targets so that each piece has about `CHUNK` synapses."""
        step = max(1, int(CHUNK / max(self.mean_in_degree, 1.0)))
        for first in range(low, high, step):
            yield first, min(first + step, high)

    def expand(self) -> Synapses:
        """Draw all synapses, sorted by (source, target), those of one pair in order of drawing; no delays."""
        return self._placed(self.weights)[0]

    def drawn_delays(self, delays: Values, dt: float) -> NDArray[np.int32]:
        """Draw the delays of all synapses in ticks, in the order of `expand`."""
        return self._placed(self.weights, delays, dt)[1]

    def _placed(
        self, weights: Values, delays: Values | None = None, dt: float = _ONE_TICK
    ) -> tuple[Synapses, NDArray[np.int32]]:
        from snnsim.connectivity.draw_kernels import count_sources, place

        n, m, room = self.wiring.n_sources, self.wiring.n_targets, self.room()
        counts = np.zeros(n, np.int32)
        count_sources(self.wiring, 0, m, counts, room)
        offsets = np.zeros(n + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        total = int(offsets[-1])
        targets = np.empty(total, np.int32)
        drawn = np.empty(total if weights.kind != CONSTANT and delays is None else 0)
        ticks = np.empty(0 if delays is None else total, np.int32)
        place(self.wiring, weights, delays or weights, dt, 0, m, 0, offsets[:-1].copy(), targets, drawn, ticks, room)
        full = np.full(total, weights.a) if weights.kind == CONSTANT else drawn
        return Synapses(offsets, targets, full), ticks

    def longest(self, values: Values) -> float:
        """Return the largest value that `values` give to any synapse, storing none; -inf where there is none."""
        from snnsim.connectivity.draw_kernels import longest_value

        ranges = list(self.chunks(0, self.wiring.n_targets))
        return max(
            spread(lambda r: longest_value(self.wiring, values, r[0], r[1], self.room()), ranges), default=-np.inf
        )


def fixed_wiring(seed: int, name: str, n: int, m: int, degree: int, self_connections: bool) -> Wiring:
    """Return the wiring in which each of `m` targets has so many synapses, from sources drawn with replacement."""
    return Wiring(SAME, n, m, degree, _NO_DEGREES, 0.0, self_connections, _wiring_key(seed, name))


def chance_wiring(seed: int, name: str, n: int, m: int, log_rest: float, self_connections: bool) -> Wiring:
    """Return the wiring in which each pair is connected with probability 1 - exp(log_rest)."""
    return Wiring(CHANCE, n, m, 0, _NO_DEGREES, log_rest, self_connections, _wiring_key(seed, name))


def counted_wiring(seed: int, name: str, n: int, m: int, total: int) -> Wiring:
    """Return the wiring of `total` synapses, both ends of each drawn with replacement."""
    from snnsim.connectivity.draw_kernels import count_targets

    key = rng.named_key(seed, name, "targets")

    def counted(part: tuple[int, int]) -> NDArray[np.int32]:
        degrees = np.zeros(m, np.int32)
        count_targets(key, *part, degrees)
        return degrees

    # A part costs an array of counts, so few of them.
    n_parts = 2 * cores() if total > CHUNK else 1
    edges = [total * i // n_parts for i in range(n_parts + 1)]
    degrees = sum(spread(counted, list(itertools.pairwise(edges))), np.zeros(m, np.int32))
    return Wiring(COUNTED, n, m, 0, degrees, 0.0, True, _wiring_key(seed, name))


def _wiring_key(seed: int, name: str) -> np.uint64:
    return rng.named_key(seed, name, "wiring")


def spread(work: Callable[[Any], Any], parts: list[Any]) -> list[Any]:
    """Do the work of kernels on all cores, part by part; in order."""
    threads = min(cores(), len(parts))
    if threads < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))
