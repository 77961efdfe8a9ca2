"""Learning rules: how the loss of a minibatch becomes gradients.

BPTT follows the error back through all ticks. SLTT (Meng, Xiao, Yan, Wang, Lin, Luo, ICCV 2023, arXiv:2302.14311)
drops every route through time, that of the leak and that of the reset, in every layer, so that each tick is
back-propagated as soon as it is computed and memory does not grow with the number of ticks. SLTT-K back-propagates K
random ticks only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnsim.errors import CapabilityError, ParameterError
from snnsim.training import plain, plain_sequence, running
from snnsim.training.fused import Fused
from snnsim.training.losses import Loss, as_loss
from snnsim.training.sequence import Sequence
from snnsim.training.signals import Inputs, Source
from snnsim.training.threads import Workers, working

if TYPE_CHECKING:
    from snnsim.training.model import TrainableNetwork


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a minibatch gave.

    Parameters
    ----------
    loss : float
        Of the whole minibatch; with SLTT-K, of all ticks, those without a backward pass too.
    summed : Tensor, shape (batch, classes)
        Scores of the classes, for most losses the readout summed over all ticks; the largest entry is the answer.
    """

    loss: float
    summed: Tensor

    def correct(self, labels: Tensor) -> int:
        """Return how many samples are answered right."""
        return int((self.summed.argmax(1) == labels).sum())


class Rule(ABC):
    """Base of all learning rules; concrete ones are frozen dataclasses."""

    @abstractmethod
    def step(
        self,
        model: TrainableNetwork,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
    ) -> Outcome:
        """Run a minibatch forward and backward, and add to ``.grad`` of every parameter.

        Parameters
        ----------
        model : TrainableNetwork
        inputs : Events or Tensor of shape (batch, ticks, sources), or dict of them
        labels : Tensor of int64, shape (batch,)
        loss : Loss or str
        generator : torch.Generator, optional
            Of dropout masks and random ticks; default one keyed by the model's seed, the same at every call.
        """


@dataclass(frozen=True)
class BPTT(Rule):
    """Backpropagation through time with surrogate gradients.

    Parameters
    ----------
    detach_reset : bool
        Let no gradient pass through the spike in the reset.
    """

    detach_reset: bool = False

    def step(
        self,
        model: TrainableNetwork,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. Memory grows with the number of ticks."""
        criterion = as_loss(loss)
        check_model(self, model)
        sources, state, batch, ticks = running.begin(model, inputs, None)
        check_labels(labels, batch)
        model.memory_report(ticks, batch, self).require()
        running.prepare(model, generator)
        masks = running.draw_masks(model, batch, generator)
        if model.path == "plain":
            with torch.enable_grad():
                if model.whole_samples:
                    readout, _ = plain_sequence.forward_all(model, sources, masks, not self.detach_reset)
                else:
                    readout, _, _ = running.plain_all(model, sources, state, masks, not self.detach_reset)
                total = criterion.value(readout, labels, len(readout))
            total.backward()  # type: ignore[no-untyped-call]
            return Outcome(float(total.detach()), criterion.scores(readout.detach()))
        if model.whole_samples:
            return self._sequence(model, sources, labels, criterion, masks)
        with working() as team:
            call = Fused(model, batch, masks, team, model.workspace)
            readout, records = running.forward_all(call, sources, state, model.training, keep=True)
            value, gradient = _loss_and_gradient(criterion, readout, labels, ticks)
            sums = running.gradient_buffers(model)
            running.backward_all(call, records, gradient, sums, not self.detach_reset)
            running.hand_over(model, sums)
            return Outcome(value, criterion.scores(readout))

    def _sequence(
        self,
        model: TrainableNetwork,
        sources: dict[str, Source],
        labels: Tensor,
        criterion: Loss,
        masks: dict[str, Tensor],
    ) -> Outcome:
        with working() as team:
            call = Sequence(model, len(labels), masks, team, model.workspace)
            readout, record = call.forward(sources, model.training)
            value, gradient = _loss_and_gradient(criterion, readout, labels, len(readout))
            scores = criterion.scores(readout)
            sums = running.gradient_buffers(model)
            call.backward(record, gradient, sums, not self.detach_reset)
            running.hand_over(model, sums)
            return Outcome(value, scores)


@dataclass(frozen=True)
class SLTT(Rule):
    """Spatial learning through time.

    Parameters
    ----------
    k : int, optional
        Back-propagate this many random ticks of each minibatch only, the same for all its samples (SLTT-K). The loss
        keeps its factor 1/T, so that gradients shrink by k/T on average; learning rates are used unchanged.
    chunk : int, optional
        Ticks computed at a time; default as many as fit the cache. It changes no result but by rounding.

    Notes
    -----
    Input that comes before the tick of its reward gets no gradient at all: where the loss needs memory across ticks,
    use `BPTT`.
    """

    k: int | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        for name in ("k", "chunk"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ParameterError(f"SLTT {name}={value!r}: must be a whole number, 1 or above")

    def step(
        self,
        model: TrainableNetwork,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. Memory does not grow with the number of ticks."""
        criterion = as_loss(loss)
        check_model(self, model)
        if not criterion.per_tick:
            raise ParameterError(
                f"loss={type(criterion).__name__}: SLTT back-propagates each tick when it is computed and needs a loss "
                "of that tick alone; a loss of the summed readout couples all ticks: use per_tick_cross_entropy or BPTT"
            )
        if model.whole_samples:
            raise CapabilityError(
                "SLTT drops every route through time, and delays and batch norm over the sequence are such routes; "
                "use BPTT()"
            )
        sources, state, batch, ticks = running.begin(model, inputs, None)
        check_labels(labels, batch)
        if self.k is not None and self.k > ticks:
            raise ParameterError(f"SLTT k={self.k}: the samples have {ticks} ticks only")
        generator = generator or model.generator()
        running.prepare(model, generator)
        masks = running.draw_masks(model, batch, generator)
        chosen = set(range(ticks))
        if self.k is not None:
            chosen = set(torch.randperm(ticks, generator=generator)[: self.k].tolist())
        if model.path == "plain":
            return self._plain(model, sources, state, labels, criterion, masks, chosen, ticks)
        with working() as team:
            return self._fused(team, model, sources, state, labels, criterion, masks, chosen, ticks)

    def _fused(
        self,
        team: Workers,
        model: TrainableNetwork,
        sources: dict[str, Source],
        state: running.State,
        labels: Tensor,
        criterion: Loss,
        masks: dict[str, Tensor],
        chosen: set[int],
        ticks: int,
    ) -> Outcome:
        batch = len(labels)
        call = Fused(model, batch, masks, team, model.workspace)
        sums = running.gradient_buffers(model)
        total, summed = 0.0, torch.zeros(batch, model.plan.output.size, dtype=model.dtype)
        for start, stop in running.windows(ticks, self.chunk or running.chunk_ticks(model, batch, ticks)):
            window = {name: source.window(start, stop) for name, source in sources.items()}
            now = [tick - start for tick in range(start, stop) if tick in chosen]
            readout, record = call.forward(window, state, model.training, "0" if now else None)
            summed += readout.sum(0)
            value, gradient = _loss_and_gradient(criterion, readout, labels, ticks)
            total += value
            if now:
                call.backward(
                    call.chosen(record, now), gradient[now] if len(now) < stop - start else gradient, sums, None
                )
        running.hand_over(model, sums)
        return Outcome(total, summed)

    def _plain(
        self,
        model: TrainableNetwork,
        sources: dict[str, Source],
        state: running.State,
        labels: Tensor,
        criterion: Loss,
        masks: dict[str, Tensor],
        chosen: set[int],
        ticks: int,
    ) -> Outcome:
        total, summed = 0.0, torch.zeros(len(labels), model.plan.output.size, dtype=model.dtype)
        for tick in range(ticks):
            now = {name: source.window(tick, tick + 1).plain(model.dtype) for name, source in sources.items()}
            with torch.set_grad_enabled(tick in chosen):
                weights, coefficients = model.differentiable_weights(), model.differentiable_coefficients()
                readout, after, _ = plain.tick(model, now, state, masks, weights, coefficients)
                value = criterion.value(readout[None], labels, ticks)
            if value.requires_grad:
                value.backward()  # type: ignore[no-untyped-call]
            # The one line that makes it SLTT: what the next tick starts from has no past.
            state = {name: {key: x.detach() for key, x in one.items()} for name, one in after.items()}
            total += float(value.detach())
            summed += readout.detach()
        return Outcome(total, summed)


def check_model(rule: Rule, model: Any) -> None:
    """Raise `ParameterError` unless a model is one that BPTT and SLTT train."""
    from snnsim.training.model import TrainableNetwork

    if not isinstance(model, TrainableNetwork):
        raise ParameterError(f"{type(rule).__name__} trains a TrainableNetwork, got {type(model).__name__}")


def check_labels(labels: Tensor, batch: int) -> None:
    """Raise `ParameterError` unless there is one whole number a sample."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (batch,):
        found = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ParameterError(f"labels: expected a Tensor of int64 and shape ({batch},), got {found}")


def _loss_and_gradient(criterion: Loss, readout: Tensor, labels: Tensor, ticks: int) -> tuple[float, Tensor]:
    with torch.enable_grad():
        leaf = readout.detach().requires_grad_(True)
        value = criterion.value(leaf, labels, ticks)
        (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient
