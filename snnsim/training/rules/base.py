"""Learning rules: how the loss of a minibatch becomes gradients.

BPTT follows the error back through all ticks. SLTT (Meng, Xiao, Yan, Wang, Lin, Luo, ICCV 2023, arXiv:2302.14311)
drops every route through time, that of the leak and that of the reset, in every layer, so that each tick is
back-propagated as soon as it is computed and memory does not grow with the number of ticks. SLTT-K back-propagates K
random ticks only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnsim.errors import CapabilityError, ParameterError
from snnsim.training.autograd import sequence as plain_sequence
from snnsim.training.autograd import ticks as plain
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, State, begin, begin_state
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.compute.threads import working
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import Fused
from snnsim.training.fused.sequence import Sequence
from snnsim.training.model import passes as running
from snnsim.training.parameters.settings import flag, whole_number
from snnsim.training.parameters.values import work_out, works_out
from snnsim.training.rules.losses import Loss, as_loss, joined, scores_of

if TYPE_CHECKING:
    from snnsim.training.model.trainable_network import TrainableNetwork


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a minibatch gave.

    Parameters
    ----------
    loss : float
        Of the whole minibatch; with SLTT-K, of all ticks, those without a backward pass too.
    scores : Tensor, shape (batch, classes)
        Of the classes at the end of each sample, by the score that the network answers by; the largest is the answer.
    rates : dict of str to float
        Spikes a neuron and tick of each population that fires, of neurons that dropout lets pass; empty where hooks of
        the network stood in between.
    """

    loss: float
    scores: Tensor
    rates: Mapping[str, float] = field(default_factory=dict)

    def correct(self, labels: Tensor) -> int:
        """Return how many samples are answered right."""
        return int((self.scores.argmax(1) == labels).sum())


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
        lengths: Tensor | None = None,
    ) -> Outcome:
        """Run a minibatch forward and backward, and add to ``.grad`` of every parameter.

        Parameters
        ----------
        model : TrainableNetwork
        inputs : Events or Tensor of shape (batch, ticks, sources), or dict of them
        labels : Tensor of int64, shape (batch,)
        loss : Loss or str
            One that trains a score (`snnsim.training.rules.losses`) makes it the one that the network answers by.
        generator : torch.Generator, optional
            Of dropout masks, noise and random ticks; default the next one of the model.
        lengths : Tensor of int64, shape (batch,), optional
            Ticks of each sample where the inputs are Tensors; Events bring their own.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "detach_reset", flag("BPTT detach_reset", self.detach_reset))

    def step(
        self,
        model: TrainableNetwork,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. Memory grows with the number of ticks."""
        criterion = as_loss(loss)
        check_model(self, model)
        with torch.enable_grad(), model.workspace.claimed() as workspace:
            work_out(model)
            call = _begin(self, model, inputs, labels, lengths, criterion)
            roots = _roots(call)
            if _hooks(model):
                readout = model(inputs, generator=generator, detach_reset=self.detach_reset, lengths=lengths)[0]
                return _back(call, criterion, readout.transpose(0, 1), labels, {})
            state = begin_state(call, None)
            running.prepare(call, generator)
            gradients.notice_real_values(call, roots)
            if model.path == "plain":
                return self._plain(call, state, labels, criterion)
            return self._compiled(call, state, workspace, roots, labels, criterion)

    def _compiled(
        self,
        call: Call,
        state: State,
        workspace: Workspace,
        roots: gradients.Roots,
        labels: Tensor,
        criterion: Loss,
    ) -> Outcome:
        sums = gradients.buffers(call, roots)
        to_inputs, keep_reset = gradients.of_inputs(sums), not self.detach_reset
        with working() as team:
            if call.model.whole_samples:
                sequence = Sequence(call, team, workspace)
                readout, record = sequence.forward()
                value, gradient = _loss_and_gradient(criterion, readout, labels, call.ends)
                scores, rates = _scores(call, readout), call.rates(record.spikes(call))
                sequence.backward(record, gradient, sums, to_inputs, keep_reset)
            else:
                fused = Fused(call, team, workspace)
                readout, records = running.forward_all(fused, state, keep=True)
                value, gradient = _loss_and_gradient(criterion, readout, labels, call.ends)
                scores, rates = _scores(call, readout), call.rates(*(record.spikes(call) for record in records))
                running.backward_all(fused, records, gradient, sums, to_inputs, keep_reset)
        gradients.hand_over(roots, gradients.all_finished(call.model, sums))
        return Outcome(value, scores, rates)

    def _plain(self, call: Call, state: State, labels: Tensor, criterion: Loss) -> Outcome:
        if call.model.whole_samples:
            readout, fired = plain_sequence.forward_all(call, not self.detach_reset)
        else:
            readout, _, ticks = running.plain_all(call, state, not self.detach_reset)
            fired = {name: torch.stack([one[name].detach() for one in ticks]) for name in ticks[0]}
        return _back(call, criterion, readout, labels, call.rates(call.passed(fired)))


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
            if value is not None:
                object.__setattr__(self, name, whole_number(f"SLTT {name}", value))

    def step(
        self,
        model: TrainableNetwork,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
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
        with torch.enable_grad(), model.workspace.claimed() as workspace:
            call = _begin(self, model, run_pre_hooks(model, inputs), labels, lengths, criterion)
            if self.k is not None and self.k > call.ticks:
                raise ParameterError(f"SLTT k={self.k}: the samples have {call.ticks} ticks only")
            roots = _roots(call)
            generator = running.prepare(call, generator or model.next_generator())
            chosen = set(range(call.ticks))
            if self.k is not None:
                chosen = set(torch.randperm(call.ticks, generator=generator)[: self.k].tolist())
            gradients.notice_real_values(call, roots)
            if model.path == "plain":
                outcome, found = self._plain(call, roots, labels, criterion, chosen)
            else:
                outcome, found = self._fused(call, workspace, roots, labels, criterion, chosen)
            gradients.hand_over(roots, found)
            return outcome

    def _fused(
        self,
        call: Call,
        workspace: Workspace,
        roots: gradients.Roots,
        labels: Tensor,
        criterion: Loss,
        chosen: set[int],
    ) -> tuple[Outcome, dict[str, Tensor]]:
        model, batch, ticks = call.model, call.batch, call.ticks
        state, sums = begin_state(call, None), gradients.buffers(call, roots)
        to_inputs = gradients.of_inputs(sums)
        total, ends, score = 0.0, call.ends, model.score
        scores: Tensor | None = None
        spikes = []
        with working() as team:
            fused = Fused(call, team, workspace)
            for start, stop in running.windows(ticks, self.chunk or running.chunk_ticks(model, batch, ticks)):
                window = {name: source.window(start, stop) for name, source in call.sources.items()}
                now = [tick - start for tick in range(start, stop) if tick in chosen]
                readout, record = fused.forward(window, state, "0" if now else None, start)
                scores = joined(score, scores, scores_of(readout, score, ends, start))
                value, gradient = _loss_and_gradient(criterion, readout, labels, ends, start)
                total += value
                spikes.append(record.spikes(call))
                if not now:
                    continue
                own = {name: torch.zeros_like(whole[: len(now)]) for name, whole in to_inputs.items()}
                gradient = gradient[now] if len(now) < stop - start else gradient
                fused.backward(fused.chosen(record, now), gradient, sums, own, None)
                for name, part in own.items():
                    to_inputs[name][[start + tick for tick in now]] = part
            call.finish(state)
        assert scores is not None
        return Outcome(total, scores, call.rates(*spikes)), gradients.all_finished(model, sums)

    def _plain(
        self, call: Call, roots: gradients.Roots, labels: Tensor, criterion: Loss, chosen: set[int]
    ) -> tuple[Outcome, dict[str, Tensor]]:
        model, ticks, state = call.model, call.ticks, begin_state(call, None)
        # The graphs of single ticks end at leaves; what the gradients come from may have a graph of its own.
        leaves = {key: root.detach().requires_grad_(True) for key, root in roots.items()}
        call.values = call.values | {key: leaf for key, leaf in leaves.items() if not key.startswith("input:")}
        for name, leaf in gradients.of_inputs(leaves).items():
            call.sources[name].values = leaf
        total, score, ends = 0.0, model.score, call.ends
        scores: Tensor | None = None
        spikes = []
        for tick in range(ticks):
            now = {name: source.frame(tick, model.dtype) for name, source in call.sources.items()}
            with torch.set_grad_enabled(tick in chosen):
                readout, after, fired = plain.tick(call, now, state, call.weights(), call.coefficients(), tick)
                value = criterion.value(readout[None], labels, ends, tick)
            if value.requires_grad:
                value.backward()  # type: ignore[no-untyped-call]
            # The one line that makes it SLTT: what the next tick starts from has no past.
            state = {name: {key: x.detach() for key, x in one.items()} for name, one in after.items()}
            total += float(value.detach())
            scores = joined(score, scores, scores_of(readout.detach()[None], score, ends, tick))
            spikes.append(call.passed({name: one[None] for name, one in fired.items()}, tick))
        call.finish(state)
        assert scores is not None
        found = {key: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for key, leaf in leaves.items()}
        return Outcome(total, scores, call.rates(*spikes)), found


def check_model(rule: Rule, model: Any) -> None:
    """Raise `ParameterError` unless a model is one that BPTT and SLTT train, here and now."""
    from snnsim.training.model.trainable_network import TrainableNetwork

    if not isinstance(model, TrainableNetwork):
        raise ParameterError(f"{type(rule).__name__} trains a TrainableNetwork, got {type(model).__name__}")
    if torch.is_inference_mode_enabled():
        raise ParameterError(f"{type(rule).__name__}: nothing is learned inside torch.inference_mode()")


def check_labels(labels: Tensor, batch: int, classes: int) -> None:
    """Raise `ParameterError` unless there is the number of one of the classes a sample."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (batch,):
        found = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ParameterError(f"labels: expected a Tensor of int64 and shape ({batch},), got {found}")
    outside = (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        sample = int(outside.nonzero()[0])
        raise ParameterError(
            f"labels: sample {sample} has {int(labels[sample])}; the readout has the classes 0 ... {classes - 1}"
        )


def run_pre_hooks(model: TrainableNetwork, inputs: Inputs) -> Inputs:
    """Run what torch calls before the forward pass of a module, such as pruning, and return the inputs.

    Raises
    ------
    CapabilityError
        The module has hooks that look at its output, which SLTT never has as a whole.
    """
    if model._forward_hooks or model._backward_hooks or model._backward_pre_hooks:
        raise CapabilityError(
            "SLTT: the network has forward or backward hooks, which look at its readout as a whole; SLTT computes it "
            "chunk by chunk: use BPTT(), or hooks of parameters"
        )
    given: Any = inputs
    for number, hook in model._forward_pre_hooks.items():
        with_keywords = number in model._forward_pre_hooks_with_kwargs
        found: Any = hook(model, (given,), {}) if with_keywords else hook(model, (given,))
        if found is not None:
            found = found[0] if with_keywords else found
            given = found[0] if isinstance(found, tuple) else found
    return given  # type: ignore[no-any-return]


def _hooks(model: TrainableNetwork) -> bool:
    """Whether torch is asked to call something around the forward pass, but for what works out parameters."""
    others = [hook for hook in model._forward_pre_hooks.values() if not works_out(hook)]
    return bool(others or model._forward_hooks or model._backward_hooks or model._backward_pre_hooks)


def _begin(
    rule: Rule, model: TrainableNetwork, inputs: Inputs, labels: Tensor, lengths: Tensor | None, criterion: Loss
) -> Call:
    """Begin the call of a step, or say why there is none."""
    call = begin(model, inputs, lengths)
    check_labels(labels, call.batch, model.plan.output.size)
    model.memory_report(call.ticks, call.batch, rule).require()
    if criterion.score is not None:
        model.score = criterion.score
    return call


def _roots(call: Call) -> gradients.Roots:
    roots = gradients.roots_of(call)
    if not roots:
        raise nothing_to_learn()
    return roots


def nothing_to_learn() -> ParameterError:
    """Return the error of a step that could leave no gradient."""
    return ParameterError(
        "there is nothing to learn: no parameter requires a gradient (learn=..., requires_grad_), and no input does"
    )


def _back(call: Call, criterion: Loss, readout: Tensor, labels: Tensor, rates: Mapping[str, float]) -> Outcome:
    """Go back through the graph of a readout, shape (ticks, batch, classes)."""
    if not readout.requires_grad:
        raise nothing_to_learn()
    total = criterion.value(readout, labels, call.ends)
    total.backward()  # type: ignore[no-untyped-call]
    return Outcome(float(total.detach()), _scores(call, readout.detach()), rates)


def _scores(call: Call, readout: Tensor) -> Tensor:
    return scores_of(readout, call.model.score, call.ends)


def _loss_and_gradient(
    criterion: Loss, readout: Tensor, labels: Tensor, ends: Tensor, first: int = 0
) -> tuple[float, Tensor]:
    leaf = readout.detach().requires_grad_(True)
    value = criterion.value(leaf, labels, ends, first)
    (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient
