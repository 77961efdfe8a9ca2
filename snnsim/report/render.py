"""Parts of a report as HTML: texts, tables, pictures, networks, results and what was measured of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from snnsim.analysis.neurobench import Metrics
from snnsim.energy.lines import EnergyComparison, EnergyReport
from snnsim.errors import ParameterError
from snnsim.monte_carlo import MonteCarlo
from snnsim.network.network import Network
from snnsim.plot.style import style
from snnsim.report import html
from snnsim.report.parts import Picture, Preformatted, Table, one_line
from snnsim.simulation.result import Result

_DPI = 160
#: A figure of one inch is this wide on a page.
_PIXELS = 96


def render(part: Any, where: str) -> str:
    """Return a part of a section as HTML; `where` is its place, for messages."""
    if isinstance(part, str):
        if not part.strip():
            raise ParameterError(f"{where}: the text is empty")
        return html.paragraphs(part)
    if isinstance(part, Preformatted):
        if not isinstance(part.text, str) or not part.text.strip():
            raise ParameterError(f"{where}: the text is empty")
        return html.preformatted(part.text)
    if isinstance(part, Mapping):
        if not part:
            raise ParameterError(f"{where}: the mapping is empty")
        return html.facts(part)
    if isinstance(part, Table):
        return html.table(part.header, part.rows, right=part.right, caption=part.caption)
    if isinstance(part, Picture):
        return _picture(part.figure, one_line(f"{where}: caption", part.caption), where)
    if hasattr(part, "savefig") or hasattr(part, "figure"):
        return _picture(part, "", where)
    for kind, one in _KINDS.items():
        if isinstance(part, kind):
            return str(one(part))
    raise ParameterError(
        f"{where}: {type(part).__name__} cannot stand in a report; allowed are str, Preformatted, a mapping, Table, "
        "a Figure or Axes of matplotlib, Picture, Network, Result, EnergyReport, EnergyComparison, MonteCarlo, Metrics"
    )


def _picture(given: Any, caption: str, where: str) -> str:
    figure = given if hasattr(given, "savefig") else getattr(given, "figure", None)
    if figure is None or not hasattr(figure, "savefig"):
        raise ParameterError(f"{where}: {given!r} is no Figure and no Axes of matplotlib")
    if not figure.axes:
        raise ParameterError(f"{where}: the figure has no axes")
    stream = io.BytesIO()
    # White paper, whatever the style of the caller; the same figure gives the same bytes.
    with style():
        figure.savefig(stream, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    return html.picture(stream.getvalue(), caption, round(figure.get_size_inches()[0] * _PIXELS * 1.1))


def _network(network: Network) -> str:
    parts = [html.paragraphs(network.headline), html.table(*network.population_rows(), right=(2,))]
    if network.projections:
        parts.append(html.table(*network.projection_rows(), right=(1,)))
    return "\n".join(parts)


def _result(result: Result) -> str:
    counters, n = result.counters, max(len(result), 1)
    head = (
        f"{len(result):,} recordings of {result.n_ticks:,} ticks on {result.provenance.get('backend', '?')}; "
        f"{result.exit_ticks.mean() if len(result) else 0:.1f} ticks computed on average, "
        f"{result.wall_seconds * 1e3 / n:.3g} ms each."
    )
    rows = [
        (name, f"{counters.spikes[:, i].sum() / n:,.1f}", f"{counters.membrane_updates[:, i].sum() / n:,.0f}")
        for i, name in enumerate(counters.populations)
    ]
    parts = [
        html.paragraphs(head),
        html.table(("population", "spikes", "membrane updates"), rows, right=(1, 2), caption="A recording, on average"),
    ]
    if counters.projections:
        header, synapses = counters.operation_rows()
        parts.append(html.table(header, synapses, right=range(1, len(header))))
    if result.chip is not None:
        chip = html.table(*result.chip.projection_rows(), right=(1, 2, 3, 4, 5), caption="An inference, on the chip")
        parts.append(chip)
        if result.chip.saturation():
            parts.append(html.paragraphs(f"Warning: {result.chip.saturation()}."))
    return "\n".join(parts)


def _energy(report: EnergyReport) -> str:
    parts = [
        html.paragraphs(report.headline),
        html.table(*report.part_rows(), right=(1, 2, 3), caption="An inference, part by part"),
        html.table(*report.energy_rows(), right=(2, 3, 4, 5), caption="Counts times costs, an inference"),
    ]
    if report.once:
        total = [
            (line.part, f"{line.count:,.0f}", str(report.table.costs[line.assumptions[0]])) for line in report.once
        ]
        parts.append(html.table(("part", "programming pulses", "each"), total, right=(1, 2), caption="Spent once"))
    parts.append(html.table(*report.assumption_rows(), right=(1,), caption="Assumptions that entered"))
    if report.facts:
        parts.append(html.facts(report.facts))
    if report.table.note:
        parts.append(html.paragraphs(report.table.note))
    return "\n".join(parts)


def _comparison(comparison: EnergyComparison) -> str:
    return html.table(*comparison.rows(), right=(1, 2, 3))


def _chips(found: MonteCarlo) -> str:
    header, rows = found.rows()
    stopped = "" if found.complete else f" of {found.asked} asked for (stopped)"
    return html.paragraphs(f"{len(found)} chips{stopped}, seed {found.seed}.") + html.table(
        header, rows, right=range(1, len(header))
    )


def _metrics(metrics: Metrics) -> str:
    operations = [
        (one.projection, f"{one.effective:,.0f}", f"{one.dense:,.0f}", "MAC" if one.multiply else "AC")
        for one in metrics.operations
    ]
    header, rows = metrics.rows()
    parts = [html.table(header, rows, right=(1,))]
    if operations:
        parts.append(html.table(("projection", "effective", "dense", "kind"), operations, right=(1, 2)))
    return "\n".join(parts)


_KINDS: dict[type[Any], Any] = {
    Network: _network,
    Result: _result,
    EnergyReport: _energy,
    EnergyComparison: _comparison,
    MonteCarlo: _chips,
    Metrics: _metrics,
}
