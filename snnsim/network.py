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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity import Connectivity, Key, Synapses
from snnsim.connectivity.base import size_of
from snnsim.connectivity.distributions import LEAST_SHARE, Distribution, Values, as_values
from snnsim.delays import delay_extension, drawn_delays, longest_drawn
from snnsim.errors import NetworkError, ParameterError, exactly, one_of
from snnsim.learnable import Learnable
from snnsim.memory import MemoryForecast
from snnsim.neurons import Conductance, Input, NeuronModel, PoissonDrive, Source, check_weights
from snnsim.plasticity import PlasticityRule
from snnsim.plasticity.checks import check_plasticity
from snnsim.scores import SCORES
from snnsim.timebase import as_decimals, check_dt, check_length, tick_count, to_seconds, to_ticks


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one model.

    Parameters
    ----------
    name : str
        Unique in the network.
    shape : int or tuple of int
        Number of neurons, or (channels, height, width); neurons are numbered in C order.
    model : NeuronModel or Source
        For instance ``LIF(...)`` or ``Input()``.
    drive : PoissonDrive or sequence of PoissonDrive
        Events of chance to each of the neurons.
    """

    name: str
    shape: tuple[int, ...]
    model: NeuronModel | Source
    drive: tuple[PoissonDrive, ...] = ()

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(
            self,
            name: str,
            shape: int | Sequence[int],
            model: NeuronModel | Source,
            drive: PoissonDrive | Sequence[PoissonDrive] | None = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_name("population", self.name)
        given: Any = self.shape
        shape = tuple(given) if isinstance(given, Iterable) else (given,)
        if not shape or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in shape):
            raise ParameterError(f"population {self.name!r}: shape={given!r}: must be whole numbers above zero")
        if isinstance(self.model, type):
            raise ParameterError(f"population {self.name!r}: model is the class; write {self.model.__name__}(...)")
        if not isinstance(self.model, (NeuronModel, Source)):
            raise ParameterError(f"population {self.name!r}: model={self.model!r} is no neuron model and no source")
        object.__setattr__(self, "shape", tuple(int(extent) for extent in shape))
        self.model.check_size(self.size, self.name)
        drive: Any = () if self.drive is None else self.drive
        drives = tuple(drive) if isinstance(drive, Iterable) else (drive,)
        if not all(isinstance(one, PoissonDrive) for one in drives):
            raise ParameterError(f"population {self.name!r}: drive={self.drive!r}: expected PoissonDrive(...)")
        if drives and self.is_source:
            raise ParameterError(f"population {self.name!r}: a source takes no drive; give it to a neuron model")
        object.__setattr__(self, "drive", drives)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return size_of(self.shape)

    @property
    def is_source(self) -> bool:
        """Whether events come from outside the dynamics."""
        return isinstance(self.model, Source)


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population to another.

    Parameters
    ----------
    source, target : str
        Names of the populations.
    connectivity : Connectivity
        For instance ``Dense(weights)``.
    delay : float, array, Distribution or Learnable
        Seconds, whole ticks of the network's `dt`; one for all synapses, or one a synapse (in the shape or order of
        the connectivity's weights; values of a Distribution are rounded to ticks, at least one tick). `Learnable` ones
        are random until `snnsim.training` learns them.
    receptor : str, optional
        Name of the target's receptor; default its first.
    name : str, optional
        Default ``"source->target"``.
    plasticity : PlasticityRule, optional
        How spikes change the weights, for instance ``STDP(...)``; default they stay.
    """

    source: str
    target: str
    connectivity: Connectivity
    delay: Values | Learnable = 0.0
    receptor: str | None = None
    name: str = ""
    plasticity: PlasticityRule | None = None

    def __post_init__(self) -> None:
        for end in ("source", "target"):
            if not isinstance(getattr(self, end), str):
                raise ParameterError(f"projection: {end}={getattr(self, end)!r}: give the name of the population")
        if self.name == "":
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        _check_name("projection", self.name)
        for part in ("connectivity", "delay", "plasticity"):
            if isinstance(given := getattr(self, part), type):
                raise ParameterError(f"projection {self.name!r}: {part} is the class; write {given.__name__}(...)")
        if not isinstance(self.connectivity, Connectivity):
            raise ParameterError(f"projection {self.name!r}: {self.connectivity!r} is no Connectivity")
        if not isinstance(self.delay, Learnable):
            object.__setattr__(self, "delay", as_values(f"{self.name}: delay", as_decimals(self.delay)))
        if self.plasticity is not None and not isinstance(self.plasticity, PlasticityRule):
            raise ParameterError(f"projection {self.name!r}: plasticity={self.plasticity!r} is no plasticity rule")

    @property
    def rule(self) -> Connectivity:
        """The connectivity as it acts between these ends: only within a population is i to i a self-connection."""
        return self.connectivity if self.source == self.target else self.connectivity.between_populations()


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
    _index: dict[str, int] = field(default_factory=dict, repr=False, init=False)
    #: Shortest and longest delay in ticks of projections that were asked for; -1 for one that is not known yet.
    _delay_range: dict[Projection, tuple[int, int]] = field(default_factory=dict, repr=False, init=False)
    #: Lowest and highest weight of projections that were asked for.
    _weight_range: dict[Projection, tuple[float, float]] = field(default_factory=dict, repr=False, init=False)

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
        for population in self.populations:
            self._check_time(population)
        for projection in self.projections:
            self._check_projection(projection)
        _ = self.order  # finds zero-delay cycles

    def _check_time(self, population: Population) -> None:
        """Check that what a population does can be done in ticks of `dt`."""
        model = population.model
        if isinstance(model, Source):
            model.check_dt(self.dt, population.name)
            return
        try:
            model.refractory_ticks(self.dt)
            model.coefficients(self.dt)
            for receptor in model.receptor_list:
                if receptor.arithmetic is not None:
                    model.receptor_coefficients(receptor, self.dt)
            for drive in population.drive:
                drive.check(population.size, self.dt, model.receptor_list)
        except ParameterError as error:
            raise ParameterError(f"population {population.name!r}: {error}") from error

    def _check_projection(self, projection: Projection) -> None:
        for name in (projection.source, projection.target):
            if name not in self._index:
                known = ", ".join(self._index)
                raise NetworkError(f"projection {projection.name!r}: no population {name!r}; there are: {known}")
        source, target = self.population(projection.source), self.population(projection.target)
        if isinstance(target.model, Source):
            raise NetworkError(f"projection {projection.name!r}: {target.name!r} is a source and takes no input")
        if isinstance(source.model, NeuronModel) and not source.model.spiking:
            raise NetworkError(
                f"projection {projection.name!r}: {source.name!r} ({type(source.model).__name__}) does not spike"
            )
        projection.rule.check(source.shape, target.shape, f"projection {projection.name!r}")
        assert isinstance(target.model, NeuronModel)
        receptor = target.model.receptor_list[self.receptor_number(projection)]
        if isinstance(receptor, Conductance):
            check_weights(f"projection {projection.name!r}", receptor, self.weight_range(projection)[0])
        self.minimum_delay(projection)  # checks delays on the way
        check_plasticity(self, projection)

    # -- looking -----------------------------------------------------------------------------------------

    def population(self, name: str) -> Population:
        """Return the population of that name."""
        if name not in self._index:
            raise NetworkError(f"no population {name!r}; there are: {', '.join(self._index)}")
        return self.populations[self._index[name]]

    def projection(self, name: str) -> Projection:
        """Return the projection of that name."""
        for projection in self.projections:
            if projection.name == name:
                return projection
        raise NetworkError(f"no projection {name!r}; there are: {', '.join(p.name for p in self.projections)}")

    def population_number(self, name: str) -> int:
        """Return the place of a population in `populations`."""
        self.population(name)
        return self._index[name]

    def receptor_number(self, projection: Projection) -> int:
        """Return the place of a projection's receptor among those of its target."""
        model = self.population(projection.target).model
        assert isinstance(model, NeuronModel)
        names = [receptor.name for receptor in model.receptor_list]
        if projection.receptor is None:
            return 0
        if projection.receptor not in names:
            raise NetworkError(
                f"projection {projection.name!r}: population {projection.target!r} has no receptor "
                f"{projection.receptor!r}; there are: {', '.join(names)}"
            )
        return names.index(projection.receptor)

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
        return delay_extension(self)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Order in which populations are advanced within a tick: topological over zero-delay projections."""
        waiting = {i: set[int]() for i in range(len(self.populations))}
        for projection in self.projections:
            if self.minimum_delay(projection) == 0:
                waiting[self._index[projection.target]].add(self._index[projection.source])
        done: list[int] = []
        while waiting:
            ready = [i for i, sources in waiting.items() if not sources]
            if not ready:
                raise NetworkError(f"zero-delay cycle: {self._cycle(waiting)}; give one of these projections a delay")
            done.append(ready[0])
            del waiting[ready[0]]
            for sources in waiting.values():
                sources.discard(ready[0])
        return tuple(done)

    def _cycle(self, waiting: Mapping[int, set[int]]) -> str:
        path = [next(iter(waiting))]
        while True:
            before = min(waiting[path[-1]])
            if before in path:
                ring = [*path[path.index(before) :], before]
                return " -> ".join(self.populations[i].name for i in reversed(ring))
            path.append(before)

    # -- synapses ----------------------------------------------------------------------------------------

    def key(self, projection: Projection) -> Key:
        """Return the key of a projection's random numbers."""
        return Key(self.seed, projection.name)

    def _delay_values(self, projection: Projection) -> int | NDArray[np.int64] | Distribution:
        """Return delays in ticks: one, an array as the user gave it, or the distribution still to be drawn."""
        delay = projection.delay
        if isinstance(delay, Distribution):
            if type(projection.connectivity).__name__ == "MaxPool2d":
                # Which of the window's synapses a spike takes, and so its delay, would be a matter of order.
                raise NetworkError(f"projection {projection.name!r}: MaxPool2d takes one delay, not a Distribution")
            if delay.reach(1 / LEAST_SHARE, 1.0)[1] < self.dt / 2:
                raise ParameterError(
                    f"projection {projection.name!r}: delay={delay!r}: hardly any of it reaches half a tick of "
                    f"{exactly(self.dt)} s, so that all delays would be one tick; check its unit, or choose a finer dt"
                )
            return delay
        if isinstance(delay, Learnable):
            if type(projection.connectivity).__name__ != "Dense":
                kind = type(projection.connectivity).__name__
                raise NetworkError(f"projection {projection.name!r}: {kind} has no learnable delays; Dense has")
            n, m = self.population(projection.source).size, self.population(projection.target).size
            return delay.initial_ticks(n * m, self.dt, self.seed, projection.name).reshape(n, m)
        name = f"projection {projection.name!r}: delay"
        ticks = to_ticks(delay, self.dt, name=name)
        check_length(ticks, self.dt, name=name)
        if ticks.ndim == 0:
            return int(ticks)
        rule = projection.connectivity
        if type(rule).__name__ not in ("Dense", "Sparse", "OneToOne"):
            raise NetworkError(
                f"projection {projection.name!r}: {type(rule).__name__} takes one delay or a Distribution, not an array"
            )
        count = rule.count(self.population(projection.source).shape, self.population(projection.target).shape)
        shapes: list[tuple[int | None, ...]] = [(count,)]
        if type(rule).__name__ == "Dense":
            sizes = (self.population(projection.source).size, self.population(projection.target).size)
            shapes.append(sizes)
        if ticks.shape not in shapes:
            allowed = " or ".join(map(str, reversed(shapes)))
            raise NetworkError(
                f"projection {projection.name!r}: delay has shape {ticks.shape}, expected one number or shape {allowed}"
            )
        return ticks

    def weight_range(self, projection: Projection) -> tuple[float, float]:
        """Return the lowest and the highest weight of a projection; of drawn ones what nearly all lie between."""
        if projection not in self._weight_range:
            weights = getattr(projection.connectivity, "weights", 0.0)
            if isinstance(weights, Distribution):
                source, target = self.population(projection.source), self.population(projection.target)
                expected = projection.rule.expected(source.shape, target.shape)
                found = weights.reach(max(expected, 1 / LEAST_SHARE), expected / target.size)
            else:
                found = float(np.min(weights, initial=np.inf)), float(np.max(weights, initial=-np.inf))
            self._weight_range[projection] = found
        return self._weight_range[projection]

    def minimum_delay(self, projection: Projection) -> int:
        """Return the shortest delay of a projection in ticks; one where they are drawn."""
        if projection not in self._delay_range:
            ticks = self._delay_values(projection)
            if isinstance(ticks, Distribution):
                self._delay_range[projection] = 1, -1
            else:
                lowest = int(np.min(ticks)) if np.size(ticks) else 1
                self._delay_range[projection] = lowest, int(np.max(ticks, initial=0))
        return self._delay_range[projection][0]

    def longest_delay(self, projection: Projection) -> int:
        """Return the longest delay of a projection in ticks, 0 where it has no synapses.

        Delays of a Distribution are drawn for it once, and not stored.
        """
        shortest = self.minimum_delay(projection)
        longest = self._delay_range[projection][1]
        if longest < 0:
            longest = longest_drawn(self, projection)
            self._delay_range[projection] = shortest, longest
        return longest

    def synapses(self, projection: Projection) -> Synapses:
        """Return all synapses of a projection, row by row of sources, with delays where they differ.

        `Synapses.delays` is None where all synapses have the delay `minimum_delay`.
        """
        source, target = self.population(projection.source), self.population(projection.target)
        plain = projection.rule.synapses(source.shape, target.shape, self.key(projection))
        ticks = self._delay_values(projection)
        if isinstance(ticks, int):
            return plain
        if isinstance(ticks, Distribution):
            return replace(plain, delays=drawn_delays(self, projection, plain.targets.size))
        flat = ticks.reshape(-1).astype(np.int32)
        return replace(plain, delays=flat if plain.order is None else flat[plain.order])

    def resolved(self) -> Network:
        """Return the same network with every distribution and random wiring replaced by what was drawn."""
        projections = []
        for projection in self.projections:
            source, target = self.population(projection.source), self.population(projection.target)
            rule = projection.rule.resolved(source.shape, target.shape, self.key(projection))
            delay: Any = projection.delay
            if isinstance(delay, Distribution):
                drawn = self.synapses(projection)
                assert drawn.delays is not None
                rule = rule if type(rule).__name__ in ("Dense", "Sparse", "OneToOne") else _as_sparse(drawn)
                seconds = to_seconds(drawn.delays, self.dt)
                delay = seconds
                if drawn.order is not None:
                    delay = np.empty_like(seconds)
                    delay[drawn.order] = seconds
            elif isinstance(delay, Learnable):
                delay = to_seconds(self._delay_values(projection), self.dt)
            projections.append(replace(projection, connectivity=rule, delay=delay))
        extension = self.extension
        if any(isinstance(projection.delay, Learnable) for projection in self.projections):
            extension = to_seconds(self.extension_ticks, self.dt)  # which their kernels decide, not what was drawn
        return replace(self, projections=tuple(projections), extension=extension)

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
        from snnsim.tables import projection_row

        header = ("projection", "synapses", "connectivity", "delay", "receptor", "plasticity")
        shown = len(header) if any(p.plasticity is not None for p in self.projections) else len(header) - 1
        return header[:shown], [projection_row(self, p)[:shown] for p in self.projections]

    def __str__(self) -> str:
        from snnsim.tables import table

        parts = [self.headline, table(*self.population_rows())]
        if self.projections:
            parts.append(table(*self.projection_rows()))
        return "\n\n".join(parts)

    def schedule(self) -> str:
        """Return the order of operations within one tick as a table."""
        from snnsim.tables import schedule_table

        return schedule_table(self)

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
        from snnsim.backends.cpu.forecast import forecast

        return forecast(self, dtype=dtype, threads=threads)

    def plot(self, **options: Any) -> Any:
        """Draw the graph of the network; see `snnsim.plot.network`."""
        from snnsim.plot import network as draw

        return draw(self, **options)

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file; see `snnsim.network_storage`."""
        from snnsim.network_storage import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Load what `save` saved."""
        from snnsim.network_storage import load

        return load(path)


def _check_name(what: str, name: object) -> None:
    """Raise `ParameterError` unless a name can stand in a line of a table and name a group of an HDF5 file."""
    if not isinstance(name, str) or name in ("", ".") or "/" in name or not name.isprintable():
        raise ParameterError(f"{what} name={name!r}: must be text in one line, not '.', and must not hold '/'")


def _as_sparse(drawn: Synapses) -> Connectivity:
    from snnsim.connectivity import Sparse

    sources = np.repeat(np.arange(drawn.offsets.size - 1), np.diff(drawn.offsets))
    return Sparse(sources, drawn.targets, drawn.weights)
