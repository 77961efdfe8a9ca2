"""EventProp with delays: exact gradients of weights and delays from the times of spikes.

`EventPropNetwork` is a network of LIF neurons with exponential synapses, feed-forward or recurrent, with a delay for
every synapse; `EventProp` is the rule that trains it. The equations are in `snnsim.training.eventprop_kernels` and in
docs/eventprop.md (Wunderlich and Pehle 2021, doi:10.1038/s41598-021-91786-z; Meszaros, Knight and Nowotny 2025,
doi:10.1038/s41467-025-65394-8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snnsim.errors import NetworkError, ParameterError, one_of, positive
from snnsim.events import Events
from snnsim.network import Network
from snnsim.timebase import to_seconds
from snnsim.training.eventprop_kernels import EVERY, LARGEST, SUM
from snnsim.training.eventprop_plan import DelayedLink, make_delay_plan
from snnsim.training.eventprop_running import Minibatch
from snnsim.training.eventprop_tables import Tables
from snnsim.training.losses import Loss, as_loss
from snnsim.training.rules import Outcome, Rule, check_labels
from snnsim.training.signals import check_inputs
from snnsim.training.threads import working

LEARNABLE = ("weights", "delays")
READOUTS = {"exponential": SUM, "mean": SUM, "largest": LARGEST, "ticks": EVERY}
EventInputs = Events | Mapping[str, Events]


class EventPropNetwork(nn.Module):
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
        of the samples; its mean; its largest value; or its value at every tick, which takes memory for each tick.
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
        super().__init__()
        if not isinstance(net, Network):
            raise ParameterError(f"net={net!r}: expected a Network")
        one_of("dtype", dtype, ("float32", "float64"))
        one_of("readout", readout, READOUTS)
        positive("delay_scale", delay_scale)
        self.learn = (learn,) if isinstance(learn, str) else tuple(learn)
        for kind in self.learn:
            one_of("learn", kind, LEARNABLE)
        if isinstance(delayed, str):
            delayed = (delayed,)
        chosen = [projection.name for projection in net.projections] if delayed is None else delayed
        self.plan = make_delay_plan(net, maximum_delay, chosen if "delays" in self.learn else ())
        self.average, self.delay_scale = readout, float(delay_scale)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.tables = Tables(self.plan, np.dtype(dtype))
        self._links = {link.name: link for link in self.plan.links}
        for link in self.plan.links:
            self._add(f"weights:{link.name}", link.weights, "weights" in self.learn)
            self._add(f"delays:{link.name}", link.delays / self.delay_scale, link.learned)

    def _add(self, name: str, values: NDArray[Any], learned: bool) -> None:
        key, value = name.replace(".", "_"), torch.tensor(values, dtype=self.dtype)
        if hasattr(self, key):
            raise NetworkError(f"two parameters would be named {key!r}; dots in names count as underscores")
        if learned:
            self.register_parameter(key, nn.Parameter(value))
        else:
            self.register_buffer(key, value, persistent=False)

    # -- looking -----------------------------------------------------------------------------------------

    def _value(self, kind: str, projection: str) -> Tensor:
        if projection not in self._links:
            raise NetworkError(f"no projection {projection!r}; there are: {', '.join(self._links)}")
        found: Tensor = getattr(self, f"{kind}:{projection}".replace(".", "_"))
        return found

    def weights(self, projection: str) -> Tensor:
        """Return the weights of a projection in the shape of its rule."""
        return self._value("weights", projection)

    def delays(self, projection: str) -> Tensor:
        """Return the real delays of a projection in units of `delay_scale` ticks, in the shape of its weights."""
        return self._value("delays", projection)

    def delay_ticks(self, projection: str) -> NDArray[np.int64]:
        """Return the delays that are used: rounded to ticks and kept between the bounds."""
        link = self._links[self._known(projection)]
        if not link.learned:
            return link.delays
        real = self.delays(projection).detach().double().numpy() * self.delay_scale
        return np.clip(np.rint(real), link.shortest, link.longest).astype(np.int64)

    def _known(self, projection: str) -> str:
        self._value("weights", projection)
        return projection

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
        names = [name for name, _ in self.named_parameters()]
        parameters = [parameter for _, parameter in self.named_parameters()]
        keep = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)
        run, batch = self._minibatch(inputs), {}
        readout, counts = _Spiking.apply(self, run, keep, names, *parameters)  # type: ignore[no-untyped-call]
        for population in self.plan.populations[:-1]:
            first = self.tables.first[population.name]
            batch[population.name] = counts[:, first : first + population.size]
        return readout, batch

    def readout(self, inputs: EventInputs) -> Tensor:
        """Return the readout alone; see `forward`."""
        return self(inputs)[0]  # type: ignore[no-any-return]

    def spikes(self, inputs: EventInputs) -> dict[str, Events]:
        """Return what each population of neurons fires."""
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
            result[population.name] = Events(ticks, sources, offsets, population.size, run.ticks, dt)
        return result

    def network(self) -> Network:
        """Return the network with what was learned: its weights, and its delays as whole ticks."""
        network, projections = self.plan.network, []
        for link in self.plan.links:
            projection = network.projection(link.name)
            rule: Any = projection.connectivity
            weights = self.weights(link.name).detach().double().numpy().copy()
            delay: Any = to_seconds(self.delay_ticks(link.name), network.dt) if link.learned else projection.delay
            projections.append(replace(projection, connectivity=replace(rule, weights=weights), delay=delay))
        return network.replaced(projections=projections)

    def _minibatch(self, inputs: EventInputs) -> Minibatch:
        given = {self.plan.inputs[0]: inputs} if isinstance(inputs, Events) and len(self.plan.inputs) == 1 else inputs
        for name, data in given.items() if isinstance(given, Mapping) else [("inputs", given)]:
            if not isinstance(data, Events):
                raise ParameterError(f"input of {name!r}: EventProp takes Events, got {type(data).__name__}")
        first = next(iter(check_inputs(self.plan, given, self.dtype).values()))  # type: ignore[arg-type]
        assert not isinstance(given, Events)
        weights = self.tables.weights({n: self.weights(n).detach().numpy() for n in self._links})
        wiring = self.tables.wiring({name: self.delay_ticks(name) for name in self._links})
        shares = (
            np.exp(-np.arange(first.ticks) / first.ticks) if self.average == "exponential" else np.ones(first.ticks)
        )
        shares = (shares / first.ticks).astype(self.tables.dtype)
        mode = READOUTS[self.average]
        return Minibatch(self.tables, wiring, weights, self.tables.given(given), first.ticks, mode, shares)

    def gradients(self, by_weight: NDArray[Any], by_delay: NDArray[Any]) -> dict[str, Tensor]:
        """Return the gradients of all parameters, by name, from those of all synapses."""
        result = {}
        weights, delays = self.tables.of_projections(by_weight), self.tables.of_projections(by_delay)
        for name, link in self._links.items():
            result[f"weights:{name}".replace(".", "_")] = torch.from_numpy(weights[name])
            result[f"delays:{name}".replace(".", "_")] = self._inward(link, torch.from_numpy(delays[name]))
        return result

    def _inward(self, link: DelayedLink, by_ticks: Tensor) -> Tensor:
        """Return the gradient of a delay parameter without what would push it beyond its bounds."""
        ticks = self.delays(link.name).detach() * self.delay_scale
        outward = ((ticks <= link.shortest) & (by_ticks > 0)) | ((ticks >= link.longest) & (by_ticks < 0))
        return (by_ticks * self.delay_scale).masked_fill(outward, 0.0)


class _Spiking(torch.autograd.Function):
    """All ticks of a minibatch as one node of a graph."""

    @staticmethod
    def forward(
        ctx: Any, model: EventPropNetwork, run: Minibatch, keep: bool, names: list[str], *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return readout and number of spikes."""
        with working() as team:
            run.forward(team, keep)
        ctx.model, ctx.run, ctx.names = model, run, names
        return torch.from_numpy(run.readout), torch.from_numpy(run.counts)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the parameters."""
        with working() as team:
            sums = ctx.run.backward(team, *(one.contiguous().numpy() for one in outer))
        found = ctx.model.gradients(*sums)
        return None, None, None, None, *(found.get(name) for name in ctx.names)


@dataclass(frozen=True)
class EventProp(Rule):
    """EventProp, for an `EventPropNetwork`.

    Parameters
    ----------
    spike_target : float
        Spikes a sample that each neuron is drawn to.
    strength : float
        Of the regulariser: strength / 2 times the squared distance of the mean over the minibatch from the target,
        summed over neurons.
    """

    spike_target: float = 14.0
    strength: float = 0.0

    def __post_init__(self) -> None:
        for name in ("spike_target", "strength"):
            positive(f"EventProp {name}", getattr(self, name), zero=True)

    def step(
        self,
        model: Any,
        inputs: Any,
        labels: Tensor,
        loss: Loss | str = "per_tick_cross_entropy",
        generator: torch.Generator | None = None,
    ) -> Outcome:
        """Run a minibatch; see `Rule.step`. An averaged readout is to the loss a sample of one tick."""
        if not isinstance(model, EventPropNetwork):
            raise ParameterError(f"EventProp trains an EventPropNetwork, got {type(model).__name__}")
        criterion = as_loss(loss)
        with torch.enable_grad():
            readout, counts = model(inputs)
            check_labels(labels, readout.shape[0])
            ticks_first = readout.transpose(0, 1)
            total = criterion.value(ticks_first, labels, ticks_first.shape[0])
            if self.strength:
                for own in counts.values():
                    total = total + self.strength / 2 * ((own.mean(0) - self.spike_target) ** 2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return Outcome(float(total.detach()), criterion.scores(ticks_first.detach()))
