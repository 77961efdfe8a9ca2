"""The same network on every backend and in torch: the same spikes."""

import snnsim as sn
from snnsim.architectures import convolutional
from snnsim.backends import names
from snnsim.datasets import load_digits_events
from snnsim.training import TrainableNetwork

dt = 10e-3
digits = load_digits_events(split="test", dt=dt)[:10]
network = convolutional((2, 34, 34), 10, dt=dt)
populations = ["conv1", "conv2"]

expected = sn.Simulation(network, "reference", dtype="float64").run_samples(digits.events, record=populations)
for backend in names():
    found = sn.Simulation(network, backend, dtype="float64").run_samples(digits.events, record=populations)
    assert all(found.spikes[name] == expected.spikes[name] for name in populations)
    counts = {name: found.spikes[name].ticks.size for name in populations}
    print(f"{backend:<10} {counts}, {1e3 * found.wall_seconds / len(digits):.2f} ms a recording")

model = TrainableNetwork(network, dtype="float64").eval()
spikes = model.spikes(digits.events, populations)
assert all(spikes[name] == expected.spikes[name] for name in populations)
print(f"torch      { ({name: spikes[name].ticks.size for name in populations}) }")
