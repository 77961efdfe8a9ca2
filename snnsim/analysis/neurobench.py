"""What a network costs in numbers that others count too: the metrics of NeuroBench, from a network and its result.

Names and definitions follow NeuroBench (Yik et al., Nature Communications 2025, arXiv:2304.04640), as its package
counts: an operation is effective where input and weight are both different from zero, dense operations count every
weight at every tick, pooling does not count. Two differences: everything is counted over all recordings together, not
averaged over batches, and a source that fires twice in a tick counts twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.analysis.memory_footprint import Footprint, footprint, parameter_count, pools
from snnsim.connectivity import Conv2d, OneToOne
from snnsim.errors import ParameterError
from snnsim.network.connection import Connection
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.neurons import NeuronModel
from snnsim.simulation.result import Result
from snnsim.system.tables import in_bytes, table


@dataclass(frozen=True)
class SynapticOperations:
    """Synaptic operations of one projection, a recording.

    Parameters
    ----------
    projection : str
    effective : float
        Spikes times the synapses of their sources whose weight is not zero.
    dense : float
        All weights at every tick, those on zeros added around an image not counted.
    multiply : bool
        Whether these are multiply-accumulate operations, for inputs that are values and not spikes.
    """

    projection: str
    effective: float
    dense: float
    multiply: bool = False


@dataclass(frozen=True)
class Metrics:
    """The metrics of NeuroBench of a network and a run.

    Parameters
    ----------
    footprint : Footprint
    parameter_count : int
        Weights, delays and parameters of neurons, as numbers.
    connection_sparsity : float
        Weights that are zero, or absent, of all there could be.
    activation_sparsity : float or None
        Neurons times ticks without a spike, of all; None where no population spikes.
    operations : tuple of SynapticOperations
        Projection by projection, a recording; without pooling.
    neuron_updates : float
        Neurons advanced by a tick, a recording.
    accuracy : float, optional
        Share of recordings that were right.
    """

    footprint: Footprint
    parameter_count: int
    connection_sparsity: float
    activation_sparsity: float | None
    operations: tuple[SynapticOperations, ...]
    neuron_updates: float
    accuracy: float | None = None

    @property
    def effective_acs(self) -> float:
        """Effective accumulate operations, a recording."""
        return sum(one.effective for one in self.operations if not one.multiply)

    @property
    def effective_macs(self) -> float:
        """Effective multiply-accumulate operations, a recording."""
        return sum(one.effective for one in self.operations if one.multiply)

    @property
    def dense(self) -> float:
        """Dense operations, a recording."""
        return sum(one.dense for one in self.operations)

    def rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the metrics as a header and rows of text."""
        foot, sparsity = self.footprint, self.activation_sparsity
        parts = ", ".join(f"{name} {in_bytes(size)}" for name, size in dataclasses.asdict(foot).items() if size)
        rows: list[tuple[str, ...]] = [
            ("footprint", in_bytes(foot.total), parts),
            ("parameters", f"{self.parameter_count:,}", ""),
            ("connection sparsity", f"{self.connection_sparsity:.4f}", ""),
            ("activation sparsity", "" if sparsity is None else f"{sparsity:.4f}", ""),
            ("effective ACs", f"{self.effective_acs:,.0f}", "a recording"),
            ("effective MACs", f"{self.effective_macs:,.0f}", "a recording"),
            ("dense operations", f"{self.dense:,.0f}", "a recording"),
            ("neuron updates", f"{self.neuron_updates:,.0f}", "a recording"),
        ]
        if self.accuracy is not None:
            rows.append(("accuracy", f"{100 * self.accuracy:.2f} %", ""))
        return ("metric", "value", ""), rows

    def __str__(self) -> str:
        header, rows = self.rows()
        operations = [
            (one.projection, f"{one.effective:,.0f}", f"{one.dense:,.0f}", "MAC" if one.multiply else "AC")
            for one in self.operations
        ]
        parts = [table(header, rows, right=(1,))]
        if operations:
            parts.append(table(("projection", "effective", "dense", "kind"), operations, right=(1, 2)))
        return "\n\n".join(parts)


def metrics(
    network: Network,
    result: Result,
    labels: Any = None,
    population: str | None = None,
    *,
    dtype: str = "float32",
    analog: Collection[str] = (),
) -> Metrics:
    """Return the metrics of NeuroBench.

    Parameters
    ----------
    network : Network
    result : Result
        Of a run of it. Where a projection has weights that are zero, with the spikes of its source recorded: the
        counters do not know which neuron fired.
    labels : array of int, optional
        For the accuracy.
    population : str, optional
        Whose answer is compared with the labels; default the output of the network.
    dtype : {"float32", "float64", "float16"}
        Precision in which the footprint counts weights, parameters and states.
    analog : collection of str
        Projections whose inputs stand for values, beside those that were given `snnsim.Frames`: their operations count
        as multiply-accumulate.

    Returns
    -------
    Metrics

    Raises
    ------
    ParameterError
        The result is not of this network, or lacks spikes that are needed.
    """
    return Metrics(
        footprint(network, dtype=dtype),
        parameter_count(network),
        connection_sparsity(network),
        activation_sparsity(network, result) if any(_spikes(one) for one in network.populations) else None,
        synaptic_operations(network, result, analog=analog),
        float(result.counters.membrane_updates.sum()) / max(len(result), 1),
        None if labels is None else result.accuracy(labels, population or network.output.name),
    )


# -- of the network --------------------------------------------------------------------------------------


def connection_sparsity(network: Network) -> float:
    """Return the share of weights that are zero or absent, 0 for a network without weights.

    Of a convolution the weights of its kernels count, of one-to-one connections one a neuron, of every other projection
    one for each pair of a source and a target. Pooling does not count.
    """
    zeros, count = 0, 0
    for connection in network.connections:
        rule, source, target = connection.projection.connectivity, connection.source, connection.target
        if pools(connection.projection):
            continue
        if isinstance(rule, Conv2d):
            kernels = rule.kernels(source.shape, target.shape, connection.key)
            zeros += int(np.count_nonzero(kernels == 0))
            count += kernels.size
            continue
        synapses = connection.synapses()
        held = np.flatnonzero(synapses.weights)
        whole = source.size if isinstance(rule, OneToOne) else source.size * target.size
        sources = np.repeat(np.arange(source.size), np.diff(synapses.offsets))
        # Several synapses of a pair are one weight.
        pairs = np.unique(sources[held] * target.size + synapses.targets[held].astype(np.int64))
        zeros += whole - pairs.size
        count += whole
    return zeros / count if count else 0.0


# -- of the run ------------------------------------------------------------------------------------------


def activation_sparsity(network: Network, result: Result) -> float:
    """Return the share of neurons times computed ticks without a spike, of all populations that spike."""
    _check_same(network, result)
    spikes = values = 0
    for i, population in enumerate(network.populations):
        if _spikes(population):
            spikes += int(result.counters.spikes[:, i].sum())
            values += population.size * int(result.exit_ticks.sum())
    if values == 0:
        raise ParameterError(f"network {network.name!r}: no population spikes, or no tick was computed")
    return 1.0 - spikes / values


def synaptic_operations(
    network: Network, result: Result, *, analog: Collection[str] = ()
) -> tuple[SynapticOperations, ...]:
    """Return effective and dense synaptic operations of each projection, a recording; see `metrics`."""
    _check_same(network, result)
    for name in analog:
        network.projection(name)
    ticks, recordings = int(result.exit_ticks.sum()), max(len(result), 1)
    counted = []
    for i, connection in enumerate(network.connections):
        projection, source, target = connection.projection, connection.source, connection.target
        if pools(projection):
            continue
        rule = projection.connectivity
        if isinstance(rule, (Conv2d, OneToOne)):
            whole = rule.count(source.shape, target.shape)
        else:
            whole = source.size * target.size
        assert whole is not None
        degrees, products = _nonzero_degrees(connection), float(result.counters.multiply_accumulates[:, i].sum())
        if degrees is None:  # every synapse has a weight: the engine has counted already
            effective = float(result.counters.synaptic_operations[:, i].sum()) + products
        elif products:
            raise ParameterError(
                f"projection {connection.name!r} has weights that are zero and was given Frames: which of its products "
                "count is not known"
            )
        else:
            effective = float(degrees @ _spike_counts(connection, result))
        counted.append(
            SynapticOperations(
                projection.name,
                effective / recordings,
                whole * ticks / recordings,
                projection.name in analog or products > 0,
            )
        )
    return tuple(counted)


def _nonzero_degrees(connection: Connection) -> NDArray[np.int64] | None:
    """Return how many synapses of each source have a weight, or None where all have."""
    weights: Any = connection.projection.connectivity.weights
    if isinstance(weights, float) and weights != 0:
        return None
    synapses = connection.synapses()
    has = synapses.weights != 0
    if has.all():
        return None
    before = np.concatenate([[0], np.cumsum(has)])
    return np.diff(before[synapses.offsets]).astype(np.int64)


def _spike_counts(connection: Connection, result: Result) -> NDArray[np.int64]:
    name = connection.source.name
    if name not in result.spikes:
        raise ParameterError(
            f"projection {connection.name!r} has weights that are zero: record the spikes of its source, "
            f"record=[{name!r}], for the operations that count"
        )
    events = result.spikes[name]
    return np.bincount(events.sources, minlength=connection.source.size).astype(np.int64)


# -- helping ---------------------------------------------------------------------------------------------


def _spikes(population: Population) -> bool:
    return isinstance(population.model, NeuronModel) and population.model.spiking


def _check_same(network: Network, result: Result) -> None:
    ours = tuple(one.name for one in network.populations), tuple(one.name for one in network.projections)
    theirs = result.counters.populations, result.counters.projections
    if ours != theirs:
        raise ParameterError(
            f"result: is of populations {', '.join(theirs[0])} and projections {', '.join(theirs[1])}; network "
            f"{network.name!r} has {', '.join(ours[0])} and {', '.join(ours[1])}"
        )
