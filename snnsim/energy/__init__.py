"""Energy and latency of an inference: counted operations times a table of costs, every assumption printed."""

from snnsim.energy.costs import Cost as Cost
from snnsim.energy.costs import CostTable as CostTable
from snnsim.energy.lines import EnergyComparison as EnergyComparison
from snnsim.energy.lines import EnergyLine as EnergyLine
from snnsim.energy.lines import EnergyReport as EnergyReport
from snnsim.energy.lines import LatencyLine as LatencyLine
from snnsim.energy.lines import compare as compare
from snnsim.energy.presets import digital_45nm as digital_45nm
from snnsim.energy.presets import digital_45nm_integer as digital_45nm_integer
from snnsim.energy.presets import loihi as loihi
from snnsim.energy.presets import rram_crossbar as rram_crossbar
from snnsim.energy.report import energy_report as energy_report

__all__ = [
    "Cost",
    "CostTable",
    "EnergyComparison",
    "EnergyLine",
    "EnergyReport",
    "LatencyLine",
    "compare",
    "digital_45nm",
    "digital_45nm_integer",
    "energy_report",
    "loihi",
    "rram_crossbar",
]
