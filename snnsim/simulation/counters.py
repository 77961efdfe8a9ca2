"""What the engine counted in a run, and how its network answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
        Spikes sent; of a source, its events, of which frames are none.
    membrane_updates : ndarray of int64, shape (recordings, populations)
        Neurons advanced by one tick.
    synaptic_operations : ndarray of int64, shape (recordings, projections)
        Weights added to an input, one for each spike and synapse.
    exit_ticks : ndarray of int64, shape (recordings,)
        Ticks computed before the recording was sure, or all.
    sources : tuple of bool
        Which populations are sources.
    multiply_accumulates : ndarray of int64, shape (recordings, projections)
        Products of a real value and a weight, added up: what `snnsim.Frames` cost, tick after tick, one for each value
        that is not zero and synapse (of max pooling, one for each target). They are no synaptic operations. The cpu
        backend makes those of a frame that is the same at all ticks once; they are counted at every tick all the same.
    """

    populations: tuple[str, ...]
    projections: tuple[str, ...]
    spikes: NDArray[np.int64]
    membrane_updates: NDArray[np.int64]
    synaptic_operations: NDArray[np.int64]
    exit_ticks: NDArray[np.int64]
    sources: tuple[bool, ...]
    multiply_accumulates: NDArray[np.int64] = None  # type: ignore[assignment]  # None is what may be given: there are none

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(
            self,
            populations: tuple[str, ...],
            projections: tuple[str, ...],
            spikes: NDArray[np.int64],
            membrane_updates: NDArray[np.int64],
            synaptic_operations: NDArray[np.int64],
            exit_ticks: NDArray[np.int64],
            sources: tuple[bool, ...],
            multiply_accumulates: NDArray[np.int64] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        given: NDArray[np.int64] | None = self.multiply_accumulates
        if given is None:
            object.__setattr__(self, "multiply_accumulates", np.zeros_like(self.synaptic_operations))

    def with_products(self, products: Sequence[bool]) -> Counters:
        """Return the same counts with the operations of those projections that multiply real values told apart.

        Parameters
        ----------
        products : sequence of bool
            For each projection whether its source was given frames; empty where none was.
        """
        if not any(products):
            return self
        made, chosen = self.synaptic_operations, np.array(products, bool)
        return replace(
            self, synaptic_operations=np.where(chosen, 0, made), multiply_accumulates=np.where(chosen, made, 0)
        )

    def operation_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the operations of each projection, a recording, as a header and rows of text."""
        n, products = max(self.exit_ticks.size, 1), self.multiply_accumulates
        rows: list[tuple[str, ...]] = [
            (name, f"{self.synaptic_operations[:, i].sum() / n:,.0f}") for i, name in enumerate(self.projections)
        ]
        if not products.any():
            return ("projection", "synaptic operations"), rows
        rows = [(*row, f"{products[:, i].sum() / n:,.0f}") for i, row in enumerate(rows)]
        return ("projection", "synaptic operations", "multiply-accumulates"), rows

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
            for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks", "multiply_accumulates")
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
