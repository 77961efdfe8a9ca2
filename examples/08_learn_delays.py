"""Learn delays: in which order inputs come is told by a network whose neurons have no memory, only synapses that wait.

Give the name of a file to keep the picture: `python 08_learn_delays.py delays.png`.
"""

import sys

import snnsim as sn
from snnsim import plot
from snnsim.architectures import delayed
from snnsim.datasets import lag_patterns
from snnsim.training import BPTT, ATan, TrainableNetwork, evaluate, train

learn, test = lag_patterns(1000, seed=1), lag_patterns(500, seed=2)  # four inputs, one spike each, six orders
print(learn.summary(), "\n")

recipe = {"rule": BPTT(detach_reset=True), "loss": "summed_softmax", "learning_rate": 0.02, "delay_learning_rate": 0.2}
recipe |= {"batch_size": 50, "validation": 0.0, "progress": False}
accuracy = {}
for kind, longest in (("none", 0.0), ("learned", 25e-3)):
    network = delayed(4, 6, hidden=(32,), maximum_delay=longest, dt=1e-3, time_constant=1.005e-3)
    model = TrainableNetwork(
        network,
        learn=("weights", "delays") if longest else ("weights",),
        surrogate=ATan(5.0),
        batch_norm=["hidden1"],
        batch_norm_over="sequence",
    )
    train(model, learn, epochs=16, schedule="one_cycle", **recipe)
    if longest:
        soft = evaluate(model, test, soft_delays=True)
        rounded = evaluate(model, test)
        model.harden()  # whole ticks from here on; the weights get used to them
        train(model, learn, epochs=4, **recipe)
        print(f"learned delays: {soft:.0%} right while they are soft, {rounded:.0%} rounded to ticks, then tuned:")
    accuracy[kind] = evaluate(model, test)
    print(f"delays {kind}: {accuracy[kind]:.0%} right of {len(test)}")
assert accuracy["none"] < 0.3
assert accuracy["learned"] > 0.95

# The network that was learned is a description like any other, with a whole number of ticks a synapse.
trained = model.network()
result = sn.Simulation(trained).run_samples(test.events)
print(f"event-driven on the cpu backend: {result.accuracy(test.labels):.0%} right")

figure = plot.delays(trained, before=network)
if len(sys.argv) > 1:
    plot.save(figure, sys.argv[1])
