"""Connections: projections within their network, with what follows from it worked out once.

A `Projection` is what a user wrote: names, seconds, distributions. A `Connection` is the same with numbers of
populations and receptors, delays in ticks, the key of its random numbers, and synapses; `Network.connections` has one
for each projection, in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity import Connectivity, Key, Sparse, Synapses
from snnsim.connectivity.base import describe_values
from snnsim.connectivity.distributions import LEAST_SHARE, Distribution
from snnsim.connectivity.draw_plan import CHUNK, Plan, spread
from snnsim.connectivity.draw_records import Values as Recipe
from snnsim.errors import NetworkError, ParameterError, exactly
from snnsim.network.learnable_delay import Learnable
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import Conductance, NeuronModel, Receptor, Source, check_weights
from snnsim.numerics import rng
from snnsim.timebase import LONGEST_TICKS, check_length, to_seconds, to_ticks

#: Rules whose synapses are listed one by one, so that each may have a delay of its own.
_LISTED = ("Dense", "Sparse", "OneToOne")


@dataclass(frozen=True, eq=False)
class Connection:
    """A projection within its network.

    Parameters
    ----------
    projection : Projection
    number : int
        Its place in `Network.projections`.
    source, target : Population
    source_number, target_number : int
        Their places in `Network.populations`.
    receptor_number : int
        Place of its receptor among those of the target.
    dt : float
        Seconds a tick.
    seed : int
        Of the network.
    """

    projection: Projection
    number: int
    source: Population
    target: Population
    source_number: int
    target_number: int
    receptor_number: int
    dt: float
    seed: int

    @cached_property
    def name(self) -> str:
        """Of the projection."""
        return self.projection.name

    @cached_property
    def rule(self) -> Connectivity:
        """The connectivity as it acts between these ends."""
        return self.projection.rule

    @cached_property
    def model(self) -> NeuronModel:
        """The model of the target."""
        assert isinstance(self.target.model, NeuronModel)
        return self.target.model

    @cached_property
    def receptor(self) -> Receptor:
        """The receptor of the target that its spikes arrive at."""
        return self.target.receptors[self.receptor_number]

    @cached_property
    def key(self) -> Key:
        """Key of its random numbers."""
        return Key(self.seed, self.name)

    @cached_property
    def is_random(self) -> bool:
        """Whether its wiring is drawn, target by target."""
        return self.plan is not None

    @cached_property
    def plan(self) -> Plan | None:
        """How its synapses are drawn, or None where they are given one by one."""
        return self.rule.plan(self.source.shape, self.target.shape, self.key)

    @cached_property
    def count(self) -> int | None:
        """Number of synapses, or None where only building tells."""
        return self.rule.count(self.source.shape, self.target.shape)

    @cached_property
    def expected(self) -> float:
        """Number of synapses, of random rules the mean."""
        return self.rule.expected(self.source.shape, self.target.shape)

    # -- weights and delays ------------------------------------------------------------------------------

    @cached_property
    def weight_range(self) -> tuple[float, float]:
        """The lowest and the highest weight; of drawn ones what nearly all lie between."""
        weights = getattr(self.projection.connectivity, "weights", 0.0)
        if isinstance(weights, Distribution):
            return weights.reach(max(self.expected, 1 / LEAST_SHARE), self.expected / self.target.size)
        return float(np.min(weights, initial=np.inf)), float(np.max(weights, initial=-np.inf))

    @property
    def delay_ticks(self) -> int | NDArray[np.int64] | Distribution:
        """Delays in ticks: one, an array as the user gave it, or the distribution still to be drawn."""
        delay, kind = self.projection.delay, type(self.projection.connectivity).__name__
        if isinstance(delay, Distribution):
            if kind == "MaxPool2d":
                # Which of the window's synapses a spike takes, and so its delay, would be a matter of order.
                raise NetworkError(f"projection {self.name!r}: MaxPool2d takes one delay, not a Distribution")
            if delay.reach(1 / LEAST_SHARE, 1.0)[1] < self.dt / 2:
                raise ParameterError(
                    f"projection {self.name!r}: delay={delay!r}: hardly any of it reaches half a tick of "
                    f"{exactly(self.dt)} s, so that all delays would be one tick; check its unit, or choose a finer dt"
                )
            return delay
        if isinstance(delay, Learnable):
            if kind != "Dense":
                raise NetworkError(f"projection {self.name!r}: {kind} has no learnable delays; Dense has")
            n, m = self.source.size, self.target.size
            return delay.initial_ticks(n * m, self.dt, self.seed, self.name).reshape(n, m)
        name = f"projection {self.name!r}: delay"
        ticks = to_ticks(delay, self.dt, name=name)
        check_length(ticks, self.dt, name=name)
        if ticks.ndim == 0:
            return int(ticks)
        if kind not in _LISTED:
            raise NetworkError(f"projection {self.name!r}: {kind} takes one delay or a Distribution, not an array")
        shapes: list[tuple[int | None, ...]] = [(self.count,)]
        if kind == "Dense":
            shapes.append((self.source.size, self.target.size))
        if ticks.shape not in shapes:
            allowed = " or ".join(map(str, reversed(shapes)))
            raise NetworkError(
                f"projection {self.name!r}: delay has shape {ticks.shape}, expected one number or shape {allowed}"
            )
        return ticks

    @cached_property
    def has_one_delay(self) -> bool:
        """Whether all synapses have the delay `minimum_delay`, by the description."""
        return isinstance(self.projection.delay, float)

    @cached_property
    def _delay_range(self) -> tuple[int, int | None]:
        """Shortest and longest delay in ticks; None where the longest has to be drawn. Arrays are not kept."""
        ticks = self.delay_ticks
        if isinstance(ticks, Distribution):
            return 1, None
        return int(np.min(ticks)) if np.size(ticks) else 1, int(np.max(ticks, initial=0))

    @cached_property
    def minimum_delay(self) -> int:
        """The shortest delay in ticks; one where they are drawn."""
        return self._delay_range[0]

    @cached_property
    def longest_delay(self) -> int:
        """The longest delay in ticks, 0 where there are no synapses; of a Distribution drawn once, and not stored."""
        longest = self._delay_range[1]
        return self._longest_drawn() if longest is None else longest

    @cached_property
    def likely_longest_delay(self) -> int:
        """A delay in ticks that the longest hardly exceeds; nothing is drawn."""
        delay = self.projection.delay
        if not isinstance(delay, Distribution) or self.expected == 0:
            return self.longest_delay
        _, seconds = delay.reach(self.expected, self.expected / self.target.size)
        return round(min(max(seconds / self.dt, 1.0), LONGEST_TICKS))

    @cached_property
    def lingering(self) -> int:
        """For how many ticks it goes on to deliver once its source has fallen silent.

        Of `Learnable` delays half their kernel, the convention of DCLS-Delays (arXiv:2306.17670).
        """
        delay = self.projection.delay
        return delay.longest(self.dt) // 2 if isinstance(delay, Learnable) else self.longest_delay

    @cached_property
    def delay_recipe(self) -> Recipe:
        """How its delays are drawn, in seconds; they must be a Distribution."""
        assert isinstance(self.projection.delay, Distribution)
        fan_in = self.expected / self.target.size
        return self.projection.delay.recipe(self.seed, rng.stream_number(self.name, "delays"), fan_in)

    def _longest_drawn(self) -> int:
        seconds = self._longest_element() if self.plan is None else self.plan.longest(self.delay_recipe)
        if seconds == -np.inf:
            return 0
        name = f"projection {self.name!r}: delay"
        ticks = to_ticks(max(seconds, self.dt), self.dt, name=name, round="nearest")
        check_length(ticks, self.dt, name=name)
        return int(ticks)

    def _longest_element(self) -> float:
        from snnsim.connectivity.draw_kernels import draw_elements

        count, recipe = self.count, self.delay_recipe
        assert count is not None

        def longest(first: int) -> float:
            drawn = np.empty(min(CHUNK, count - first))
            draw_elements(recipe, first, drawn)
            return float(drawn.max())

        return max(spread(longest, list(range(0, count, CHUNK))), default=-np.inf)

    # -- synapses ----------------------------------------------------------------------------------------

    def synapses(self) -> Synapses:
        """Return all synapses, row by row of sources, with delays where they differ.

        `Synapses.delays` is None where all synapses have the delay `minimum_delay`.
        """
        plain = self.rule.synapses(self.source.shape, self.target.shape, self.key)
        ticks = self.delay_ticks
        if isinstance(ticks, int):
            return plain
        if isinstance(ticks, Distribution):
            return replace(plain, delays=self._drawn_delays(plain.targets.size))
        flat = ticks.reshape(-1).astype(np.int32)
        return replace(plain, delays=flat if plain.order is None else flat[plain.order])

    def _drawn_delays(self, n_synapses: int) -> NDArray[np.int32]:
        _ = self.longest_delay  # checks that 32 bits hold them
        if self.plan is not None:
            return self.plan.drawn_delays(self.delay_recipe, self.dt)
        from snnsim.connectivity.draw_kernels import draw_elements

        seconds = np.empty(n_synapses)
        draw_elements(self.delay_recipe, 0, seconds)
        return np.asarray(np.rint(np.maximum(seconds, self.dt) / self.dt), np.int32)

    def resolved(self) -> Projection:
        """Return the projection with distributions and random wiring replaced by what was drawn."""
        rule = self.rule.resolved(self.source.shape, self.target.shape, self.key)
        delay: Any = self.projection.delay
        if isinstance(delay, Distribution):
            drawn = self.synapses()
            assert drawn.delays is not None
            rule = rule if type(rule).__name__ in _LISTED else _as_sparse(drawn)
            seconds = to_seconds(drawn.delays, self.dt)
            delay = seconds
            if drawn.order is not None:
                delay = np.empty_like(seconds)
                delay[drawn.order] = seconds
        elif isinstance(delay, Learnable):
            delay = to_seconds(self.delay_ticks, self.dt)
        return replace(self.projection, connectivity=rule, delay=delay)

    def row(self) -> tuple[str, ...]:
        """Return what is shown of it: name, synapses, connectivity, delay, receptor and plasticity."""
        projection, delay = self.projection, self.projection.delay
        if isinstance(delay, Learnable):
            shown = delay.describe()
        else:
            shown = f"{delay:g} s" if isinstance(delay, float) else describe_values(delay)
        return (
            self.name,
            "random" if self.count is None else f"{self.count:,}",
            projection.connectivity.describe(),
            shown,
            projection.receptor or self.receptor.name,
            "" if projection.plasticity is None else projection.plasticity.describe(),
        )


def connect(
    projection: Projection,
    number: int,
    populations: Sequence[Population],
    index: Mapping[str, int],
    dt: float,
    seed: int,
) -> Connection:
    """Return a projection within its network.

    Raises
    ------
    NetworkError, ParameterError
        Ends that do not exist or do not fit, an unknown receptor, delays or weights that are not allowed.
    """
    where = f"projection {projection.name!r}"
    for name in (projection.source, projection.target):
        if name not in index:
            raise NetworkError(f"{where}: no population {name!r}; there are: {', '.join(index)}")
    source_number, target_number = index[projection.source], index[projection.target]
    source, target = populations[source_number], populations[target_number]
    if isinstance(target.model, Source):
        raise NetworkError(f"{where}: {target.name!r} is a source and takes no input")
    if isinstance(source.model, NeuronModel) and not source.model.spiking:
        raise NetworkError(f"{where}: {source.name!r} ({type(source.model).__name__}) does not spike")
    projection.rule.check(source.shape, target.shape, where)
    receptor = _receptor_number(projection, target)
    connection = Connection(projection, number, source, target, source_number, target_number, receptor, dt, seed)
    if isinstance(connection.receptor, Conductance):
        check_weights(where, connection.receptor, connection.weight_range[0])
    _ = connection.minimum_delay  # checks delays on the way
    return connection


def _receptor_number(projection: Projection, target: Population) -> int:
    if projection.receptor is None:
        return 0
    names = [receptor.name for receptor in target.receptors]
    if projection.receptor not in names:
        raise NetworkError(
            f"projection {projection.name!r}: population {projection.target!r} has no receptor "
            f"{projection.receptor!r}; there are: {', '.join(names)}"
        )
    return names.index(projection.receptor)


def _as_sparse(drawn: Synapses) -> Connectivity:
    sources = np.repeat(np.arange(drawn.offsets.size - 1), np.diff(drawn.offsets))
    return Sparse(sources, drawn.targets, drawn.weights)
