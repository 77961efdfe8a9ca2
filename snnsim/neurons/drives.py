"""Drives: events of chance that go straight into the neurons of a population, without synapses to store or to walk.

The number of events that neuron j receives in tick t is a pure function of seed, drive, recording, t and j. The key of
a tick gives 64 random bits for each pair of neurons; neuron 2i takes the lower 32 of pair i and neuron 2i + 1 the upper
ones, as a number u of at most 2**32 - 2; the count is the number of thresholds T_i = floor(2**32 F(i)) that u reaches,
with F the cumulative distribution. So a kernel draws with comparisons of 32-bit integers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim import elementary, rng
from snnsim.errors import ParameterError
from snnsim.neurons.parameters import Parameter, as_parameter
from snnsim.neurons.receptors import Receptor, check_weights

#: Mean events a tick up to which a drive is drawn: its thresholds are compared one after another.
MOST_DRIVE_EVENTS_A_TICK = 100.0
#: A threshold that no number reaches.
UNREACHED = 2**32 - 1


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
                f"PoissonDrive rate={highest:g}/s is {highest * dt:g} events a tick of {dt:g} s; "
                f"at most {MOST_DRIVE_EVENTS_A_TICK:g}"
            )
        names = tuple(receptor.name for receptor in receptors)
        if self.receptor is not None and self.receptor not in names:
            raise ParameterError(f"PoissonDrive receptor={self.receptor!r} is not known; there are: {', '.join(names)}")
        check_weights("PoissonDrive", receptors[self.receptor_number(names)], self.weight)

    def receptor_number(self, receptors: tuple[str, ...]) -> int:
        """Return the place of the drive's receptor among those of the model."""
        return 0 if self.receptor is None else receptors.index(self.receptor)

    def thresholds(self, dt: float) -> NDArray[np.uint32]:
        """Return the thresholds of the counts, shape (thresholds, 1), or (thresholds, neurons) for rates a neuron.

        `UNREACHED` stands where a neuron has no more of them: where less than half of 2**-32 is left beyond.
        """
        mean = np.atleast_1d(np.asarray(self.rate, np.float64)) * dt
        term = elementary.exp(-mean)
        cumulative, rows = term.copy(), []
        while np.any(left := 2.0**32 * (1.0 - cumulative) > 0.5):
            rows.append(np.where(left, np.minimum(np.floor(2.0**32 * cumulative), UNREACHED - 1), UNREACHED))
            term = term * mean / len(rows)
            cumulative = cumulative + term
        return np.array(rows, np.float64).reshape(len(rows), mean.size).astype(np.uint32)

    def describe(self) -> str:
        """Return the drive in one line."""
        receptor = "" if self.receptor is None else f", receptor={self.receptor}"
        return f"PoissonDrive(rate={np.mean(self.rate):.4g}/s, weight={self.weight:.4g}{receptor})"


def drive_key(seed: int, population: str, number: int) -> np.uint64:
    """Return the key of the random numbers of the `number`-th drive of a population."""
    return rng.stream_key(rng.seed_key(seed), rng.stream_number(population, "drive", number))


def drive_counts(
    key: np.uint64, thresholds: NDArray[np.uint32], recording: int, tick: int, size: int
) -> NDArray[np.int64]:
    """Return how many events each neuron of a population receives in a tick, shape (neurons,)."""
    now = rng.stream_key(rng.stream_key(key, recording), tick)
    with np.errstate(over="ignore"):
        pairs: Any = rng.mix(now + np.arange((size + 1) // 2, dtype=np.uint64) * rng.GOLDEN + rng.GOLDEN)
    halves = np.stack([pairs & np.uint64(2**32 - 1), pairs >> np.uint64(32)], axis=1)
    numbers = np.minimum(halves.reshape(-1)[:size], np.uint64(UNREACHED - 1))
    return np.asarray(np.sum(numbers >= thresholds, axis=0), np.int64)
