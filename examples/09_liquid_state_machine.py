"""A liquid-state machine: random spikes that nobody trains, a linear readout that is; measured beside its own input."""

import numpy as np

import snnsim as sn
from snnsim.datasets import lag_patterns, load_digits_events
from snnsim.reservoir import (
    LinearProbe,
    RidgeClassifier,
    compare,
    echo_state,
    filtered_spikes,
    liquid_state_machine,
    memory_capacity,
    perturbation,
    random_input,
    spike_counts,
)


def counts_of(simulation, data):
    """Return how often each neuron spikes in each recording."""
    return spike_counts(simulation.run_samples(data.events).spikes["reservoir"])


def choose_gain(train, gains, **cell):
    """Try gains on a validation part of the training recordings; the test recordings are not looked at."""
    scores = []
    for gain in gains:
        simulation = sn.Simulation(liquid_state_machine(train.sensor_shape, gain=gain, dt=train.events.dt, **cell))
        scores.append(RidgeClassifier().fit(counts_of(simulation, train), train.labels).validation_scores.max())
    return gains[int(np.argmax(scores))]


# 1. Which channel comes when: every class has the same spikes, in another order, too far apart for a membrane.
train, test = (lag_patterns(500, lag=12, latest_onset=5, seed=seed) for seed in (0, 1))
cell = {"decay": 0.5, "weights": "resistive switching"}
gain = choose_gain(train, (0.14, 0.2, 0.3, 0.6), **cell)
network = liquid_state_machine(4, gain=gain, **cell)
print(network)
inputs = [spike_counts(data.events) for data in (train, test)]
for name, recurrent_gain in (("with recurrence", gain), ("without", 0.0)):
    simulation = sn.Simulation(liquid_state_machine(4, gain=gain, recurrent_gain=recurrent_gain, **cell))
    states = [counts_of(simulation, data) for data in (train, test)]
    both = compare((states[0], inputs[0]), (states[1], inputs[1]), (train.labels, test.labels), readout=RidgeClassifier)
    print(f"\norder of spikes, {name}: {both}")

# 2. Digits before an event camera, polarity and place as they come: here counts of the input already say which.
train, test = (load_digits_events(split).with_dt(6e-3).binarised() for split in ("train", "test"))
gain = choose_gain(train, (0.01, 0.02, 0.03, 0.05))
simulation = sn.Simulation(liquid_state_machine(train.sensor_shape, gain=gain, dt=6e-3))
runs = [simulation.run_samples(data.events).spikes["reservoir"] for data in (train, test)]
for name, states in (
    ("counts", [spike_counts(run) for run in runs]),
    ("spikes filtered with 60 ms", [filtered_spikes(run, 60e-3) for run in runs]),
):
    probe = LinearProbe((10.0, 100.0, 1000.0)).fit(states[0], train.labels)
    print(f"digits, gain {gain}, {name}: {probe.score(states[1], test.labels):.1%} of the test recordings")
inputs = [spike_counts(data.events) for data in (train, test)]
print(
    f"digits, counts of the input: {RidgeClassifier().fit(inputs[0], train.labels).score(inputs[1], test.labels):.1%}"
)

# 3. What a reservoir is like, from forgetting to chaos: memory is longest in between.
random = np.random.default_rng(0)
common = sn.Events.from_dense(random.random((1, 400, 20)) < 0.1, 1e-3)
events, signal = random_input(1500, 20, 1e-3, probability=0.2)
for inner in (0.01, 0.1, 0.5):
    simulation = sn.Simulation(liquid_state_machine(20, 100, gain=0.15, recurrent_gain=inner))
    trace = simulation.run_samples(events, record=sn.Trace("reservoir")).traces["reservoir.membrane"][0]
    memory = memory_capacity(trace, signal, longest=30)
    merged = echo_state(simulation, common).merged.mean()
    growth = perturbation(simulation, common, ticks=np.arange(50, 250, 10)).exponent(5)
    print(
        f"recurrent gain {inner}: {memory.total:.1f} ticks of memory, {merged:.0%} of pairs of states come together, "
        f"a perturbation grows by {growth:+.2f} a tick"
    )
