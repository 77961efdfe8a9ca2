"""The fully connected N-MNIST network on simulated chips: accuracy over chips, before and after learning in the loop.

The network of nmnist.py learns from four fifths of the training recordings. It is tested on the official test
recordings and the fifth that was held out, since a hundred recordings tell no differences of a point. Each chip is
another one of its kind: seeds 0, 1, 2 ...

In the loop, the network goes on learning from the same recordings with its forward pass on that very chip. The control
is the same further learning without a chip, put on the same chips afterwards: what is better than that is owed to the
loop. In the end every chip is programmed once more, with what was learned on it.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import nmnist
import numpy as np

import snnsim as sn
from snnsim.augmentation import RandomShift
from snnsim.backends.crossbar import ADC, Chip, ChipConfig, ChipFabric, Device, Mapping, ideal, pcm, realistic_rram
from snnsim.datasets import EventDataset, load_nmnist
from snnsim.training import SLTT, TrainableNetwork, in_the_loop, train

YEAR = 365.25 * 86400
#: Recordings that the ranges of the converters are set with; they are learned from, too.
CALIBRATION = 50
CONVERTER = ADC(8, offset_spread=0.5, gain_spread=0.01)


@dataclass(frozen=True)
class Kind:
    """A kind of chip, and how it is used."""

    name: str
    config: ChipConfig
    age: float = 0.0
    compensate: str | None = None
    learn: bool = True


KINDS = (
    Kind("ideal", ChipConfig(ideal()), learn=False),
    Kind("4-bit programming", ChipConfig(Device("16 levels", 1.0, 40.0, levels=16))),
    Kind("realistic RRAM, 8-bit ADC", ChipConfig(realistic_rram(), adc=CONVERTER)),
    Kind("PCM, fresh", ChipConfig(pcm(), adc=CONVERTER), learn=False),
    Kind("PCM, after a year", ChipConfig(pcm(), adc=CONVERTER), YEAR, learn=False),
    Kind("PCM, after a year, compensated", ChipConfig(pcm(), adc=CONVERTER), YEAR, "tile"),
    Kind("1 % stuck", ChipConfig(Device("stuck", 1.0, 40.0, stuck_on=0.005, stuck_off=0.005))),
)


@dataclass(frozen=True)
class Task:
    """What is learned and what is tested."""

    network: sn.Network
    fit: EventDataset
    events: sn.Events
    labels: np.ndarray
    epochs: int
    learning_rate: float
    program_every: int

    def mapping(self, kind: Kind) -> Mapping:
        """Return how the network is laid on a kind of chip."""
        calibration = self.fit.events[:CALIBRATION] if kind.config.adc is not None else None
        return Mapping(calibration=calibration, compensate=kind.compensate)

    def accuracy(self, network: sn.Network, kind: Kind, chip: Chip) -> float:
        """Return the percentage of test recordings that are answered right."""
        mapping = self.mapping(kind)
        if kind.age:
            sn.Simulation(network, "crossbar", chip=chip, mapping=mapping)  # which programs it
            chip.age(kind.age)
        result = sn.Simulation(network, "crossbar", chip=chip, mapping=mapping).run_samples(self.events)
        return 100 * result.accuracy(self.labels)

    def learned(self, kind: Kind | None, chip: Chip | None, seed: int) -> sn.Network:
        """Return the network after further learning, in the loop where there is a chip."""
        model = TrainableNetwork(self.network, learn=("weights", "bias"), dropout={"hidden1": 0.2})
        options: dict[str, Any] = {
            "rule": SLTT(),
            "epochs": self.epochs,
            "batch_size": 32,
            "learning_rate": self.learning_rate,
            "validation": 0.0,
            "augment": RandomShift(nmnist.SHAPE, 2),
            "seed": seed,
            "progress": False,
        }
        if kind is None or chip is None:
            train(model, self.fit, **options)
        else:
            fabric = ChipFabric(self.network, chip, self.mapping(kind))
            with in_the_loop(model, fabric, program_every=self.program_every):
                train(model, self.fit, **options)
        return model.eval().network()


def chips_rows(task: Task, kind: Kind, chips: int, software: float) -> list[dict[str, Any]]:
    """Return accuracy over chips of one kind, before and after learning."""
    found: dict[str, list[float]] = {"as trained": []}
    control = task.learned(None, None, 0) if kind.learn else None
    for seed in range(chips):
        began = time.perf_counter()
        found["as trained"].append(task.accuracy(task.network, kind, Chip(kind.config, seed)))
        if control is not None:
            chip = Chip(kind.config, seed)
            network = task.learned(kind, chip, seed)
            found.setdefault("learned on without a chip", []).append(
                task.accuracy(control, kind, Chip(kind.config, seed))
            )
            found.setdefault("learned on in the loop", []).append(task.accuracy(network, kind, chip))
        texts = ", ".join(f"{name} {values[-1]:.1f} %" for name, values in found.items())
        print(f"  {kind.name}, chip {seed}: {texts} ({time.perf_counter() - began:.0f} s)", flush=True)
    rows = []
    for name, values in found.items():
        row = nmnist.spread_row(f"{kind.name}, {name}", values)
        rows.append(row | {"metric": f"mean of {chips} chips", "peer": software, "peer_name": "software, as trained"})
        rows.append(harness.row(f"{kind.name}, {name}", "5th percentile", "%", float(np.percentile(values, 5))))
    if control is not None:
        before, after = (statistics.mean(found[name]) for name in ("as trained", "learned on in the loop"))
        if software > before:
            share = 100 * (after - before) / (software - before)
            rows.append(harness.row(f"{kind.name}, in the loop", "share of the loss recovered", "%", share))
    return rows


def make_task(path: Path, quick: bool, epochs: int, learning_rate: float, program_every: int) -> Task:
    """Train the network and return what is to be done with it."""
    data, test = (load_nmnist(path, split=split, dt=nmnist.DT) for split in ("train", "test"))
    fit, held_out = data.split(0.8, seed=0)
    recipe = nmnist.RECIPES[0]
    network = nmnist.learn(recipe, fit, 0, 4 if quick else recipe.epochs, SLTT()).network()
    events = sn.Events.concatenate([test.events, held_out.events])
    labels = np.concatenate([test.labels, held_out.labels])
    return Task(network, fit, events, labels, epochs, learning_rate, program_every)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="zip or folder with Train/ and Test/")
    parser.add_argument("--chips", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10, help="of learning in the loop")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--program-every", type=int, default=10, help="minibatches between two programmings")
    parser.add_argument("--kinds", nargs="*", help="part of the names of kinds of chips; default all")
    options = parser.parse_args(arguments)
    chips, epochs = (2, 1) if options.quick else (options.chips, options.epochs)
    task = make_task(options.data, options.quick, epochs, options.learning_rate, options.program_every)
    software = 100 * sn.Simulation(task.network).run_samples(task.events).accuracy(task.labels)
    print(f"software: {software:.1f} % of {len(task.events)} recordings", flush=True)
    rows = [harness.row("software, as trained", f"of {len(task.events)} recordings", "%", software)]
    settings = {name: getattr(options, name.replace("-", "_")) for name in ("learning_rate", "program_every")}
    settings |= {"data": options.data.name, "chips": chips, "epochs": epochs, "quick": options.quick}
    settings |= {"kinds": {kind.name: kind.config.device.describe() for kind in KINDS}}
    for kind in KINDS:
        if options.kinds and not any(part in kind.name for part in options.kinds):
            continue
        rows += chips_rows(task, kind, chips, software)
        harness.keep("crossbar_chips", settings, rows, options.json)
    return harness.finish("crossbar_chips", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
