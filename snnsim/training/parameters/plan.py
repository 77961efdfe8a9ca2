"""What of a network can be trained, and in which order it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity import Conv2d, Dense, MaxPool2d, OneToOne, Sparse, SumPool2d
from snnsim.connectivity.base import Connectivity
from snnsim.connectivity.synapses import Shape
from snnsim.errors import CapabilityError, NetworkError, ParameterError
from snnsim.network.learnable_delay import Learnable, LearnedKernel
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import IF, LI, LIF, Delta, Exponential, Input, NeuronModel
from snnsim.neurons.membrane.leaky import LeakyModel
from snnsim.timebase import to_seconds

#: Models whose sweep over time is written out; that of others is made of their own arithmetic.
LEAKY_MODELS = (LIF, IF, LI)
MATRIX_RULES = (Dense, Sparse)
FRAME_RULES = (Conv2d, SumPool2d, MaxPool2d, OneToOne)


@dataclass(frozen=True, eq=False)
class Delays:
    """Delays of a projection, one a synapse.

    Parameters
    ----------
    ticks : ndarray of float64, shape (sources, targets)
        Before any training; whole numbers unless they can be learned.
    longest : int
        Longest delay in ticks that there may be.
    kernel : {"gauss", "triangle", "two_tap"} or None
        Shape of a synapse over delays while they are learned; None where they cannot be.
    """

    ticks: NDArray[np.float64]
    longest: int
    kernel: LearnedKernel | None

    @property
    def lingering(self) -> int:
        """Ticks for which spikes still arrive once the source has fallen silent; see `Network.extension_ticks`."""
        return self.longest // 2 if self.kernel else int(self.ticks.max(initial=0))


@dataclass(frozen=True, eq=False)
class Link:
    """A projection on the way to the readout."""

    name: str
    source: str
    source_shape: Shape
    target_shape: Shape
    rule: Connectivity
    receptor: int
    delays: Delays | None = None

    @cached_property
    def has_weights(self) -> bool:
        """Whether its weights can be learned (those of pooling are fixed)."""
        return isinstance(self.rule, (Dense, Sparse, Conv2d, OneToOne))

    @cached_property
    def matrix_shape(self) -> tuple[int, int]:
        """Neurons of the source and of the target."""
        return int(np.prod(self.source_shape)), int(np.prod(self.target_shape))


@dataclass(frozen=True, eq=False)
class Stage:
    """A population with what arrives at it."""

    name: str
    shape: Shape
    size: int
    model: NeuronModel
    links: tuple[Link, ...]
    batch_norm: bool
    dropout: float

    @cached_property
    def spiking(self) -> bool:
        """Whether its neurons fire."""
        return self.model.spiking

    @cached_property
    def strict(self) -> bool:
        """Whether a neuron exactly at threshold stays silent."""
        return self.model.is_strict

    @cached_property
    def channels(self) -> int:
        """Number of channels that share a bias and batch-norm statistics: those of a convolution, else neurons."""
        if self.links and all(isinstance(link.rule, Conv2d) for link in self.links):
            return self.shape[0]
        return self.size

    def why_not_compiled(self, dt: float) -> str | None:
        """Return what of it the compiled sweep does not have, or None where it runs it."""
        where, inputs = f"population {self.name!r}", self.model.arithmetic.inputs
        if len(inputs) != 1:
            return f"{where} has the inputs {', '.join(inputs)}, and the compiled sweep has one"
        for receptor in self.model.receptor_list:
            if not isinstance(receptor, Delta):
                kind = type(receptor).__name__
                return f"{where} has the {kind} receptor {receptor.name!r}, and the compiled sweep has Delta"
        if self.model.refractory_ticks(dt):
            return f"{where} has a refractory time, which the compiled sweep does not have"
        return None


@dataclass(frozen=True, eq=False)
class Plan:
    """A feed-forward network in the order of its computation."""

    network: Network
    inputs: tuple[str, ...]
    stages: tuple[Stage, ...]

    @cached_property
    def extension(self) -> int:
        """Ticks that the output runs on after the end of a sample."""
        return self.network.extension_ticks

    @cached_property
    def output(self) -> Stage:
        """The readout."""
        return self.stages[-1]

    @cached_property
    def delayed(self) -> bool:
        """Whether any projection has delays."""
        return any(link.delays is not None for stage in self.stages for link in stage.links)

    def stage(self, name: str) -> Stage:
        """Return the stage of a population."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = ", ".join(repr(stage.name) for stage in self.stages)
        raise NetworkError(f"no trained population {name!r}; there are: {known}")


def make_plan(
    network: Network, batch_norm: tuple[str, ...], dropout: dict[str, float], named: str | None = None
) -> Plan:
    """Check a network for training and order it.

    Parameters
    ----------
    network : Network
    batch_norm : tuple of str
    dropout : dict of str to float
    named : str or None
        The population that is read; None is the only one that projects nowhere.

    Raises
    ------
    CapabilityError
        Something in the network that training does not compute; the message names it.
    ParameterError
        `batch_norm` or `dropout` name populations that cannot have them.
    """
    described = {projection.name: projection for projection in network.projections}
    given, network = network.extension, network.resolved()
    output = _output(network) if named is None else network.population(named)
    if output.is_source:
        raise ParameterError(f"output={named!r}: is an input; name a population of neurons")
    for population in network.populations:
        if population.is_source and not isinstance(population.model, Input):
            raise CapabilityError(
                f"training: population {population.name!r} ({type(population.model).__name__}) makes its own events; "
                "use Input() and give the events at each call"
            )
        _check_population(population)
    links: dict[str, list[Link]] = {population.name: [] for population in network.populations}
    order = _feed_forward_order(network)
    place = {number: i for i, number in enumerate(order)}
    for projection in sorted(network.projections, key=lambda p: place[network.population_number(p.source)]):
        rule = projection.connectivity
        if not isinstance(rule, (*MATRIX_RULES, *FRAME_RULES)):
            raise CapabilityError(f"training: projection {projection.name!r}: {type(rule).__name__} is not trained")
        delays = _delays(network, described[projection.name], projection)
        source, target = network.population(projection.source), network.population(projection.target)
        number = network.connection(projection).receptor_number
        links[target.name].append(Link(projection.name, source.name, source.shape, target.shape, rule, number, delays))
    for name in (*batch_norm, *dropout):
        if network.population(name).is_source or not links[name]:
            raise ParameterError(f"batch_norm and dropout: {name!r} receives nothing that could be normalised or cut")
    stages, leading = [], _leading(network, output.name)
    for name in (*batch_norm, *dropout):
        if name not in leading:
            raise ParameterError(f"batch_norm and dropout: {name!r} does not lead to the output {output.name!r}")
    for number in order:
        population = network.populations[number]
        if isinstance(population.model, NeuronModel) and population.name in leading:
            stage = Stage(
                population.name,
                population.shape,
                population.size,
                population.model,
                tuple(links[population.name]),
                population.name in batch_norm,
                float(dropout.get(population.name, 0.0)),
            )
            _check_stage(stage)
            stages.append(stage)
    stages.sort(key=lambda stage: stage.name == output.name)  # the readout last; nothing depends on it
    if given is None and any(link.delays for stage in stages for link in stage.links):
        # Said from now on: delays that were learned do not tell what the network was trained with.
        reach = _reach(network.inputs, stages)[output.name]
        network = replace(network, extension=to_seconds(reach, network.dt))
    return Plan(network, tuple(p.name for p in network.inputs), tuple(stages))


def _reach(inputs: Sequence[Population], stages: Sequence[Stage]) -> dict[str, int]:
    """Return how long after the last input event the spikes of each population may still come."""
    own = {population.name: 0 for population in inputs}
    for stage in stages:
        ways = [own[link.source] + (link.delays.lingering if link.delays else 0) for link in stage.links]
        own[stage.name] = max(ways, default=0)
    return own


def _output(network: Network) -> Population:
    try:
        return network.output
    except NetworkError as error:
        raise NetworkError(f"{error}: TrainableNetwork(net, output=...)") from error


def _leading(network: Network, output: str) -> set[str]:
    """Return the populations that a path leads from to the output, itself included."""
    found, waiting = {output}, [output]
    while waiting:
        target = waiting.pop()
        for projection in network.projections:
            if projection.target == target and projection.source not in found:
                found.add(projection.source)
                waiting.append(projection.source)
    return found


def extensions(plan: Plan, lengthen: str) -> dict[str, int]:
    """Return by how many ticks each population runs on after the input has ended.

    Parameters
    ----------
    plan : Plan
    lengthen : {"end", "layer"}
        Every population runs as long as the last one, or no longer than what may still reach it.
    """
    last = plan.extension
    if lengthen == "end":
        return dict.fromkeys([*plan.inputs, *(stage.name for stage in plan.stages)], last)
    inputs = [plan.network.population(name) for name in plan.inputs]
    reach = {name: min(ticks, last) for name, ticks in _reach(inputs, plan.stages).items()}
    return reach | {plan.output.name: last}


def refuse_frames(plan: Plan) -> None:
    """Raise `CapabilityError` where a network whose samples are computed whole is not fully connected."""
    for stage in plan.stages:
        for link in stage.links:
            if not isinstance(link.rule, MATRIX_RULES):
                raise CapabilityError(
                    f"training: projection {link.name!r}: {type(link.rule).__name__} is not trained beside delays, nor "
                    "with batch norm over the sequence; Dense and Sparse are"
                )


def _feed_forward_order(network: Network) -> list[int]:
    """Return the numbers of the populations, each after all that project to it, with a delay or without."""
    waiting = {i: set[int]() for i in range(len(network.populations))}
    for projection in network.projections:
        waiting[network.population_number(projection.target)].add(network.population_number(projection.source))
    order: list[int] = []
    while waiting:
        ready = next((i for i, sources in waiting.items() if not sources - set(order)), None)
        if ready is None:
            names = ", ".join(repr(network.populations[i].name) for i in _circle(waiting))
            raise CapabilityError(f"training: {names} project to each other; only feed-forward networks are trained")
        order.append(ready)
        del waiting[ready]
    return order


def _circle(waiting: dict[int, set[int]]) -> list[int]:
    """Return those that wait for each other, without those that only wait for them."""
    left = set(waiting)
    while True:
        ends = left - set().union(*(waiting[i] for i in left))
        if not ends:
            return sorted(left)
        left -= ends


def _delays(network: Network, described: Projection, drawn: Projection) -> Delays | None:
    """Return the delays of a projection, or None where all its spikes arrive at once."""
    learnable = described.delay if isinstance(described.delay, Learnable) else None
    if learnable is None and network.connection(drawn).longest_delay == 0:
        return None
    name = drawn.name
    if not isinstance(drawn.connectivity, Dense):
        raise CapabilityError(
            f"training: projection {name!r}: {type(drawn.connectivity).__name__} is not trained with a delay; Dense is"
        )
    shape = network.population(drawn.source).size, network.population(drawn.target).size
    if learnable is not None:
        ticks = learnable.initial(shape[0] * shape[1], network.dt, network.seed, name).reshape(shape)
        return Delays(ticks, learnable.longest(network.dt), learnable.kernel)
    own = network.synapses(drawn).delays
    whole = np.full(shape, network.connection(drawn).minimum_delay) if own is None else own.reshape(shape)
    longest = int(whole.max())
    return Delays(whole.astype(np.float64), longest + longest % 2, None)


def _check_population(population: Population) -> None:
    """Raise `CapabilityError` where a population does what training does not compute."""
    if population.drive:
        raise CapabilityError(
            f"training: population {population.name!r} has a drive ({population.drive[0].describe()}), which draws "
            "events of its own; use an Input() population and give the events at each call"
        )
    if not isinstance(population.model, NeuronModel):
        return
    if population.model.arithmetic.inputs != ("drive",):
        inputs = ", ".join(population.model.arithmetic.inputs)
        raise CapabilityError(
            f"training: population {population.name!r}: {type(population.model).__name__} is not trained, because it "
            f"takes the inputs {inputs}; models of one, the drive, are"
        )
    for receptor in population.model.receptor_list:
        if not isinstance(receptor, (Delta, Exponential)):
            raise CapabilityError(
                f"training: population {population.name!r}: the {type(receptor).__name__} receptor {receptor.name!r} "
                "is not trained; Delta and Exponential are"
            )


def _check_stage(stage: Stage) -> None:
    if not 0.0 <= stage.dropout < 1.0:
        raise ParameterError(f"dropout of {stage.name!r} is {stage.dropout:g}: must be 0 or above and below 1")
    if stage.dropout and not stage.spiking:
        raise ParameterError(f"dropout of {stage.name!r}: a readout has no spikes to drop")
    if not stage.batch_norm:
        return
    if any(not link.has_weights for link in stage.links):
        raise CapabilityError(
            f"batch_norm of {stage.name!r}: it cannot be folded into the one weight of a pooling projection; "
            "normalise the population before the pool"
        )
    if not isinstance(stage.model, (LeakyModel, IF)):
        raise CapabilityError(
            f"batch_norm of {stage.name!r}: it is folded into the bias of a leaky membrane or of IF, and "
            f"{type(stage.model).__name__} is neither"
        )
    convolutions = [isinstance(link.rule, Conv2d) for link in stage.links]
    if any(convolutions) and not all(convolutions):
        raise CapabilityError(f"batch_norm of {stage.name!r}: it is fed by Conv2d and by other rules; use one kind")
    if not all(isinstance(receptor, Delta) for receptor in stage.model.receptor_list):
        raise CapabilityError(f"batch_norm of {stage.name!r}: only input on delta receptors can be normalised")
