r"""Differentiation on spike representation (Meng, Xiao, Yan, Wang, Lin, Luo, CVPR 2022, arXiv:2205.00459).

The network spikes, tick by tick, and what is differentiated is what the spikes stand for: the weighted rate r of a
population is that of its input a, cut off at none and at one spike a tick,

.. math:: r = \mathrm{clamp}(k a / \theta, 0, 1), \qquad
          r = \frac{\sum_t \beta^{T-t} s[t]}{\sum_t \beta^{T-t}}, \quad
          a = \frac{\sum_t \beta^{T-t} I[t]}{\sum_t \beta^{T-t}}

(`snnsim.training.rules.rates`), where :math:`\theta` is the threshold and k is dt / tau for ``decay_input=True``, else
one. No surrogate and no route through time: a gradient at the input of a population is the same at all ticks. What
arrives at the readout is differentiated tick by tick, so that any loss of it can be trained.

The error of a population is T times the weighted mean of what comes back at the ticks. Where that is not equal at all
ticks, which it is not from a readout that forgets, this is not the error of the weighted rate (1.08 times that for
twenty ticks of dt = 0.05 tau); the published code does so, and so does this. Gradients of weights are made of plain
means of spikes, not of weighted ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnsim.neurons import IF
from snnsim.training.autograd.presynaptic import delivered, delivered_backward, weight_gradient
from snnsim.training.compute import gradients
from snnsim.training.compute.call import Call, Presynaptic
from snnsim.training.compute.spike_lists import Inputs
from snnsim.training.losses import Loss, as_loss
from snnsim.training.model.rule_names import NAMED
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.plan import Link, Stage
from snnsim.training.rules.abilities import (
    decay_of,
    refuse_chip,
    refuse_for_rates,
    refuse_learning,
    refuse_stages,
    refuse_time,
)
from snnsim.training.rules.base import Outcome, Rule
from snnsim.training.rules.online import run_pre_hooks
from snnsim.training.rules.rates import Rates, slope_of
from snnsim.training.rules.step import begin_step, check_model, final_scores, loss_and_gradient, roots_of_step

#: Ticks of the readout's sources that are dense at a time.
_TICKS = 16


@dataclass(frozen=True)
class DSR(Rule):
    """Differentiation on spike representation: the spikes forward, clamped weighted rates backward.

    Notes
    -----
    The published neuron integrates ``(1 - beta) I``, fires from ``alpha * threshold`` on and then loses the whole
    threshold: that is ``LIF(tau, threshold, decay_input=True, rest=(1 - alpha) * threshold)``. Its spikes are as large
    as threshold / dt; here a spike is one, and the weights that it meets hold its size. A learned threshold has the
    gradient of the rate of such spikes. Precision grows with the ticks: a rate of T ticks has T + 1 values.
    """

    keeps_ticks = False
    keeps_readout = True

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
        """Run a minibatch; see `Rule.step`. Only readout and spikes that lead to it are kept for all ticks."""
        criterion = as_loss(loss)
        check_model(self, model)
        refuse_time("DSR", model)
        refuse_stages("DSR", model)
        refuse_for_rates("DSR", model)
        refuse_chip("DSR", model)
        refuse_learning("DSR", model, ("time_constant",), "rates are weighted by it, and their weights are held")
        with torch.enable_grad(), model.workspace.claimed() as workspace:
            given = run_pre_hooks("DSR", model, inputs)
            call = begin_step(self, model, given, labels, lengths, criterion, presynaptic)
            roots = roots_of_step(call)
            call.prepare(generator)
            gradients.notice_real_values(call, roots)
            rates = Rates(call)
            rates.run(workspace)
            value, gradient = loss_and_gradient(criterion, rates.readout, labels, call.ends)
            found = gradients.buffers(call, roots, fresh=True)
            with torch.no_grad():
                _Backward(rates, found).run(gradient)
            gradients.hand_over(roots, gradients.all_finished(model, found))
            return Outcome(value, final_scores(call, rates.readout), rates.rates)


class _Backward:
    """The way back from the readout of a call to gradients.

    Parameters
    ----------
    rates : Rates
    sums : dict of str to Tensor
        Gradients by kind and name, to be added to.
    """

    def __init__(self, rates: Rates, sums: dict[str, Tensor]) -> None:
        self.rates, self.sums = rates, sums
        self.call: Call = rates.call
        self.weights = self.call.effective_weights()
        self.dt = self.call.model.plan.network.dt
        #: Errors of the rates of populations, shape (batch, neurons), as far as they have come back.
        self.errors: dict[str, Tensor] = {}

    def run(self, gradient: Tensor) -> None:
        """Go back from the gradient at the readout, shape (ticks, batch, classes)."""
        output = self.call.model.plan.output
        arrived = self._before_readout(output, gradient)
        self._add_bias(output, arrived.sum(0))
        for link in output.links:
            self._from_readout(link, arrived)
        for stage in reversed(self.call.model.plan.stages[:-1]):
            if stage.name in self.errors:
                self._stage(stage, self.errors[stage.name])

    def _before_readout(self, output: Stage, gradient: Tensor) -> Tensor:
        """Return the gradient at what arrives at the readout, shape (ticks, batch, classes): exactly, it is linear."""
        decay, found = decay_of(output, self.dt), torch.empty_like(gradient)
        later = torch.zeros_like(gradient[0])
        for tick in reversed(range(len(gradient))):
            later = gradient[tick] + decay * later
            found[tick] = later
        gain: Any = getattr(output.model.coefficients(self.dt), "gain", 1.0)
        return found * float(np.asarray(gain).flat[0])

    def _from_readout(self, link: Link, arrived: Tensor) -> None:
        """Pass a projection to the readout, whose gradient differs from tick to tick."""
        weights, call = self.weights.get(link.name), self.call
        total, ceiling = self.sums.get(f"weights:{link.name}"), call.scale(link.source)
        of_input = self.sums.get(f"input:{link.source}")
        for first in range(0, len(arrived), _TICKS):
            part = arrived[first : first + _TICKS].flatten(0, 1)
            frames = self.rates.frames(link.source, first, min(first + _TICKS, len(arrived)))
            rows = frames.flatten(0, 1)
            if total is not None and weights is not None:
                total += weight_gradient(link, self._looked_at(link, rows, rows), weights, ceiling, part)
            if of_input is not None:
                below = delivered_backward(link, rows, weights, ceiling, part)
                assert below is not None
                of_input[first : first + _TICKS] += below.view(frames.shape)
        if link.source not in call.sources:
            shares = self.rates.shares[link.source]
            mean = torch.einsum("tb,tbc->bc", shares, arrived) * call.ends.unsqueeze(1)  # T times the weighted mean
            self._add_error(link, weights, mean)

    def _stage(self, stage: Stage, error: Tensor) -> None:
        """Pass a population that fires: the clamp of its rate, its bias, its threshold, the projections to it."""
        neuron: Any = stage.model
        threshold = self.call.values.get(f"threshold:{stage.name}")
        if threshold is None:
            threshold = torch.tensor(neuron.threshold, dtype=error.dtype)
        threshold = threshold.detach()
        rate = slope_of(stage, self.dt) * self._arrived(stage) / threshold
        inside = (rate >= 0) & (rate <= 1) if isinstance(neuron, IF) else (rate > 0) & (rate < 1)
        error = torch.where(inside, error, 0.0)
        key = f"threshold:{stage.name}"
        if key in self.sums:
            self.sums[key] += (-error * rate / threshold).sum_to_size(self.sums[key].shape)
        error = error * (slope_of(stage, self.dt) / threshold)
        self._add_bias(stage, error)
        for link in stage.links:
            self._into(link, error)

    def _arrived(self, stage: Stage) -> Tensor:
        """Return the weighted mean of what arrived at a population, its bias included, shape (batch, neurons)."""
        neuron: Any = stage.model
        bias = self.call.values.get(f"bias:{stage.name}")
        if bias is None:
            total = torch.tensor(neuron.bias, dtype=self.call.model.dtype)
        else:
            total = bias.detach().repeat_interleave(stage.size // stage.channels)
        total = total.expand(self.call.batch, stage.size)
        for link in stage.links:
            values = self.rates.weighted[link.source, stage.name]
            total = total + delivered(link, values, self.weights.get(link.name), self.call.scale(link.source))
        return total

    def _into(self, link: Link, error: Tensor) -> None:
        """Pass a projection to a population that fires, whose gradient is the same at all ticks."""
        weights, mean = self.weights.get(link.name), self.rates.mean[link.source]
        ceiling, total = self.call.scale(link.source), self.sums.get(f"weights:{link.name}")
        if total is not None and weights is not None:
            sent = self.rates.weighted[link.source, self._target(link)]
            total += weight_gradient(link, self._looked_at(link, mean, sent), weights, ceiling, error)
        if link.source not in self.call.sources:
            self._add_error(link, weights, error)
        elif (of_input := self.sums.get(f"input:{link.source}")) is not None:
            below = delivered_backward(link, mean, weights, ceiling, error)
            assert below is not None
            of_input += self.rates.shares[""].unsqueeze(2) * below  # a T-th at each tick

    def _target(self, link: Link) -> str:
        return next(stage.name for stage in self.call.model.plan.stages if link in stage.links)

    def _add_error(self, link: Link, weights: Tensor | None, error: Tensor) -> None:
        """Add what comes back through a projection, shape (batch, targets), to the error of its source."""
        size = self.call.model.plan.stage(link.source).size
        values = torch.zeros(len(error), size, dtype=error.dtype)  # of a linear projection the values do not matter
        below = delivered_backward(link, values, weights, self.call.scale(link.source), error)
        assert below is not None
        below = below * self.call.scale(link.source)
        if link.source in self.call.masks:
            below = below * self.call.masks[link.source]
        known = self.errors.get(link.source)
        self.errors[link.source] = below if known is None else known + below

    def _add_bias(self, stage: Stage, error: Tensor) -> None:
        key = f"bias:{stage.name}"
        if key in self.sums:
            self.sums[key] += error.sum(0).view(self.sums[key].shape[0], -1).sum(1)

    def _looked_at(self, link: Link, activity: Tensor, sent: Tensor) -> Tensor:
        look = self.call.presynaptic
        return activity if look is None else look(link.name, activity, sent)


NAMED["dsr"] = DSR()
