"""One page about a run that opens anywhere, offline: sections of text, tables and pictures in a single HTML file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnsim.analysis.neurobench import Metrics
from snnsim.energy.lines import EnergyComparison, EnergyReport
from snnsim.errors import ParameterError
from snnsim.monte_carlo import MonteCarlo
from snnsim.network.network import Network
from snnsim.plot.style import style
from snnsim.report import html
from snnsim.simulation.result import Result
from snnsim.storage.hdf5 import replacing
from snnsim.version import __version__

_DPI = 160
#: A figure of one inch is this wide on a page.
_PIXELS = 96


@dataclass(frozen=True)
class Table:
    """A table for a report.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        One entry a column; anything that has a text.
    right : sequence of int
        Columns that hold numbers.
    caption : str
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    right: Sequence[int] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.header:
            raise ParameterError("Table: header is empty")
        for i, row in enumerate(self.rows):
            if isinstance(row, str) or len(row) != len(self.header):
                raise ParameterError(f"Table: row {i} is {row!r}; expected {len(self.header)} entries, as the header")


@dataclass(frozen=True)
class Picture:
    """A figure of matplotlib, with words under it.

    Parameters
    ----------
    figure : Figure or Axes
    caption : str
        Also what is read to those who do not see it.
    """

    figure: Any
    caption: str


@dataclass(frozen=True)
class Preformatted:
    """Text whose lines and spaces stay, such as a table that was printed.

    Parameters
    ----------
    text : str
    """

    text: str


class Report:
    """A page that is built section by section and saved as one HTML file.

    What is added is turned into HTML at once, so that figures may be closed and results go.

    Parameters
    ----------
    title : str
    under : str
        A line below the title.

    Examples
    --------
    >>> report = Report("N-MNIST on a chip")
    >>> report.add("Result", {"accuracy": "97.1 %"}, "Twenty chips, one seed each.")
    >>> report.save("run.html")
    """

    def __init__(self, title: str, under: str = "") -> None:
        self.title, self.under = _line("title", title), under
        if not isinstance(under, str):
            raise ParameterError(f"Report: under={under!r}: must be a text")
        self._sections: list[tuple[str, str]] = []

    def __len__(self) -> int:
        """Return the number of sections."""
        return len(self._sections)

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings so far."""
        return tuple(heading for heading, _ in self._sections)

    def add(self, heading: str, *parts: Any) -> Report:
        """Add a section.

        Parameters
        ----------
        heading : str
        *parts : object
            In order: str (empty lines divide paragraphs), `Preformatted`, mapping of names to values, `Table`, a
            Figure or Axes of matplotlib, `Picture`, Network, Result, EnergyReport, EnergyComparison, MonteCarlo,
            Metrics.

        Returns
        -------
        Report
            The same, to go on.

        Raises
        ------
        ParameterError
            A part is of another kind, or holds nothing; nothing is added then.
        """
        _line("heading", heading)
        if not parts:
            raise ParameterError(f"section {heading!r}: holds nothing; give a text, a table, a figure ...")
        rendered = [_render(part, f"section {heading!r}, part {i}") for i, part in enumerate(parts, 1)]
        self._sections.append((heading, "\n".join(rendered)))
        return self

    def html(self) -> str:
        """Return the page.

        Raises
        ------
        ParameterError
            There is no section.
        """
        if not self._sections:
            raise ParameterError(f"report {self.title!r}: has no section; call add first")
        return html.page(self.title, self.under, self._sections, f"Written by snnsim {__version__}.")

    def save(self, path: str | Path) -> Path:
        """Save the page, which is complete or not there at all; folders that are missing are made.

        Raises
        ------
        ParameterError
            The name does not end in .html, or there is no section.
        """
        target = Path(path)
        if target.suffix.lower() not in (".html", ".htm"):
            raise ParameterError(f"{path}: the name of a report ends in .html")
        page = self.html()
        with replacing(target) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return target


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


# -- parts -----------------------------------------------------------------------------------------------


def _line(what: str, given: object) -> str:
    if not isinstance(given, str) or not given.strip() or not given.isprintable():
        raise ParameterError(f"{what}={given!r}: must be text in one line")
    return given


def _render(part: Any, where: str) -> str:
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
        return _picture(part.figure, _line(f"{where}: caption", part.caption), where)
    if hasattr(part, "savefig") or hasattr(part, "figure"):
        return _picture(part, "", where)
    for kind, render in _KINDS.items():
        if isinstance(part, kind):
            return str(render(part))
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
        synapses = [
            (name, f"{counters.synaptic_operations[:, i].sum() / n:,.0f}")
            for i, name in enumerate(counters.projections)
        ]
        parts.append(html.table(("projection", "synaptic operations"), synapses, right=(1,)))
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
