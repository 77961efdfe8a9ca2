"""Liquid-state machines beside a probe on the counts of their input: N-MNIST, spoken digits, the order of spikes.

Every reservoir is drawn at random and only a linear probe is trained. How strong its weights are is chosen on a
validation part of the training recordings by ridge classification, for each seed anew; so is the strength of the
probe's regularisation. Test recordings are looked at once. Beside it stand the same probe on the counts of the input
(and on counts in four windows, which know about time without a reservoir), the same cell without recurrence, tuned as
well, weights of resistive switching, and where it is there a simulated chip, with the gain that was chosen in software.

N-MNIST: the middle 16 x 16 pixels, events of polarity 0 (the bit of the file; OFF), 50 ticks of 6.8 ms, one event a
pixel and tick at most. Published for all recordings (doi:10.1038/s43588-024-00751-z; github.com/MrLinNing/MemristorLSM,
LSM-NMNIST/README.md): 89.11 % in software, 89.66 % in resistive memory; that cannot be compared with a subset.
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
from snnsim.datasets import EventDataset, lag_patterns, load_digits_events, load_nmnist, read_spikes_hdf5
from snnsim.reservoir import LinearProbe, RidgeClassifier, liquid_state_machine, spike_counts

#: Makes what a network runs on; the number is that of the seed, for instance of a chip.
Runner = Callable[[sn.Network, int], sn.Simulation]


@dataclass(frozen=True)
class Task:
    """Recordings and the cell that reads them."""

    name: str
    train: EventDataset
    test: EventDataset
    threshold: float
    decay: float
    #: Tried where one gain is for all weights, and where there is no recurrence.
    gains: tuple[float, ...]
    gains_without: tuple[float, ...]
    #: Tried all with all where recurrence has a gain of its own.
    paired_gains: tuple[float, ...]
    recurrent_gains: tuple[float, ...]

    def network(self, gain: float, recurrent_gain: float | None, weights: str, seed: int, size: int) -> sn.Network:
        """Return the reservoir."""
        return liquid_state_machine(
            self.train.sensor_shape,
            size,
            threshold=self.threshold,
            decay=self.decay,
            gain=gain,
            recurrent_gain=recurrent_gain,
            weights=weights,
            dt=self.train.events.dt,
            seed=seed,
        )


def software(network: sn.Network, seed: int) -> sn.Simulation:
    """Return a simulation on the processor."""
    return sn.Simulation(network)


def chips(names: list[str]) -> dict[str, Runner]:
    """Return what runs on simulated chips, by device; empty, with a message, where there is no such backend."""
    try:
        from snnsim.backends import crossbar
        from snnsim.backends.crossbar import Chip, ChipConfig
    except ImportError as error:
        print(f"no rows of a chip: this build has no crossbar backend ({error})")
        return {}

    def runner(name: str) -> Runner:
        device = getattr(crossbar, name)()
        return lambda network, seed: sn.Simulation(network, "crossbar", chip=Chip(ChipConfig(device=device), seed=seed))

    return {f"chip, {name}": runner(name) for name in names}


# -- tasks -----------------------------------------------------------------------------------------------


def cropped(data: EventDataset, side: int = 16, polarity: int = 0) -> EventDataset:
    """Return the middle pixels of one polarity, one event a pixel and tick at most."""
    _, height, width = data.sensor_shape
    p, y, x = np.unravel_index(data.events.sources, data.sensor_shape)
    row, column = y - (height - side) // 2, x - (width - side) // 2
    keep = (p == polarity) & (row >= 0) & (row < side) & (column >= 0) & (column < side)
    kept = data.events.selected(keep, (row * side + column).astype(np.int32))
    events = sn.Events(
        kept.ticks, kept.sources, kept.offsets, side * side, kept.n_ticks, kept.dt, kept.lengths
    ).binarised()
    return EventDataset(events, data.labels, data.classes, (1, side, side), data.name, data.source)


def image_task(options: Any) -> Task:
    """Return N-MNIST, or made-up recordings of the same form where no file is given."""
    if options.data is None:
        print("no --data: simulated recordings of scikit-learn's digits take the place of N-MNIST")
        pair = [load_digits_events(split).with_dt(6e-3, n_ticks=50) for split in ("train", "test")]
    else:
        pair = [load_nmnist(options.data, split=split, dt=6.8e-3, progress=False) for split in ("train", "test")]
    train, test = (cropped(data) for data in pair)
    name = "N-MNIST 16x16" if options.data is not None else "digits 16x16"
    gains, without = (0.03, 0.05, 0.06, 0.07, 0.08, 0.09, 0.12, 0.2), (0.05, 0.07, 0.09, 0.12, 0.16, 0.25)
    return Task(name, train, test, 5.0, 0.9, gains, without, (0.08, 0.12), (0.02, 0.04, 0.08))


def spoken_task(options: Any) -> Task | None:
    """Return spoken digits, 129 ticks of 5 ms, one event a channel and tick at most."""
    if options.spoken is None:
        print("no --spoken: a folder with train.h5 and test.h5, as bench/spoken_digits.py makes, is needed")
        return None
    ticks, dt = 129, 5e-3
    train, test = (
        read_spikes_hdf5(options.spoken / f"{split}.h5", dt=dt, duration=ticks * dt, crop=True).binarised()
        for split in ("train", "test")
    )
    gains, without = (0.03, 0.05, 0.08, 0.1, 0.13, 0.2), (0.05, 0.08, 0.13, 0.2, 0.3, 0.5)
    return Task("spoken digits", train, test, 5.3, 0.97, gains, without, (0.2, 0.5), (0.02, 0.05, 0.1))


def backward(data: EventDataset, chosen: Any) -> EventDataset:
    """Return the recordings with the chosen ones played backward from their last event; the label says which."""
    events, last = data.events, data.lengths - 1
    turned = np.asarray(chosen, bool)[events.recordings]
    ticks = np.where(turned, last[events.recordings] - events.ticks, events.ticks)
    order = np.lexsort((events.sources, ticks, events.recordings))
    played = sn.Events(
        ticks[order], events.sources[order], events.offsets, events.n_sources, events.n_ticks, events.dt, events.lengths
    )
    labels = np.asarray(chosen, np.int64)
    return EventDataset(played, labels, ("forward", "backward"), data.sensor_shape, data.name, data.source)


def direction_task(options: Any) -> Task | None:
    """Return spoken digits played forward or backward: the counts of every channel are those of the recording."""
    spoken = spoken_task(options)
    if spoken is None:
        return None
    train, _ = spoken.train.split(0.45, seed=0)
    half = np.arange(len(train)) % 2 == 1
    # Each of the recordings to test on is played both ways, so that counts are right about exactly one of the two.
    twice = spoken.test[np.tile(np.arange(len(spoken.test)), 2)]
    test = backward(twice, np.arange(len(twice)) >= len(spoken.test))
    gains, without = (0.08, 0.11, 0.14, 0.17, 0.2), (0.05, 0.1, 0.2, 0.3, 0.5)
    return Task(
        "spoken digits, forward or backward",
        backward(train, half),
        test,
        spoken.threshold,
        spoken.decay,
        gains,
        without,
        (0.1, 0.2),
        (0.06, 0.1, 0.15),
    )


def order_task(options: Any) -> Task:
    """Return recordings with the same spikes in every class, in another order, too far apart for a membrane."""
    settings: dict[str, Any] = {"channels": 4, "classes": 6, "lag": 12, "jitter": 1, "latest_onset": 5}
    train, test = lag_patterns(1000, **settings), lag_patterns(500, **settings, seed=1)
    gains = (0.1, 0.14, 0.2, 0.3, 0.6, 1.2)
    return Task("order of spikes", train, test, 5.0, 0.5, gains, gains, (0.6, 1.2), (0.1, 0.14, 0.2))


# -- one reservoir ---------------------------------------------------------------------------------------


def features(network: sn.Network, data: EventDataset, run: Runner, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return spike_counts(run(network, seed).run_samples(data.events, record="reservoir").spikes["reservoir"])


def both(network: sn.Network, task: Task, run: Runner, seed: int) -> tuple[Any, Any]:
    """Return the counts of training and test recordings of one simulation, so of one chip."""
    simulation = run(network, seed)
    train, test = (simulation.run_samples(data.events, record="reservoir") for data in (task.train, task.test))
    return spike_counts(train.spikes["reservoir"]), spike_counts(test.spikes["reservoir"])


def tuned(task: Task, choices: Any, weights: str, seed: int, size: int) -> tuple[float, float | None]:
    """Return the gains that do best on validation recordings; the test recordings are not looked at."""
    best: tuple[float, Any] = (-1.0, None)
    for gain, recurrent in choices:
        network = task.network(gain, recurrent, weights, seed, size)
        counts = features(network, task.train, software, seed)
        score = RidgeClassifier(seed=seed).fit(counts, task.train.labels).validation_scores.max()
        best = max(best, (float(score), (gain, recurrent)), key=lambda pair: pair[0])
    return best[1]  # type: ignore[no-any-return]


def probe(train: Any, test: Any, task: Task, seed: int) -> tuple[float, float]:
    """Return accuracy in per cent on test and on validation recordings."""
    fitted = LinearProbe(10.0 ** np.arange(0, 5), seed=seed).fit(train, task.train.labels)
    return 100 * fitted.score(test, task.test.labels), 100 * float(fitted.validation_scores.max())


def one_seed(task: Task, seed: int, options: Any, hardware: dict[str, Runner]) -> dict[str, tuple[float, ...]]:
    """Return (test accuracy, validation accuracy, gain, recurrent gain, spikes a neuron and tick) by variant."""
    found: dict[str, tuple[float, ...]] = {}
    nothing = float("nan")
    for windows in (1, 4):
        counts = [spike_counts(data.events, windows=windows) for data in (task.train, task.test)]
        name = "probe on input counts" if windows == 1 else f"probe on input counts, {windows} windows"
        found[name] = (*probe(*counts, task, seed), nothing, nothing, task.train.events.density)
    single = [(gain, None) for gain in task.gains]
    variants: dict[str, tuple[Any, str]] = {
        "software": (single, "normal"),
        "software, two gains": (list(itertools.product(task.paired_gains, task.recurrent_gains)), "normal"),
        "without recurrence": ([(gain, 0.0) for gain in task.gains_without], "normal"),
        "resistive switching": (single, "resistive switching"),
    }
    for name, (choices, weights) in variants.items():
        gain, recurrent = tuned(task, choices, weights, seed, options.size)
        network = task.network(gain, recurrent, weights, seed, options.size)
        runners = {name: software}
        if name == "software":
            runners |= hardware
        for row, run in runners.items():
            train, test = both(network, task, run, seed)
            rate = float(train.mean()) / task.train.events.n_ticks
            used = gain if recurrent is None else recurrent
            found[row] = (*probe(train, test, task, seed), gain, used, rate)
    return found


def rows_of(task: Task, found: list[dict[str, tuple[float, ...]]]) -> list[dict[str, Any]]:
    """Return the rows of a task; the peer is the probe on input counts of the same seeds."""
    rows, control = [], [run["probe on input counts"][0] for run in found]
    for variant in found[0]:
        case, values = f"{task.name}: {variant}", np.array([run[variant] for run in found])
        test = values[:, 0].tolist()
        peer = None if variant == "probe on input counts" else statistics.mean(control)
        name = None if peer is None else "input counts"
        metric = f"test accuracy, mean of {len(test)} seeds"
        rows.append(harness.row(case, metric, "%", statistics.mean(test), peer, name, spread=(min(test), max(test))))
        rows.append(harness.row(case, "validation accuracy", "%", float(values[:, 1].mean())))
        if np.all(np.isfinite(values[:, 2])):
            for place, label in ((2, "gain"), (3, "recurrent gain")):
                low, high = float(values[:, place].min()), float(values[:, place].max())
                rows.append(harness.row(case, label, "", float(np.median(values[:, place])), spread=(low, high)))
            rows.append(harness.row(case, "spikes a neuron and tick", "%", 100 * float(values[:, 4].mean())))
    return rows


def arguments_of(arguments: list[str] | None) -> Any:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="N-MNIST, a zip or folder with Train and Test; default simulated")
    parser.add_argument("--spoken", type=Path, help="folder with train.h5 and test.h5 of bench/spoken_digits.py")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=tuple(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=200, help="neurons in the reservoir")
    parser.add_argument("--devices", nargs="*", default=["ideal", "realistic_rram"], help="devices of the chips")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.size = 1, 100
    return options


TASKS: dict[str, Callable[[Any], Task | None]] = {
    "images": image_task,
    "spoken": spoken_task,
    "direction": direction_task,
    "order": order_task,
}


def main(arguments: list[str] | None = None, hardware: dict[str, Runner] | None = None) -> dict[str, Any]:
    """Run the benchmark; `hardware` are further things to run the tuned reservoirs on, by name."""
    options = arguments_of(arguments)
    hardware = chips(options.devices) if hardware is None else hardware
    rows: list[dict[str, Any]] = []
    for name in options.tasks:
        task = TASKS[name](options)
        if task is None:
            continue
        if options.quick:
            task = replace(task, gains=task.gains[1::3], gains_without=task.gains_without[1::3])
        print(f"{task.name}: {len(task.train):,} training and {len(task.test):,} test recordings, {task.train!r}")
        found = []
        for seed in range(options.seeds):
            began = time.perf_counter()
            found.append(one_seed(task, seed, options, hardware))
            listed = ", ".join(f"{variant} {values[0]:.1f} %" for variant, values in found[-1].items())
            print(f"seed {seed}: {listed} ({time.perf_counter() - began:.0f} s)", flush=True)
        rows += rows_of(task, found)
        harness.keep("lsm", {}, rows, options.json)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    settings |= {key: Path(settings[key]).name for key in ("data", "spoken", "json") if settings.get(key)}
    return harness.finish("lsm", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
