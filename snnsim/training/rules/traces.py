"""Traces of presynaptic activity: what a membrane still holds of what a source has sent, one a source neuron."""

from __future__ import annotations

import torch
from torch import Tensor

from snnsim.training.compute.call import Call
from snnsim.training.parameters.plan import Link
from snnsim.training.rules.abilities import decay_of


class Traces:
    r"""The traces of a call, :math:`a[t] = \lambda a[t-1] + s[t]`, advanced tick by tick and nothing else kept.

    Parameters
    ----------
    call : Call
    kind : {"target", "source"}
        Whose membrane says how fast a trace decays: that of the population that a projection leads to, or that of the
        one it comes from, inputs having none.
    """

    def __init__(self, call: Call, kind: str) -> None:
        plan, dt = call.model.plan, call.model.plan.network.dt
        decays = {stage.name: decay_of(stage, dt) for stage in plan.stages}
        #: By projection; those without a memory are left out, as their trace is the activity itself.
        self.decays: dict[str, float] = {}
        for stage in plan.stages:
            for link in stage.links:
                decay = decays[stage.name] if kind == "target" else decays.get(link.source, 0.0)
                if decay and link.has_weights:
                    self.decays[link.name] = decay
        #: By population: how the trace of its bias decays, of an activity that is one at every tick.
        self.bias_decays = decays if kind == "target" else dict.fromkeys(decays, 0.0)
        self._traces: dict[str, Tensor] = {}
        self._ones = dict.fromkeys(decays, 0.0)

    def of(self, link: Link, values: Tensor) -> Tensor:
        """Advance the trace of a projection by a tick and return it, shape (batch, sources)."""
        decay = self.decays.get(link.name)
        if decay is None:
            return values
        before = self._traces.get(link.name)
        now = values if before is None else torch.add(values, before, alpha=decay)
        self._traces[link.name] = now
        return now

    def of_ticks(self, link: Link, values: Tensor) -> Tensor:
        """Advance the trace of a projection through some ticks and return it at each, shape (ticks, batch, sources)."""
        if link.name not in self.decays:
            return values
        found = torch.empty_like(values)
        for tick, row in enumerate(values):
            found[tick] = self.of(link, row)
        self._traces[link.name] = found[-1].clone()  # not a view, which would keep all ticks
        return found

    def of_bias(self, population: str) -> float:
        """Advance the trace of the bias of a population by a tick and return it."""
        self._ones[population] = self.bias_decays[population] * self._ones[population] + 1.0
        return self._ones[population]
