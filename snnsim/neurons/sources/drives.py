"""Drives: events of chance that go straight into the neurons of a population, without synapses to store or to walk.

The number of events that neuron j receives in tick t is a pure function of seed, drive, recording, t and j. The key of
a tick gives 64 random bits for each pair of neurons; neuron 2i takes the lower 32 of pair i and neuron 2i + 1 the upper
ones, as a number u. With q_k the probability of k events in units of 2**-53, a whole number, the lowest
floor(q_0 / 2**21) values of u are no event, the next floor(q_1 / 2**21) are one, and so on. The rests of these
divisions are together as much as the few values that are left over at the top; where u is one of them, a second number
decides by the rests (Marsaglia, Tsang and Wang 2004, doi:10.18637/jss.v011.i03, as their tables do). So a kernel draws
with comparisons of 32-bit integers, and all 53 bits count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, exactly
from snnsim.neurons.parameters import Parameter, as_parameter
from snnsim.neurons.receptors import Receptor, check_weights
from snnsim.numerics import rng
from snnsim.numerics.poisson_distribution import cumulative

#: Mean events a tick up to which a drive is drawn: its thresholds are compared one after another.
MOST_DRIVE_EVENTS_A_TICK = 100.0
#: A threshold that no number reaches: one that is as large counts as one less, or is among those left over.
UNREACHED = 2**32 - 1
#: Key of the second numbers of a tick, beyond those of pairs of neurons.
SECOND = 2**32
#: Bits of a probability that a number of 32 bits does not tell apart.
_REST = 21
#: Neurons whose tables are made together.
_TOGETHER = 4096


@dataclass(frozen=True, eq=False)
class PoissonDrive:
    """Independent Poisson events to each neuron of a population, all of one weight.

    The events of a tick act as spikes that arrive in it: their number times the weight is added to the input of the
    receptor, after the spikes of the network.

    Parameters
    ----------
    rate : float or array
        Mean events a second of each neuron; at most 100 a tick.
    weight : float
        Of one event, in the units of the weights of synapses.
    receptor : str, optional
        Name of the receptor; default the first of the model.
    """

    rate: Parameter
    weight: float
    receptor: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", as_parameter("PoissonDrive rate", self.rate, at_least=0.0))
        weight = as_parameter("PoissonDrive weight", self.weight)
        if isinstance(weight, np.ndarray):
            raise ParameterError(f"PoissonDrive weight={self.weight!r}: must be one number")
        object.__setattr__(self, "weight", weight)

    def check(self, size: int, dt: float, receptors: tuple[Receptor, ...]) -> None:
        """Raise `ParameterError` where the drive does not fit a population."""
        if isinstance(self.rate, np.ndarray) and self.rate.shape != (size,):
            raise ParameterError(f"PoissonDrive rate has shape {self.rate.shape}, expected one number or ({size},)")
        highest = float(np.max(self.rate))
        if highest * dt > MOST_DRIVE_EVENTS_A_TICK:
            raise ParameterError(
                f"PoissonDrive rate={exactly(highest)}/s is {exactly(highest * dt)} events a tick of {exactly(dt)} s; "
                f"at most {MOST_DRIVE_EVENTS_A_TICK:g}"
            )
        names = tuple(receptor.name for receptor in receptors)
        if self.receptor is not None and self.receptor not in names:
            raise ParameterError(f"PoissonDrive receptor={self.receptor!r} is not known; there are: {', '.join(names)}")
        check_weights("PoissonDrive", receptors[self.receptor_number(names)], self.weight)

    def receptor_number(self, receptors: tuple[str, ...]) -> int:
        """Return the place of the drive's receptor among those of the model."""
        return 0 if self.receptor is None else receptors.index(self.receptor)

    def thresholds(self, dt: float) -> NDArray[np.float64]:
        """Return 2**32 F(k), with F the cumulative distribution of the events of a tick, as exact as 53 bits are.

        Returns
        -------
        ndarray, shape (counts, 1), or (counts, neurons) for rates a neuron
            For k = 0, 1, ... as far as any is below 2**32.
        """
        return 2.0**32 * cumulative(self._means(dt))

    def table(self, dt: float) -> DriveTable:
        """Return what the events of a tick are drawn by."""
        means = self._means(dt)
        # Some neurons at a time: on the way to 32 bits a threshold takes some hundred bytes.
        parts = [means[first : first + _TOGETHER] for first in range(0, means.size, _TOGETHER)]
        return DriveTable.joined([DriveTable.of(2.0**32 * cumulative(part)) for part in parts])

    def _means(self, dt: float) -> NDArray[np.float64]:
        return np.atleast_1d(np.asarray(self.rate, np.float64)) * dt

    def describe(self) -> str:
        """Return the drive in one line."""
        receptor = "" if self.receptor is None else f", receptor={self.receptor}"
        return f"PoissonDrive(rate={np.mean(self.rate):.4g}/s, weight={self.weight:.4g}{receptor})"


class DriveTable(NamedTuple):
    """How the events of a tick are drawn; the last axis is one for all neurons, or neurons.

    Parameters
    ----------
    thresholds : ndarray of uint32, shape (counts, ...)
        A number u below `top` makes as many events as it reaches of these.
    top : ndarray of uint32, shape (...)
        Numbers from here on are left over: as many events as the second number reaches of `remainders`.
    remainders : ndarray of uint32, shape (counts, ...)
    """

    thresholds: NDArray[np.uint32]
    top: NDArray[np.uint32]
    remainders: NDArray[np.uint32]

    @classmethod
    def of(cls, thresholds: NDArray[np.float64]) -> DriveTable:
        """Divide the numbers of 32 bits among the counts; see the top of this file."""
        edges = np.rint(thresholds * 2.0**_REST).astype(np.int64)
        last = np.full((1, edges.shape[1]), 2**53, np.int64)
        shares = np.diff(np.concatenate([np.zeros_like(last), edges, last]), axis=0)
        values, rests = shares >> _REST, shares & (2**_REST - 1)
        # One value is left over in any case, so that the largest number is never compared with a threshold.
        whole = np.flatnonzero(values.sum(axis=0) == 2**32)
        likeliest = values.argmax(axis=0)[whole]
        values[likeliest, whole] -= 1
        rests[likeliest, whole] += 2**_REST
        ends, parts = np.cumsum(values, axis=0), np.cumsum(rests, axis=0)
        top = ends[-1]
        # Rest and values left over add up to the same; the sums in units of 2**-32 of that are rounded to whole ones.
        reached = np.minimum(np.rint(parts * (2.0 ** (32 - _REST) / (2**32 - top))), UNREACHED)
        ends = np.where(ends < top, ends, UNREACHED)
        return cls(_unsigned(ends), top.astype(np.uint32), _unsigned(reached))

    @classmethod
    def joined(cls, parts: list[DriveTable]) -> DriveTable:
        """Put the tables of some neurons beside each other."""
        if len(parts) == 1:
            return parts[0]
        both = [_beside([part.thresholds for part in parts]), _beside([part.remainders for part in parts])]
        return cls(both[0], np.concatenate([part.top for part in parts]), both[1])


def _beside(parts: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """Put rows beside each other; those that are missing are reached by no number."""
    whole = np.full((max(len(part) for part in parts), sum(part.shape[1] for part in parts)), UNREACHED, np.uint32)
    first = 0
    for part in parts:
        whole[: len(part), first : first + part.shape[1]] = part
        first += part.shape[1]
    return whole


def _unsigned(rows: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the rows that any number reaches."""
    return rows[np.any(rows < UNREACHED, axis=1)].astype(np.uint32)


def drive_key(seed: int, population: str, number: int) -> np.uint64:
    """Return the key of the random numbers of the `number`-th drive of a population."""
    return rng.named_key(seed, population, "drive", number)


def drive_counts(key: np.uint64, table: DriveTable, recording: int, tick: int, size: int) -> NDArray[np.int64]:
    """Return how many events each neuron of a population receives in a tick, shape (neurons,)."""
    now = rng.stream_key(rng.stream_key(key, recording), tick)
    with np.errstate(over="ignore"):
        pairs: Any = rng.mix(now + np.arange((size + 1) // 2, dtype=np.uint64) * rng.GOLDEN + rng.GOLDEN)
    halves = np.stack([pairs & np.uint64(2**32 - 1), pairs >> np.uint64(32)], axis=1)
    numbers = halves.reshape(-1)[:size]
    counts: Any = np.sum(numbers >= table.thresholds, axis=0, dtype=np.int64)
    left_over = np.flatnonzero(numbers >= table.top)
    if left_over.size:
        second = second_numbers(now, left_over)
        remainders = table.remainders if table.top.size == 1 else table.remainders[:, left_over]
        counts[left_over] = np.sum(second >= remainders, axis=0)
    return np.asarray(counts, np.int64)


def second_numbers(now: np.uint64, neurons: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return 32 bits for each of some neurons, at most 2**32 - 2; `now` is the key of the tick."""
    key = rng.stream_key(now, SECOND)
    with np.errstate(over="ignore"):
        bits: Any = rng.mix(key + neurons.astype(np.uint64) * rng.GOLDEN + rng.GOLDEN)
    return np.asarray(np.minimum(bits >> np.uint64(32), np.uint64(UNREACHED - 1)))
