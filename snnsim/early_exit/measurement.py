"""What early exit saves when it really stops: the same recordings run to the end and run until sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.dynamic_confidence import DynamicConfidence
from snnsim.early_exit.curves import OracleCurve, oracle_curve
from snnsim.frames import Recordings
from snnsim.network.network import Network
from snnsim.simulation.probes import Trace
from snnsim.simulation.result import Result
from snnsim.simulation.simulation import Simulation
from snnsim.system.tables import table


@dataclass(frozen=True, eq=False)
class ExitMeasurement:
    """Two runs of the same recordings, with and without early exit.

    Parameters
    ----------
    full, early : Result
    labels : ndarray of int64, shape (recordings,)
    full_seconds, early_seconds : float
        Wall time of each run, one thread, the median of several.
    oracle : OracleCurve
        What a perfect judge of the moment to stop would reach.
    """

    full: Result
    early: Result
    labels: NDArray[np.int64]
    full_seconds: float
    early_seconds: float
    oracle: OracleCurve

    @property
    def accuracy(self) -> tuple[float, float]:
        """Accuracy to the end, and with early exit."""
        return self.full.accuracy(self.labels), self.early.accuracy(self.labels)

    @property
    def mean_ticks(self) -> tuple[float, float]:
        """Mean ticks computed to the end, and with early exit."""
        return float(self.full.exit_ticks.mean()), float(self.early.exit_ticks.mean())

    @property
    def synaptic_operations(self) -> tuple[float, float]:
        """Mean synaptic operations of a recording to the end, and with early exit."""
        both = (self.full, self.early)
        means = [float(result.counters.synaptic_operations.sum(axis=1).mean()) for result in both]
        return means[0], means[1]

    @property
    def multiply_accumulates(self) -> tuple[float, float]:
        """Mean products of real values and weights of a recording to the end, and with early exit."""
        both = (self.full, self.early)
        means = [float(result.counters.multiply_accumulates.sum(axis=1).mean()) for result in both]
        return means[0], means[1]

    def __str__(self) -> str:
        n = len(self.full)
        rows = [("accuracy", *(f"{100 * value:.1f} %" for value in self.accuracy), self._points())]
        milliseconds = self.full_seconds / n * 1e3, self.early_seconds / n * 1e3
        figures = [
            ("mean ticks", self.mean_ticks, "{:.1f}"),
            ("synaptic operations a recording", self.synaptic_operations, "{:,.0f}"),
            ("wall time a recording, 1 thread", milliseconds, "{:.3f} ms"),
        ]
        if self.multiply_accumulates[0]:
            figures.insert(2, ("multiply-accumulates a recording", self.multiply_accumulates, "{:,.0f}"))
        for name, (before, after), form in figures:
            change = f"{100 * (after / before - 1):+.0f} %" if before else ""
            rows.append((name, form.format(before), form.format(after), change))
        text = table(("", "all ticks", "early exit", "change"), rows, right=(1, 2, 3))
        return f"{text}\n\n{self._oracle()}"

    def _points(self) -> str:
        before, after = self.accuracy
        return f"{100 * (after - before):+.1f} points"

    def _oracle(self) -> str:
        return (
            f"oracle that stops at the first right tick: {100 * float(self.oracle.accuracy[-1]):.1f} % at "
            f"{float(self.oracle.mean_ticks_wrong_as_cap[-1]):.1f} ticks (recordings never right count all ticks)"
        )


def measure_early_exit(
    network: Network,
    events: Recordings,
    labels: ArrayLike,
    rule: DynamicConfidence,
    *,
    backend: str = "cpu",
    repeats: int = 5,
) -> ExitMeasurement:
    """Run recordings to the end and until sure, and compare.

    Parameters
    ----------
    network : Network
        With one readout population.
    events : Events or Frames
    labels : array of int, shape (recordings,)
    rule : DynamicConfidence
    backend : str
    repeats : int
        Runs of each kind, in turn; wall times are medians.
    """
    simulation = Simulation(network, backend, threads=1)
    record = Trace(network.output.name)
    full = simulation.run_samples(events, record=record)
    early = simulation.run_samples(events, record=record, early_exit=rule)
    times = np.array(
        [
            (
                simulation.run_samples(events, record=record).wall_seconds,
                simulation.run_samples(events, record=record, early_exit=rule).wall_seconds,
            )
            for _ in range(repeats)
        ]
    )
    truth = np.asarray(labels, np.int64)
    medians = np.median(times, axis=0)
    return ExitMeasurement(full, early, truth, float(medians[0]), float(medians[1]), oracle_curve(full, truth))
