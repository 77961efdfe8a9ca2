"""What a run leaves: spikes, traces, counters, and where it all came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.contract.activity import ChipActivity
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.scores import SCORES, final_scores, whole_labels
from snnsim.simulation import result_file
from snnsim.simulation.counters import Answer, Counters
from snnsim.simulation.result_file import Facts
from snnsim.simulation.stream import merge
from snnsim.system.tables import table


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of a run.

    Parameters
    ----------
    spikes : mapping of str to Events
        Recorded spikes by population; ticks count from the start of the run, and each recording is as long as was
        computed of it.
    traces : mapping of str to ndarray, shape (recordings, records, neurons)
        Recorded states by ``"population.state"``; NaN after a recording's end or early exit.
    counters : Counters
    n_ticks : int
        Ticks asked for, of the longest recording.
    start_tick : int
        The network's tick at which the run began.
    dt : float
        Seconds a tick.
    wall_seconds : float
        Time the engine took.
    provenance : dict of str
        Versions, backend, precision, seed.
    chip : ChipActivity, optional
        What a chip did in the run; None where there was none, and where a run into a stream was not finished.
    answer : Answer, optional
        How the network answers; None where it has no single output.
    lengths : ndarray of int64, shape (recordings,), optional
        Ticks of each recording, extension of the network included, whether or not it was stopped before; default
        `n_ticks`.
    """

    spikes: Mapping[str, Events]
    traces: Mapping[str, NDArray[Any]]
    counters: Counters
    n_ticks: int
    start_tick: int
    dt: float
    wall_seconds: float
    provenance: dict[str, str] = field(default_factory=dict)
    chip: ChipActivity | None = None
    answer: Answer | None = None
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not self.lengths.size:
            object.__setattr__(self, "lengths", np.full(len(self), self.n_ticks, np.int64))

    def __len__(self) -> int:
        """Return the number of recordings."""
        return int(self.counters.exit_ticks.size)

    @property
    def exit_ticks(self) -> NDArray[np.int64]:
        """Ticks computed for each recording."""
        return self.counters.exit_ticks

    @property
    def score(self) -> str:
        """The score by which the network answers."""
        return SCORES[0] if self.answer is None else self.answer.score

    def readout(self, population: str | None = None) -> NDArray[np.float64]:
        """Return a population's values at each tick, shape (recordings, ticks, neurons): its membrane, or its spikes.

        Parameters
        ----------
        population : str, optional
            Default the network's output, whatever else was recorded.

        Raises
        ------
        ParameterError
            The population was not recorded, or not all of its neurons at every tick.
        """
        if population is None:
            if self.answer is None:
                raise ParameterError("readout: the network has no single output; name the population")
            population = self.answer.population
        key = f"{population}.membrane"
        if key in self.traces:
            values = np.asarray(self.traces[key], np.float64)
            whole = (
                self.answer is None or population != self.answer.population or values.shape[2] == self.answer.classes
            )
            if values.shape[1] != self.n_ticks or not whole:
                raise ParameterError(
                    f"readout: of {population!r} only some neurons or ticks were recorded; record Trace({population!r})"
                )
            return values
        if population in self.spikes:
            return self.spikes[population].to_dense(np.float64)
        recorded = ", ".join([*self.spikes, *self.traces]) or "nothing"
        raise ParameterError(f"readout: {population!r} was not recorded; recorded are: {recorded}")

    def predictions(self, population: str | None = None, *, score: str | None = None) -> NDArray[np.int64]:
        """Return the class with the largest score over the computed ticks, shape (recordings,).

        Parameters
        ----------
        population : str, optional
            As for `readout`.
        score : str, optional
            One of `snnsim.scores.SCORES`; default the one that the network answers by.
        """
        scores = final_scores(self.readout(population), score or self.score, self.exit_ticks, self.lengths)
        return np.asarray(scores.argmax(axis=1), np.int64)

    def accuracy(self, labels: ArrayLike, population: str | None = None, *, score: str | None = None) -> float:
        """Return the share of recordings whose prediction is the label; see `predictions`."""
        readout = self.readout(population)
        expected = whole_labels(labels, readout.shape[0], readout.shape[2])
        return float(np.mean(self.predictions(population, score=score) == expected))

    def rates(self, population: str) -> NDArray[np.float64]:
        """Return spikes a second of each neuron, shape (recordings, neurons), over the computed ticks."""
        if population not in self.spikes:
            raise ParameterError(
                f"rates: spikes of {population!r} were not recorded; there are: {', '.join(self.spikes)}"
            )
        seconds = np.maximum(self.exit_ticks, 1)[:, None] * self.dt
        return np.asarray(self.spikes[population].counts() / seconds)

    def __str__(self) -> str:
        c, n = self.counters, max(len(self), 1)
        seconds = float(self.exit_ticks.sum()) * self.dt
        head = (
            f"{len(self)} recordings of {self.n_ticks} ticks on {self.provenance.get('backend', '?')}: "
            f"{self.exit_ticks.mean():.1f} ticks computed on average, {self.wall_seconds * 1e3 / n:.3g} ms each, "
            f"real-time factor {self.wall_seconds / seconds if seconds else 0:.3g}"
        )
        rows = [
            (name, f"{c.spikes[:, i].sum() / n:,.1f}", f"{c.membrane_updates[:, i].sum() / n:,.0f}")
            for i, name in enumerate(c.populations)
        ]
        header, synapses = c.operation_rows()
        parts = [head, table(("population", "spikes", "membrane updates"), rows, right=(1, 2))]
        if synapses:
            parts.append(table(header, synapses, right=(1, 2)[: len(header) - 1]))
        if self.chip is not None:
            parts.append(table(*self.chip.projection_rows(), right=(1, 2, 3, 4, 5)))
            if self.chip.saturation():
                parts.append(f"warning: {self.chip.saturation()}")
        return "\n\n".join(parts)

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file, which is complete or not there at all."""
        result_file.save(path, self.spikes, self.traces, self._facts())

    def _facts(self) -> Facts:
        return Facts(**{name: getattr(self, name) for name in Facts._fields})

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Load what `save` saved, or what a run with `stream` wrote."""
        spikes, traces, facts = result_file.load(path)
        return cls(spikes, traces, **facts._asdict())

    @classmethod
    def open(cls, path: str | Path) -> Result:
        """Load a result whose spikes and traces stay in the file; each is read when asked for, and not kept."""
        spikes, traces, facts = result_file.load(path, lazily=True)
        return cls(spikes, traces, **facts._asdict())

    @classmethod
    def recover(cls, stream: str | Path) -> Result:
        """Make the result file of a run into a stream that is not finished, of the segments that it has written.

        The segments stay, so that the run may go on; it may even be running.

        Parameters
        ----------
        stream : str or Path
            As it was given to `Simulation.run`.

        Raises
        ------
        DataError
            There are no segments.
        """
        return cls.open(merge.recover(stream))
