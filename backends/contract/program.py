"""The contract between a network and the machine that runs it.

A backend compiles a `Network` into a `Program`. A program advances a `State`, which belongs to the caller and has
the same layout on every backend, so that a run may go on elsewhere. What a backend cannot do it refuses by name;
nothing is substituted or ignored in silence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract import listed_synapses as listing
from snnsim.backends.contract.activity import ChipActivity
from snnsim.backends.contract.divergence import Watch
from snnsim.backends.contract.layout import Layout, zeros
from snnsim.backends.contract.memory import MemoryForecast, check_memory, check_room
from snnsim.backends.contract.plasticity import PlasticState, initial_states, plastic_projections, refuse_recordings
from snnsim.errors import CapabilityError, ParameterError, one_of, whole
from snnsim.events import Events
from snnsim.network.connection import Connection
from snnsim.network.network import Network
from snnsim.neurons import NeuronModel
from snnsim.scores import SCORES
from snnsim.system.machine import cores

DTYPES = ("float32", "float64")
#: When a population is advanced; see `Program`.
VISITS = ("auto", "events", "ticks")

Visit = str | Mapping[str, str]


@dataclass
class State:
    """Everything that a run carries from one tick to the next, for each recording of a batch.

    Parameters
    ----------
    floats : ndarray, shape (recordings, floats)
        Neuron states, receptor currents and input on its way; see `Layout`.
    counters : ndarray of int32, shape (recordings, counters)
        Refractory ticks left.
    tick : int
        The next tick.
    visited : ndarray of int64, shape (recordings, neurons), optional
        Tick up to which each neuron is advanced, where that is not `tick`: a backend that visits neurons only when
        events reach them leaves them there (see `snnsim.backends.contract.silent_neurons`).
    plastic : tuple of PlasticState
        One for each plastic projection. A backend may hold the weights back in an order of its own until
        `Program.settle` asks for them.
    """

    floats: NDArray[Any]
    counters: NDArray[np.int32]
    tick: int = 0
    visited: NDArray[np.int64] | None = None
    plastic: tuple[PlasticState, ...] = ()


@dataclass(frozen=True)
class TraceRequest:
    """One state of some neurons at every n-th tick."""

    population: int
    state: int
    every: int
    neurons: NDArray[np.int64]

    def records(self, start: int, n_ticks: int) -> int:
        """Return how many of the ticks ``start ... start + n_ticks - 1`` are recorded."""
        return -(-(start + n_ticks) // self.every) + (-start // self.every)


@dataclass(frozen=True)
class ExitRequest:
    """When to stop a recording: the confidence of a readout exceeds the tick's threshold (`snnsim.early_exit`)."""

    population: int
    smoothing: float
    thresholds: NDArray[np.float64]
    score: str = SCORES[0]


@dataclass(frozen=True)
class RunRequest:
    """What to run and what to record.

    Parameters
    ----------
    n_ticks : int
        Ticks to advance.
    inputs : mapping of int to Events
        Events of each source population, one recording for each of the state's.
    spikes : tuple of int
        Populations whose spikes are recorded.
    traces : tuple of TraceRequest
    exit : ExitRequest, optional
    first_recording : int
        Number of the first recording, which keys the random numbers of drives.
    ends : ndarray of int64, shape (recordings,), optional
        Ticks after which each recording is left, ``1 ... n_ticks``; default `n_ticks` for all.
    """

    n_ticks: int
    inputs: Mapping[int, Events]
    spikes: tuple[int, ...] = ()
    traces: tuple[TraceRequest, ...] = ()
    exit: ExitRequest | None = None
    first_recording: int = 0
    ends: NDArray[np.int64] | None = None

    def ends_of(self, recordings: int) -> NDArray[np.int64]:
        """Return after how many ticks each recording is left."""
        return np.full(recordings, self.n_ticks, np.int64) if self.ends is None else self.ends

    @cached_property
    def cut_short(self) -> bool:
        """Whether a recording may be left before the last tick."""
        return self.exit is not None or (self.ends is not None and least(self.ends) < self.n_ticks)


def least(counts: NDArray[np.int64]) -> int:
    """Return the smallest of some counts; of a single one without NumPy's reduction, which takes longer than a tick."""
    return int(counts[0] if counts.size == 1 else counts.min())


def most(counts: NDArray[np.int64]) -> int:
    """Return the largest of some counts, as `least` does."""
    return int(counts[0] if counts.size == 1 else counts.max())


def recording_ends(network: Network, inputs: Mapping[int, Events]) -> NDArray[np.int64]:
    """Return after how many ticks each recording is left: its length, and what the network needs after that.

    Of several inputs the longest counts.
    """
    lengths = [events.lengths for events in inputs.values()]
    longest = lengths[0] if len(lengths) == 1 else np.max(lengths, axis=0)
    return np.asarray(longest + network.extension_ticks, np.int64)


@dataclass
class RunOutput:
    """What a run recorded and counted.

    Parameters
    ----------
    spikes : dict of int to Events
        Ticks count from the first tick of the run; recordings are as long as was computed of them.
    traces : list of ndarray, shape (recordings, records, neurons)
        One for each trace asked for; NaN after a recording's exit or end.
    population_spikes : ndarray of int64, shape (recordings, populations)
        Spikes (of sources: events).
    membrane_updates : ndarray of int64, shape (recordings, populations)
        Neurons advanced by a tick.
    synaptic_operations : ndarray of int64, shape (recordings, projections)
        Weights added to an input.
    exit_ticks : ndarray of int64, shape (recordings,)
        Ticks that were computed.
    """

    spikes: dict[int, Events]
    traces: list[NDArray[Any]]
    population_spikes: NDArray[np.int64]
    membrane_updates: NDArray[np.int64]
    synaptic_operations: NDArray[np.int64]
    exit_ticks: NDArray[np.int64]


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do beyond running a network tick by tick; plasticity is that of one long run."""

    delays: bool = True
    batch: bool = True
    early_exit: bool = True
    drives: bool = False
    plasticity: bool = False
    receptors: frozenset[str] = frozenset({"Delta", "Exponential"})
    models: frozenset[str] = field(default_factory=frozenset)


class Program(ABC):
    """A network compiled for one backend.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}
        Type of weights and states.
    threads : int, optional
        Threads to compute on; default all cores. The results do not depend on it.
    visit : {"auto", "events", "ticks"} or dict of str to one of these
        When a population is advanced: where an event or its bound asks for it, at every tick, or as the backend thinks
        best; for all populations, or by name (others are "auto"). The results are the same, so a backend that knows
        one way only (such as `reference`, which visits every tick) takes all three.
    progress : bool
        Show a bar while the network is built.
    memory_limit : int, optional
        Bytes that the program may take; default what the machine has to spare.

    Attributes
    ----------
    visit : dict of str to str
        The choice for each population that is no source.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def __init__(
        self,
        network: Network,
        *,
        dtype: str = "float32",
        threads: int | None = None,
        visit: Visit = "auto",
        progress: bool = False,
        memory_limit: int | None = None,
    ) -> None:
        one_of("dtype", dtype, DTYPES)
        self.visit = check_visit(network, visit)
        self.progress = bool(progress)
        self.memory_limit = None if memory_limit is None else whole("memory_limit", memory_limit, at_least=1)
        check_capabilities(network, self.name, self.capabilities)
        check_precision(network, dtype)
        self.network = network
        self.dtype = np.dtype(dtype)
        self.threads = cores() if threads is None else threads
        #: Bytes that the program has taken, as far as they were foreseen.
        self.held = 0
        self.held = self._claim(self.forecast())
        self.layout = Layout.of(network)
        #: Bytes of the state of one recording.
        self.state_bytes = self.layout.n_floats * self.dtype.itemsize + 4 * self.layout.n_counters
        self._watch = Watch(network, self.layout, self.dtype)
        #: Whether a projection is plastic: looked up once, since a short recording takes less time than many look-ups.
        self.learns = bool(plastic_projections(network))
        row = np.zeros((1, self.layout.n_floats), self.dtype)
        for place in self.layout.places:
            for number, value in enumerate(place.initial):
                self.layout.states(row, place)[:, number] = value
        self._rest = row if np.any(row) else None

    def forecast(self) -> MemoryForecast:
        """Return what making the program takes, before anything is made; default all synapses as lists."""
        return listing.forecast(self.network, self.dtype)

    def _claim(self, forecast: MemoryForecast) -> int:
        """Return the bytes that stay taken, or raise `ResourceError` where there is no room."""
        check_memory(forecast, self.memory_limit, self.held)
        return forecast.kept

    def check_state(self, state: State, start: int, first_recording: int = 0) -> None:
        """Raise `DivergenceError` where the numbers of a state mean nothing any more.

        Parameters
        ----------
        state : State
        start : int
            Tick at which they were last all right.
        first_recording : int
            Number of the first recording of the state.
        """
        self._watch.look(state.floats, state.tick, start, first_recording)

    def check_room(self, what: str, parts: Mapping[str, int], advice: str) -> None:
        """Raise `ResourceError` where what a run takes has no room beside the program; see `check_room`."""
        check_room(what, parts, advice, self.memory_limit, self.held)

    def initial_state(self, recordings: int = 1) -> State:
        """Return the state before the first tick."""
        if recordings != 1 and self.learns:
            refuse_recordings(self.network)
        floats = zeros(recordings, self.layout.n_floats, self.dtype)
        if self._rest is not None:
            floats[:] = self._rest
        counters = zeros(recordings, self.layout.n_counters, np.int32)
        return State(floats, counters, plastic=initial_states(self.network, self.dtype) if self.learns else ())

    @abstractmethod
    def run(self, state: State, request: RunRequest) -> RunOutput:
        """Advance `state` in place and return what was recorded."""

    def run_long(self, state: State, request: RunRequest) -> RunOutput:
        """Advance the one recording of a long run; a backend may have a faster way for it than `run`."""
        from snnsim.backends.contract.silent_neurons import settle  # which knows `State`

        settle(self.network, self.layout, state)
        return self.run(state, request)

    @property
    def stepped_neurons(self) -> int:
        """How many neurons a long run advances at every tick."""
        return sum(population.size for population in self.network.populations if not population.is_source)

    @property
    def ranks(self) -> int:
        """How many processes run the network together."""
        return 1

    @property
    def writes_files(self) -> bool:
        """Whether this process writes files; of many processes that run one network together one does."""
        return True

    def meet(self, call: str, facts: Mapping[str, str]) -> None:
        """Check that all processes that run one network together make the same call; `facts` must be equal."""
        del call, facts  # there is one process, unless a backend says otherwise

    def first_only(self, call: str, work: Callable[[], Any]) -> None:
        """Do some work on the process that writes files; all processes raise what it raises."""
        del call
        work()

    def agree(self, value: int) -> int:
        """Return the number that all processes go by that run one network together: the one of the first of them."""
        return value

    @property
    def options(self) -> dict[str, Any]:
        """What a program of a changed network has to be made with to be on the same hardware."""
        return {}

    @property
    def hardware(self) -> str:
        """What the program runs on, in a line for provenance, equal where it is the same; empty for software."""
        return ""

    def write_hardware(self, group: h5py.Group) -> None:  # noqa: B027 - software has none
        """Write what the program runs on into a group of a checkpoint, where `hardware` is not empty."""

    @classmethod
    def options_on(cls, hardware: h5py.Group | None, where: object, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options to go on with.

        Parameters
        ----------
        hardware : h5py.Group or None
            What `write_hardware` wrote.
        where : object
            The file, for messages.
        options : dict of str
            Those that are given again.
        """
        return options

    def take_activity(self) -> ChipActivity | None:
        """Return what a chip has done since this was last asked; None where there is no chip."""
        return None

    def settle(self, state: State) -> None:
        """Bring into `state` what the backend still holds in an order of its own: the weights of plastic projections.

        The run goes on from there as if nothing had been asked.
        """
        del state  # which holds all, unless a backend says otherwise

    def reward(self, state: State, projection: int, value: float) -> None:
        """Turn the eligibility of a plastic projection, as it stands at the next tick, into weight."""
        raise CapabilityError(f"backend {self.name!r} cannot give a reward to projection {projection}")


def check_visit(network: Network, visit: Visit) -> dict[str, str]:
    """Return when each population that is no source is advanced, or raise `ParameterError`."""
    names = [population.name for population in network.populations if not population.is_source]
    if not isinstance(visit, Mapping):
        one_of("visit", visit, VISITS)
        return dict.fromkeys(names, visit)
    for name, how in visit.items():
        if name not in names:
            listed = ", ".join(repr(known) for known in names) or "none"
            raise ParameterError(f"visit: {name!r} is no population of neurons; there are: {listed}")
        one_of(f"visit of {name!r}", how, VISITS)
    return {name: visit.get(name, "auto") for name in names}


def check_capabilities(network: Network, backend: str, capabilities: Capabilities) -> None:
    """Raise `CapabilityError` where a network asks for what a backend cannot do."""
    for population in network.populations:
        model = population.model
        name = type(model).__name__
        if not population.is_source and name not in capabilities.models:
            raise CapabilityError(
                f"backend {backend!r} cannot run the neuron model {name} of population {population.name!r}"
                f"{_others(lambda c, name=name: name in c.models)}"
            )
        if population.drive and not capabilities.drives:
            raise CapabilityError(
                f"backend {backend!r} cannot run the drive of population {population.name!r}"
                f"{_others(lambda c: c.drives)}"
            )
        for receptor in getattr(model, "receptor_list", ()):
            kind = type(receptor).__name__
            if kind not in capabilities.receptors:
                raise CapabilityError(
                    f"backend {backend!r} cannot run the {kind} receptor of population {population.name!r}"
                    f"{_others(lambda c, kind=kind: kind in c.receptors)}"
                )
    for projection in network.projections:
        if projection.plasticity is not None and not capabilities.plasticity:
            raise CapabilityError(
                f"backend {backend!r} cannot run the plasticity of projection {projection.name!r}"
                f"{_others(lambda c: c.plasticity)}"
            )
    if not capabilities.delays:
        for connection in network.connections:
            if connection.minimum_delay > 0 or not connection.has_one_delay:
                raise CapabilityError(
                    f"backend {backend!r} cannot run the delay of projection {connection.name!r}"
                    f"{_others(lambda c: c.delays)}"
                )


def check_precision(network: Network, dtype: str) -> None:
    """Raise `ParameterError` where a model is not what its parameters say once its coefficients are in `dtype`."""
    largest = float(np.finfo(dtype).max)  # infinity times zero would be NaN
    for population in network.populations:
        model = population.model
        if isinstance(model, NeuronModel):
            try:
                model.check_dtype(network.dt, dtype)
            except ParameterError as error:
                raise ParameterError(f"population {population.name!r}: {error}") from error
            coefficients = _named_coefficients(model, network.dt)
            states = zip(model.arithmetic.states, model.initial_states(), strict=True)
            initial = {f"initial {name}": value for name, value in states}
            drives = {f"weight of drive {i}": drive.weight for i, drive in enumerate(population.drive)}
            for name, value in (coefficients | initial | drives).items():
                if not np.max(np.abs(value)) <= largest:  # NaN is no number that fits
                    raise ParameterError(
                        f"population {population.name!r}: {name} does not fit in {dtype}; "
                        f"stay below {largest:.2g}, or use dtype='float64'"
                    )
            for name, value in coefficients.items():
                if name.endswith("decay") and _lost(value, dtype) > 0.01:
                    raise ParameterError(
                        f"population {population.name!r}: in {dtype} a {name} of {np.max(value):.9g} a tick of "
                        f"{network.dt:g} s is wrong by {100 * _lost(value, dtype):.2g} % of the leak; use "
                        "dtype='float64', or a coarser dt"
                    )
            if not model.is_strict and _meet(coefficients, dtype):
                raise ParameterError(
                    f"population {population.name!r}: in {dtype} the membrane lands at its threshold after a spike, "
                    "and fires for ever; use dtype='float64', or a lower reset"
                )

    for connection in network.connections:
        _check_weights(connection, dtype, largest)


def _check_weights(connection: Connection, dtype: str, largest: float) -> None:
    """Raise `ParameterError` where weights, or the numbers of a rule that changes them, are others in `dtype`."""
    where = f"projection {connection.name!r}"
    lowest, highest = connection.weight_range
    most = max(abs(lowest), abs(highest)) if lowest <= highest else 0.0
    if most > largest or (most > 0 and np.dtype(dtype).type(most) == 0):
        raise ParameterError(
            f"{where}: weights of {most:.3g} do not fit in {dtype}, which holds {np.finfo(dtype).tiny:.2g} to "
            f"{largest:.2g}; choose other units, or dtype='float64'"
        )
    plasticity = connection.projection.plasticity
    if plasticity is None:
        return
    for name, value in plasticity.coefficients._asdict().items():
        if (largest < abs(value) < np.inf) or (value != 0 and np.dtype(dtype).type(value) == 0):
            raise ParameterError(
                f"{where}: {name}={value:.3g} of its rule does not fit in {dtype}; use dtype='float64'"
            )


def _meet(coefficients: Mapping[str, Any], dtype: str) -> bool:
    """Return whether a reset below the threshold is at the threshold once both are rounded."""
    if "reset_value" not in coefficients:
        return False
    level, landing = (np.asarray(coefficients[name]) for name in ("threshold", "reset_value"))
    return bool(np.any((landing < level) & (landing.astype(dtype) >= level.astype(dtype))))


def _named_coefficients(model: NeuronModel, dt: float) -> dict[str, Any]:
    """Return the coefficients of a model and of its receptors by name."""
    own: Any = model.coefficients(dt)
    named: dict[str, Any] = own._asdict()
    for receptor in model.receptor_list:
        if receptor.arithmetic is not None:
            more: Any = model.receptor_coefficients(receptor, dt)
            named |= {f"{receptor.name}.{name}": value for name, value in more._asdict().items()}
    return named


def _lost(decay: Any, dtype: str) -> float:
    """Return by which share the logarithm of a decay changes when it is rounded."""
    exact = np.atleast_1d(np.asarray(decay, np.float64))
    exact = exact[(exact > 0) & (exact < 1)]
    with np.errstate(divide="ignore"):
        rounded = np.log(exact.astype(dtype).astype(np.float64))
    return float(np.max(np.abs(rounded / np.log(exact) - 1), initial=0.0))


def _others(able: Any) -> str:
    from snnsim.backends.registry import installed

    names = [name for name, program in installed().items() if able(program.capabilities)]
    return f"; backends that can: {', '.join(names)}" if names else "; no installed backend can"
