"""Train on events with SLTT, run the trained network event-driven, and stop each recording as soon as it is sure."""

import snnsim as sn
from snnsim.architectures import fully_connected
from snnsim.datasets import load_digits_events
from snnsim.early_exit import calibrate, measure_early_exit
from snnsim.training import SLTT, TrainableNetwork, train

dt = 10e-3
data, test = load_digits_events(split="train", dt=dt), load_digits_events(split="test", dt=dt)
learn, held_out = data.split(0.8, seed=0)  # the held-out part calibrates early exit; the test set chooses nothing

model = TrainableNetwork(fully_connected(data.sensor_shape, 10, hidden=(128,), dt=dt))
print(model.memory_report(ticks=data.events.n_ticks, batch=32, rule=SLTT()))
print(train(model, learn, rule=SLTT(), epochs=4, progress=False))

network = model.network()
calibration = calibrate(sn.Simulation(network).run_samples(held_out.events), held_out.labels)
print(f"\n{calibration.rule}\n")
print(measure_early_exit(network, test.events, test.labels, calibration.rule))
