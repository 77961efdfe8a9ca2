"""Running a network: simulations, what they record, what they leave."""

from snnsim.simulation.probes import Spikes as Spikes
from snnsim.simulation.probes import Trace as Trace
from snnsim.simulation.result import Result as Result
from snnsim.simulation.simulation import Simulation as Simulation
from snnsim.simulation.simulation import run as run

__all__ = [
    "Result",
    "Simulation",
    "Spikes",
    "Trace",
    "run",
]
