"""What the kernels of EventProp take, made from a plan and the present parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.training.eventprop.kernels import Given, Neurons, Wiring
from snnsim.training.eventprop.plan import DelayPlan

#: A threshold crossing counts as at least so steep, tau dV/dt in thresholds: where a membrane only grazes its
#: threshold the time of the spike has no derivative, and one such spike would drown the gradients of a minibatch.
LEAST_SLOPE = 1e-2


class Tables:
    """The part of the tables that does not change when parameters do.

    Parameters
    ----------
    plan : DelayPlan
    dtype : dtype
    """

    def __init__(self, plan: DelayPlan, dtype: np.dtype[Any]) -> None:
        self.plan, self.dtype = plan, dtype
        network, links = plan.network, plan.links
        self.first: dict[str, int] = {}
        self.n_neurons = 0
        for population in plan.populations:
            self.first[population.name] = self.n_neurons
            self.n_neurons += population.size
        #: First synapse of each projection, and where each synapse stands in the parameter.
        self.begin, self.element = [0], []
        self.targets: list[NDArray[np.int64]] = []
        rows, base = [np.zeros(1, np.int64)], []
        n_rows = 0
        for link in links:
            synapses = network.synapses(network.projection(link.name))
            count = synapses.targets.size
            self.element.append(np.arange(count) if synapses.order is None else synapses.order)
            self.targets.append(synapses.targets.astype(np.int64) + self.first[link.target])
            base.append(n_rows)
            rows.append(synapses.offsets[1:] + self.begin[-1])
            n_rows += synapses.offsets.size - 1
            self.begin.append(self.begin[-1] + count)
        self._rows, self._base = np.concatenate(rows), np.array(base, np.int64)
        sent = [[i for i, link in enumerate(links) if link.source == p.name] for p in network.populations]
        self._sent = np.array([i for own in sent for i in own], np.int64)
        self._sent_begin = np.cumsum([0, *(len(own) for own in sent)]).astype(np.int64)
        self._first = np.array([self.first.get(p.name, -1) for p in network.populations], np.int64)
        self._size = np.array([p.size for p in network.populations], np.int64)
        numbers = {name: i for i, name in enumerate(plan.inputs)}
        self._given = np.array([numbers.get(p.name, -1) for p in network.populations], np.int64)
        owners = [np.full(p.size, network.population_number(p.name)) for p in plan.populations]
        self._population = np.concatenate(owners).astype(np.int64)
        self._orders: dict[tuple[bool, ...], NDArray[np.int64]] = {}
        self.neurons = self._neurons()

    @property
    def n_synapses(self) -> int:
        """Number of synapses of all projections."""
        return self.begin[-1]

    def _neurons(self) -> Neurons:
        dt, columns = self.plan.network.dt, []
        for population in self.plan.populations:
            model: Any = population.model
            receptor = model.receptors[0]
            c = model.coefficients(dt)
            spiking = model.spiking
            threshold = np.asarray(c.threshold if spiking else np.inf, self.dtype)
            landing = c.reset_value if spiking else 0.0
            strict = spiking and model.is_strict
            values = (
                c.decay,
                c.gain,
                c.offset,
                threshold,
                c.subtract if spiking else 0.0,
                landing,
                *model.receptor_coefficients(receptor, dt),
                np.nextafter(threshold, self.dtype.type(np.inf)) if strict else threshold,
                np.asarray(c.offset, np.float64) / (1.0 - np.asarray(c.decay, np.float64)),
                threshold - np.asarray(landing),
                np.asarray(model.time_constant) / dt,
                receptor.time_constant / dt,
                LEAST_SLOPE * np.abs(threshold) if spiking else 1.0,
                model.initial_membrane,
            )
            columns.append([np.broadcast_to(np.asarray(value, self.dtype), population.size) for value in values])
        return Neurons(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))

    def weights(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the weights of all synapses from those of each projection."""
        parts = [values[link.name].reshape(-1)[own] for link, own in zip(self.plan.links, self.element, strict=True)]
        return np.concatenate([np.zeros(0, self.dtype), *parts]).astype(self.dtype)

    def wiring(self, delays: Mapping[str, NDArray[np.int64]]) -> Wiring:
        """Return the synapses with these delays in ticks."""
        ticks = [delays[link.name].reshape(-1) for link in self.plan.links]
        immediate = tuple(bool(own.size and own.min() == 0) for own in ticks)
        if immediate not in self._orders:
            self._orders[immediate] = np.array(self.plan.order(immediate), np.int64)
        depth = 1 + max((int(own.max(initial=0)) for own in ticks), default=0)
        if depth * self.n_neurons >= 2**32:
            raise ParameterError(f"maximum_delay: {depth - 1} ticks of {self.n_neurons} neurons are too many")
        places = [
            own[element] * self.n_neurons + targets
            for own, element, targets in zip(ticks, self.element, self.targets, strict=True)
        ]
        return Wiring(
            self._orders[immediate],
            self._first,
            self._size,
            self._given,
            self._population,
            self._sent_begin,
            self._sent,
            self._base,
            self._rows,
            np.concatenate([np.zeros(0, np.int64), *places]).astype(np.uint32),
            depth,
        )

    def of_projections(self, synapses: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return values of all synapses as arrays in the shape of each projection's parameters."""
        result = {}
        for number, (link, own) in enumerate(zip(self.plan.links, self.element, strict=True)):
            values = np.empty(own.size, synapses.dtype)
            values[own] = synapses[self.begin[number] : self.begin[number + 1]]
            result[link.name] = values.reshape(link.weights.shape)
        return result

    def given(self, inputs: Mapping[str, Events]) -> Given:
        """Return the events of all inputs one after another."""
        batches = [inputs[name] for name in self.plan.inputs]
        starts = np.cumsum([0, *(batch.ticks.size for batch in batches)])
        edges = np.stack([batch.offsets + start for batch, start in zip(batches, starts, strict=False)], axis=1)
        return Given(
            np.concatenate([batch.ticks for batch in batches]),
            np.concatenate([batch.sources for batch in batches]),
            np.ascontiguousarray(edges[:-1]),
            np.ascontiguousarray(edges[1:]),
        )
