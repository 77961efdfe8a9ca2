r"""Online training through time (Xiao, Meng, Zhang, He, Lin, NeurIPS 2022, arXiv:2210.04195).

The gradient of the weights of a projection is made, tick by tick, of the spatial error of its target and of a trace of
what its source has sent,

.. math:: \frac{dL}{dW} = \sum_t g[t]\, a[t]^T, \qquad a[t] = \lambda a[t-1] + s[t]

so that what a spike left in the membrane it went to is remembered without keeping any tick. The routes from one
membrane to another at a later tick are dropped, and so is that of the reset; with the trace replaced by the spikes it
is SLTT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from snnsim.errors import CapabilityError, ParameterError, one_of
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Presynaptic
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.losses import Loss, as_loss
from snnsim.training.model.rule_names import NAMED
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.settings import whole_number
from snnsim.training.rules import online
from snnsim.training.rules.abilities import refuse_chip, refuse_learning, refuse_stages, refuse_time
from snnsim.training.rules.base import Outcome, Rule
from snnsim.training.rules.step import begin_step, check_model, refuse_whole_scores, roots_of_step
from snnsim.training.rules.traces import Traces


@dataclass(frozen=True)
class OTTT(Rule):
    """Online training through time: traces of presynaptic activity, memory that does not grow with the ticks.

    Parameters
    ----------
    update : {"minibatch", "tick"}
        Take a step of the optimiser after all ticks (OTTT-A of the paper) or after each one (OTTT-O), with the
        gradients of that tick alone. The loss keeps its factor 1/T in both.
    traces : {"target", "source"}
        ``"target"``: a trace decays as the membrane that the projection leads to, which is the derivative of that
        membrane; inputs leave traces, and a readout without a memory sees none. ``"source"``: it decays as the membrane
        of the population that fired, inputs leave none, every other projection sees one, and biases have none, as in
        the published code. Where all membranes leak alike, the two differ for inputs, for the readout and for biases
        only.
    chunk : int, optional
        Ticks computed at a time with ``update="minibatch"``; default as many as fit the cache. It changes no result but
        by rounding.

    Notes
    -----
    With one hidden population, ``traces="target"`` and a readout without a memory, the gradients are those of
    ``BPTT(detach_reset=True)``; deeper populations lose what lower ones did at earlier ticks.
    """

    update: str = "minibatch"
    traces: str = "target"
    chunk: int | None = None
    keeps_ticks = False
    keeps_traces = True

    def __post_init__(self) -> None:
        one_of("OTTT update", self.update, ("minibatch", "tick"))
        one_of("OTTT traces", self.traces, ("target", "source"))
        if self.chunk is not None:
            object.__setattr__(self, "chunk", whole_number("OTTT chunk", self.chunk))
            if self.update == "tick":
                raise ParameterError(f"OTTT chunk={self.chunk}: with update='tick' every tick is computed by itself")

    @property
    def updates_within(self) -> bool:
        """Whether each tick is followed by a step of the optimiser."""
        return self.update == "tick"

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
        refuse_whole_scores("OTTT", criterion)
        refuse_time("OTTT", model)
        refuse_stages("OTTT", model)
        refuse_chip("OTTT", model)
        refuse_learning("OTTT", model, ("threshold", "time_constant"), "its effect at later ticks has no trace")
        if self.updates_within and optimise is None:
            raise ParameterError(
                "OTTT update='tick': needs optimise=..., which steps the optimiser and sets the gradients to zero; "
                "train(model, data, rule=...) gives it"
            )
        with torch.enable_grad(), model.workspace.claimed() as workspace:
            given = online.run_pre_hooks("OTTT", model, inputs)
            call = begin_step(self, model, given, labels, lengths, criterion, presynaptic)
            roots = roots_of_step(call)
            if self.updates_within and gradients.of_inputs(roots):
                raise CapabilityError(
                    "OTTT update='tick': an input requires a gradient, and what stands in front of it would have moved "
                    "before the sample ends; use update='minibatch'"
                )
            call.prepare(generator or model.next_generator())
            gradients.notice_real_values(call, roots)
            traces, every = Traces(call, self.traces), set(range(call.ticks))
            optimise = optimise if self.updates_within else None
            # The compiled sweep of a model's own arithmetic has no trace for the bias.
            if model.path == "plain" or len(model.leaky) < len(model.plan.stages):
                return online.plain(call, labels, criterion, every, traces, optimise)
            chunk = 1 if self.updates_within else self.chunk
            return online.compiled(call, workspace, roots, labels, criterion, chunk, every, traces, optimise)


NAMED["ottt"] = OTTT()
