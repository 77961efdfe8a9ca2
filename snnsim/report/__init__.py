"""Reports: one HTML page about a run that opens anywhere, offline."""

from snnsim.report.page import Report as Report
from snnsim.report.parts import Picture as Picture
from snnsim.report.parts import Preformatted as Preformatted
from snnsim.report.parts import Table as Table
from snnsim.report.runs import run_report as run_report

__all__ = [
    "Picture",
    "Preformatted",
    "Report",
    "Table",
    "run_report",
]
