"""One call of a network: what it is given, and what it computes with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnsim.backends.contract.divergence import largest_membrane
from snnsim.connectivity import Sparse
from snnsim.errors import DivergenceError, ParameterError
from snnsim.training.compute.batch_statistics import Moments
from snnsim.training.compute.sample_ends import within
from snnsim.training.compute.spike_lists import Inputs, Signal, Source, check_inputs, longest_of
from snnsim.training.parameters.coefficients import coefficient_rows, coefficient_tensors
from snnsim.training.parameters.delay_schedule import Kernel
from snnsim.training.parameters.finite import refuse_not_finite
from snnsim.training.parameters.network_parameters import NetworkParameters, State
from snnsim.training.parameters.plan import Link, Stage
from snnsim.training.parameters.values import Values

#: ``presynaptic(projection, activity, sent)`` looks at the activity that the gradient of a projection's weights is made
#: of and at what was sent, both of shape (rows, sources), and returns what to make the gradient of instead; see
#: `snnsim.training.rules.hooks`.
Presynaptic = Callable[[str, Tensor, Tensor], Tensor]


@dataclass
class Call:
    """One call.

    Parameters
    ----------
    model : TrainableNetwork
    sources : dict of str to Source
        Its inputs by population.
    values : dict of str to Tensor
        What it computes with, see `snnsim.training.parameters.values`.
    lengths : Tensor of int64, shape (batch,)
        Ticks of each sample, of its longest input.
    given : int
        Ticks that the inputs were given with, padding included.
    masks : dict of str to Tensor of bool, shape (batch, neurons)
        Spikes that dropout lets pass, for each population that has it.
    presynaptic : callable, optional
        See `Presynaptic`.
    """

    model: NetworkParameters
    sources: dict[str, Source]
    values: Values
    lengths: Tensor
    given: int
    masks: dict[str, Tensor] = field(default_factory=dict)
    presynaptic: Presynaptic | None = None
    _moments: dict[str, Moments] = field(default_factory=dict)

    @cached_property
    def batch(self) -> int:
        """Number of samples."""
        return next(iter(self.sources.values())).batch

    @cached_property
    def ticks(self) -> int:
        """Number of ticks of the inputs, with the silence after them that is run through tick by tick."""
        return next(iter(self.sources.values())).ticks

    def window(self, start: int, stop: int) -> dict[str, Signal]:
        """Return the inputs of ticks ``start ... stop - 1`` by population."""
        return {name: source.window(start, stop) for name, source in self.sources.items()}

    def frame(self, tick: int) -> dict[str, Tensor]:
        """Return the inputs of a tick by population as dense values, shape (batch, sources), with their graphs."""
        return {name: source.frame(tick, self.model.dtype) for name, source in self.sources.items()}

    @cached_property
    def ends(self) -> Tensor:
        """Ticks of the readout that belong to each sample, shape (batch,)."""
        return self.lengths + self.model.plan.extension

    def inside(self, population: str, first: int, stop: int) -> Tensor | None:
        """Return which ticks ``first ... stop - 1`` of a population belong to each sample, shape (ticks, batch).

        None where all do.
        """
        ends = self.lengths + self.model.extensions[population]
        return None if int(ends.min()) >= stop else within(stop - first, ends, first)

    def prepare(self, generator: torch.Generator | None) -> torch.Generator:
        """Draw masks and noise, and program the chip where that is due.

        Parameters
        ----------
        generator : torch.Generator or None
            None is the next one of the model in training.

        Returns
        -------
        torch.Generator
            The one that was used.
        """
        model = self.model
        if generator is None:
            generator = model.next_generator() if model.training else model.generator()
        key = generator.initial_seed()
        if model.weight_noise is not None:
            model.weight_noise.draw(model.training, model.weights, key)
        if model.chip is not None:
            model.chip.begin(model.training, self.effective_weights, key)
        self.masks = draw_masks(model, self.batch, generator)
        return generator

    # -- what it computes with ---------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of every projection with their graphs; those of `Sparse` as a matrix (sources, targets).

        In noise-aware training they have the noise of the minibatch.
        """
        noise = self.model.weight_noise if self.model.training else None
        result = {}
        for name, link in self.model.links.items():
            if link.has_weights:
                found = self.values[f"weights:{name}"]
                if noise is not None:
                    found = noise.added(name, found)
                result[name] = _matrix(link, found) if isinstance(link.rule, Sparse) else found
        return result

    def effective_weights(self) -> dict[str, Tensor]:
        """Return `weights` without their graphs, in rows as the compiled kernels go through them."""
        with torch.no_grad():
            return {name: value.detach().contiguous() for name, value in self.weights().items()}

    def coefficients(self) -> dict[str, Any]:
        """Return the coefficients of every population as tensors that depend on what is learned."""
        return coefficient_tensors(self.model, self.values)

    def coefficient_rows(self) -> dict[str, Any]:
        """Return the coefficients of every population for the compiled sweeps, arrays of shape (6, neurons)."""
        return coefficient_rows(self.model, self.values)

    def held(self) -> list[Tensor]:
        """Return what the way back reads once more: inputs, weights, delays, batch norm."""
        copied = ("bias:", "threshold:", "time_constant:")
        held = [value for key, value in self.values.items() if not key.startswith(copied)]
        return held + [source.values for source in self.sources.values() if source.values is not None]

    def delays(self, link: Link) -> tuple[Tensor, Kernel, float]:
        """Return delays, kernel and width of a projection; see `NetworkParameters.delays_now`."""
        return self.model.delays_now(link.name, self.values[f"delays:{link.name}"])

    def affine(self, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return factor and shift of the batch norm of a population, shape (channels,)."""
        return self.values[f"norm:{stage.name}.weight"], self.values[f"norm:{stage.name}.bias"]

    def statistics(self, stage: Stage) -> bool:
        """Whether batch norm uses, and remembers, the statistics of this batch, instead of the running ones."""
        return self.model.training and self.model.norm(stage.name).training

    def moments(self, stage: Stage) -> Moments | None:
        """Return where the statistics of a population's ticks are added; None where the running ones are used alone."""
        return self._moments.setdefault(stage.name, Moments(stage.channels)) if self.statistics(stage) else None

    def finish(self, state: State) -> None:
        """End a forward pass over all ticks: look at the state after it, take statistics into the running ones.

        Raises
        ------
        DivergenceError
            A membrane means nothing any more, as for the backends.
        """
        for stage in self.model.plan.stages:
            self._check_membrane(stage, state[stage.name][stage.model.arithmetic.states[0]].detach())
        for name, moments in self._moments.items():
            moments.into(self.model.norm(name))
        self._moments.clear()

    def _largest(self, stage: Stage, dtype: torch.dtype) -> float:
        known, key = self.model.constants, ("largest membrane", stage.name, dtype)
        if key not in known:
            known[key] = largest_membrane(stage.model, torch.finfo(dtype))
        return known[key]  # type: ignore[no-any-return]

    def _check_membrane(self, stage: Stage, membrane: Tensor) -> None:
        largest = self._largest(stage, membrane.dtype)
        if float(membrane.max()) <= largest and float(membrane.min()) > -math.inf:  # not so for NaN
            return
        bad = ~torch.isfinite(membrane) | (membrane > largest)
        sample, neuron = (int(i) for i in bad.nonzero()[0])
        raise DivergenceError(
            f"population {stage.name!r}: the membrane of neuron {neuron} in sample {sample} is "
            f"{float(membrane[sample, neuron])} after the last tick, which means nothing any more. Check bias, weights "
            "and threshold; a finer dt or dtype='float64' may help"
        )

    def rates(self, *spikes: Mapping[str, int]) -> dict[str, float]:
        """Return spikes a neuron and tick of each population, of neurons that dropout lets pass; from parts of them."""
        longer, result, lasting = self.model.extensions, {}, self.lengths.to(torch.float64)
        for stage in self.model.plan.stages:
            if stage.spiking:
                mask = self.masks.get(stage.name)
                passing = torch.full((self.batch,), stage.size) if mask is None else mask.sum(1)
                cells = float(((lasting + longer[stage.name]) * passing).sum())
                result[stage.name] = sum(part[stage.name] for part in spikes) / max(1.0, cells)
        return result

    def passed(self, fired: Mapping[str, Tensor], first: int = 0) -> dict[str, int]:
        """Count the spikes that dropout lets pass within the samples.

        Parameters
        ----------
        fired : dict of str to Tensor, shape (ticks, batch, neurons)
            Before dropout.
        first : int
            Tick at which they begin.
        """
        counts = {}
        for name, one in fired.items():
            kept, inside = one.detach() * self.masks.get(name, 1), self.inside(name, first, first + len(one))
            counts[name] = int((kept if inside is None else kept[inside]).sum(dtype=torch.float64))
        return counts

    def scales(self) -> dict[str, float]:
        """Return the size of a spike of every population."""
        names = (*self.sources, *(stage.name for stage in self.model.plan.stages))
        return {name: self.scale(name) for name in names}

    def scale(self, population: str) -> float:
        """Return the size of a spike of a population that dropout let pass."""
        return 1.0 / (1.0 - self.model.plan.stage(population).dropout) if population in self.masks else 1.0


def draw_masks(model: NetworkParameters, batch: int, generator: torch.Generator | None) -> dict[str, Tensor]:
    """Draw one dropout mask a sample and neuron, for all ticks; none outside training."""
    stages = [stage for stage in model.plan.stages if stage.dropout]
    if not stages or not model.training:
        return {}
    return {stage.name: torch.rand(batch, stage.size, generator=generator) >= stage.dropout for stage in stages}


def begin(model: NetworkParameters, inputs: Inputs, lengths: Tensor | None = None) -> Call:
    """Check the inputs of a call and look up the values of a network."""
    sources = check_inputs(model.plan, inputs, model.dtype, lengths)
    longest, given = longest_of(sources), max(source.ticks for source in sources.values())
    # Samples that are computed whole are made longer a layer at a time.
    ticks = int(longest.max()) + (0 if model.whole_samples else model.plan.extension)
    for source in sources.values():
        source.cut(ticks)
    return Call(model, sources, model.look_up(), longest, given)


def begin_state(call: Call, state: State | None) -> State:
    """Return a state of the call's own: that of rest, or a copy of a given one.

    Raises
    ------
    ParameterError
        The given state does not fit, is not finite, wants a gradient, or cannot be gone on from.
    """
    rest = call.model.initial_state(call.batch)
    if state is None:
        return rest
    if call.model.whole_samples:
        raise ParameterError("state: whole samples start from rest (spikes on their way are not kept)")
    if call.model.extension:
        raise ParameterError(
            f"state: the network runs on for {call.model.extension} ticks after each call and so cannot go on from "
            "one; describe it with extension=0.0"
        )
    own: State = {}
    for name, template in rest.items():
        own[name] = {}
        for key, value in template.items():
            given = state.get(name, {}).get(key)
            if given is None or given.shape != value.shape:
                found = None if given is None else tuple(given.shape)
                raise ParameterError(f"state of {name!r}: {key} has shape {found}, expected {tuple(value.shape)}")
            if given.requires_grad:
                raise ParameterError(
                    f"state of {name!r}: {key} requires a gradient, and none passes into it; detach it"
                )
            refuse_not_finite(f"state of {name!r}, {key}", given)
            own[name][key] = given.to(value.dtype, copy=True)
    return own


def _matrix(link: Link, values: Tensor) -> Tensor:
    """Return the weights of `Sparse` as a matrix (sources, targets)."""
    return torch.zeros(link.matrix_shape, dtype=values.dtype).index_put(synapses(link), values, accumulate=True)


def synapses(link: Link) -> tuple[Tensor, Tensor]:
    """Return sources and targets of the synapses of a `Sparse` projection."""
    rule = link.rule
    assert isinstance(rule, Sparse)
    return torch.tensor(rule.sources), torch.from_numpy(rule.targets.astype(np.int64))
