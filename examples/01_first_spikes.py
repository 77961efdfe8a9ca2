"""One LIF neuron, driven by scripted spikes: its membrane, its spikes, and the exact solution beside them."""

import numpy as np

import snnsim as sn

dt, tau = 1e-3, 10e-3
source = sn.Scripted(times=[0.005, 0.010, 0.012, 0.013, 0.030], sources=[0, 0, 0, 0, 0])
network = sn.Network(
    populations=[sn.Population("source", 1, source), sn.Population("neuron", 1, sn.LIF(tau, threshold=1.0))],
    projections=[sn.Projection("source", "neuron", sn.Dense(0.6), delay=2e-3)],
    dt=dt,
)
print(network)
print()
print(network.schedule())

result = sn.run(network, duration=0.05, record=["neuron", sn.Trace("neuron")])
membrane = result.traces["neuron.membrane"][0, :, 0]
spikes = result.spikes["neuron"].ticks
print(f"\nspikes at {spikes * dt * 1e3} ms")

# The first input arrives at 7 ms; until the next one the membrane falls as 0.6 exp(-t / tau).
decaying = np.arange(7, 12)
np.testing.assert_allclose(membrane[decaying], 0.6 * np.exp(-(decaying - 7) * dt / tau), rtol=1e-6)
print("the membrane follows the closed form")
