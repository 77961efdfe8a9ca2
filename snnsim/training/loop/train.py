"""The training loop: epochs of minibatches, a validation split, checkpoints from which it goes on bit for bit."""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.datasets.dataset import LabelledEvents
from snnsim.errors import DeviceError, NetworkError, ParameterError, one_of
from snnsim.frames import Recordings
from snnsim.numerics import rng
from snnsim.numerics.sampling import part_of_every_class
from snnsim.storage.hdf5 import as_path
from snnsim.system.progress import interruptible
from snnsim.training.compute.spike_lists import check_inputs
from snnsim.training.compute.threads import working
from snnsim.training.eventprop.network import EventPropNetwork
from snnsim.training.eventprop.rule import EventProp
from snnsim.training.loop.checkpoint import (
    Begun,
    Checkpoint,
    Tensors,
    copied,
    device_failed,
    optimiser_state,
    restore_optimiser,
    same_file,
    try_place,
)
from snnsim.training.loop.history import History
from snnsim.training.loop.resume_facts import data_facts, model_facts
from snnsim.training.loop.schedules import SCHEDULES, make_optimiser, set_rates
from snnsim.training.losses import Loss, as_loss
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.delay_schedule import sharpness_at
from snnsim.training.parameters.finite import refuse_not_finite
from snnsim.training.parameters.random_numbers import keyed_generator
from snnsim.training.parameters.settings import flag, number, plain_number, seed_of, whole_number
from snnsim.training.rules.base import Outcome, Rule, as_rule
from snnsim.training.rules.hooks import StepHooks
from snnsim.training.rules.sltt import SLTT

Numbers = NDArray[np.int64]
#: What is trained.
Model = TrainableNetwork | EventPropNetwork
#: Changes a batch at random: (events or frames, numbers of the recordings, seed, epoch) to such.
Augmentation = Callable[[Any, Numbers, int, int], Any]


#: Ticks that a step of Adam moves a delay at first (arXiv:2306.17670).
DELAY_LEARNING_RATE = 0.1


def train(
    model: Model,
    train_set: LabelledEvents,
    *,
    rule: Rule | str | None = None,
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
    hooks: StepHooks | None = None,
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
    train_set : EventDataset, FrameDataset or anything with ``events`` (Events or Frames) and ``labels``
    rule : Rule or str
        ``SLTT()`` by default, or ``SLTT(k=...)``, ``BPTT()``, ``OTTT()``, ``DSR()``; ``EventProp()`` for an
        `EventPropNetwork`. Names stand for the defaults: ``"sltt"``, ``"bptt"``, ``"ottt"``, ``"dsr"``,
        ``"eventprop"``.
    loss : Loss or str
        ``"per_tick_cross_entropy"``; or with BPTT and DSR a score of the whole sample (`snnsim.scores.SCORES`), such as
        ``"summed_softmax"``, by which the network then answers.
    optimiser : {"adam", "sgd"}
        SGD has momentum 0.9.
    learning_rate : float
        Of everything but delays.
    weight_decay : float
        Of everything; of weights only in networks with delays or with batch norm over the sequence.
    schedule : {"cosine", "one_cycle", None}
        Cosine from the learning rate to zero over all epochs, one step an epoch; one cycle up to the learning rate
        and down again (`snnsim.training.loop.schedules`); None keeps it.
    delay_learning_rate : float, optional
        Of delays; a cosine takes it to zero. In a `TrainableNetwork` it is ticks a step with Adam, 0.1 by default, and
        after each step delays are moved back into their range. In an `EventPropNetwork`, which scales them, the default
        is `learning_rate`.
    sharpening : {"decreasing", "constant"}
        Kernels of learned delays become narrow over the first quarter of the epochs, or are narrow from the beginning.
    epochs, batch_size : int
        The samples of an epoch are divided evenly into batches of at most `batch_size`.
    validation : float or data set
        Share of `train_set` set aside, the same of each class and one recording at least of those with two, or other
        recordings, on which the best epoch is chosen, with delays rounded; 0 keeps the last epoch. Test data must not
        be used for this.
    augment : callable, optional
        Changes the recordings of a batch, such as `snnsim.datasets.augmentation.RandomShift`; not those of the
        validation.
    hooks : StepHooks, optional
        What sees the gradients of every step before the optimiser does, and the parameters after it. Its own state is
        not part of a checkpoint.
    seed : int
        Key of the split, of the order of samples, of dropout and of random ticks, each a function of (seed, epoch,
        step).
    checkpoint : path, optional
        Written before the first epoch and after each; a file that is there already stays until the first epoch is
        done. After Ctrl-C, which ends the step at work first, it is that of the last whole epoch. After a device in the
        loop has failed (`snnsim.training.chips.in_the_loop`), it is that of the last whole minibatch.
    resume : path, optional
        Go on from this checkpoint, bit for bit as if there had been no break. Network, data and settings must be the
        same, but for the number of epochs.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    History

    Raises
    ------
    ParameterError
        A setting is not allowed; network, data or a setting differs from that of the checkpoint (the message has the
        names); a loss, a gradient or a parameter is not finite (the message has epoch, minibatch and name).
    DataError
        The checkpoint is damaged.
    DeviceError
        A device in the loop failed; the message says what was kept and how to go on.

    Warns
    -----
    UserWarning
        Once, after the first epoch in which a population did not fire at all, or all its neurons at every tick.
    """
    rule = as_rule((EventProp() if isinstance(model, EventPropNetwork) else SLTT()) if rule is None else rule)
    epochs, batch_size = whole_number("epochs", epochs), whole_number("batch_size", batch_size)
    seed, progress = seed_of("seed", seed), flag("progress", progress)
    run = _Run(model, train_set, rule, as_loss(loss), seed, batch_size, augment, hooks)
    one_of("optimiser", optimiser, ("adam", "sgd"))
    one_of("schedule", schedule, (*SCHEDULES, None))
    one_of("sharpening", sharpening, ("decreasing", "constant"))
    learning_rate = number("learning_rate", learning_rate)
    if delay_learning_rate is None:
        delay_learning_rate = DELAY_LEARNING_RATE if isinstance(model, TrainableNetwork) else learning_rate
    delay_learning_rate = number("delay_learning_rate", delay_learning_rate, zero=True)
    weight_decay = number("weight_decay", weight_decay, zero=True)
    given: Any = plain_number(validation)  # from outside, it may be anything
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
        _labels(model, given, "validation")
    if run.loss.score is not None and isinstance(model, TrainableNetwork):
        model.score = run.loss.score  # before a state of the model is kept
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
        "augment": repr(augment) if augment is None or "0x" not in repr(augment) else type(augment).__name__,
        "seed": str(seed),
    }
    if checkpoint is not None or resume is not None:
        settings |= {f"{name} of the training data": found for name, found in data_facts(train_set).items()}
        settings["validation"] = repr(float(given)) if isinstance(given, Real) else str(data_facts(given))
        settings |= model_facts(model)
    history, best, first, begun = History(), copied(model.state_dict()), 0, Begun()
    held: Tensors = {}
    if resume is not None:
        saved = Checkpoint.load(resume)
        saved.check(resume, settings)
        if saved.epoch > epochs:
            raise ParameterError(
                f"epochs={epochs}: {saved.epoch} are done in resume={str(resume)!r}; epochs counts all"
            )
        model.load_state_dict(saved.model)
        restore_optimiser(model, steps, saved.optimiser)
        history, best, first, begun, held = saved.history, saved.best, saved.epoch, saved.begun, saved.chip
    chip = model.chip if isinstance(model, TrainableNetwork) else None
    if chip is not None:
        chip.restore(held)

    def keep(epoch: int, begun: Begun) -> None:
        if checkpoint is not None:
            state, on_chip = copied(model.state_dict()), {} if chip is None else chip.state()
            moved = optimiser_state(model, steps)
            Checkpoint(epoch, settings, state, best, moved, history, begun, on_chip).save(checkpoint)

    # So that a place that cannot be written is known now, and an early Ctrl-C leaves something; of another run nothing
    # is taken away before there is something in its place.
    if checkpoint is not None:
        if as_path(checkpoint).exists() and (resume is None or not same_file(checkpoint, resume)):
            try_place(checkpoint)
        else:
            keep(first, begun)
    batches = -(-learn.size // batch_size)
    with interruptible() as interrupted, _bar(progress, max(0, epochs - first) * batches - begun.step) as bar:
        for epoch in range(first, epochs):
            rate = set_rates(steps, schedule, epoch, epochs)
            if isinstance(model, TrainableNetwork) and not model.hard:
                model.sharpness = 1.0 if sharpening == "constant" else sharpness_at(epoch, epochs)
            try:
                mean, share = run.epoch(steps, learn, epoch, batches, begun, interrupted, bar)
                with begun.timed():
                    accuracy = math.nan if judges is None else evaluate(model, judges)
            except DeviceError as error:
                keep(epoch, begun)
                raise device_failed(error, epoch, begun, batches, checkpoint) from error
            run.check(epoch)
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
    loss: Loss | str | None = None,
    score: str | None = None,
    soft_delays: bool = False,
    batch_size: int = 128,
) -> float:
    """Return the share of samples that are answered right, without dropout.

    The answer is the class with the highest score at the end of the sample and of the network's extension, as
    `Simulation.run_samples` of ``model.network()`` gives it.

    Parameters
    ----------
    model : TrainableNetwork or EventPropNetwork
    data : EventDataset, FrameDataset or anything with ``events`` (Events or Frames) and ``labels``
    loss : Loss or str, optional
        Answer by the score that this loss trains, instead of the one that the network answers by.
    score : str, optional
        The same by its name, one of `snnsim.scores.SCORES`.
    soft_delays : bool
        Keep the kernels of training, instead of delays rounded to ticks as `TrainableNetwork.network` has them.
    batch_size : int

    Raises
    ------
    ParameterError
        A setting is not allowed, there are no samples, or the model holds numbers that are not finite.
    """
    labels, chosen = _labels(model, data, "data"), score
    if loss is not None:
        if score is not None:
            raise ParameterError("loss and score both say what the answer is; give one of them")
        chosen = as_loss(loss).score
    batch_size, right = whole_number("batch_size", batch_size), 0
    soft_delays = flag("soft_delays", soft_delays)
    for start in range(0, labels.size, batch_size):
        alone = model.evaluating(soft_delays=soft_delays) if isinstance(model, TrainableNetwork) else nullcontext()
        with torch.no_grad(), alone:
            given: Any = data.events[start : start + batch_size]  # the model says which kinds it takes
            answers = model.scores(given, score=chosen).argmax(1).numpy()
        right += int((answers == labels[start : start + batch_size]).sum())
    return right / labels.size


def stratified_split(labels: Numbers, share: float, seed: int) -> tuple[Numbers, Numbers]:
    """Return the numbers of the samples to learn from, and those of the share set aside, both ascending.

    The share is taken of every class, rounded to whole samples, but one at least where a class has two or more.
    """
    if share > 0 and round(share * labels.size) == 0:
        raise ParameterError(
            f"validation={share:g} of {labels.size} samples leaves one of the two parts empty; give a larger share, "
            "other recordings, or 0 to keep the last epoch"
        )
    chosen = part_of_every_class(labels, share, seed)
    learn = np.setdiff1d(np.arange(labels.size), chosen)
    if share > 0 and not (chosen.size and learn.size):
        raise ParameterError(
            f"validation={share:g} of {labels.size} samples leaves one of the two parts empty; give other recordings, "
            "or 0 to keep the last epoch"
        )
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
        hooks: StepHooks | None,
    ) -> None:
        if not isinstance(model, (TrainableNetwork, EventPropNetwork)):
            raise ParameterError(f"model={type(model).__name__}: expected a TrainableNetwork or an EventPropNetwork")
        if hooks is not None and not isinstance(hooks, StepHooks):
            raise ParameterError(f"hooks={hooks!r}: expected StepHooks, or None")
        if augment is not None and not callable(augment):
            raise ParameterError(f"augment={augment!r}: expected a callable such as RandomShift(...), or None")
        self.model: Any = model  # the rule says which kind it trains
        self.data, self.rule, self.loss = data, rule, loss
        self.seed, self.batch_size, self.augment, self.hooks = seed, batch_size, augment, hooks
        self.labels = _labels(model, data, "train_set")
        if not isinstance(data.events, Recordings):
            raise ParameterError(
                f"train_set: its events are a {type(data.events).__name__}; train takes Events, which "
                "Events.from_dense makes of counts, or Frames of real values"
            )
        #: Lowest and highest rate of each population in the epoch at work, and whether a warning was given.
        self.rates: dict[str, tuple[float, float]] = {}
        self.warned = False

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
        with self.alone():
            if not self.model.training:
                self.model.train()
        self.rates = {}
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
        where = f"epoch {epoch + 1}, minibatch {step + 1}"

        def optimise() -> None:
            self.update(optimiser, where)
            optimiser.zero_grad(set_to_none=False)

        extra: dict[str, Any] = {"optimise": optimise} if self.rule.updates_within else {}
        if self.hooks is not None:
            extra["presynaptic"] = self.hooks.presynaptic
        try:
            generator = keyed_generator(self.seed, epoch, step)
            outcome = self.rule.step(self.model, events, labels, self.loss, generator, **extra)
        except DeviceError:
            for name, buffer in self.model.named_buffers():
                if name in before:
                    buffer.copy_(before[name])
            raise
        except ParameterError as error:
            said = str(error)
            raise ParameterError(said if said.startswith(where) else f"{where}: {said}") from error
        if not math.isfinite(outcome.loss):
            raise ParameterError(f"{where}: the loss is {outcome.loss}; a smaller learning_rate may help")
        for name, rate in outcome.rates.items():
            low, high = self.rates.get(name, (rate, rate))
            self.rates[name] = min(low, rate), max(high, rate)
        if not self.rule.updates_within:
            self.update(optimiser, where)
        return outcome

    def update(self, optimiser: torch.optim.Optimizer, where: str) -> None:
        """Take a step of the optimiser with the gradients that are there."""
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None:
                refuse_not_finite(f"{where}: gradient of {name!r}", parameter.grad)
        if self.hooks is not None:
            self.hooks.before_update(self.model)
        with self.alone(), working():
            optimiser.step()
            if isinstance(self.model, TrainableNetwork):
                self.model.bring_back()
        if self.hooks is not None:
            self.hooks.after_update(self.model)

    def alone(self) -> contextlib.AbstractContextManager[Any]:
        """Keep other threads from using the model while it is changed."""
        return self.model.workspace.lock if isinstance(self.model, TrainableNetwork) else nullcontext()

    def check(self, epoch: int) -> None:
        """Refuse parameters that are not finite after an epoch; warn, once, of populations that say nothing."""
        for name, parameter in self.model.named_parameters():
            refuse_not_finite(f"after epoch {epoch + 1}: {name!r}", parameter)
        silent = [name for name, (_, high) in self.rates.items() if high == 0]
        sizes = {population.name: population.size for population in self.model.plan.network.populations}
        # A single neuron that always fires may be meant as a constant.
        always = [name for name, (low, _) in self.rates.items() if low == 1 and sizes[name] > 1]
        if self.warned or not (silent or always):
            return
        self.warned = True
        said = []
        if silent:
            said.append(
                f"{', '.join(map(repr, silent))} never fired, so nothing passes: larger first weights, a lower "
                f"threshold or batch norm may help, beginning with {silent[0]!r}"
            )
        if always:
            said.append(
                f"all neurons of {', '.join(map(repr, always))} fired at every tick, which says nothing: smaller first "
                "weights, a higher threshold or batch norm may help"
            )
        warnings.warn(f"train: in epoch {epoch + 1} {'; '.join(said)}", UserWarning, stacklevel=3)

    def part(self, which: Numbers) -> LabelledEvents:
        """Return some of the samples."""
        return _Part(self.data.events[which], self.labels[which])


class _Part:
    def __init__(self, events: Recordings, labels: Numbers) -> None:
        self.events, self.labels = events, labels


def _labels(model: Model, data: LabelledEvents, argument: str) -> Numbers:
    """Check a data set for a model and return its labels."""
    if not hasattr(data, "events") or not hasattr(data, "labels"):
        raise ParameterError(
            f"{argument}={type(data).__name__}: expected an EventDataset, or anything with `events` (Events or Frames) "
            "and `labels` (a whole number a recording); batches are made here"
        )
    labels = np.asarray(data.labels)
    classes = model.plan.output.size
    if len(data.events) == 0:
        raise ParameterError(f"{argument}: has no samples")
    if labels.dtype.kind not in "iu" or labels.shape != (len(data.events),):
        raise ParameterError(
            f"{argument}, labels: {labels.dtype} {labels.shape}; expected whole numbers ({len(data.events)},)"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise NetworkError(
            f"{argument}: labels lie in {labels.min()} ... {labels.max()}, but the readout has {classes} neurons"
        )
    check_inputs(model.plan, data.events[:1], model.dtype)
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
