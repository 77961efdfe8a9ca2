"""Spatial learning through time (Meng, Xiao, Yan, Wang, Lin, Luo, ICCV 2023, arXiv:2302.14311).

SLTT drops every route through time, that of the leak and that of the reset, in every layer, so that each tick is
back-propagated as soon as it is computed and memory does not grow with the number of ticks. SLTT-K back-propagates K
random ticks only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from snnsim.errors import ParameterError
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Presynaptic
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.losses import Loss, as_loss
from snnsim.training.model.rule_names import NAMED
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.settings import whole_number
from snnsim.training.rules import online
from snnsim.training.rules.abilities import refuse_time
from snnsim.training.rules.base import Outcome, Rule
from snnsim.training.rules.step import begin_step, check_model, refuse_whole_scores, roots_of_step


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
    keeps_ticks = False

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
        *,
        optimise: Callable[[], None] | None = None,
        presynaptic: Presynaptic | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. Memory does not grow with the number of ticks."""
        criterion = as_loss(loss)
        check_model(self, model)
        refuse_whole_scores("SLTT", criterion)
        refuse_time("SLTT", model)
        with torch.enable_grad(), model.workspace.claimed() as workspace:
            given = online.run_pre_hooks("SLTT", model, inputs)
            call = begin_step(self, model, given, labels, lengths, criterion, presynaptic)
            if self.k is not None and self.k > call.ticks:
                raise ParameterError(f"SLTT k={self.k}: the samples have {call.ticks} ticks only")
            roots = roots_of_step(call)
            generator = call.prepare(generator or model.next_generator())
            chosen = set(range(call.ticks))
            if self.k is not None:
                chosen = set(torch.randperm(call.ticks, generator=generator)[: self.k].tolist())
            gradients.notice_real_values(call, roots)
            if model.path == "plain":
                return online.plain(call, labels, criterion, chosen)
            return online.compiled(call, workspace, roots, labels, criterion, self.chunk, chosen)


NAMED["sltt"] = SLTT()
