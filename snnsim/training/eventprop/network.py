"""EventProp with delays: exact gradients of weights and delays from the times of spikes.

`EventPropNetwork` is a network of LIF neurons with exponential synapses, feed-forward or recurrent, with a delay for
every synapse; `EventProp` is the rule that trains it. The equations are in `snnsim.training.eventprop.kernels` and in
docs/eventprop.md (Wunderlich and Pehle 2021, doi:10.1038/s41598-021-91786-z; Meszaros, Knight and Nowotny 2025,
doi:10.1038/s41467-025-65394-8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from snnsim.backends.contract.precision import check_precision
from snnsim.errors import NetworkError, ParameterError, one_of
from snnsim.events import Events
from snnsim.network.network import Network
from snnsim.scores import SCORES
from snnsim.timebase import to_seconds
from snnsim.training.compute.spike_lists import check_inputs, longest_of, sample_lengths
from snnsim.training.compute.threads import working
from snnsim.training.eventprop.kernels import EVERY, LARGEST, SUM
from snnsim.training.eventprop.minibatch import Minibatch
from snnsim.training.eventprop.plan import DelayedLink, make_delay_plan
from snnsim.training.eventprop.tables import Tables
from snnsim.training.losses import scores_of
from snnsim.training.parameters.hooks import work_out
from snnsim.training.parameters.settings import names, number
from snnsim.training.parameters.values import KeptValues, Values

LEARNABLE = ("weights", "delays")
READOUTS = {"exponential": SUM, "mean": SUM, "largest": LARGEST, "ticks": EVERY}
#: By which score a network answers that was trained with an averaged readout.
_SCORES = {"exponential": "exponential_readout", "mean": "mean_readout", "largest": "largest_readout"}
EventInputs = Events | Mapping[str, Events]


class EventPropNetwork(KeptValues):
    """A network with delays whose weights and delays torch can train by EventProp.

    The forward pass computes the spikes that the backends compute for `network`. The backward pass needs the spikes
    alone: memory grows with their number, not with the number of ticks.

    Parameters
    ----------
    net : Network
        `Input` populations, `LIF` populations and one `LI` readout, all with one `Exponential` receptor; projections
        by Dense, Sparse and OneToOne (random rules become Sparse), recurrent ones too. Its delays are what learning
        starts from.
    learn : sequence of {"weights", "delays"}
    maximum_delay : float, optional
        Seconds that a learned delay cannot exceed; default the longest delay of `net`. The shortest is zero, or one
        tick where the projection is part of a cycle.
    delayed : sequence of str, optional
        Projections whose delays are learned; default all.
    readout : {"exponential", "mean", "largest", "ticks"}
        What the losses see of the readout's membrane: its average over time weighted with exp(-t / T), T the length
        of the sample; its mean; its largest value; or its value at every tick, which takes memory for each tick. By
        this the network answers (`Network.score`).
    delay_scale : float
        Ticks that one unit of a delay parameter stands for. Adam moves every parameter by about its learning rate at a
        step, so that delays move `delay_scale` times as many ticks.
    dtype : {"float32", "float64"}

    Raises
    ------
    CapabilityError
        The network holds what EventProp does not compute.

    Notes
    -----
    Parameters hold real delays, of the shape of the weights. Both passes use them rounded to ticks (half to even) and
    kept between the bounds, and so does `network`; a gradient that would push a delay beyond its bounds is dropped.
    """

    score_number: Tensor

    def __init__(
        self,
        net: Network,
        learn: Iterable[str] = ("weights", "delays"),
        *,
        maximum_delay: float | None = None,
        delayed: Iterable[str] | None = None,
        readout: str = "exponential",
        delay_scale: float = 100.0,
        dtype: str = "float32",
    ) -> None:
        if not isinstance(net, Network):
            raise ParameterError(f"net={net!r}: expected a Network")
        one_of("dtype", dtype, ("float32", "float64"))
        one_of("readout", readout, READOUTS)
        kinds = names("learn", learn)
        for kind in kinds:
            one_of("learn", kind, LEARNABLE)
        every = tuple(projection.name for projection in net.projections)
        chosen = every if delayed is None else names("delayed", delayed)
        plan = make_delay_plan(net, maximum_delay, chosen if "delays" in kinds else ())
        check_precision(plan.network, dtype)
        scale = number("delay_scale", delay_scale)
        super().__init__(getattr(torch, dtype))
        self.plan, self.learn, self.average, self.delay_scale = plan, kinds, readout, scale
        self.tables = Tables(self.plan, np.dtype(dtype))
        self._links = {link.name: link for link in self.plan.links}
        #: Place in `SCORES` of the score that the network answers by.
        self.register_buffer("score_number", torch.tensor(SCORES.index(_SCORES.get(readout, net.score))))
        for link in self.plan.links:
            for key, values, learned in (
                (f"weights:{link.name}", link.weights, "weights" in kinds),
                (f"delays:{link.name}", link.delays / scale, link.learned),
            ):
                self.keep(key, torch.tensor(values, dtype=self.dtype), learned)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow ``double()`` and ``float()``; what the kernels do not have is refused before anything is changed."""
        before = self.dtype
        super()._apply(fn, recurse)
        if self.dtype != before:
            self.tables = Tables(self.plan, np.dtype(str(self.dtype).removeprefix("torch.")))
        return self

    # -- looking -----------------------------------------------------------------------------------------

    @property
    def score(self) -> str:
        """The score by which the network answers: that of its readout, or of the loss where that sees every tick."""
        return SCORES[int(self.score_number)]

    @property
    def extension(self) -> int:
        """Ticks that a sample runs on after the end of its recording; none unless the description says so."""
        return self.plan.network.extension_ticks

    def _value(self, kind: str, projection: str) -> Tensor:
        if projection not in self._links:
            raise NetworkError(f"no projection {projection!r}; there are: {', '.join(self._links)}")
        return self.kept[f"{kind}:{projection}"].of(self)

    def weights(self, projection: str) -> Tensor:
        """Return the weights of a projection in the shape of its rule."""
        return self._value("weights", projection)

    def delays(self, projection: str) -> Tensor:
        """Return the real delays of a projection in units of `delay_scale` ticks, in the shape of its weights."""
        return self._value("delays", projection)

    def delay_ticks(self, projection: str) -> NDArray[np.int64]:
        """Return the delays that are used: rounded to ticks and kept between the bounds."""
        return self._ticks(projection, self.delays(projection))

    def _ticks(self, projection: str, delays: Tensor) -> NDArray[np.int64]:
        link = self._links[projection]
        if not link.learned:
            return link.delays
        real = delays.detach().double().numpy() * self.delay_scale
        return np.clip(np.rint(real), link.shortest, link.longest).astype(np.int64)

    # -- running -----------------------------------------------------------------------------------------

    def forward(self, inputs: EventInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Run all ticks of the inputs from rest.

        Parameters
        ----------
        inputs : Events, or dict of Events by population

        Returns
        -------
        readout : Tensor, shape (batch, 1, classes), or (batch, ticks, classes) for the readout "ticks"
        counts : dict of str to Tensor, shape (batch, neurons)
            Spikes of each neuron. What is given as their gradient acts on the membrane at every spike, which is how
            EventProp regularises the number of spikes: it is no derivative of the count, which has none.
        """
        values = self.look_up()
        roots = {key: value for key, value in values.items() if value.requires_grad and torch.is_grad_enabled()}
        run, batch = self._minibatch(inputs, values), {}
        readout, counts = _Spiking.apply(self, run, tuple(roots), *roots.values())  # type: ignore[no-untyped-call]
        for population in self.plan.populations[:-1]:
            first = self.tables.first[population.name]
            batch[population.name] = counts[:, first : first + population.size]
        return readout, batch

    def readout(self, inputs: EventInputs) -> Tensor:
        """Return the readout alone; see `forward`."""
        return self(inputs)[0]  # type: ignore[no-any-return]

    def scores(self, inputs: EventInputs, *, score: str | None = None) -> Tensor:
        """Return the scores of the classes, shape (batch, classes), by an averaged readout or by a score of all ticks.

        Parameters
        ----------
        inputs : Events, or dict of Events by population
        score : str, optional
            With the readout "ticks": one of `snnsim.scores.SCORES`; default the one that the network answers by.
        """
        readout = self.readout(inputs)
        if self.average != "ticks":
            return readout[:, 0]
        ends = sample_lengths(self.plan, inputs, self.dtype) + self.extension
        return scores_of(readout.transpose(0, 1), score or self.score, ends)

    def spikes(self, inputs: EventInputs) -> dict[str, Events]:
        """Return what each population of neurons fires."""
        work_out(self)
        run = self._minibatch(inputs)
        with working() as team:
            run.forward(team, keep=True)
        result, dt = {}, self.plan.network.dt
        for population in self.plan.populations[:-1]:
            first = self.tables.first[population.name]
            own = [(s.neurons >= first) & (s.neurons < first + population.size) for s in run.spikes]
            parts = [(s.ticks[o], s.neurons[o] - first) for s, o in zip(run.spikes, own, strict=True)]
            offsets = np.cumsum([0, *(ticks.size for ticks, _ in parts)])
            ticks = np.concatenate([ticks for ticks, _ in parts])
            sources = np.concatenate([neurons for _, neurons in parts])
            n_ticks = int(run.ends.max())
            result[population.name] = Events(ticks, sources, offsets, population.size, n_ticks, dt, run.ends)
        return result

    def network(self) -> Network:
        """Return the network with what was learned: its weights, and its delays as whole ticks."""
        work_out(self)
        network, projections = self.plan.network, []
        for link in self.plan.links:
            projection = network.projection(link.name)
            rule: Any = projection.connectivity
            weights = self.weights(link.name).detach().double().numpy().copy()
            delay: Any = to_seconds(self.delay_ticks(link.name), network.dt) if link.learned else projection.delay
            projections.append(replace(projection, connectivity=replace(rule, weights=weights), delay=delay))
        return network.replaced(projections=projections, score=self.score)

    def _minibatch(self, inputs: EventInputs, values: Values | None = None) -> Minibatch:
        values = self.look_up() if values is None else values
        given = {self.plan.inputs[0]: inputs} if isinstance(inputs, Events) and len(self.plan.inputs) == 1 else inputs
        for name, data in given.items() if isinstance(given, Mapping) else [("inputs", given)]:
            if not isinstance(data, Events):
                raise ParameterError(f"input of {name!r}: EventProp takes Events, got {type(data).__name__}")
        sources = check_inputs(self.plan, given, self.dtype)
        ends = (longest_of(sources) + self.extension).numpy()
        n_ticks = max(source.ticks for source in sources.values()) + self.extension
        assert not isinstance(given, Events)
        weights = self.tables.weights({name: values[f"weights:{name}"].detach().numpy() for name in self._links})
        wiring = self.tables.wiring({name: self._ticks(name, values[f"delays:{name}"]) for name in self._links})
        ticks = np.arange(n_ticks) / ends[:, None]
        shares = (np.exp(-ticks) if self.average == "exponential" else np.ones(ticks.shape)) / ends[:, None]
        shares = shares.astype(self.tables.dtype)
        mode = READOUTS[self.average]
        return Minibatch(self.tables, wiring, weights, self.tables.given(given), ends, mode, shares)

    def gradients(self, by_weight: NDArray[Any], by_delay: NDArray[Any], roots: Values) -> Values:
        """Return the gradients of weights and delays, by kind and name, from those of all synapses."""
        result = {}
        weights, delays = self.tables.of_projections(by_weight), self.tables.of_projections(by_delay)
        for key, root in roots.items():
            kind, _, name = key.partition(":")
            if kind == "weights":
                result[key] = torch.from_numpy(weights[name])
            else:
                result[key] = self._inward(self._links[name], root, torch.from_numpy(delays[name]))
        return result

    def _inward(self, link: DelayedLink, delays: Tensor, by_ticks: Tensor) -> Tensor:
        """Return the gradient of a delay parameter without what would push it beyond its bounds."""
        ticks = delays.detach() * self.delay_scale
        outward = ((ticks <= link.shortest) & (by_ticks > 0)) | ((ticks >= link.longest) & (by_ticks < 0))
        return (by_ticks * self.delay_scale).masked_fill(outward, 0.0)


class _Spiking(torch.autograd.Function):
    """All ticks of a minibatch as one node of a graph."""

    @staticmethod
    def forward(
        ctx: Any, model: EventPropNetwork, run: Minibatch, keys: tuple[str, ...], *roots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return readout and number of spikes; `keys` are kind and name of each of the roots."""
        with working() as team:
            run.forward(team, keep=bool(keys))
        ctx.model, ctx.run, ctx.keys = model, run, keys
        ctx.save_for_backward(*roots)  # torch then sees to it that they were not changed in between
        return torch.from_numpy(run.readout), torch.from_numpy(run.counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the roots."""
        roots = dict(zip(ctx.keys, ctx.saved_tensors, strict=True))
        with working() as team:
            sums = ctx.run.backward(team, *(one.contiguous().numpy() for one in outer))
        found = ctx.model.gradients(*sums, roots)
        return None, None, None, *(found[key] for key in ctx.keys)
