"""The fully connected N-MNIST network on simulated chips: accuracy over chips, before and after learning in the loop.

A hundred test recordings tell no differences of a point, so all 1,100 recordings take part: the network of nmnist.py
learns five times from four fifths of them, and chip s has the network of fold s modulo 5 and is tested on the fifth
that this network has not seen. Each chip is another one of its kind: seeds 0, 1, 2 ...

In the loop, the network goes on learning from the same recordings with its forward pass on that very chip. The control
is the same further learning without a chip, put on the same chips afterwards: what is better than that is owed to the
loop. In the end every chip is programmed once more, with what was learned on it. The recipe was chosen on two chips and
another split of the same recordings.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import harness
import nmnist
import numpy as np

import snnsim as sn
from snnsim.backends.crossbar import ADC, Chip, ChipConfig, ChipFabric, Device, Mapping, ideal, pcm, realistic_rram
from snnsim.datasets import EventDataset, RandomShift, load_nmnist
from snnsim.training import SLTT, TrainableNetwork, in_the_loop, train

YEAR = 365.25 * 86400
#: Recordings that the ranges of the converters are set with; they are learned from, too.
CALIBRATION = 50
#: Percentile of the weights that takes the whole range of conductance: few weights are large, and all share the noise.
CLIP = 99.5
#: The same in the loop, where the weights learn to do with less and stand out more from the noise.
LOOP_CLIP = 95.0
FOLDS = 5
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


@dataclass
class Task:
    """What is learned and what is tested: one fold."""

    network: sn.Network
    fit: EventDataset
    events: sn.Events
    labels: np.ndarray
    epochs: int
    learning_rate: float
    program_every: int

    def in_software(self, network: sn.Network) -> float:
        """Return the percentage of test recordings that a network answers right without a chip."""
        return 100 * sn.Simulation(network).run_samples(self.events).accuracy(self.labels)

    @cached_property
    def software(self) -> float:
        """What the network as trained reaches without a chip."""
        return self.in_software(self.network)

    @cached_property
    def control(self) -> sn.Network:
        """The network after further learning without a chip."""
        return self.learned(None, None, 0)

    def mapping(self, kind: Kind, clip: float = CLIP) -> Mapping:
        """Return how the network is laid on a kind of chip."""
        calibration = self.fit.events[:CALIBRATION] if kind.config.adc is not None else None
        return Mapping(clip=clip, calibration=calibration, compensate=kind.compensate)

    def accuracy(self, network: sn.Network, kind: Kind, chip: Chip, clip: float = CLIP) -> float:
        """Return the percentage of test recordings that are answered right."""
        mapping = self.mapping(kind, clip)
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
            fabric = ChipFabric(self.network, chip, self.mapping(kind, LOOP_CLIP))
            with in_the_loop(model, fabric, program_every=self.program_every):
                train(model, self.fit, **options)
        return model.eval().network()


Found = dict[str, list[float]]


def measure(
    tasks: list[Task], kind: Kind, chips: int, loop_chips: int, keep: Callable[[list[dict[str, Any]]], Any]
) -> list[dict[str, Any]]:
    """Return accuracy over chips of one kind, before and after learning; `keep` is given the rows after each chip."""
    before: Found = {"software, as trained": [], "as trained": []}
    after: Found = {"software, learned on": [], "learned on without a chip": [], "in the loop": []}
    for seed in range(chips):
        began, task = time.perf_counter(), tasks[seed % len(tasks)]
        before["software, as trained"].append(task.software)
        before["as trained"].append(task.accuracy(task.network, kind, Chip(kind.config, seed)))
        if kind.learn and seed < loop_chips:
            chip = Chip(kind.config, seed)
            network = task.learned(kind, chip, seed)
            after["software, learned on"].append(task.in_software(task.control))
            after["learned on without a chip"].append(task.accuracy(task.control, kind, Chip(kind.config, seed)))
            after["in the loop"].append(task.accuracy(network, kind, chip, LOOP_CLIP))
        texts = ", ".join(f"{name} {values[-1]:.1f} %" for name, values in (before | after).items() if values)
        print(f"  {kind.name}, chip {seed}: {texts} ({time.perf_counter() - began:.0f} s)", flush=True)
        rows = rows_of(kind, before, after)
        keep(rows)
    return rows


def rows_of(kind: Kind, before: Found, after: Found) -> list[dict[str, Any]]:
    """Return the rows of one kind of chip."""
    rows = []
    for name, values in (before | after).items():
        if values:
            row = nmnist.spread_row(f"{kind.name}, {name}", values)
            rows.append(row | {"metric": f"mean of {len(values)} chips"})
            rows.append(harness.row(f"{kind.name}, {name}", "5th percentile", "%", float(np.percentile(values, 5))))
    if after["in the loop"]:
        count = len(after["in the loop"])
        software, trained = (statistics.mean(values[:count]) for values in before.values())
        for name in ("learned on without a chip", "in the loop"):
            if software > trained:
                share = 100 * (statistics.mean(after[name]) - trained) / (software - trained)
                rows.append(harness.row(f"{kind.name}, {name}", "share of the loss recovered", "%", share))
    return rows


def make_tasks(options: Any, epochs: int) -> list[Task]:
    """Train the networks of the folds."""
    data, test = (load_nmnist(options.data, split=split, dt=nmnist.DT) for split in ("train", "test"))
    events = sn.Events.concatenate([data.events, test.events])
    labels = np.concatenate([data.labels, test.labels])
    everything = EventDataset(events, labels, data.classes, data.sensor_shape, "nmnist-all", data.source)
    recipe, tasks = nmnist.RECIPES[0], []
    for number, (fit, held_out) in enumerate(everything.folds(2 if options.quick else FOLDS, seed=0)):
        network = nmnist.learn(recipe, everything[fit], number, 4 if options.quick else recipe.epochs, SLTT()).network()
        tested = everything[held_out]
        rest = (epochs, options.learning_rate, options.program_every)
        tasks.append(Task(network, everything[fit], tested.events, tested.labels, *rest))
        print(f"fold {number}: software {tasks[-1].software:.1f} % of {len(tested.labels)} recordings", flush=True)
    return tasks


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="zip or folder with Train/ and Test/")
    parser.add_argument("--chips", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8, help="of learning in the loop")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--program-every", type=int, default=3, help="minibatches between two programmings")
    parser.add_argument("--loop-chips", type=int, help="chips to learn on in the loop; default all")
    parser.add_argument("--kinds", nargs="*", help="part of the names of kinds of chips; default all")
    options = parser.parse_args(arguments)
    chips, epochs = (2, 1) if options.quick else (options.chips, options.epochs)
    loop_chips = chips if options.loop_chips is None else options.loop_chips
    tasks = make_tasks(options, epochs)
    rows = [nmnist.spread_row("software, as trained, folds", [task.software for task in tasks])]
    settings = {name: getattr(options, name.replace("-", "_")) for name in ("learning_rate", "program_every")}
    settings |= {
        "data": options.data.name,
        "clip": CLIP,
        "loop_clip": LOOP_CLIP,
        "chips": chips,
        "loop_chips": loop_chips,
        "epochs": epochs,
    }
    settings |= {"folds": len(tasks), "quick": options.quick}
    settings |= {"kinds": {kind.name: kind.config.device.describe() for kind in KINDS}}
    for kind in KINDS:
        if options.kinds and not any(part in kind.name for part in options.kinds):
            continue
        alike = kind.config == kind.config.only()  # ideal chips are all the same one: once a fold
        rows += measure(
            tasks,
            kind,
            min(chips, len(tasks)) if alike else chips,
            loop_chips,
            lambda new, old=tuple(rows): harness.keep("crossbar_chips", settings, [*old, *new], options.json),
        )
    return harness.finish("crossbar_chips", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
