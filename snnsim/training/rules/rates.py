r"""Firing as a rate: the weighted mean of what was sent, and what a leaky membrane makes of such means.

With :math:`V[t] = \beta V[t-1] + g I[t] - \theta s[t]` the sum over a sample is

.. math:: \theta \sum_t \beta^{T-t} s[t] = g \sum_t \beta^{T-t} I[t] - V[T]

so that up to what is left in the membrane the weighted rate of spikes is that of the input times :math:`g / \theta`,
between none and one spike a tick (Meng, Xiao, Yan, Wang, Lin, Luo, CVPR 2022, arXiv:2205.00459).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnsim.neurons import IF
from snnsim.training.autograd.ticks import tick
from snnsim.training.compute.call import Call, begin_state
from snnsim.training.compute.sample_ends import within
from snnsim.training.compute.threads import working
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import ChunkedCall
from snnsim.training.parameters.plan import Stage
from snnsim.training.rules.abilities import decay_of


def shares_of_ticks(decay: float, ends: Tensor, ticks: int, dtype: torch.dtype) -> Tensor:
    """Return the weights of the ticks in a mean that forgets with `decay`, shape (ticks, batch); they sum to one.

    Parameters
    ----------
    decay : float
        What is left after a tick: one for a plain mean.
    ends : Tensor of int64, shape (batch,)
        Ticks of each sample; later ones have no weight.
    ticks : int
    dtype : torch.dtype
    """
    ago = (ends - 1 - torch.arange(ticks).unsqueeze(1)).to(torch.float64)
    weights = torch.where(within(ticks, ends), decay ** ago.clamp(min=0), 0.0)
    return (weights / weights.sum(0)).to(dtype)


def slope_of(stage: Stage, dt: float) -> float:
    """Return spikes a tick for an input of one, times the threshold.

    Where the input is multiplied by one minus the decay, the published dt / tau stands for that, its value for short
    ticks.
    """
    neuron: Any = stage.model
    if isinstance(neuron, IF) or not neuron.decay_input:
        return 1.0
    return float(dt / np.asarray(neuron.time_constant).flat[0])


class Rates:
    """A forward pass that keeps means over ticks, and what the readout was and was made of.

    Parameters
    ----------
    call : Call

    Attributes
    ----------
    mean : dict of str to Tensor, shape (batch, sources)
        Of what each source has sent over the ticks of its sample.
    weighted : dict of (str, str) to Tensor, shape (batch, sources)
        By source and target: weighted as the membrane of the target forgets.
    readout : Tensor, shape (ticks, batch, classes)
    rates : dict of str to float
        Spikes a neuron and tick.
    """

    def __init__(self, call: Call) -> None:
        plan, dt, dtype = call.model.plan, call.model.plan.network.dt, call.model.dtype
        self.call = call
        ways = [(link.source, stage) for stage in plan.stages for link in stage.links if stage is not plan.output]
        #: Weights of ticks by population that fires; those of a plain mean without a name.
        self.shares = {
            stage.name: shares_of_ticks(decay_of(stage, dt), call.ends, call.ticks, dtype)
            for stage in plan.stages
            if stage.spiking
        }
        self.shares[""] = shares_of_ticks(1.0, call.ends, call.ticks, dtype)
        self._last = {link.source for link in plan.output.links}
        self._fired: dict[str, list[Tensor]] = {name: [] for name in self._last if name not in call.sources}
        size = {name: plan.network.population(name).size for name in (*plan.inputs, *(s.name for s in plan.stages))}
        self.weighted = {
            (source, stage.name): torch.zeros(call.batch, size[source], dtype=dtype) for source, stage in ways
        }
        self.mean = {source: torch.zeros(call.batch, size[source], dtype=dtype) for source, _ in ways}
        self.readout = torch.zeros(0)
        self.rates: dict[str, float] = {}

    def run(self, workspace: Workspace) -> None:
        """Run all ticks, on the path of the network."""
        parts, spikes = [], []
        with torch.no_grad():
            for first, readout, sent, counts in self._plain() if self._is_plain else self._compiled(workspace):
                parts.append(readout)
                spikes.append(counts)
                for name, values in sent.items():
                    self._add(name, values, first)
        self.readout = torch.cat(parts)
        self.rates = self.call.rates(*spikes)

    @property
    def _is_plain(self) -> bool:
        return self.call.model.path == "plain"

    def _add(self, name: str, values: Tensor, first: int) -> None:
        """Add what a source has sent in some ticks, shape (ticks, batch, sources)."""
        stop = first + len(values)
        if name in self.mean:
            self.mean[name] += _summed(self.shares[""][first:stop], values)
        for (source, target), total in self.weighted.items():
            if source == name:
                total += _summed(self.shares[target][first:stop], values)
        if name in self._fired:
            self._fired[name].append(values != 0)

    def frames(self, name: str, first: int, stop: int) -> Tensor:
        """Return what a source of the readout sent in some ticks, shape (ticks, batch, sources)."""
        call = self.call
        if name in call.sources:
            return torch.stack(
                [call.sources[name].frame(tick, call.model.dtype) for tick in range(first, stop)]
            ).detach()
        return self._fired_ticks(name)[first:stop].to(call.model.dtype) * call.scale(name)

    def _fired_ticks(self, name: str) -> Tensor:
        if len(self._fired[name]) > 1:
            self._fired[name] = [torch.cat(self._fired[name])]
        return self._fired[name][0]

    def _plain(self) -> Iterator[tuple[int, Tensor, dict[str, Tensor], dict[str, int]]]:
        call, state = self.call, begin_state(self.call, None)
        weights, coefficients = call.weights(), call.coefficients()
        for number in range(call.ticks):
            given = call.frame(number)
            readout, state, fired = tick(call, given, state, weights, coefficients, number)
            sent = {name: one * call.masks.get(name, 1) * call.scale(name) for name, one in fired.items()} | given
            counts = call.passed({name: one[None] for name, one in fired.items()}, number)
            yield number, readout[None], {name: one[None] for name, one in sent.items()}, counts
        call.finish(state)

    def _compiled(self, workspace: Workspace) -> Iterator[tuple[int, Tensor, dict[str, Tensor], dict[str, int]]]:
        call, state = self.call, begin_state(self.call, None)
        with working() as team:
            chunked = ChunkedCall(call, team, workspace)
            for start, stop in chunked.windows():
                readout, record = chunked.forward(call.window(start, stop), state, None, start)
                sent = {
                    name: signal.plain(call.model.dtype).view(signal.ticks, call.batch, signal.size)
                    for name, signal in record.signals.items()
                }
                yield start, readout.clone(), sent, record.spikes(call)
            call.finish(state)


def _summed(shares: Tensor, values: Tensor) -> Tensor:
    """Return the sum over ticks of values (ticks, batch, sources), each times its weight (ticks, batch)."""
    return torch.einsum("tb,tbn->bn", shares, values)
