"""Two modalities, one space: orders of spikes ask for handwritten digits, also of classes that were never learned.

Reservoirs that do not learn encode both; one layer a modality learns. The modalities have nothing in common but the
labels, so that in-class retrieval is learned, and out-of-class retrieval is luck: see how far luck goes with two
classes.
"""

import itertools

import numpy as np

from snnsim.datasets import lag_patterns, load_digits_events
from snnsim.reservoir import liquid_state_machine
from snnsim.training import ContrastiveProjection
from snnsim.zero_shot import ZeroShotResult, ask, encode, split_classes

images = load_digits_events("test", dt=6e-3).binarised()  # a simulated event camera looks at scikit-learn's digits
orders = lag_patterns(500, classes=10)  # four spikes each, in one of ten orders
print(images.summary(), orders.summary(), sep="\n\n", end="\n\n")

# A chip would come in here: encode(..., make_simulation=lambda network: Simulation(network, "crossbar", chip=chip)).
queries = encode(liquid_state_machine(4, 200, gain=0.3, dt=orders.events.dt, seed=1), orders)
gallery = encode(liquid_state_machine(2 * 34 * 34, 200, gain=0.02, dt=images.events.dt, seed=2), images)
print(f"mean spikes a tick and neuron: {queries.values.mean():.3f} and {gallery.values.mean():.3f}\n")

result, by_pair = ZeroShotResult(), {}
for unseen in itertools.pairwise(range(10)):
    seen = [label for label in range(10) if label not in unseen]
    split = split_classes(queries.labels, gallery.labels, seen=seen, unseen=unseen, seed=0)
    model = ContrastiveProjection(200, 200, 32, temperature=0.1, normalised=True)
    model.fit(
        *split.part("train", queries, gallery),
        validation=split.part("validation", queries, gallery),  # the best epoch is chosen here, on seen classes
        unseen=unseen,  # an error where one of them is among those recordings
        epochs=12,
    )
    found = ask(model, split, queries, gallery)
    result.add("contrastive", found)
    by_pair[unseen] = found["out-of-class"]
print(model.history, "\n")
print(f"{result}\n")
for unseen, found in by_pair.items():
    low, high = found.wilson()
    print(f"unseen {unseen}: {found.accuracy:.0%} right, Wilson's interval {low:.0%} to {high:.0%}, chance 50 %")
print("intervals of one pair speak of more recordings of that pair, not of other classes: compare the pairs")

assert result.interval("contrastive", "in-class").low > 0.4  # chance is one in eight
spread = np.ptp([found.accuracy for found in by_pair.values()])
assert spread > 0.2  # far more than the recordings explain
