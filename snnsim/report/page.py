"""One page that opens anywhere, offline: sections of text, tables and pictures in a single HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnsim.errors import ParameterError
from snnsim.report import html
from snnsim.report.parts import one_line
from snnsim.report.render import render
from snnsim.storage.hdf5 import replacing
from snnsim.version import __version__


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
        self.title, self.under = one_line("title", title), under
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
        one_line("heading", heading)
        if not parts:
            raise ParameterError(f"section {heading!r}: holds nothing; give a text, a table, a figure ...")
        rendered = [render(part, f"section {heading!r}, part {i}") for i, part in enumerate(parts, 1)]
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
