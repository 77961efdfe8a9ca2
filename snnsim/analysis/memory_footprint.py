"""What a network takes: bytes of weights, delays, parameters and states, and how many numbers it holds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.connectivity import Conv2d, Dense, MaxPool2d, OneToOne, SumPool2d
from snnsim.connectivity.distributions import Distribution
from snnsim.errors import one_of
from snnsim.network.connection import Connection
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import NeuronModel

_INDEX_BYTES = 4


@dataclass(frozen=True)
class Footprint:
    """Bytes that a network takes.

    Parameters
    ----------
    weights : int
        Of every weight that the description holds: a convolution its kernels, one number for all synapses one.
    indices : int
        Targets of synapses that are listed or drawn one by one, four bytes each.
    delays : int
        Of delays given one a synapse.
    parameters : int
        Of neuron models, receptors among them: one number for a population, or one a neuron.
    states : int
        Of neurons and receptors, for one recording.
    """

    weights: int
    indices: int
    delays: int
    parameters: int
    states: int

    @property
    def total(self) -> int:
        """Bytes of everything."""
        return self.weights + self.indices + self.delays + self.parameters + self.states


def footprint(network: Network, *, dtype: str = "float32") -> Footprint:
    """Return how many bytes weights, delays, parameters and states take.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64", "float16"}
        Precision of all but indices.
    """
    one_of("dtype", dtype, ("float32", "float64", "float16"))
    size = np.dtype(dtype).itemsize
    weights = delays = indices = parameters = states = 0
    for connection in network.connections:
        weights += _weight_count(connection)
        delays += _delay_count(connection)
        indices += _index_count(connection)
    for population in network.populations:
        parameters += _parameter_count(population)
        states += _state_count(population)
    return Footprint(size * weights, _INDEX_BYTES * indices, size * delays, size * parameters, size * states)


def parameter_count(network: Network) -> int:
    """Return the number of weights, delays and parameters of neurons that the description holds."""
    held = sum(_weight_count(one) + _delay_count(one) for one in network.connections)
    return held + sum(_parameter_count(population) for population in network.populations)


def pools(projection: Projection) -> bool:
    """Return whether a projection pools: it has no weights then."""
    return isinstance(projection.connectivity, (MaxPool2d, SumPool2d))


def _synapse_count(connection: Connection) -> int:
    return round(connection.rule.expected(connection.source.shape, connection.target.shape))


def _weight_count(connection: Connection) -> int:
    rule = connection.projection.connectivity
    weights: Any = rule.weights
    if isinstance(weights, float):
        return 1
    if isinstance(weights, np.ndarray):
        return int(weights.size)
    assert isinstance(weights, Distribution)
    if isinstance(rule, Conv2d):
        return int(np.prod(rule.kernel_shape(connection.source.shape, connection.target.shape)))
    return _synapse_count(connection)


def _delay_count(connection: Connection) -> int:
    return 0 if isinstance(connection.projection.delay, float) else _synapse_count(connection)


def _index_count(connection: Connection) -> int:
    listed = not isinstance(connection.projection.connectivity, (Dense, Conv2d, OneToOne))
    return _synapse_count(connection) if listed and not pools(connection.projection) else 0


def _parameter_count(population: Population) -> int:
    return _numbers(population.model) if isinstance(population.model, NeuronModel) else 0


def _numbers(value: Any) -> int:
    """Return how many numbers a parameter is: of a model, those of its fields."""
    if isinstance(value, np.ndarray):
        return int(value.size)
    if isinstance(value, (bool, str)) or value is None:
        return 0
    if isinstance(value, (int, float)):
        return 1
    if dataclasses.is_dataclass(value):
        return sum(_numbers(getattr(value, part.name)) for part in dataclasses.fields(value))
    return sum(_numbers(one) for one in value) if isinstance(value, (tuple, list)) else 0


def _state_count(population: Population) -> int:
    model = population.model
    if not isinstance(model, NeuronModel):
        return 0
    receptors = sum(len(one.arithmetic.states) for one in model.receptor_list if one.arithmetic is not None)
    return population.size * (len(model.arithmetic.states) + receptors)
