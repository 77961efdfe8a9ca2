"""The contract between a network and the machine that runs it.

A backend compiles a `Network` into a `Program`. A program advances a `State`, which belongs to the caller and has
the same layout on every backend, so that a run may go on elsewhere. What a backend cannot do it refuses by name;
nothing is substituted or ignored in silence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import h5py
import numpy as np

from snnsim.backends.contract.activity import ChipActivity
from snnsim.backends.contract.capabilities import Capabilities, missing
from snnsim.backends.contract.divergence import Watch
from snnsim.backends.contract.layout import Layout, zeros
from snnsim.backends.contract.memory import MemoryForecast, check_memory, check_room, forecast_listed
from snnsim.backends.contract.options import DEFAULTS, Options, check_visit
from snnsim.backends.contract.plasticity import initial_states, plastic_projections, refuse_recordings
from snnsim.backends.contract.precision import check_precision
from snnsim.backends.contract.requests import RunOutput, RunRequest
from snnsim.backends.contract.silent_neurons import settle
from snnsim.backends.contract.state import State
from snnsim.errors import CapabilityError
from snnsim.network.network import Network
from snnsim.system.machine import cores


class Program(ABC):
    """A network compiled for one backend.

    Parameters
    ----------
    network : Network
    options : Options

    Attributes
    ----------
    visit : dict of str to str
        The choice for each population that is no source.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def __init__(self, network: Network, options: Options = DEFAULTS) -> None:
        self.options = options
        self.visit = check_visit(network, options.visit)
        self.memory_limit = options.memory_limit
        lacking = missing(network, self.capabilities)
        if lacking is not None:
            raise CapabilityError(f"backend {self.name!r} cannot run {lacking.what}")
        check_precision(network, options.dtype)
        self.network = network
        self.dtype = np.dtype(options.dtype)
        self.threads = cores() if options.threads is None else options.threads
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
        return forecast_listed(self.network, self.dtype)

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
    def own_options(self) -> dict[str, Any]:
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
