"""A column of sensory cortex at a tenth of its size: four layers, eight populations, each with a rate of its own.

Give the name of a file to keep the picture: `python 06_microcircuit.py microcircuit.png`. With `scale = 1.0` there are
77,169 neurons and 299 million synapses, which take some 2 GiB.
"""

import sys

import numpy as np

import snnsim as sn
from snnsim import analysis, plot
from snnsim.circuits import potjans_diesmann
from snnsim.plot import firing as plot_activity

scale = 0.1
#: Rates of one run of NEST at this scale, from https://github.com/INM-6/microcircuit-PD14-model.
in_nest = {"L23E": 0.40, "L23I": 2.02, "L4E": 3.88, "L4I": 4.96, "L5E": 6.58, "L5I": 7.73, "L6E": 0.83, "L6I": 6.99}

network = potjans_diesmann(scale, background="poisson", seed=1)
neurons = sum(population.size for population in network.populations)
synapses = sum(projection.connectivity.total for projection in network.projections)
print(f"{network.name}: {neurons:,} neurons, {synapses:,} synapses, {len(network.projections)} projections")

simulation = sn.Simulation(network)
simulation.run(0.5, record=())
result = simulation.run(1.0, record=list(in_nest))
print(f"a second in {result.wall_seconds:.2f} s\n\npopulation  rate  in NEST  CV of intervals")
for name, events in result.spikes.items():
    variation = np.nanmean(analysis.interval_variation(events, minimum=3))
    print(f"{name:<10} {analysis.firing_rates(events).mean():5.2f} {in_nest[name]:8.2f} {variation:16.2f}")

figure = plot_activity.activity(result)
if len(sys.argv) > 1:
    plot.save(figure, sys.argv[1])
