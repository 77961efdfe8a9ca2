"""The training loop: epochs of minibatches, a validation split, checkpoints from which it goes on bit for bit."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim import rng
from snnsim.errors import DeviceError, NetworkError, ParameterError, one_of, positive
from snnsim.events import Events
from snnsim.progress import interruptible
from snnsim.training import learned_delays
from snnsim.training.checkpoint import (
    Begun,
    Checkpoint,
    Tensors,
    copied,
    device_failed,
    optimiser_state,
    restore_optimiser,
)
from snnsim.training.delay_schedule import sharpness_at
from snnsim.training.eventprop import EventProp, EventPropNetwork
from snnsim.training.history import History
from snnsim.training.losses import Loss, as_loss
from snnsim.training.model import TrainableNetwork
from snnsim.training.rules import SLTT, Outcome, Rule
from snnsim.training.running import keyed_generator
from snnsim.training.schedules import SCHEDULES, make_optimiser, set_rates
from snnsim.training.threads import working

Numbers = NDArray[np.int64]
#: What is trained.
Model = TrainableNetwork | EventPropNetwork
#: Changes a batch at random: (events, numbers of the recordings, seed, epoch) to events.
Augmentation = Callable[[Events, Numbers, int, int], Events]


#: Ticks that a step of Adam moves a delay at first (arXiv:2306.17670).
DELAY_LEARNING_RATE = 0.1


class LabelledEvents(Protocol):
    """Anything with recordings and labels, such as `snnsim.datasets.EventDataset`."""

    @property
    def events(self) -> Events:
        """One recording a sample."""

    @property
    def labels(self) -> Numbers:
        """Class of each sample."""


def train(
    model: Model,
    train_set: LabelledEvents,
    *,
    rule: Rule | None = None,
    loss: Loss | str = "per_tick_cross_entropy",
    optimiser: str = "adam",
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    schedule: str | None = "cosine",
    delay_learning_rate: float | None = None,
    sharpening: str = "decreasing",
    epochs: int = 10,
    batch_size: int = 32,
    validation: float | LabelledEvents = 0.1,
    augment: Augmentation | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train a network on labelled recordings and leave it with the weights of the best epoch.

    Parameters
    ----------
    model : TrainableNetwork or EventPropNetwork
        Trained in place.
    train_set : EventDataset or anything with ``events`` and ``labels``
    rule : Rule
        ``SLTT()`` by default, or ``SLTT(k=...)``, ``BPTT()``; ``EventProp()`` for an `EventPropNetwork`.
    loss : Loss or str
        ``"per_tick_cross_entropy"``, or with BPTT ``"summed_readout"`` or ``"summed_softmax"``.
    optimiser : {"adam", "sgd"}
        SGD has momentum 0.9.
    learning_rate : float
        Of everything but delays.
    weight_decay : float
        Of everything; of weights only in networks with delays or with batch norm over the sequence.
    schedule : {"cosine", "one_cycle", None}
        Cosine from the learning rate to zero over all epochs, one step an epoch; one cycle up to the learning rate
        and down again (`snnsim.training.schedules`); None keeps it.
    delay_learning_rate : float, optional
        Of delays; a cosine takes it to zero. In a `TrainableNetwork` it is ticks a step with Adam, 0.1 by default, and
        after each step delays are moved back into their range. In an `EventPropNetwork`, which scales them, the default
        is `learning_rate`.
    sharpening : {"decreasing", "constant"}
        Kernels of learned delays become narrow over the first quarter of the epochs, or are narrow from the beginning.
    epochs, batch_size : int
        The samples of an epoch are divided evenly into batches of at most `batch_size`.
    validation : float or data set
        Share of `train_set` set aside, the same of each class, or other recordings, on which the best epoch is chosen,
        with delays rounded; 0 keeps the last epoch. Test data must not be used for this.
    augment : callable, optional
        Changes the recordings of a batch, such as `snnsim.augmentation.RandomShift`; not those of the validation.
    seed : int
        Key of the split, of the order of samples, of dropout and of random ticks, each a function of (seed, epoch,
        step).
    checkpoint : path, optional
        Written before the first epoch and after each. After Ctrl-C, which ends the step at work first, it is that of
        the last whole epoch. After a device in the loop has failed (`snnsim.training.in_the_loop`), it is that of the
        last whole minibatch.
    resume : path, optional
        Go on from this checkpoint; with the same settings, bit for bit as if there had been no break.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    History

    Raises
    ------
    ParameterError
        A setting is not allowed, or differs from that of the checkpoint.
    DataError
        The checkpoint is damaged.
    DeviceError
        A device in the loop failed; the message says what was kept and how to go on.
    """
    rule = rule or (EventProp() if isinstance(model, EventPropNetwork) else SLTT())
    run = _Run(model, train_set, rule, as_loss(loss), seed, batch_size, augment)
    one_of("optimiser", optimiser, ("adam", "sgd"))
    one_of("schedule", schedule, (*SCHEDULES, None))
    one_of("sharpening", sharpening, ("decreasing", "constant"))
    positive("learning_rate", learning_rate)
    if delay_learning_rate is None:
        delay_learning_rate = DELAY_LEARNING_RATE if isinstance(model, TrainableNetwork) else learning_rate
    positive("delay_learning_rate", delay_learning_rate, zero=True)
    positive("weight_decay", weight_decay, zero=True)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int) or value < 1:
            raise ParameterError(f"{name}={value!r}: must be a whole number, 1 or above")
    given: Any = validation  # from outside, it may be anything
    if isinstance(given, Real):
        part = float(given)
        if not 0.0 <= part < 1.0:
            raise ParameterError(f"validation={given!r}: must be 0 or above and below 1")
        learn, held_out = stratified_split(run.labels, part, seed)
        judges: LabelledEvents | None = run.part(held_out) if held_out.size else None
    elif not hasattr(given, "events") or not hasattr(given, "labels"):
        raise ParameterError(f"validation={given!r}: expected a share, or data with events and labels")
    else:
        learn, judges = np.arange(run.labels.size), given
        _labels(model, given)
    steps = make_optimiser(model, optimiser, learning_rate, weight_decay, delay_learning_rate)
    settings = {
        "rule": repr(run.rule),
        "loss": repr(run.loss),
        "optimiser": optimiser,
        "learning_rate": repr(float(learning_rate)),
        "weight_decay": repr(float(weight_decay)),
        "schedule": str(schedule),
        "delay_learning_rate": repr(float(delay_learning_rate)),
        "sharpening": sharpening,
        "hard": str(isinstance(model, TrainableNetwork) and model.hard),
        "batch_size": str(batch_size),
        "validation": repr(float(given)) if isinstance(given, Real) else f"{len(given.events)}",
        "augment": repr(augment) if augment is None or "0x" not in repr(augment) else type(augment).__name__,
        "seed": str(seed),
        "samples": str(len(run.labels)),
        "parameters": ", ".join(f"{name} {tuple(p.shape)}" for name, p in model.named_parameters()),
        "dtype": str(model.dtype),
    }
    settings |= _attached(model)
    history, best, first, begun = History(), copied(model.state_dict()), 0, Begun()
    held: Tensors = {}
    if resume is not None:
        saved = Checkpoint.load(resume)
        saved.check(resume, settings)
        model.load_state_dict(saved.model)
        restore_optimiser(steps, saved.optimiser)
        history, best, first, begun, held = saved.history, saved.best, saved.epoch, saved.begun, saved.chip
    chip = model.chip if isinstance(model, TrainableNetwork) else None
    if chip is not None:
        chip.restore(held)

    def keep(epoch: int, begun: Begun) -> None:
        if checkpoint is not None:
            state, on_chip = copied(model.state_dict()), {} if chip is None else chip.state()
            Checkpoint(epoch, settings, state, best, optimiser_state(steps), history, begun, on_chip).save(checkpoint)

    keep(first, begun)  # so that a place that cannot be written is known now, and an early Ctrl-C leaves something
    batches = -(-learn.size // batch_size)
    with interruptible() as interrupted, _bar(progress, max(0, epochs - first) * batches - begun.step) as bar:
        for epoch in range(first, epochs):
            rate = set_rates(steps, schedule, epoch, epochs)
            if isinstance(model, TrainableNetwork) and not model.hard:
                model.sharpness = 1.0 if sharpening == "constant" else sharpness_at(epoch, epochs)
            try:
                mean, share = run.epoch(steps, learn, epoch, batches, begun, interrupted, bar)
                with begun.timed():
                    accuracy = math.nan if judges is None else evaluate(model, judges, loss=run.loss)
            except DeviceError as error:
                keep(epoch, begun)
                raise device_failed(error, epoch, begun, batches, checkpoint) from error
            history.add(mean, share, accuracy, rate, begun.seconds)
            begun = Begun()
            if history.best_epoch == epoch + 1:
                best = copied(model.state_dict())
            keep(epoch + 1, begun)
    model.load_state_dict(best)
    return history


def evaluate(
    model: Model,
    data: LabelledEvents,
    *,
    loss: Loss | str = "per_tick_cross_entropy",
    soft_delays: bool = False,
    batch_size: int = 128,
) -> float:
    """Return the share of samples that are answered right, without dropout.

    Parameters
    ----------
    model : TrainableNetwork or EventPropNetwork
    data : EventDataset or anything with ``events`` and ``labels``
    loss : Loss or str
        The answer is the class with the highest of its scores: for most losses, of the readout summed over all ticks.
    soft_delays : bool
        Keep the kernels of training, instead of delays rounded to ticks as `TrainableNetwork.network` has them.
    batch_size : int
    """
    labels, criterion = _labels(model, data), as_loss(loss)
    training, right = model.training, 0
    soft = isinstance(model, TrainableNetwork) and model.soft_delays
    if isinstance(model, TrainableNetwork):
        model.soft_delays = soft_delays
    model.eval()
    try:
        with torch.no_grad():
            for start in range(0, labels.size, batch_size):
                readout = model.readout(data.events[start : start + batch_size])
                answers = criterion.scores(readout.transpose(0, 1)).argmax(1).numpy()
                right += int((answers == labels[start : start + batch_size]).sum())
    finally:
        model.train(training)
        if isinstance(model, TrainableNetwork):
            model.soft_delays = soft
    return right / max(1, labels.size)


def stratified_split(labels: Numbers, share: float, seed: int) -> tuple[Numbers, Numbers]:
    """Return the numbers of the samples to learn from, and those of the share set aside, both ascending.

    The share is taken of every class, rounded to whole samples.
    """
    held_out: list[NDArray[Any]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = rng.permutation(seed, rng.stream_number("validation", int(label)), members.size)
        held_out.append(members[order[: round(share * members.size)]])
    chosen = np.sort(np.concatenate(held_out)) if held_out else np.zeros(0, np.int64)
    learn = np.setdiff1d(np.arange(labels.size), chosen)
    if share > 0 and not (chosen.size and learn.size):
        raise ParameterError(f"validation={share:g} of {labels.size} samples leaves one of the two parts empty")
    return learn, chosen


class _Run:
    """A model with its data."""

    def __init__(
        self,
        model: Model,
        data: LabelledEvents,
        rule: Rule,
        loss: Loss,
        seed: int,
        batch_size: int,
        augment: Augmentation | None,
    ) -> None:
        if not isinstance(rule, Rule):
            raise ParameterError(f"rule={rule!r}: expected SLTT(...), BPTT(...) or EventProp(...)")
        self.model: Any = model  # the rule says which kind it trains
        self.data, self.rule, self.loss = data, rule, loss
        self.seed, self.batch_size, self.augment = seed, batch_size, augment
        self.labels = _labels(model, data)

    def epoch(
        self,
        optimiser: torch.optim.Optimizer,
        learn: Numbers,
        epoch: int,
        batches: int,
        begun: Begun,
        interrupted: threading.Event,
        bar: Any,
    ) -> tuple[float, float]:
        """Go through all samples that are left, and count in `begun`; return mean loss and share of right answers."""
        order = learn[rng.permutation(self.seed, rng.stream_number("order"), learn.size, epoch)]
        self.model.train()
        for step, batch in enumerate(np.array_split(order, batches)):
            if step < begun.step:
                continue
            with begun.timed():
                labels = torch.from_numpy(self.labels[batch])
                outcome = self.step(optimiser, batch, labels, epoch, step)
            begun.step = step + 1
            begun.loss += outcome.loss * batch.size
            begun.right += outcome.correct(labels)
            begun.seen += batch.size
            bar(epoch, begun.loss / begun.seen, begun.right / begun.seen)
            if interrupted.is_set():
                raise KeyboardInterrupt
        return begun.loss / begun.seen, begun.right / begun.seen

    def step(
        self, optimiser: torch.optim.Optimizer, batch: Numbers, labels: torch.Tensor, epoch: int, step: int
    ) -> Outcome:
        """Learn from one minibatch; where a device fails, the model is left as it was before."""
        events = self.data.events[batch]
        if self.augment is not None:
            events = self.augment(events, batch, self.seed, epoch)
        optimiser.zero_grad(set_to_none=False)  # gradients are added in place, into memory that is there
        # Running statistics of batch norm move within a step; parameters do not.
        before = {} if getattr(self.model, "chip", None) is None else copied(dict(self.model.named_buffers()))
        try:
            outcome = self.rule.step(self.model, events, labels, self.loss, keyed_generator(self.seed, epoch, step))
        except DeviceError:
            for name, buffer in self.model.named_buffers():
                if name in before:
                    buffer.copy_(before[name])
            raise
        if not math.isfinite(outcome.loss):
            raise ParameterError(f"the loss is {outcome.loss} in epoch {epoch + 1}; a smaller learning_rate may help")
        with working():
            optimiser.step()
            if isinstance(self.model, TrainableNetwork):
                learned_delays.clamp(self.model)
        return outcome

    def part(self, which: Numbers) -> LabelledEvents:
        """Return some of the samples."""
        return _Part(self.data.events[which], self.labels[which])


def _attached(model: Model) -> dict[str, str]:
    """Return what is attached to a model, as settings that must be the same for a training to go on."""
    names = ("chip", "weight_noise")
    return {name: repr(found) for name in names if (found := getattr(model, name, None)) is not None}


class _Part:
    def __init__(self, events: Events, labels: Numbers) -> None:
        self.events, self.labels = events, labels


def _labels(model: Model, data: LabelledEvents) -> Numbers:
    labels = np.asarray(data.labels)
    classes = model.plan.output.size
    if labels.dtype.kind not in "iu" or labels.shape != (len(data.events),):
        raise ParameterError(f"labels: {labels.dtype} {labels.shape}; expected whole numbers ({len(data.events)},)")
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise NetworkError(f"labels lie in {labels.min()} ... {labels.max()}, but the readout has {classes} neurons")
    return labels.astype(np.int64)


@contextlib.contextmanager
def _bar(show: bool, steps: int) -> Iterator[Callable[[int, float, float], None]]:
    if not show or steps < 1:
        yield lambda epoch, loss, share: None
        return
    from tqdm import tqdm

    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar:

        def update(epoch: int, loss: float, share: float) -> None:
            bar.set_description(f"epoch {epoch + 1}", refresh=False)
            bar.set_postfix(loss=f"{loss:.3f}", right=f"{100 * share:.1f} %", refresh=False)
            bar.update()

        yield update
