"""Pictures of networks, runs, learning and chips.

Every function draws into the axes it is given or makes a figure, returns what it drew into, and never shows it:
in a notebook the picture appears by itself, in a script call `save`.
"""

from snnsim.plot.chip_curves import accuracy_over_age as accuracy_over_age
from snnsim.plot.chip_curves import accuracy_over_chips as accuracy_over_chips
from snnsim.plot.chip_curves import adc_error as adc_error
from snnsim.plot.chip_curves import saturation as saturation
from snnsim.plot.crossbar import conductance_map as conductance_map
from snnsim.plot.crossbar import ir_drop as ir_drop
from snnsim.plot.crossbar import programming as programming
from snnsim.plot.delay_histograms import delay_histogram as delay_histogram
from snnsim.plot.delay_histograms import distributions as delays
from snnsim.plot.early_exit import accuracy_latency as accuracy_latency
from snnsim.plot.early_exit import confidence as confidence
from snnsim.plot.energy_bars import energy as energy
from snnsim.plot.events import events_frames as events_frames
from snnsim.plot.firing import activity as activity
from snnsim.plot.firing import correlation as correlation
from snnsim.plot.firing import firing_rates as firing_rates
from snnsim.plot.firing import intervals as intervals
from snnsim.plot.firing import irregularity as irregularity
from snnsim.plot.firing import population_activity as population_activity
from snnsim.plot.firing import weights as weights
from snnsim.plot.learning import learning_curve as learning_curve
from snnsim.plot.network_graph import network as network
from snnsim.plot.runs import raster as raster
from snnsim.plot.runs import rates as rates
from snnsim.plot.runs import trace as trace
from snnsim.plot.style import save as save
from snnsim.plot.style import style as style

__all__ = [
    "accuracy_latency",
    "accuracy_over_age",
    "accuracy_over_chips",
    "activity",
    "adc_error",
    "conductance_map",
    "confidence",
    "correlation",
    "delay_histogram",
    "delays",
    "energy",
    "events_frames",
    "firing_rates",
    "intervals",
    "ir_drop",
    "irregularity",
    "learning_curve",
    "network",
    "population_activity",
    "programming",
    "raster",
    "rates",
    "saturation",
    "save",
    "style",
    "trace",
    "weights",
]
