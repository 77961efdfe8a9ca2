"""What to record, apart from where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.contract.program import Program
from snnsim.backends.contract.requests import TraceRequest
from snnsim.backends.registry import check_recordings
from snnsim.errors import NetworkError, ParameterError, whole
from snnsim.frames import Frames, Recordings
from snnsim.network.network import Network
from snnsim.neurons import NeuronModel
from snnsim.simulation.counters import Answer


@dataclass(frozen=True)
class Spikes:
    """Record every spike of a population (of a source: its events)."""

    population: str


@dataclass(frozen=True, eq=False)
class Trace:
    """Record a state of some neurons at the end of every n-th tick.

    Parameters
    ----------
    population : str
    state : str
        ``"membrane"`` or another state of the model.
    every : int
        Record where tick modulo `every` is zero.
    neurons : array of int, optional
        Flat numbers; default all.
    """

    population: str
    state: str = "membrane"
    every: int = 1
    neurons: ArrayLike | None = None

    @property
    def key(self) -> str:
        """Name under which the result holds the values."""
        return f"{self.population}.{self.state}"


Probe = Spikes | Trace | str


@dataclass(frozen=True)
class Probes:
    """Probes checked against a network."""

    spikes: tuple[int, ...]
    traces: tuple[TraceRequest, ...]
    keys: tuple[str, ...]

    def values(self, start: int, n_ticks: int) -> int:
        """Return how many numbers the traces of one recording are."""
        return sum(trace.records(start, n_ticks) * trace.neurons.size for trace in self.traces)

    def joined(self, other: Probes) -> Probes:
        """Return these probes and others, of which none records the same."""
        return Probes(self.spikes + other.spikes, self.traces + other.traces, self.keys + other.keys)


def answer_of(network: Network) -> Answer | None:
    """Return how a network answers, or None where it has no single output."""
    try:
        output = network.output
    except NetworkError:
        return None
    return Answer(output.name, output.size, network.score)


def output_probes(network: Network) -> tuple[Probe, ...]:
    """Return what answers a run by default: the readout's membrane, or the spikes of all ends of the network."""
    sources = {projection.source for projection in network.projections}
    ends = [p for p in network.populations if p.name not in sources and isinstance(p.model, NeuronModel)]
    chosen = ends or [p for p in network.populations if isinstance(p.model, NeuronModel)]
    return tuple(Spikes(p.name) if getattr(p.model, "spiking", True) else Trace(p.name) for p in chosen)


def resolve_probes(network: Network, probes: Iterable[Probe] | Probe | None) -> Probes:
    """Check probes against a network; a name stands for `Spikes` of that population.

    Raises
    ------
    NetworkError, ParameterError
        A population, state or neuron does not exist, or a trace stands twice.
    """
    if probes is None:
        probes = output_probes(network)
    elif isinstance(probes, (str, Spikes, Trace)):
        probes = (probes,)
    elif not isinstance(probes, Iterable):
        raise ParameterError(f"record={probes!r}: expected population names, Spikes(...) or Trace(...)")
    spikes: list[int] = []
    traces: list[TraceRequest] = []
    keys: list[str] = []
    for probe in probes:
        if isinstance(probe, str):
            probe = Spikes(probe)
        if isinstance(probe, Spikes):
            number = network.population_number(probe.population)
            if not getattr(network.populations[number].model, "spiking", True):
                raise ParameterError(f"record: population {probe.population!r} does not spike; use Trace(...)")
            if number not in spikes:
                spikes.append(number)
        elif isinstance(probe, Trace):
            if probe.key in keys:
                raise ParameterError(f"record: two traces of {probe.key}; record one with all neurons you need")
            traces.append(_trace(network, probe))
            keys.append(probe.key)
        else:
            raise ParameterError(f"record={probe!r}: expected a population name, Spikes(...) or Trace(...)")
    return Probes(tuple(spikes), tuple(traces), tuple(keys))


def check_kinds(program: Program, probes: Probes, given: Mapping[int, Recordings]) -> None:
    """Check that a backend takes recordings of these kinds in its precision, and that no frames are to be recorded.

    Raises
    ------
    CapabilityError
        The backend takes no frames.
    ParameterError
        Spikes are to be recorded of a source that is given frames, or the precision of the run does not hold a value.
    """
    check_recordings(program, given)
    for number, one in given.items():
        if isinstance(one, Frames) and one.values.dtype != program.dtype and one.values.size:
            largest = max(float(one.values.max()), -float(one.values.min()))
            if largest > float(np.finfo(program.dtype).max):
                raise ParameterError(
                    f"inputs of {program.network.populations[number].name!r}: a value of size {largest:g} is beyond "
                    f"what {program.dtype} holds; use dtype='float64'"
                )
    for number in probes.spikes:
        if isinstance(given.get(number), Frames):
            raise ParameterError(
                f"record: the input {program.network.populations[number].name!r} is given Frames, which are no "
                "spikes; its values are those that were given"
            )


def products_of(network: Network, given: Mapping[int, Recordings]) -> list[bool]:
    """Return of each projection whether its source is given frames; nothing where none is."""
    analog = {network.populations[number].name for number, one in given.items() if isinstance(one, Frames)}
    return [projection.source in analog for projection in network.projections] if analog else []


def _trace(network: Network, probe: Trace) -> TraceRequest:
    number = network.population_number(probe.population)
    population = network.populations[number]
    if not isinstance(population.model, NeuronModel):
        raise ParameterError(f"record: population {probe.population!r} is a source and has no states; use Spikes(...)")
    names = population.model.arithmetic.states
    if probe.state not in names:
        raise ParameterError(
            f"record: population {probe.population!r} has no state {probe.state!r}; there are: {', '.join(names)}"
        )
    whole(f"record: {probe.key}: every", probe.every, at_least=1)
    neurons: NDArray[np.int64]
    if probe.neurons is None:
        neurons = np.arange(population.size)
    else:
        given = np.atleast_1d(np.asarray(probe.neurons))
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise ParameterError(f"record: neurons of {probe.key} must be a flat list of whole numbers")
        neurons = given.astype(np.int64)
        if neurons.size and (neurons.min() < 0 or neurons.max() >= population.size):
            raise ParameterError(f"record: neurons of {probe.key} must lie in 0 ... {population.size - 1}")
    return TraceRequest(number, names.index(probe.state), int(probe.every), neurons)
