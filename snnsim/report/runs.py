"""The usual report of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snnsim.analysis.neurobench import Metrics
from snnsim.energy.lines import EnergyComparison, EnergyReport
from snnsim.monte_carlo import MonteCarlo
from snnsim.network.network import Network
from snnsim.report.page import Report
from snnsim.report.parts import Picture, Preformatted
from snnsim.simulation.result import Result


def run_report(
    title: str,
    network: Network,
    result: Result,
    *,
    labels: Any = None,
    energy: EnergyReport | Sequence[EnergyReport] = (),
    metrics: Metrics | None = None,
    chips: MonteCarlo | None = None,
    chip: str | Mapping[str, object] | None = None,
    pictures: Mapping[str, Any] | None = None,
) -> Report:
    """Return the usual report of a run: result, network, energy, chip, pictures, provenance. More may be added to it.

    Parameters
    ----------
    title : str
    network : Network
    result : Result
    labels : array of int, optional
        For the accuracy of the network's output.
    energy : EnergyReport or sequence of them
        Two are compared with each other.
    metrics : Metrics, optional
    chips : MonteCarlo, optional
        Outcomes over many chips.
    chip : str or mapping, optional
        What the chip is: names and values, or text as it was printed.
    pictures : mapping of str to Figure or Axes, optional
        By caption.
    """
    reports = [energy] if isinstance(energy, EnergyReport) else list(energy)
    report = Report(title, network.headline)
    outcome: list[Any] = []
    if labels is not None:
        accuracy = result.accuracy(labels, network.output.name)
        outcome.append({"accuracy": f"{100 * accuracy:.2f} % of {len(result):,} recordings"})
    report.add("Result", *outcome, result)
    if chips is not None:
        report.add("Over chips", chips)
    report.add("Network", network)
    if metrics is not None:
        report.add("Metrics", metrics)
    for one in reports:
        report.add(f"Energy: {one.table.name}", one)
    if len(reports) == 2:
        report.add("Energy compared", EnergyComparison(*reports))
    if chip is not None:
        report.add("Chip", chip if isinstance(chip, Mapping) else Preformatted(chip))
    if pictures:
        report.add("Pictures", *(Picture(figure, caption) for caption, figure in pictures.items()))
    return report.add("Provenance", {"ticks asked for": result.n_ticks, "dt": f"{result.dt:g} s", **result.provenance})
