"""Measures: spike trains, the metrics of NeuroBench, what a network takes."""

from snnsim.analysis.memory_footprint import footprint as footprint
from snnsim.analysis.memory_footprint import parameter_count as parameter_count
from snnsim.analysis.neurobench import Metrics as Metrics
from snnsim.analysis.neurobench import activation_sparsity as activation_sparsity
from snnsim.analysis.neurobench import connection_sparsity as connection_sparsity
from snnsim.analysis.neurobench import metrics as metrics
from snnsim.analysis.neurobench import synaptic_operations as synaptic_operations
from snnsim.analysis.spike_trains import Floats as Floats
from snnsim.analysis.spike_trains import active_share as active_share
from snnsim.analysis.spike_trains import count_correlations as count_correlations
from snnsim.analysis.spike_trains import fano_factor as fano_factor
from snnsim.analysis.spike_trains import firing_rates as firing_rates
from snnsim.analysis.spike_trains import interval_variation as interval_variation
from snnsim.analysis.spike_trains import intervals as intervals
from snnsim.analysis.spike_trains import local_variation as local_variation
from snnsim.analysis.spike_trains import population_activity as population_activity
from snnsim.analysis.spike_trains import power_spectrum as power_spectrum

__all__ = [
    "Floats",
    "Metrics",
    "activation_sparsity",
    "active_share",
    "connection_sparsity",
    "count_correlations",
    "fano_factor",
    "firing_rates",
    "footprint",
    "interval_variation",
    "intervals",
    "local_variation",
    "metrics",
    "parameter_count",
    "population_activity",
    "power_spectrum",
    "synaptic_operations",
]
