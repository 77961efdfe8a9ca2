"""Neurons that find the inputs which fire together: pair STDP makes those strong and the others weak.

Give the name of a file to keep the picture: `python 07_spike_timing_plasticity.py weights.png`.
"""

import sys

import numpy as np

import snnsim as sn
from snnsim import plot
from snnsim.plot import firing as plot_activity
from snnsim.plot import style

inputs, neurons, dt, seconds, rate = 400, 8, 1e-3, 60.0, 15.0
ticks, together = round(seconds / dt), inputs // 2

# All inputs fire at the same rate; the first half takes a third of its events from one hidden train.
generator = np.random.default_rng(1)
spikes = generator.random((ticks, inputs)) < rate * dt
hidden = generator.random((ticks, 1)) < rate * dt
copied = generator.random((ticks, together)) < 1 / 3
spikes[:, :together] = np.where(copied, hidden, spikes[:, :together])
events = sn.Events.from_dense(spikes[np.newaxis], dt)

rule = sn.STDP(potentiation=0.01, depression=0.011, maximum=1.0)
model = sn.LIF(20e-3, threshold=15.0, reset=0.0, refractory=2e-3, receptors=sn.Exponential(5e-3), decay_input=True)
network = sn.Network(
    [sn.Population("inputs", inputs, sn.Input()), sn.Population("neurons", neurons, model)],
    [sn.Projection("inputs", "neurons", sn.Dense(sn.Uniform(0.0, 1.0)), delay=1e-3, plasticity=rule)],
    dt=dt,
    seed=1,
    name="inputs that compete",
)
print(network)

simulation = sn.Simulation(network)
before = simulation.weights("inputs->neurons").reshape(inputs, neurons)
result = simulation.run(inputs=events, record="neurons")
after = simulation.weights("inputs->neurons").reshape(inputs, neurons)
print(f"\n{result.rates('neurons').mean():.1f} spikes a second and neuron; mean weight before and after:")
print(f"fire together: {before[:together].mean():.2f} -> {after[:together].mean():.2f}")
print(f"on their own:  {before[together:].mean():.2f} -> {after[together:].mean():.2f}")
assert after[:together].mean() > 2 * after[together:].mean()

with style() as plt:
    figure, (window, left, right) = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
    differences = np.linspace(-80e-3, 80e-3, 400)
    window.plot(1e3 * differences, rule.window(differences))
    window.set(title="learning window", xlabel="post after pre (ms)", ylabel="change of the weight")
    plot_activity.weights(after[:together], before=before[:together], axes=left).set_title("inputs that fire together")
    plot_activity.weights(after[together:], before=before[together:], axes=right).set_title("inputs on their own")
if len(sys.argv) > 1:
    plot.save(figure, sys.argv[1])
