"""Reports: one HTML page about a run that opens anywhere, offline."""

from snnsim.report.page import Picture as Picture
from snnsim.report.page import Preformatted as Preformatted
from snnsim.report.page import Report as Report
from snnsim.report.page import Table as Table
from snnsim.report.page import run_report as run_report

__all__ = [
    "Picture",
    "Preformatted",
    "Report",
    "Table",
    "run_report",
]
