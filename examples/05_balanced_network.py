"""A balanced random network of 12,500 neurons and 15.6 million synapses, which fire out of step.

Give the name of a file to keep the picture: `python 05_balanced_network.py balanced.png`.
"""

import sys

import numpy as np

import snnsim as sn
from snnsim import analysis, plot
from snnsim.circuits import brunel
from snnsim.plot import firing as plot_activity

network = brunel(order=2500, g=5.0, eta=2.0, seed=1)
print(network)
simulation = sn.Simulation(network)
simulation.run(0.2, record=())  # until the network has forgotten how it began
result = simulation.run(1.0, record=["excitatory", "inhibitory"])
print(f"\n{result}\n")

for name, events in result.spikes.items():
    rate = analysis.firing_rates(events).mean()
    variation = np.nanmean(analysis.interval_variation(events, minimum=5))
    correlation = analysis.count_correlations(events, 10e-3).mean()
    print(f"{name}: {rate:.1f} spikes/s, CV of intervals {variation:.2f}, correlation of counts {correlation:.4f}")

figure = plot_activity.activity(result, bin_width=2e-3)
if len(sys.argv) > 1:
    plot.save(figure, sys.argv[1])
