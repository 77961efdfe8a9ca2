"""Zero-shot retrieval from spoken to written digits, of classes that were learned and of classes that were not.

Frozen liquid-state machines encode N-MNIST and spoken digits (FSDD through the inner ear, of bench/spoken_digits.py);
one layer a modality is trained on digits 1 to 7; a spoken digit asks for an image, among 1 to 7 and among 8 and 9.
Gains, temperatures and epochs are chosen on validation recordings of the digits that are learned from, for each seed
anew. Each seed draws reservoirs, first weights, pairs, and which recordings of digits 1 to 7 are held out; of digits 8
and 9 every recording of both splits is asked, since none was learned from.

Whether 8 and 9 are told apart for a reason is another question than whether 8 and 9 are told apart: the same is done
with every other pair of digits left out, and with the digits of the two modalities matched at random.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import harness
import numpy as np

import snnsim as sn
from snnsim.datasets import EventDataset, load_nmnist, read_spikes_hdf5
from snnsim.reservoir import liquid_state_machine
from snnsim.training import ContrastiveProjection, PrototypeProjection
from snnsim.zero_shot import LabelledFeatures, ZeroShotResult, ZeroShotSplit, ask, encode, input_counts, split_classes

SEEN, UNSEEN = tuple(range(1, 8)), (8, 9)
#: Temperature, and whether vectors are normalised: among these, validation decides. The first is the published one.
CHOICES = ((1.0, False), (0.05, True), (0.1, True), (0.3, True))
#: The same where there is more to train.
FEWER = (CHOICES[0], CHOICES[2])
#: Published with this architecture (doi:10.1038/s43588-024-00751-z; github.com/MrLinNing/MemristorLSM,
#: LSM-CLIP-ATV/README.md), N-TIDIGITS to N-MNIST: per cent by dimensions.
PUBLISHED = {
    ("LSM, contrastive", 64): {"in-class": 66.1, "out-of-class": 88.0},
    ("LSM, contrastive", 128): {"in-class": 67.4, "out-of-class": 88.5},
    ("LSM, prototypes", 64): {"in-class": 50.25, "out-of-class": 81.69},
    ("LSM, prototypes", 128): {"in-class": 50.0, "out-of-class": 77.9},
}
PEER = "published: other sounds, best epoch on test data"


@dataclass(frozen=True)
class Modality:
    """Recordings, and the reservoir that encodes them; gains are those among which validation decides."""

    data: EventDataset
    threshold: float
    decay: float
    gains: tuple[float, ...]

    def features(self, gain: float, size: int, seed: int, where: Callable[[sn.Network], Any]) -> LabelledFeatures:
        """Return what a reservoir says of every recording."""
        events = self.data.events
        network = liquid_state_machine(
            events.n_sources, size, threshold=self.threshold, decay=self.decay, gain=gain, dt=events.dt, seed=seed
        )
        return encode(network, self.data, make_simulation=where)


def joined(parts: list[EventDataset], name: str) -> EventDataset:
    """Return the recordings of both splits of a data set."""
    events = sn.Events.concatenate([part.events for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    return replace(parts[0], events=events, labels=labels, name=name, groups=None)


def images(path: Path) -> EventDataset:
    """Return N-MNIST as published for this task: the 16 x 16 pixels in the middle, one polarity, 50 binary ticks."""
    whole = joined([load_nmnist(path, split=split, dt=6.8e-3) for split in ("train", "test")], "nmnist, both splits")
    y, x = np.divmod(np.arange(34 * 34), 34)
    inside = (y >= 9) & (y < 25) & (x >= 9) & (x < 25)
    kept = np.concatenate([inside, np.zeros(34 * 34, bool)])
    places = (np.cumsum(kept) - 1).astype(np.int32)
    events = whole.events
    chosen = kept[events.sources]
    offsets = np.concatenate([[0], np.cumsum(chosen)])[events.offsets]
    cropped = sn.Events(
        events.ticks[chosen], places[events.sources[chosen]], offsets, 256, events.n_ticks, events.dt, events.lengths
    )
    return replace(whole, events=cropped, sensor_shape=(16, 16)).binarised()


def sounds(train: Path, test: Path) -> EventDataset:
    """Return spoken digits in 129 binary ticks of 10 ms; what is longer is cut."""
    parts = [read_spikes_hdf5(path, dt=0.01, duration=1.29, crop=True) for path in (train, test)]
    return joined(parts, "spoken digits, both splits").binarised()


def probe(features: LabelledFeatures, fit: np.ndarray, judged: np.ndarray) -> float:
    """Return the accuracy of a ridge readout; what fits is standardised by what it is fitted on."""
    mean, spread = features.values[fit].mean(axis=0), features.values[fit].std(axis=0)
    x = (features.values - mean) / np.where(spread > 0, spread, 1.0)
    classes = np.unique(features.labels[fit])
    y = (features.labels[fit][:, None] == classes) - 1.0 / classes.size
    a = x[fit].T @ x[fit] + 0.1 * fit.size * np.eye(x.shape[1])
    answers = classes[(x[judged] @ np.linalg.solve(a, x[fit].T @ y)).argmax(axis=1)]
    return float(np.mean(answers == features.labels[judged]))


def learn(
    split: ZeroShotSplit, sides: tuple[LabelledFeatures, LabelledFeatures], make: Any, options: Any, seed: int
) -> Any:
    """Return a trained projection; which classes are unseen is checked on the way in."""
    model = make(sides[0].values.shape[1], sides[1].values.shape[1], seed=seed)
    model.fit(
        *split.part("train", *sides),
        validation=split.part("validation", *sides),
        unseen=split.unseen,
        epochs=options.epochs,
        batch_size=options.batch_size,
        patience=10,
        redraw=True,
        seed=seed,
    )
    return model


def best_contrastive(
    split: Any, sides: Any, dimensions: int, options: Any, seed: int, among: Any = CHOICES, **choices: Any
) -> Any:
    """Return the projection of the temperature that is best on validation recordings."""

    def one(temperature: float, normalised: bool) -> Any:
        def make(*sizes: int, seed: int) -> ContrastiveProjection:
            return ContrastiveProjection(
                *sizes, dimensions, temperature=temperature, normalised=normalised, seed=seed, **choices
            )

        return learn(split, sides, make, options, seed)

    models = [one(*choice) for choice in among]
    return max(models, key=lambda model: max(model.history.validation_accuracy))  # of equals, the first


class Features:
    """Features of both modalities by seed, at every gain, each computed once."""

    def __init__(self, sound: Modality, image: Modality, size: int) -> None:
        self.modalities, self.size = {"queries": sound, "gallery": image}, size
        self.known: dict[tuple[str, float, int], LabelledFeatures] = {}
        self.seconds = 0.0

    def at(self, side: str, gain: float, seed: int) -> LabelledFeatures:
        """Return the features of a modality at a gain."""
        key = side, gain, seed
        if key not in self.known:
            began = time.perf_counter()
            # The two modalities have reservoirs of their own, whatever their sizes.
            number = 2 * seed + (side == "gallery")
            self.known[key] = self.modalities[side].features(gain, self.size, number, sn.Simulation)
            self.seconds += time.perf_counter() - began
        return self.known[key]

    def chosen(self, split: ZeroShotSplit, seed: int) -> tuple[tuple[LabelledFeatures, LabelledFeatures], list[float]]:
        """Return the features at the gains that are best on validation recordings, and those gains."""
        found, gains = [], []
        for side, modality in self.modalities.items():
            parts = getattr(split, side)
            scores = [probe(self.at(side, gain, seed), parts["train"], parts["validation"]) for gain in modality.gains]
            gains.append(modality.gains[int(np.argmax(scores))])
            found.append(self.at(side, gains[-1], seed))
        return (found[0], found[1]), gains


def chips(seed: int) -> Callable[[sn.Network], Any] | None:
    """Return what runs a network on a chip of its own, or None where this snnsim has no chip."""
    try:
        from snnsim.backends.crossbar import Chip, ChipConfig, realistic_rram
    except ImportError:
        return None
    numbers = itertools.count(2 * seed)

    def make(network: sn.Network) -> Any:
        return sn.Simulation(network, "crossbar", chip=Chip(ChipConfig(device=realistic_rram()), seed=next(numbers)))

    return make


def one_seed(features: Features, options: Any, seed: int, result: ZeroShotResult) -> None:
    """Train and ask with every method."""
    sound, image = (features.modalities[side].data for side in ("queries", "gallery"))
    split = split_classes(sound.labels, image.labels, seen=SEEN, unseen=UNSEEN, seed=seed)
    reservoir, gains = features.chosen(split, seed)
    counts = input_counts(sound), input_counts(image)
    said = [f"gains {gains[0]:g} and {gains[1]:g}"]
    for dimensions in options.dimensions:
        for name, sides in (("LSM, contrastive", reservoir), ("input counts, contrastive", counts)):
            model = best_contrastive(split, sides, dimensions, options, seed)
            result.add(f"{name}, {dimensions}", ask(model, split, *sides))
            length = "cosine" if model.normalised else "dot product"
            said.append(f"{name}, {dimensions}: temperature {model.temperature:g}, {length}")
        for name, sides in (("LSM, prototypes", reservoir), ("input counts, prototypes", counts)):

            def make(*sizes: int, seed: int, width: int = dimensions) -> PrototypeProjection:
                return PrototypeProjection(*sizes, width, seed=seed)

            result.add(f"{name}, {dimensions}", ask(learn(split, sides, make, options, seed), split, *sides))
    model = best_contrastive(split, reservoir, 64, options, seed, targets="identity")
    result.add("LSM, contrastive with identity targets, 64", ask(model, split, *reservoir))
    where = chips(seed)
    if where is not None:
        made = [
            modality.features(gain, features.size, 2 * seed + number, where)
            for number, (modality, gain) in enumerate(zip(features.modalities.values(), gains, strict=True))
        ]
        model = best_contrastive(split, made, 64, options, seed)
        result.add("LSM on a chip, contrastive, 64", ask(model, split, *made))
    print(f"seed {seed}: {'; '.join(said)}", flush=True)


def every_pair(features: Features, options: Any, sides_of: Any) -> list[float]:
    """Return the accuracy out-of-class with each pair of digits left out, all other digits learned from."""
    sound, image = (features.modalities[side].data for side in ("queries", "gallery"))
    found = []
    for unseen in list(itertools.combinations(range(10), 2))[: 4 if options.quick else None]:
        seen = [digit for digit in range(10) if digit not in unseen]
        split = split_classes(sound.labels, image.labels, seen=seen, unseen=unseen, seed=0)
        sides = sides_of(split)
        model = best_contrastive(split, sides, 64, options, 0, FEWER)
        found.append(100 * ask(model, split, *sides)["out-of-class"].accuracy)
    return found


def matched_at_random(features: Features, options: Any, count: int) -> list[float]:
    """Return the accuracy on 8 and 9 with digits 1 to 7 of the one modality matched to others of the other."""
    sound, image = (features.modalities[side].data for side in ("queries", "gallery"))
    found = []
    for number in range(count):
        order = np.arange(10)
        order[1:8] = 1 + np.random.Generator(np.random.PCG64(number)).permutation(7)
        split = split_classes(sound.labels, order[image.labels], seen=SEEN, unseen=UNSEEN, seed=0)
        first, second = features.chosen(split, 0)[0]
        sides = first, LabelledFeatures(second.values, order[second.labels], second.numbers)
        model = best_contrastive(split, sides, 64, options, number, FEWER)
        found.append(100 * ask(model, split, *sides)["out-of-class"].accuracy)
    return found


def spread_row(case: str, metric: str, values: list[float]) -> dict[str, Any]:
    """Return a row with the mean and the range; the metric says more."""
    low, high = min(values), max(values)
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    above = sum(value > 50 for value in values)
    text = f"{metric}, sd {sd:.1f}, above 50 %: {above} of {len(values)}; range"
    return harness.row(case, text, "%", statistics.mean(values), spread=(low, high))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--nmnist", type=Path, required=True, help="zip or folder with Train/ and Test/")
    parser.add_argument("--spoken", type=Path, nargs=2, required=True, metavar=("TRAIN", "TEST"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=200, help="neurons in a reservoir")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--matchings", type=int, default=30, help="random matchings of digits")
    parser.add_argument("--save", type=Path, help="keep all retrievals in this HDF5 file")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.epochs, options.matchings, options.dimensions = 1, 8, 3, [64]
    sound = Modality(sounds(*options.spoken), 5.3, 0.97, (0.03, 0.05, 0.1, 0.2))
    image = Modality(images(options.nmnist), 5.0, 0.9, (0.03, 0.07, 0.15, 0.3))
    if options.quick:
        sound, image = replace(sound, gains=(0.1,)), replace(image, gains=(0.07,))
    features, result, rows = Features(sound, image, options.size), ZeroShotResult(), []
    for seed in range(options.seeds):
        one_seed(features, options, seed, result)
    result.notes["data"] = f"queries {sound.data.name}, gallery {image.data.name}"
    print(f"\n{result}\n", flush=True)
    for method in result.retrievals:
        name, _, width = method.rpartition(", ")
        for scope in ("in-class", "out-of-class"):
            low, high = (100 * bound for bound in result.interval(method, scope))
            runs = result.runs(method, scope)
            published = PUBLISHED.get((name, int(width)), {}).get(scope)
            metric = f"top-1, {scope}, chance {100 * runs[0].chance:.1f} %, seeds: {len(runs)}"
            peer = None if published is None else PEER
            ours = 100 * result.accuracy(method, scope)
            rows.append(harness.row(method, metric, "%", ours, published, peer, spread=(low, high)))
    for method in (f"LSM, contrastive, {width}" for width in options.dimensions):
        classes, counts = result.confusion(method, "out-of-class")
        print(f"{method}: asked {classes.tolist()}, answered\n{counts}")
    if options.save is not None:
        result.save(options.save)
    harness.keep("zeroshot", {}, rows, options.json)
    counted = input_counts(sound.data), input_counts(image.data)
    for name, sides_of in (
        ("LSM", lambda split: features.chosen(split, 0)[0]),
        ("input counts", lambda split: counted),
    ):
        values = every_pair(features, options, sides_of)
        rows.append(spread_row(f"{name}, contrastive, 64: each pair of digits left out", "top-1 of the pair", values))
    values = matched_at_random(features, options, options.matchings)
    rows.append(spread_row("LSM, contrastive, 64: digits 1 to 7 matched at random", "top-1 of 8 and 9", values))
    if chips(0) is None:
        print("no row for a chip: this snnsim has no crossbar backend")
    encoded = len(features.known)
    rows.append(harness.row(f"{encoded} encodings", "time of one, mean", "s", features.seconds / encoded))
    settings = {key: value for key, value in vars(options).items() if not isinstance(value, (Path, list))}
    settings |= {"seen": SEEN, "unseen": UNSEEN, "choices": CHOICES, "gains": [sound.gains, image.gains]}
    settings |= {"dimensions": options.dimensions, "data": [sound.data.name, image.data.name]}
    return harness.finish("zeroshot", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
