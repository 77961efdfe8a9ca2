"""The description everything else takes or returns: populations, projections, one time step.

A `Network` is frozen and checked when it is made. Its meaning, the same on every backend, is one tick in this
order (``print(net.schedule())``):

1. populations are advanced in topological order over zero-delay projections: integrate, test the threshold, reset;
2. the spikes of a population are sent as soon as it is advanced, projection by projection, in ascending order of
   source: delay zero reaches its target within this tick, delay d in tick + d;
3. probes record.

The input of a neuron is summed per receptor in the order of sending, so that every backend adds the same numbers in
the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from snnsim.connectivity import Synapses
from snnsim.errors import DataError, NetworkError, ParameterError, one_of
from snnsim.network.connection import Connection, connect
from snnsim.network.file_types import known_types
from snnsim.network.learnable_delay import Learnable
from snnsim.network.order import advance_order, delay_extension
from snnsim.network.plasticity_check import check_plasticity
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.network.schedule import schedule_table
from snnsim.neurons import Input, Source
from snnsim.scores import SCORES
from snnsim.storage.hdf5 import read_hdf5, write_hdf5
from snnsim.storage.objects import read_object, write_object
from snnsim.system.tables import table
from snnsim.timebase import check_dt, tick_count, to_seconds

if TYPE_CHECKING:
    from snnsim.backends.contract.memory import MemoryForecast


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network.

    Parameters
    ----------
    populations : sequence of Population
    projections : sequence of Projection
    dt : float
        Seconds a tick.
    seed : int
        Key of every random number of the network: wiring, weights, delays, Poisson sources.
    name : str
        For tables and plots.
    score : str
        By which score of its output it answers, one of `snnsim.scores.SCORES`; training sets it to that of its loss.
    extension : float, optional
        Seconds that it runs on after the end of a recording, so that spikes on their way still arrive. Default what the
        delays on the way to the output need, see `extension_ticks`. A long run (`Simulation.run`) has no such end.

    Raises
    ------
    NetworkError
        Names that do not exist or stand twice, shapes that do not fit, a cycle of zero-delay projections.
    ParameterError
        A value that is not allowed; delays and refractory times that are not whole ticks.
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    dt: float
    seed: int = 0
    name: str = "network"
    score: str = SCORES[0]
    extension: float | None = None
    #: Exact coefficients of each population's model for ticks of `dt`, None for a source.
    coefficients: tuple[Any, ...] = field(default=(), repr=False, init=False)
    #: Projections with numbers, shapes, delays and synapses, in the order of `projections`.
    connections: tuple[Connection, ...] = field(default=(), repr=False, init=False)
    _index: dict[str, int] = field(default_factory=dict, repr=False, init=False)

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(
            self,
            populations: Iterable[Population],
            projections: Iterable[Projection],
            dt: float,
            seed: int = 0,
            name: str = "network",
            score: str = SCORES[0],
            extension: float | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        for part, expected in (("populations", Population), ("projections", Projection)):
            items = getattr(self, part)
            listed = tuple(items) if isinstance(items, Iterable) else None
            if listed is None or not all(isinstance(item, expected) for item in listed):
                raise ParameterError(f"network: {part} must be a sequence of {expected.__name__}, got {items!r}")
            object.__setattr__(self, part, listed)
        object.__setattr__(self, "dt", check_dt(self.dt))
        if not isinstance(self.name, str):
            raise ParameterError(f"network: name={self.name!r}: must be a string")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or not 0 <= self.seed < 2**63:
            raise ParameterError(f"network: seed={self.seed!r}: must be a whole number from 0 up, below 2**63")
        object.__setattr__(self, "seed", int(self.seed))
        one_of("network: score", self.score, SCORES)
        if self.extension is not None:
            tick_count(self.extension, self.dt, name="network: extension")
            object.__setattr__(self, "extension", float(self.extension))
        if not self.populations:
            raise NetworkError("a network needs at least one population")
        for kind, items in (("population", self.populations), ("projection", self.projections)):
            seen = set[str]()
            for item in items:
                if item.name in seen:
                    raise NetworkError(f"two {kind}s are named {item.name!r}; give each a name of its own")
                seen.add(item.name)
        object.__setattr__(self, "_index", {population.name: i for i, population in enumerate(self.populations)})
        object.__setattr__(self, "coefficients", tuple(self._coefficients(one) for one in self.populations))
        connections = []
        for number, projection in enumerate(self.projections):
            connection = connect(projection, number, self.populations, self._index, self.dt, self.seed)
            check_plasticity(connection)
            connections.append(connection)
        object.__setattr__(self, "connections", tuple(connections))
        _ = self.order  # finds zero-delay cycles

    def _coefficients(self, population: Population) -> Any:
        """Return the coefficients of a population; check that what it does can be done in ticks of `dt`."""
        model = population.model
        if isinstance(model, Source):
            model.check_dt(self.dt, population.name)
            return None
        try:
            model.refractory_ticks(self.dt)
            coefficients = model.coefficients(self.dt)
            for receptor in population.receptors:
                if receptor.arithmetic is not None:
                    model.receptor_coefficients(receptor, self.dt)
            for drive in population.drive:
                drive.check(population.size, self.dt, population.receptors)
        except ParameterError as error:
            raise ParameterError(f"population {population.name!r}: {error}") from error
        return coefficients

    # -- looking -----------------------------------------------------------------------------------------

    def population(self, name: str) -> Population:
        """Return the population of that name."""
        if name not in self._index:
            raise NetworkError(f"no population {name!r}; there are: {', '.join(self._index)}")
        return self.populations[self._index[name]]

    def projection(self, name: str) -> Projection:
        """Return the projection of that name."""
        return self.connection(name).projection

    def connection(self, projection: str | Projection) -> Connection:
        """Return a projection, or the one of that name, with what follows from its place in the network."""
        name = projection.name if isinstance(projection, Projection) else projection
        for connection in self.connections:
            if connection.name == name:
                return connection
        raise NetworkError(f"no projection {name!r}; there are: {', '.join(p.name for p in self.projections)}")

    def population_number(self, name: str) -> int:
        """Return the place of a population in `populations`."""
        self.population(name)
        return self._index[name]

    def synapses(self, projection: str | Projection) -> Synapses:
        """Return all synapses of a projection, row by row of sources; see `Connection.synapses`."""
        return self.connection(projection).synapses()

    @property
    def inputs(self) -> tuple[Population, ...]:
        """Populations whose events are given at each run."""
        return tuple(p for p in self.populations if isinstance(p.model, Input))

    @property
    def output(self) -> Population:
        """The one population that projects nowhere: the answer of a feed-forward network."""
        sources = {projection.source for projection in self.projections}
        ends = [p for p in self.populations if p.name not in sources and not p.is_source]
        if len(ends) != 1:
            listed = ", ".join(repr(p.name) for p in ends) or "none"
            raise NetworkError(f"the network has no single output population (ends: {listed}); name the one you mean")
        return ends[0]

    @cached_property
    def extension_ticks(self) -> int:
        """Ticks that the network runs on after the end of a recording.

        Where `extension` does not say, it is what the delays on the longest way from an `Input` to an end of the
        network add up to: of each projection its longest delay, and of `Learnable` ones half their kernel, the
        convention of DCLS-Delays (arXiv:2306.17670). A network with a cycle on the way is never done and has none.
        """
        if self.extension is not None:
            return tick_count(self.extension, self.dt, name="network: extension")
        return delay_extension(self.inputs, self.connections)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Order in which populations are advanced within a tick: topological over zero-delay projections."""
        return advance_order(self.populations, self.connections)

    # -- changing ----------------------------------------------------------------------------------------

    def resolved(self) -> Network:
        """Return the same network with every distribution and random wiring replaced by what was drawn."""
        projections = tuple(connection.resolved() for connection in self.connections)
        extension = self.extension
        if any(isinstance(projection.delay, Learnable) for projection in self.projections):
            extension = to_seconds(self.extension_ticks, self.dt)  # which their kernels decide, not what was drawn
        return replace(self, projections=projections, extension=extension)

    def replaced(
        self, populations: Iterable[Population] = (), projections: Iterable[Projection] = (), **changes: Any
    ) -> Network:
        """Return a copy in which the given populations and projections take the place of those of the same name."""
        new_populations = {p.name: p for p in self.populations} | self._known(populations, self.populations)
        new_projections = {p.name: p for p in self.projections} | self._known(projections, self.projections)
        parts = {"populations": tuple(new_populations.values()), "projections": tuple(new_projections.values())}
        return replace(self, **(parts | changes))

    @staticmethod
    def _known(new: Iterable[Any], old: Iterable[Any]) -> dict[str, Any]:
        known = {item.name for item in old}
        for item in new:
            if item.name not in known:
                raise NetworkError(f"nothing named {item.name!r} to replace; there are: {', '.join(sorted(known))}")
        return {item.name: item for item in new}

    # -- showing -----------------------------------------------------------------------------------------

    @property
    def headline(self) -> str:
        """Name, number of neurons, tick and seed in one line."""
        neurons = sum(p.size for p in self.populations if not p.is_source)
        return f"{self.name}: {neurons:,} neurons, dt {self.dt:g} s, seed {self.seed}"

    def population_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the populations as a header and rows of text."""
        rows: list[tuple[str, ...]] = [
            (p.name, "×".join(map(str, p.shape)), f"{p.size:,}", " + ".join(x.describe() for x in (p.model, *p.drive)))
            for p in self.populations
        ]
        return ("population", "shape", "size", "model"), rows

    def projection_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the projections as a header and rows of text."""
        header = ("projection", "synapses", "connectivity", "delay", "receptor", "plasticity")
        shown = len(header) if any(p.plasticity is not None for p in self.projections) else len(header) - 1
        return header[:shown], [c.row()[:shown] for c in self.connections]

    def __str__(self) -> str:
        parts = [self.headline, table(*self.population_rows())]
        if self.projections:
            parts.append(table(*self.projection_rows()))
        return "\n\n".join(parts)

    def schedule(self) -> str:
        """Return the order of operations within one tick as a table."""
        return schedule_table(self.populations, self.connections, self.order)

    def memory(self, dtype: str = "float32", threads: int | None = None) -> MemoryForecast:
        """Return how much memory a long run of this network will take on the cpu backend; nothing is built.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            Precision of weights and states.
        threads : int, optional
            Threads of the run; default all cores.

        Returns
        -------
        MemoryForecast
            In bytes; ``print`` shows it as a table. Random counts stand at their mean.
        """
        from snnsim.backends.cpu.parts.memory import forecast

        return forecast(self, dtype=dtype, threads=threads)

    def plot(self, **options: Any) -> Any:
        """Draw the graph of the network; see `snnsim.plot.network`."""
        from snnsim.plot import network as draw

        return draw(self, **options)

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file, which is complete or not there at all."""
        with write_hdf5(path, "network") as file:
            self.write(file)

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Load what `save` saved."""
        with read_hdf5(path, "network") as file:
            return cls.read(file)

    def write(self, group: h5py.Group) -> None:
        """Write into an open group of an HDF5 file."""
        types = known_types()
        group.attrs.update(dt=self.dt, seed=self.seed, name=self.name, score=self.score)
        if self.extension is not None:
            group.attrs["extension"] = self.extension
        for kind, items in (("populations", self.populations), ("projections", self.projections)):
            folder = group.create_group(kind)
            for i, item in enumerate(items):
                write_object(folder.create_group(f"{i:06d}"), item, types)

    @classmethod
    def read(cls, group: h5py.Group) -> Network:
        """Read what `write` wrote.

        Raises
        ------
        DataError
            The group holds no network, or a damaged one.
        """
        types = known_types()
        try:
            parts = [
                [read_object(group[kind][i], types) for i in group[kind]] for kind in ("populations", "projections")
            ]
            attributes = group.attrs
            dt, seed, name = float(attributes["dt"]), int(attributes["seed"]), str(attributes["name"])
            score, extension = str(attributes["score"]), attributes.get("extension")
        except (KeyError, OSError, TypeError) as error:
            reason = str(error).splitlines()[0].strip("'\"")
            raise DataError(f"{group.file.filename}: the network in it is damaged ({reason})") from error
        return cls(
            tuple(parts[0]),
            tuple(parts[1]),
            dt=dt,
            seed=seed,
            name=name,
            score=score,
            extension=None if extension is None else float(extension),
        )
