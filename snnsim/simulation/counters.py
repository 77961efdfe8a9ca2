"""What the engine counted in a run, and how its network answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Counters:
    """What the engine counted, for each recording.

    Parameters
    ----------
    populations, projections : tuple of str
        Names of the columns.
    spikes : ndarray of int64, shape (recordings, populations)
        Spikes sent; of a source, its events.
    membrane_updates : ndarray of int64, shape (recordings, populations)
        Neurons advanced by one tick.
    synaptic_operations : ndarray of int64, shape (recordings, projections)
        Weights added to an input.
    exit_ticks : ndarray of int64, shape (recordings,)
        Ticks computed before the recording was sure, or all.
    sources : tuple of bool
        Which populations are sources.
    """

    populations: tuple[str, ...]
    projections: tuple[str, ...]
    spikes: NDArray[np.int64]
    membrane_updates: NDArray[np.int64]
    synaptic_operations: NDArray[np.int64]
    exit_ticks: NDArray[np.int64]
    sources: tuple[bool, ...]

    @property
    def events_in(self) -> NDArray[np.int64]:
        """Events that entered, shape (recordings,)."""
        return np.asarray(self.spikes[:, np.array(self.sources, bool)].sum(axis=1))

    @classmethod
    def concatenate(cls, parts: list[Counters]) -> Counters:
        """Join the recordings of several runs."""
        first = parts[0]
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks")
        }
        return cls(first.populations, first.projections, sources=first.sources, **arrays)


@dataclass(frozen=True)
class Answer:
    """How the network of a run answers.

    Parameters
    ----------
    population : str
        Its output.
    classes : int
        Neurons of the output.
    score : str
        One of `snnsim.scores.SCORES`.
    """

    population: str
    classes: int
    score: str
