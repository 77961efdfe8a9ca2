"""N-MNIST from recordings to an early-exiting run: train, run on every backend, one table, figures.

For a fully connected and a convolutional network: test accuracy over seeds, the same spikes in torch and on every
backend for all test recordings, early exit with its oracle, and 10-fold cross-validation over all recordings. For the
fully connected network also SLTT against BPTT, and activation memory at 50 and 300 ticks. Early exit is calibrated on
training recordings that the network has not learned from. The recipes themselves (membrane decay, dropout, shift) were
chosen on four folds of the cross-validation, which hold test recordings too.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np

import snnsim as sn
from snnsim.architectures import convolutional, fully_connected
from snnsim.backends import names as backend_names
from snnsim.datasets import EventDataset, RandomShift, load_nmnist
from snnsim.early_exit import Calibration, ExitMeasurement, accuracy_latency_curve, calibrate, measure_early_exit
from snnsim.training import BPTT, SLTT, TrainableNetwork, train

DT = 17e-3  # twenty ticks for a recording of 0.34 s
SHAPE = (2, 34, 34)


@dataclass(frozen=True)
class Recipe:
    """How one network is made and trained."""

    name: str
    make: Any
    epochs: int
    learning_rate: float
    dropout: float
    shift: int = 2
    batch_size: int = 32


RECIPES = (
    Recipe(
        "fully connected", lambda seed: fully_connected(SHAPE, 10, dt=DT, decay=0.5, gain=1.0, seed=seed), 40, 1e-3, 0.2
    ),
    Recipe(
        "convolutional",
        lambda seed: convolutional(SHAPE, 10, channels=(24, 48), dt=DT, seed=seed),
        30,
        2e-3,
        0.2,
    ),
)


def learn(recipe: Recipe, data: EventDataset, seed: int, epochs: int, rule: Any) -> TrainableNetwork:
    """Return a trained model in evaluation mode.

    All recordings are learned from and the last epoch is kept: with a thousand of them, a tenth set aside to choose the
    best epoch costs a point of accuracy.
    """
    network = recipe.make(seed)
    hidden = [p.name for p in network.populations if not p.is_source and p.name != "output"]
    model = TrainableNetwork(network, learn=("weights", "bias"), dropout=dict.fromkeys(hidden, recipe.dropout))
    train(
        model,
        data,
        rule=rule,
        epochs=epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        validation=0.0,
        augment=RandomShift(SHAPE, recipe.shift),
        seed=seed,
        progress=sys.stderr.isatty(),
    )
    return model.eval()


def same_spikes(model: TrainableNetwork, test: EventDataset) -> list[dict[str, Any]]:
    """Compare torch and every backend over all test recordings; stop where float64 is not identical."""
    network = model.network()
    hidden = [p.name for p in network.populations if not p.is_source and p.name != "output"]
    rows = []
    for dtype in ("float64", "float32"):
        twin = TrainableNetwork(network, dtype=dtype).eval()
        torch_spikes = twin.spikes(test.events, hidden)
        torch_answers = twin.readout(test.events).detach().double().sum(1).argmax(1).numpy()
        for backend in backend_names():
            result = sn.Simulation(network, backend, dtype=dtype).run_samples(
                test.events, record=(*hidden, sn.Trace("output"))
            )
            differing = sum(_differing(torch_spikes[name], result.spikes[name]) for name in hidden)
            total = sum(torch_spikes[name].ticks.size for name in hidden)
            wrong = int(np.sum(torch_answers != result.predictions("output")))
            if (dtype == "float64" and differing) or wrong:
                raise SystemExit(f"{backend}, {dtype}: {differing} spikes and {wrong} predictions differ from torch")
            case = f"spikes unlike torch's, {backend}, {dtype}"
            rows.append(harness.row(case, f"of {total:,} spikes", "%", 100 * differing / max(total, 1)))
    return rows


def _differing(a: sn.Events, b: sn.Events) -> int:
    """Return how many events are in one batch and not in the other."""
    keys = [(e.recordings * e.n_ticks + e.ticks) * e.n_sources + e.sources for e in (a, b)]
    return int(np.setxor1d(keys[0], keys[1]).size)


def folds(recipe: Recipe, everything: EventDataset, count: int, epochs: int) -> list[float]:
    """Return the accuracy of each fold of a cross-validation."""
    found = []
    for number, (fit, held_out) in enumerate(everything.folds(count, seed=0)):
        began = time.perf_counter()
        model = learn(recipe, everything[fit], number, epochs, SLTT())
        result = sn.Simulation(model.network()).run_samples(everything[held_out].events)
        found.append(100 * result.accuracy(everything[held_out].labels))
        print(f"  fold {number + 1} of {count}: {found[-1]:.1f} % ({time.perf_counter() - began:.0f} s)", flush=True)
    return found


def spread_row(case: str, values: list[float], unit: str = "%") -> dict[str, Any]:
    """Return a row with the mean, and mean minus and plus one standard deviation as spread."""
    mean, sd = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    metric = f"mean of {len(values)}, sd {sd:.2f}"
    return harness.row(case, metric, unit, mean, spread=(mean - sd, mean + sd))


def exit_rows(name: str, measured: ExitMeasurement) -> list[dict[str, Any]]:
    """Return rows of what early exit costs and saves; the peer is the same network run to the end."""
    milliseconds = tuple(s * 1e3 / len(measured.full) for s in (measured.full_seconds, measured.early_seconds))
    pairs = [
        ("accuracy", "%", tuple(100 * value for value in measured.accuracy)),
        ("mean ticks", "ticks", measured.mean_ticks),
        ("synaptic operations", "a recording", measured.synaptic_operations),
        ("wall time, 1 thread", "ms", milliseconds),
    ]
    rows = [
        harness.row(f"{name}, early exit", metric, unit, early, full, "all ticks", full / early if early else None)
        for metric, unit, (full, early) in pairs
    ]
    oracle = measured.oracle
    case = f"{name}, oracle exit"
    rows.append(harness.row(case, "accuracy", "%", 100 * float(oracle.accuracy[-1])))
    rows.append(harness.row(case, "mean ticks, wrong = all", "ticks", float(oracle.mean_ticks_wrong_as_cap[-1])))
    return rows


def early_exit(recipe: Recipe, data: EventDataset, test: EventDataset, epochs: int, figures: Path | None) -> list[Any]:
    """Train on four fifths of the training recordings, calibrate on the rest, measure on the test recordings.

    Once with no accuracy to lose on the calibration recordings, and once with a point of it: on so few recordings one
    that turns wrong forbids most thresholds.
    """
    fit, held_out = data.split(0.8, seed=0)
    network = learn(recipe, fit, 0, epochs, SLTT()).network()
    result = sn.Simulation(network).run_samples(held_out.events)
    rows = []
    for points in (0, 1):
        calibration = calibrate(result, held_out.labels, allowed_drop=points / 100)
        measured = measure_early_exit(network, test.events, test.labels, calibration.rule)
        print(f"{recipe.name}, early exit that may lose {points} points\n{measured}\n", flush=True)
        rows += exit_rows(f"{recipe.name}, {points} points to lose", measured)
        if figures is not None:
            draw(measured, test, calibration, figures / f"nmnist_{recipe.name.replace(' ', '_')}_{points}")
    return rows


def draw(measured: ExitMeasurement, test: EventDataset, calibration: Calibration, stem: Path) -> None:
    """Save accuracy against latency and confidence over time."""
    from snnsim import plot

    full, rule = measured.full, calibration.rule
    curve = accuracy_latency_curve(full, test.labels, rule.smoothing, calibration.curve.thresholds)
    axes = plot.accuracy_latency(curve, measured.oracle, rule.evaluate(full, test.labels))
    plot.save(axes, stem.with_name(f"{stem.name}_accuracy_latency.png"))
    plot.save(plot.confidence(full, test.labels, rule, 8), stem.with_name(f"{stem.name}_confidence.png"))


def memory_rows(recipe: Recipe) -> list[dict[str, Any]]:
    """Return activation memory of a training step at 50 and 300 ticks, SLTT with BPTT as the peer."""
    model = TrainableNetwork(recipe.make(0))
    rows = []
    for ticks in (50, 300):
        sltt, bptt = (model.memory_report(ticks, 64, rule).activations / 2**20 for rule in (SLTT(), BPTT()))
        rows.append(
            harness.row(
                f"{recipe.name}, {ticks} ticks, batch 64", "activations", "MiB", sltt, bptt, "BPTT", bptt / sltt
            )
        )
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="zip or folder with Train/ and Test/")
    parser.add_argument("--seeds", type=int, default=3, help="0 leaves test accuracy out")
    parser.add_argument("--folds", type=int, default=10, help="0 leaves cross-validation out")
    parser.add_argument("--figures", type=Path, help="folder for figures")
    options = parser.parse_args(arguments)
    seeds, count = (1, 0) if options.quick else (options.seeds, options.folds)
    data, test = (load_nmnist(options.data, split=split, dt=DT) for split in ("train", "test"))
    everything = EventDataset(
        sn.Events.concatenate([data.events, test.events]),
        np.concatenate([data.labels, test.labels]),
        data.classes,
        data.sensor_shape,
        "nmnist-all",
        data.source,
    )
    rows: list[dict[str, Any]] = []
    for recipe in RECIPES:
        epochs = 4 if options.quick else recipe.epochs
        accuracies: dict[str, list[float]] = {}
        rules = {"SLTT": SLTT()} | ({"BPTT": BPTT()} if recipe.name == "fully connected" else {})
        for rule_name, rule in rules.items():
            for seed in range(seeds):
                began = time.perf_counter()
                model = learn(recipe, data, seed, epochs, rule)
                result = sn.Simulation(model.network()).run_samples(test.events)
                accuracies.setdefault(rule_name, []).append(100 * result.accuracy(test.labels))
                print(
                    f"{recipe.name}, {rule_name}, seed {seed}: {accuracies[rule_name][-1]:.1f} % "
                    f"({time.perf_counter() - began:.0f} s)",
                    flush=True,
                )
                if seed == 0 and rule_name == "SLTT":
                    rows += [{**row, "case": f"{recipe.name}: {row['case']}"} for row in same_spikes(model, test)]
            if seeds:
                rows.append(spread_row(f"{recipe.name}, {rule_name}, test accuracy", accuracies[rule_name]))
        rows += early_exit(recipe, data, test, epochs, options.figures)
        if count:
            rows.append(spread_row(f"{recipe.name}, {count}-fold accuracy", folds(recipe, everything, count, epochs)))
    rows += memory_rows(RECIPES[0])
    settings = {"data": options.data.name, "seeds": seeds, "folds": count, "dt": DT, "quick": options.quick}
    settings["recipes"] = {r.name: {k: v for k, v in vars(r).items() if k != "make"} for r in RECIPES}
    return harness.finish("nmnist", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
