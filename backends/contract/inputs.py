"""What goes into a run: events or frames that are given, checked against the network, and events that sources make."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.requests import least, recording_ends
from snnsim.errors import NetworkError, ParameterError
from snnsim.events import Events
from snnsim.frames import Frames, Recordings
from snnsim.network.network import Network
from snnsim.neurons import Conductance, Input, Poisson, Source
from snnsim.numerics import rng
from snnsim.timebase import check_same_dt

Inputs = Recordings | Mapping[str, Recordings]


class RunInputs:
    """The inputs of a network and its sources that make their own events.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        # Looked up once: a run of one short recording takes less time than these would at every call.
        self._numbers = {p.name: network.population_number(p.name) for p in network.inputs}
        self._generators = [
            (number, population, rng.stream_number(population.name, "events"))
            for number, population in enumerate(network.populations)
            if isinstance(population.model, Source) and not isinstance(population.model, Input)
        ]
        #: Sources that draw random numbers at every tick.
        random = [(p.model, p.size) for p in network.populations if isinstance(p.model, Poisson)]
        self.random_sources = sum(size for _, size in random)
        #: Events that they draw in a tick, on average.
        self.drawn_events = sum(float(np.mean(model.rate)) * size for model, size in random) * network.dt

    def check(self, inputs: Inputs | None, recordings: int | None = None) -> dict[int, Recordings]:
        """Return the given events or frames by number of population.

        Parameters
        ----------
        inputs : Events or Frames, or dict of them by name of the population, optional
        recordings : int, optional
            How many recordings each must hold; default any number, the same for all.

        Raises
        ------
        ParameterError, NetworkError
            Events are missing, or do not fit their population or each other; or frames cannot be what reaches the
            neurons: values below zero on a conductance, or any on plastic synapses, which learn from spikes.
        """
        expected = list(self._numbers)
        if inputs is None:
            inputs = {}
        elif isinstance(inputs, Recordings):
            if len(expected) != 1:
                raise ParameterError(f"inputs: the network has the inputs {expected}; give a dict by name")
            inputs = {expected[0]: inputs}
        elif not isinstance(inputs, Mapping):
            raise ParameterError(f"inputs={inputs!r}: expected Events or Frames, or a dict of them by population")
        for name in inputs:
            if name not in expected:
                raise ParameterError(
                    f"inputs: {name!r} is no Input population; there are: {', '.join(expected) or 'none'}"
                )
        missing = [name for name in expected if name not in inputs]
        if missing:
            raise ParameterError(f"inputs: events for {', '.join(missing)} are missing")
        given: dict[int, Recordings] = {}
        for name, events in inputs.items():
            self._check_one(name, events, recordings)
            # Ticks that differ by rounding are the network's: what is recorded of them must say the same as the rest.
            given[self._numbers[name]] = events if events.dt == self._network.dt else events.with_dt(self._network.dt)
        if len({len(events) for events in given.values()}) > 1:
            raise ParameterError(f"inputs differ in recordings: {[len(events) for events in given.values()]}")
        return given

    def _check_one(self, name: str, events: Recordings, recordings: int | None) -> None:
        population, dt = self._network.populations[self._numbers[name]], self._network.dt
        if not isinstance(events, Recordings):
            raise ParameterError(f"inputs of {name!r}: expected Events or Frames, got {type(events).__name__}")
        if events.n_sources != population.size:
            what = "events" if isinstance(events, Events) else "frames"
            raise NetworkError(
                f"inputs of {name!r}: the {what} have {events.n_sources} sources, the population {population.size}"
            )
        if isinstance(events, Frames):
            self._check_targets(name, events)
        if events.dt != dt:
            check_same_dt(events.dt, dt, f"inputs of {name!r}")
        if recordings is not None and len(events) != recordings:
            raise ParameterError(
                f"inputs of {name!r}: {len(events)} recordings; run() takes one, run_samples() takes many"
            )

    def _check_targets(self, name: str, frames: Frames) -> None:
        """Raise `ParameterError` where real values are not what the synapses of a population take."""
        for connection in self._network.connections:
            if connection.source.name != name:
                continue
            if connection.projection.plasticity is not None:
                raise ParameterError(
                    f"inputs of {name!r}: Frames cannot drive the plastic projection {connection.name!r}, which learns "
                    "from spikes; give Events"
                )
            receptor = connection.target.receptors[connection.receptor_number]
            if isinstance(receptor, Conductance) and frames.values.size and frames.values.min() < 0:
                raise ParameterError(
                    f"inputs of {name!r}: the frames hold {frames.values.min():g}, and {connection.name!r} opens the "
                    f"Conductance {receptor.name!r}: conductances are zero or above"
                )

    def ends(self, given: Mapping[int, Recordings]) -> NDArray[np.int64]:
        """Return after how many ticks each recording is left, shape (recordings,).

        Raises
        ------
        ParameterError
            There are no recordings, or one has no ticks.
        """
        number = next(iter(given))
        name, ends = self._network.populations[number].name, recording_ends(self._network, given)
        if not ends.size:
            raise ParameterError(f"inputs of {name!r} hold no recordings; nothing to run")
        if least(ends) == self._network.extension_ticks:
            empty = int(np.argmin(ends))
            raise ParameterError(
                f"inputs of {name!r}: recording {empty} has no ticks; events.with_lengths(...) sets lengths"
            )
        return ends

    def check_end(self, given: Mapping[int, Recordings], n_ticks: int) -> None:
        """Raise `ParameterError` where events or frames come after the end of a run: they would be lost."""
        for number, events in given.items():
            if isinstance(events, Frames):
                longest = int(events.lengths.max(initial=0))
                if longest > n_ticks:
                    raise ParameterError(
                        f"inputs of {self._network.populations[number].name!r}: the frames last {longest} ticks, the "
                        f"run {n_ticks}; run longer, or cut them off with frames.crop({n_ticks})"
                    )
                continue
            late = int(np.sum(events.ticks >= n_ticks))
            if late:
                raise ParameterError(
                    f"inputs of {self._network.populations[number].name!r}: {late} events come after the end of the "
                    f"run (tick {n_ticks}); run longer, or cut them off with events.crop({n_ticks})"
                )

    def complete(
        self, given: Mapping[int, Recordings], start: int, n_ticks: int, recordings: NDArray[np.int64]
    ) -> Mapping[int, Recordings]:
        """Add the events of the sources that make their own, from tick `start` on."""
        if not self._generators:
            return given
        full = dict(given)
        for number, population, stream in self._generators:
            assert isinstance(population.model, Source)
            events = population.model.generate(
                population.size, self._network.dt, start, n_ticks, recordings, self._network.seed, stream
            )
            assert events is not None
            full[number] = events
        return full
