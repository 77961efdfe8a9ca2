"""Spoken digits with delays: none, fixed, learned; accuracy over seeds, soft, rounded, fine-tuned; and deployed.

By default the Spiking Heidelberg Digits and the configuration of DCLS-Delays (arXiv:2306.17670): two hidden layers of
256, delays to 250 ms, 140 input channels, 150 epochs. `--train` and `--test` name other files in SHD's form, which keep
names of their own. The clean protocol, by default, chooses the epoch on training speakers that are not learned from;
`paper` chooses on the test split, as published figures are, and says so; `speaker` tests on speakers of both files who
were not learned from. Reported is the accuracy of rounded delays, then that after weights were tuned to them.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

import snnsim as sn
from snnsim import plot
from snnsim.architectures import delayed
from snnsim.datasets import EventDataset, Protocol, apply_protocol, load_shd, read_spikes_hdf5
from snnsim.errors import SnnsimError
from snnsim.training import BPTT, ATan, TrainableNetwork, evaluate, train

DT = 10e-3
LOSS = "summed_softmax"
#: What is compared: longest delay as a share of the one asked for, what is learned, and the schedule of the kernels.
KINDS: dict[str, tuple[float, tuple[str, ...], str]] = {
    "none": (0.0, ("weights",), "decreasing"),
    "fixed": (1.0, ("weights",), "decreasing"),
    "learned": (1.0, ("weights", "delays"), "decreasing"),
    "constant": (1.0, ("weights", "delays"), "constant"),
}


def read(options: Any) -> tuple[EventDataset, EventDataset] | None:
    """Return training and test data, or None, with a message, where SHD is not there."""
    if options.train is not None:
        length = {"duration": options.duration, "crop": True} if options.duration else {}
        given = [read_spikes_hdf5(path, dt=DT, **length) for path in (options.train, options.test)]
        train_set, test_set = (data.pooled(options.pool) for data in given)
    else:
        try:
            # The published frames count from the first spike of a sample.
            paper = options.protocol == "paper"
            train_set, test_set = (
                load_shd(split, from_first_event=paper).pooled(options.pool) for split in ("train", "test")
            )
        except SnnsimError as error:
            print(f"SHD is not here, and nothing else is taken for it: {error}")
            print("give files in its form by --train and --test")
            return None
    return train_set, test_set


def divide(train_set: EventDataset, test_set: EventDataset, protocol: str, seed: int) -> Protocol:
    """Return what to learn from, to choose on and to test on."""
    if protocol in ("clean", "paper"):
        return apply_protocol(train_set, test_set, protocol, seed=seed)
    if protocol == "official":
        kept, held_out = train_set.split(0.9, seed=seed)
        statement = f"chosen on {len(held_out):,} training samples, of speakers that were learned from, as those tested"
        return Protocol(protocol, kept, held_out, test_set, statement)
    kept, test_speakers = train_set.split_by_group(0.8, seed)
    assert test_speakers.groups is not None
    assert test_set.groups is not None
    also = test_set[np.flatnonzero(np.isin(test_set.groups, test_speakers.groups))]
    learn, held_out = kept.split(0.9, seed=seed)
    both = EventDataset(
        sn.Events.concatenate([test_speakers.events, also.events]),
        np.concatenate([test_speakers.labels, also.labels]),
        test_set.classes,
        test_set.sensor_shape,
        f"{test_set.name}-speakers",
        test_set.source,
    )
    speakers = ", ".join(str(number) for number in np.unique(test_speakers.groups))
    return Protocol(protocol, learn, held_out, both, f"tested on speaker {speakers}, of whom nothing was learned")


def make(kind: str, data: EventDataset, options: Any, seed: int) -> TrainableNetwork:
    """Return an untrained model."""
    share, learn, _ = KINDS[kind]
    network = delayed(
        data.sensor_shape,
        len(data.classes),
        hidden=options.hidden,
        maximum_delay=share * options.maximum_delay,
        kernel_count=options.kernel_count,
        dt=DT,
        time_constant=options.time_constant,
        seed=seed,
    )
    hidden = [population.name for population in network.populations if population.name.startswith("hidden")]
    return TrainableNetwork(
        network,
        learn=learn,
        surrogate=ATan(5.0),
        batch_norm=hidden,
        batch_norm_over="sequence",
        dropout=dict.fromkeys(hidden, options.dropout),
        lengthen=options.lengthen,
    )


def one_run(kind: str, parts: Protocol, options: Any, seed: int) -> tuple[TrainableNetwork, dict[str, float]]:
    """Train one network; return it and accuracies in per cent by how its delays are read."""
    model = make(kind, parts.train, options, seed)
    recipe: dict[str, Any] = {
        "rule": BPTT(detach_reset=True),
        "loss": LOSS,
        "weight_decay": 1e-5,
        "batch_size": options.batch_size,
        "validation": parts.validation,
        "seed": seed,
    }
    train(
        model,
        parts.train,
        epochs=options.epochs,
        learning_rate=5e-3,
        schedule="one_cycle",
        sharpening=KINDS[kind][2],
        **recipe,
    )
    found = {"rounded": 100 * evaluate(model, parts.test)}
    if not model.hard:
        found["soft"] = 100 * evaluate(model, parts.test, soft_delays=True)
        if options.fine_tune:
            model.harden()
            train(model, parts.train, epochs=options.fine_tune, learning_rate=1e-3, schedule="cosine", **recipe)
            found["fine-tuned"] = 100 * evaluate(model, parts.test)
    return model, found


def deploy(name: str, model: TrainableNetwork, test: EventDataset) -> list[dict[str, Any]]:
    """Compare predictions of all test samples in torch and on every backend, and time them."""
    model.eval()
    began = time.perf_counter()
    answers = np.concatenate(
        [model.scores(test.events[start : start + 256]).argmax(1).numpy() for start in range(0, len(test), 256)]
    )
    seconds = {"torch": time.perf_counter() - began}
    network, rows = model.network(), []
    for backend in ("cpu", "reference"):
        simulation = sn.Simulation(network, backend=backend)
        simulation.run_samples(test.events[:1])
        result = simulation.run_samples(test.events)
        seconds[backend] = result.wall_seconds
        different = int((result.predictions() != answers).sum())
        rows.append(harness.row(name, f"answers that differ, torch and {backend}", "samples", different))
    for backend, value in seconds.items():
        rows.append(harness.row(name, f"{backend}, a sample", "us", 1e6 * value / len(test)))
    return rows


def arguments_of(arguments: list[str] | None) -> Any:
    """Return the options of a call."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, help="file in SHD's form; default SHD itself")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--duration", type=float, help="cut the samples of given files to so many seconds")
    parser.add_argument("--protocol", default="clean", choices=("clean", "paper", "official", "speaker"))
    parser.add_argument("--kinds", nargs="+", default=["none", "fixed", "learned"], choices=tuple(KINDS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--fine-tune", type=int, default=10, help="epochs with whole delays after them")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256])
    parser.add_argument("--pool", type=int, default=5, help="channels counted as one")
    parser.add_argument("--maximum-delay", type=float, default=0.25)
    parser.add_argument("--kernel-count", type=int, default=1)
    parser.add_argument("--time-constant", type=float, default=10.05e-3)
    parser.add_argument("--dropout", type=float, default=0.4)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument(
        "--lengthen", choices=("end", "layer"), help="default layer, the paper's way, with its protocol"
    )
    parser.add_argument("--figure", type=Path, help="picture of the learned delays")
    options = parser.parse_args(arguments)
    if (options.train is None) != (options.test is None):
        parser.error("--train and --test go together")
    if options.lengthen is None:
        options.lengthen = "layer" if options.protocol == "paper" else "end"
    if options.quick:
        options.seeds, options.epochs, options.fine_tune, options.hidden = 1, 4, 1, [32]
    return options


def main(arguments: list[str] | None = None) -> dict[str, Any] | None:
    """Run the benchmark."""
    options = arguments_of(arguments)
    data = read(options)
    if data is None:
        return None
    rows: list[dict[str, Any]] = []
    name = data[0].name
    for kind in options.kinds:
        accuracies: dict[str, list[float]] = {}
        for seed in range(options.seeds):
            parts = divide(*data, options.protocol, seed)
            began = time.perf_counter()
            model, found = one_run(kind, parts, options, seed)
            for reading, value in found.items():
                accuracies.setdefault(reading, []).append(value)
            listed = ", ".join(f"{reading} {value:.1f} %" for reading, value in found.items())
            print(f"{kind}, seed {seed}: {listed} ({time.perf_counter() - began:.0f} s); {parts.statement}", flush=True)
        case = f"{name}, {options.protocol}, delays {kind}"
        for reading, values in accuracies.items():
            middle, spread = statistics.mean(values), (min(values), max(values))
            rows.append(harness.row(case, f"accuracy, {reading}", "%", middle, spread=spread))
        count = sum(parameter.numel() for parameter in model.parameters())
        rows.append(harness.row(case, "parameters, delays counted", "", count))
        if kind == "learned":
            rows += deploy(case, model, parts.test)
            if options.figure:
                start = make(kind, parts.train, options, options.seeds - 1).network()
                plot.save(plot.delays(model.network(), before=start), options.figure)
        harness.keep("shd", {}, rows, options.json)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    settings |= {key: Path(settings[key]).name for key in ("train", "test", "json", "figure") if settings.get(key)}
    return harness.finish("shd", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
