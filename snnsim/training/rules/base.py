"""Learning rules: how the loss of a minibatch becomes gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from snnsim.errors import ParameterError
from snnsim.training.compute.call import Presynaptic
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.losses import Loss
from snnsim.training.model.rule_names import rule_named


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

    #: Whether what a tick leaves behind is kept until the last one is known, so that memory grows with their number.
    keeps_ticks: ClassVar[bool] = True
    #: Whether the readout, and the spikes that lead to it, are kept where nothing else of a tick is.
    keeps_readout: ClassVar[bool] = False
    #: Whether what each source has sent leaves a trace for each projection from it.
    keeps_traces: ClassVar[bool] = False
    #: Ticks computed at a time; None for as many as fit the cache.
    chunk: int | None = None

    @property
    def updates_within(self) -> bool:
        """Whether a step of the optimiser is taken within a minibatch, by the rule, instead of after it."""
        return False

    @abstractmethod
    def step(
        self,
        model: Any,
        inputs: Inputs,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
        *,
        optimise: Callable[[], None] | None = None,
        presynaptic: Presynaptic | None = None,
    ) -> Outcome:
        """Run a minibatch forward and backward, and add to ``.grad`` of every parameter.

        Parameters
        ----------
        model : TrainableNetwork
            Or what else the rule trains.
        inputs : Events, Frames or Tensor of shape (batch, ticks, sources), or dict of them
        labels : Tensor of int64, shape (batch,)
        loss : Loss or str
            One that trains a score (`snnsim.training.losses`) makes it the one that the network answers by.
        generator : torch.Generator, optional
            Of dropout masks, noise and random ticks; default the next one of the model.
        lengths : Tensor of int64, shape (batch,), optional
            Ticks of each sample where the inputs are Tensors; Events and Frames bring their own.
        optimise : callable, optional
            Takes a step of the optimiser and sets the gradients to zero: called where the rule `updates_within`.
        presynaptic : callable, optional
            ``presynaptic(projection, activity, sent)`` looks at what the gradient of the weights of a projection is
            made of, and returns what to make it of instead; see `snnsim.training.rules.hooks`.
        """


def as_rule(rule: Rule | str) -> Rule:
    """Return a learning rule from itself or its name."""
    found = rule_named(rule)
    if not isinstance(found, Rule):
        raise ParameterError(f"rule={rule!r}: expected a Rule such as SLTT() or BPTT(), or its name")
    return found


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


def nothing_to_learn() -> ParameterError:
    """Return the error of a step that could leave no gradient."""
    return ParameterError(
        "there is nothing to learn: no parameter requires a gradient (learn=..., requires_grad_), and no input does"
    )
