"""A recurrent network with delays, noise and adaptation: run on, save a checkpoint, go on from it, look at it."""

import tempfile
from pathlib import Path

import snnsim as sn

receptors = (sn.Exponential(5e-3, "excitatory"), sn.Exponential(10e-3, "inhibitory"))
excitatory = sn.AdaptiveLIF(20e-3, adaptation=0.2, refractory=2e-3, receptors=receptors)
inhibitory = sn.LIF(10e-3, reset="zero", refractory=1e-3, receptors=receptors)
network = sn.Network(
    populations=[
        sn.Population("noise", 400, sn.Poisson(20.0)),
        sn.Population("excitatory", 400, excitatory),
        sn.Population("inhibitory", 100, inhibitory),
    ],
    projections=[
        sn.Projection("noise", "excitatory", sn.FixedInDegree(40, sn.Normal(0.4, 0.05)), receptor="excitatory"),
        sn.Projection("noise", "inhibitory", sn.FixedInDegree(40, 0.2), receptor="excitatory"),
        sn.Projection(
            "excitatory",
            "inhibitory",
            sn.FixedProbability(0.1, 0.3),
            delay=sn.Uniform(1e-3, 5e-3),
            receptor="excitatory",
        ),
        sn.Projection("excitatory", "excitatory", sn.FixedProbability(0.05, 0.2), delay=2e-3, receptor="excitatory"),
        sn.Projection("inhibitory", "excitatory", sn.FixedProbability(0.2, -0.1), delay=1e-3, receptor="inhibitory"),
    ],
    dt=1e-3,
    seed=1,
    name="excitation and inhibition",
)
print(network)

simulation = sn.Simulation(network)
first = simulation.run(0.5, record=["excitatory", "inhibitory"])
print(f"\n{first}")

with tempfile.TemporaryDirectory() as folder:
    checkpoint = Path(folder) / "checkpoint.h5"
    simulation.save_checkpoint(checkpoint)
    straight = simulation.run(0.5, record="excitatory")
    resumed = sn.Simulation.from_checkpoint(checkpoint).run(0.5, record="excitatory")
assert straight.spikes["excitatory"] == resumed.spikes["excitatory"]
print("\nthe run from the checkpoint gives the same spikes, those in flight included")
for name in ("excitatory", "inhibitory"):
    print(f"{name}: {first.rates(name).mean():.1f} spikes a second and neuron")
