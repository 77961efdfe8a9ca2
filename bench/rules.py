"""Learning rules side by side: accuracy, memory and time of a step, and how far each gradient is from that of BPTT.

One network and recipe a task, and one argument of `train` that differs. Tasks: scikit-learn's digits as random spikes
of their pixels, with evidence at every tick; the same digits shown first, then silence, then a signal to answer, so
that only what the membranes still hold can be told; N-MNIST where its recordings are given (``--data``). The rule that
steps the optimiser at every tick has a learning rate as many times smaller as there are ticks. Accuracies are of test
samples, after a fixed number of epochs. Memory is the rise of the resident set over a step, in a process of its own
that has made a step on a small batch. Times are paired with BPTT's. The cosine is that of the angle between the
gradient of all weights (and of the first ones alone) and BPTT's, over a minibatch, at the first weights.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import harness
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import snnsim as sn
from snnsim.architectures import fully_connected
from snnsim.datasets import load_nmnist
from snnsim.training import BPTT, DSR, OTTT, SLTT, Loss, Rule, TrainableNetwork, train

RULES: dict[str, Rule] = {
    "BPTT": BPTT(),
    "SLTT": SLTT(),
    "SLTT, 5 ticks": SLTT(k=5),
    "OTTT": OTTT(),
    "OTTT, traces of the source": OTTT(traces="source"),
    "OTTT, a step at each tick": OTTT(update="tick"),
    "DSR": DSR(),
}
CUE, GAP, GO = 10, 10, 5


@dataclass(frozen=True)
class LateCrossEntropy(Loss):
    """Mean cross entropy of the readout over the last ticks of samples that are equally long."""

    ticks: int = GO
    per_tick = True

    def value(self, readout: Tensor, labels: Tensor, ends: Tensor, first: int = 0) -> Tensor:
        """Return the share of these ticks."""
        now = torch.arange(first, first + len(readout))
        late = readout[(now >= int(ends[0]) - self.ticks) & (now < int(ends[0]))]
        rows, repeated = late.reshape(-1, readout.shape[2]), labels.repeat(len(late))
        return functional.cross_entropy(rows, repeated, reduction="sum") / (self.ticks * len(labels))


@dataclass(frozen=True)
class Task:
    """Recordings, and how a network learns them."""

    name: str
    learn: Any
    test: Any
    make: Callable[[int], sn.Network]
    epochs: int
    learning_rate: float
    loss: Loss | str = "per_tick_cross_entropy"
    answering: int | None = None  # ticks at the end whose readout answers; None for all
    dropout: float = 0.0


def digits(delayed: bool, epochs: int) -> Task:
    """Return scikit-learn's digits as spikes, with a signal to answer after a silence where `delayed`."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order, random = np.random.default_rng(0).permutation(len(pixels)), np.random.default_rng(1)
    ticks, shown = (CUE + GAP + GO, CUE) if delayed else (20, 20)
    counts = np.zeros((len(pixels), ticks, 65), np.int64)
    counts[:, :shown, :64] = random.random((len(pixels), shown, 64)) < pixels[:, None] / 32
    if delayed:
        counts[:, CUE + GAP :, 64] = 1
    parts = []
    for which in (order[:1400], order[1400:]):
        parts.append(SimpleNamespace(events=sn.Events.from_dense(counts[which], 1e-3), labels=labels[which]))
    make = _network(65, 10, (64, 64), 1e-3, 0.97 if delayed else 0.5, 0.6 if delayed else 1.0)
    if delayed:
        return Task("digits, delayed answer", *parts, make, epochs, 5e-3, LateCrossEntropy(), GO)
    return Task("digits", *parts, make, epochs, 5e-3)


def nmnist(path: str, epochs: int, limit: int | None) -> Task:
    """Return N-MNIST in twenty ticks."""
    learn, test = (load_nmnist(path, split=split, dt=17e-3) for split in ("train", "test"))
    if limit is not None:
        learn = learn[np.arange(limit)]
    make = _network((2, 34, 34), 10, (256, 128), 17e-3, 0.5, 1.0)
    return Task("N-MNIST", learn, test, make, epochs, 1e-3, dropout=0.2)


def _network(
    shape: Any, classes: int, hidden: tuple[int, ...], dt: float, decay: float, gain: float
) -> Callable[[int], sn.Network]:
    return lambda seed: fully_connected(shape, classes, hidden=hidden, dt=dt, decay=decay, gain=gain, seed=seed)


def model_of(task: Task, seed: int) -> TrainableNetwork:
    """Return a network that has not learned."""
    net = task.make(seed)
    hidden = [p.name for p in net.populations if not p.is_source and p.name != "output"]
    return TrainableNetwork(net, learn=("weights", "bias"), dropout=dict.fromkeys(hidden, task.dropout))


def accuracy(task: Task, rule: Rule, seed: int) -> float:
    """Return the accuracy after learning, in per cent."""
    model = model_of(task, seed)
    rate = task.learning_rate / (task.learn.events.n_ticks if rule.updates_within else 1)
    train(
        model,
        task.learn,
        rule=rule,
        loss=task.loss,
        epochs=task.epochs,
        batch_size=50,
        learning_rate=rate,
        validation=0,
        seed=seed,
        progress=False,
    )
    model.eval()
    right = 0
    for start in range(0, len(task.test.events), 128):
        stop = start + 128
        with torch.no_grad():
            readout = model.readout(task.test.events[start:stop])
        first = 0 if task.answering is None else readout.shape[1] - task.answering
        right += int((readout[:, first:].sum(1).argmax(1).numpy() == task.test.labels[start:stop]).sum())
    return 100 * right / len(task.test.events)


def gradients(task: Task, rule: Rule, batch: int = 200) -> list[Tensor]:
    """Return the gradients of all weights at the first ones, over a minibatch and without dropout."""
    model = model_of(replace(task, dropout=0.0), 0)
    optimise = None
    if rule.updates_within:
        optimise = _nothing  # gradients of all ticks add up at weights that stay
    given, labels = task.learn.events[:batch], torch.from_numpy(np.asarray(task.learn.labels[:batch], np.int64))
    rule.step(model, given, labels, task.loss, model.generator(0), optimise=optimise)
    return [
        p.grad.flatten() for name, p in model.named_parameters() if name.startswith("weights") and p.grad is not None
    ]


def _nothing() -> None:
    pass


def cosine(one: list[Tensor], other: list[Tensor]) -> float:
    """Return the cosine of the angle between two gradients."""
    return float(functional.cosine_similarity(torch.cat(one).double(), torch.cat(other).double(), dim=0))


# -- a step ----------------------------------------------------------------------------------------------

SIZES = (2312, (512, 512), 10)


def step_of(rule: Rule, ticks: int, batch: int) -> Callable[[], Any]:
    """Return a training step of 2312-512-512-10 on input of 2 %."""
    counts = np.random.default_rng(0).random((batch, ticks, SIZES[0])) < 0.02
    given, labels = sn.Events.from_dense(counts, 1e-3), torch.arange(batch) % SIZES[2]
    model = TrainableNetwork(fully_connected(SIZES[0], SIZES[2], hidden=SIZES[1], decay=0.9))
    steps = torch.optim.Adam(model.parameters(), 1e-5, fused=True)

    def optimise() -> None:
        steps.step()
        steps.zero_grad(set_to_none=False)

    def work() -> None:
        rule.step(model, given, labels, optimise=optimise if rule.updates_within else None)
        if not rule.updates_within:
            optimise()

    return work


def rise(name: str, ticks: int, batch: int) -> int:
    """Return the bytes that a step takes at most over what is there before it."""
    step_of(RULES[name], 8, 2)()
    step = step_of(RULES[name], ticks, batch)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    step()
    step()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {name}")


def memory_row(name: str, ticks: int, batch: int) -> dict[str, Any]:
    """Return the row of the memory of a step."""

    def measured(which: str) -> float:
        words = [sys.executable, __file__, "--rise", which, str(ticks), str(batch)]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout) / 2**20

    return harness.row(name, f"memory of a step, {ticks} ticks", "MiB", measured(name))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", help="a folder or zip of N-MNIST recordings; left out without it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rise", nargs=3, help="for a process of its own: print the bytes of one rule")
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    if options.rise:
        print(rise(options.rise[0], int(options.rise[1]), int(options.rise[2])))
        return {}
    quick = options.quick
    seeds, batch, runs, ticks = (1, 16, 2, (20, 60)) if quick else (options.seeds, 64, 7, (50, 300))
    tasks = [digits(False, 4 if quick else 20), digits(True, 4 if quick else 20)]
    if options.data:
        tasks.append(nmnist(options.data, 2 if quick else 15, 100 if quick else None))
    else:
        print("N-MNIST is left out: give its recordings by --data")
    settings = {"seeds": seeds, "batch": batch, "ticks": list(ticks), "runs": runs, "sizes": str(SIZES)}
    settings |= {"tasks": [task.name for task in tasks], "epochs": [task.epochs for task in tasks]}
    rows: list[dict[str, Any]] = []
    for task in tasks:
        reference = gradients(task, RULES["BPTT"])
        for name, rule in RULES.items():
            found = [accuracy(task, rule, seed) for seed in range(seeds)]
            mean, sd = statistics.mean(found), statistics.stdev(found) if len(found) > 1 else 0.0
            rows.append(
                harness.row(name, f"{task.name}: accuracy, sd {sd:.1f}", "%", mean, spread=(min(found), max(found)))
            )
            print(f"{task.name}, {name}: {mean:.1f} %", flush=True)
            if not rule.updates_within:  # whose gradients of a minibatch are those of OTTT
                own = gradients(task, rule)
                rows.append(harness.row(name, f"{task.name}: cosine with BPTT", "", cosine(own, reference)))
                first = cosine(own[:1], reference[:1])
                rows.append(harness.row(name, f"{task.name}: cosine, first weights", "", first))
    for name, rule in RULES.items():
        rows += [memory_row(name, count, batch) for count in ticks]
        peer = step_of(RULES["BPTT"], ticks[0], batch)
        own_step = step_of(rule, ticks[0], batch)
        rows.append(harness.paired(name, f"step, {ticks[0]} ticks", own_step, peer, "BPTT", runs=runs))
    rows.sort(key=lambda row: list(RULES).index(row["case"]))
    return harness.finish("rules", settings, rows, options.json)


if __name__ == "__main__":
    main()
