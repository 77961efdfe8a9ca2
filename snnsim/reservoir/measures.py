"""Measures of a reservoir: what it tells apart, what it treats alike, what it remembers, whether it forgets its start.

The functions on arrays are plain NumPy and take states of shape (recordings, features) or (ticks, neurons). Those that
take a `Simulation` run it on recordings that they make, whatever backend it is on; initial states differ because
their histories do, so that nothing is asked of a backend but to run.

- kernel rank and generalisation rank: Legenstein and Maass 2007, doi:10.1016/j.neunet.2007.04.017
- pairwise separation: Maass, Natschläger and Markram 2002, doi:10.1162/089976602760407955
- class separation: as compared by Chrol-Cannon and Jin 2014, doi:10.1371/journal.pone.0101792
- memory capacity: Jaeger, Short term memory in echo state networks, GMD report 152 (2001); bias of the estimate: Dambre
  et al. 2012, doi:10.1038/srep00514
- echo states: Yildiz, Jaeger and Kiebel 2012, doi:10.1016/j.neunet.2012.07.005
- growth of a perturbation: Bertschinger and Natschläger 2004, doi:10.1162/089976604323057443
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, positive, whole
from snnsim.events import Events
from snnsim.numerics import rng
from snnsim.reservoir.readouts import Ridge
from snnsim.simulation.probes import Spikes, Trace
from snnsim.simulation.simulation import Simulation

Floats = NDArray[np.float64]
#: A squared correlation over T samples of unrelated numbers exceeds this over T once in ten thousand times.
CHANCE = 15.14
#: Below this share of the threshold two membranes of single precision are taken as equal.
SAME = 1e-6


# -- telling apart and treating alike --------------------------------------------------------------------


def pairwise_separation(states: ArrayLike, others: ArrayLike) -> Floats:
    """Return the distance of two states at each tick, root mean square over the features.

    Parameters
    ----------
    states, others : array_like, shape (..., features)
        Of one reservoir under two inputs, for instance (recordings, ticks, neurons).

    Returns
    -------
    ndarray, shape (...)
    """
    a, b = np.asarray(states, np.float64), np.asarray(others, np.float64)
    if a.shape != b.shape or a.ndim < 1 or a.shape[-1] == 0:
        raise ParameterError(f"states {a.shape} and others {b.shape} must have one shape, with one feature or more")
    return np.asarray(np.sqrt(np.mean((a - b) ** 2, axis=-1)))


def class_separation(states: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean distance between the centres of classes over one plus the mean distance to their own centre.

    Parameters
    ----------
    states : array_like, shape (recordings, features)
    labels : array_like of int, shape (recordings,)
    """
    x, y = _states(states), np.asarray(labels)
    if y.shape != (len(x),):
        raise ParameterError(f"labels has shape {y.shape}, expected {(len(x),)}")
    classes = np.unique(y)
    if classes.size < 2:
        raise ParameterError("labels hold one class; separation takes two or more")
    centres = np.array([x[y == label].mean(axis=0) for label in classes])
    within = np.mean(
        [np.linalg.norm(x[y == label] - c, axis=1).mean() for label, c in zip(classes, centres, strict=True)]
    )
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2).sum() / (classes.size * (classes.size - 1))
    return float(between / (1.0 + within))


def state_rank(states: ArrayLike, tolerance: float = 1e-6) -> int:
    """Return the rank of a matrix of states: singular values above `tolerance` times the largest.

    Of states under different inputs it is the **kernel rank** (higher separates more); of states under variations of
    one input the **generalisation rank** (lower generalises more). What counts is their difference.

    Parameters
    ----------
    states : array_like, shape (recordings, features)
    tolerance : float
        Leave out what rounding, or noise of that relative size, brings in.
    """
    positive("tolerance", tolerance)
    singular = np.linalg.svd(_states(states), compute_uv=False)
    return int(np.sum(singular > tolerance * singular[0])) if singular[0] > 0 else 0


def jittered(events: Events, copies: int, ticks: int, seed: int = 0) -> Events:
    """Return variations of one recording, each event moved by up to so many ticks, for a generalisation rank.

    Events that would leave the recording stay at its ends; of two that fall together one stays.
    """
    if len(events) != 1:
        raise ParameterError(f"events hold {len(events)} recordings; give one")
    events = _whole(events)
    copies, ticks = whole("copies", copies, at_least=1), whole("ticks", ticks)
    parts = []
    for copy in range(copies):
        drawn = rng.uniform(seed, rng.stream_number("reservoir", "jitter"), np.arange(events.ticks.size), copy)
        moved = events.ticks + np.floor(drawn * (2 * ticks + 1)).astype(np.int64) - ticks
        parts.append(
            Events.from_ticks(
                np.clip(moved, 0, events.n_ticks - 1),
                events.sources,
                n_sources=events.n_sources,
                n_ticks=events.n_ticks,
                dt=events.dt,
            ).binarised()
        )
    return Events.concatenate(parts)


# -- remembering -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemoryCapacity:
    """How much of a random input the present state of a reservoir holds.

    Attributes
    ----------
    total : float
        Sum over delays from 1 on, at most the number of state variables.
    by_delay : ndarray, shape (delays + 1,)
        Squared correlation of the input so many ticks ago with its best linear reconstruction, on ticks that were not
        fitted; from delay 0. Values that chance could give (one in ten thousand) are 0.
    """

    total: float
    by_delay: Floats


def memory_capacity(
    states: ArrayLike, inputs: ArrayLike, *, longest: int = 50, washout: int = 50, strength: float | None = None
) -> MemoryCapacity:
    """Return the memory capacity of states that an independent random input has driven.

    Parameters
    ----------
    states : array_like, shape (ticks, features)
        State at the end of each tick: spikes, filtered spikes or membranes.
    inputs : array_like, shape (ticks,)
        One number a tick, independent of each other.
    longest : int
        Longest delay, in ticks.
    washout : int
        Ticks left out at the beginning, `longest` or more.
    strength : float, optional
        Of the ridge regression; default chosen within the ticks that it is fitted to, which are the first half.
    """
    x, u = _states(states), np.asarray(inputs, np.float64)
    if u.shape != (len(x),):
        raise ParameterError(f"inputs has shape {u.shape}, expected {(len(x),)}, one number a tick")
    longest = whole("longest", longest, at_least=1)
    washout = max(whole("washout", washout), longest)
    count = len(x) - washout
    if count < 4 * (x.shape[1] + 1):
        raise ParameterError(
            f"states hold {len(x)} ticks, {washout} of them washout; {x.shape[1]} features take at least "
            f"{4 * (x.shape[1] + 1)} more"
        )
    present, half = np.arange(washout, len(x)), count // 2
    past = u[present[:, None] - np.arange(longest + 1)]
    readout = Ridge() if strength is None else Ridge((strength,))
    readout.fit(x[present[:half]], past[:half])
    found = _squared_correlations(readout.outputs(x[present[half:]]), past[half:])
    found[found < CHANCE / (count - half)] = 0.0
    return MemoryCapacity(float(found[1:].sum()), found)


def random_input(
    n_ticks: int, n_sources: int, dt: float, *, probability: float = 0.5, seed: int = 0
) -> tuple[Events, NDArray[np.int64]]:
    """Return a recording in which all sources fire together or not at all in a tick, and which ticks they do.

    Parameters
    ----------
    n_ticks, n_sources : int
    dt : float
        Seconds a tick.
    probability : float
        Chance of each tick, independent of the others.
    seed : int

    Returns
    -------
    events : Events
        One recording.
    inputs : ndarray of int64, shape (ticks,)
        0 or 1.
    """
    n_ticks, n_sources = whole("n_ticks", n_ticks, at_least=1), whole("n_sources", n_sources, at_least=1)
    if not 0 < probability < 1:
        raise ParameterError(f"probability={probability!r}: must lie above 0 and below 1")
    drawn = rng.uniform(seed, rng.stream_number("reservoir", "random input"), np.arange(n_ticks))
    values = (drawn < probability).astype(np.int64)
    dense = np.broadcast_to(values[None, :, None], (1, n_ticks, n_sources))
    return Events.from_dense(dense, dt), values


# -- forgetting the start --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Divergence:
    """Distance over time of runs that differ in their beginning and then get the same input.

    Attributes
    ----------
    distance : ndarray, shape (pairs, ticks)
        Root mean square difference of the membranes, in thresholds, at the end of each tick of common input.
    spikes : ndarray of int64, shape (pairs, ticks)
        Spikes of one run of the pair and not of the other.
    """

    distance: Floats
    spikes: NDArray[np.int64]

    @property
    def merged(self) -> NDArray[np.bool_]:
        """Which pairs end in one state: no spike differs in the last tenth of the ticks, the membranes hardly."""
        tail = max(1, self.distance.shape[1] // 10)
        return np.asarray((self.spikes[:, -tail:].sum(axis=1) == 0) & (self.distance[:, -1] < 1e-3))

    def exponent(self, ticks: int) -> float:
        r"""Return the growth rate :math:`\ln(D_t / D_0) / t` of the distance a tick, mean over pairs.

        Where two runs have become equal to rounding the distance is taken as a millionth of the threshold, so that the
        estimate is then an upper bound; where they differ as much as they can it is a lower one: choose few ticks for
        a chaotic reservoir. Pairs that do not differ in the first tick are left out.

        Parameters
        ----------
        ticks : int
            From the first tick of common input on.
        """
        ticks = whole("ticks", ticks, at_least=1)
        if ticks >= self.distance.shape[1]:
            raise ParameterError(f"ticks={ticks}: the runs have {self.distance.shape[1]} in common")
        pairs = self.distance[:, 0] > SAME
        if not pairs.any():
            return -math.inf
        end, start = np.maximum(self.distance[pairs, ticks], SAME), self.distance[pairs, 0]
        return float(np.mean(np.log(end / start)) / ticks)


def echo_state(
    simulation: Simulation, inputs: Events, *, pairs: int = 10, history: int = 50, density: float = 0.1, seed: int = 0
) -> Divergence:
    """Run a reservoir from pairs of different states under the same input: it has echo states if they come together.

    Parameters
    ----------
    simulation : Simulation
        Of a network with one `Input` and one population of neurons with a threshold, as `liquid_state_machine` makes.
    inputs : Events
        One recording, the common input.
    pairs : int
    history : int
        Ticks of random input before it, other for each run, that make the states differ.
    density : float
        Chance of an event of each source and tick of the histories.
    seed : int

    Notes
    -----
    A device with noise of its own keeps runs apart that would come together without.
    """
    pairs, history = whole("pairs", pairs, at_least=1), whole("history", history, at_least=1)
    if not 0 < density <= 1:
        raise ParameterError(f"density={density!r}: must lie above 0 and be at most 1")
    inputs = _checked_input(simulation, inputs)
    parts = []
    for run in range(2 * pairs):
        stream, cells = rng.stream_number("reservoir", "history", run), history * inputs.n_sources
        before = np.flatnonzero(rng.uniform(seed, stream, np.arange(cells)) < density)
        parts.append(
            Events.from_ticks(
                np.concatenate((before // inputs.n_sources, inputs.ticks + history)),
                np.concatenate((before % inputs.n_sources, inputs.sources)),
                n_sources=inputs.n_sources,
                n_ticks=history + inputs.n_ticks,
                dt=inputs.dt,
            )
        )
    return _divergence(simulation, Events.concatenate(parts), history)


def perturbation(simulation: Simulation, inputs: Events, *, ticks: ArrayLike, seed: int = 0) -> Divergence:
    """Run a reservoir with and without one more input event, at each of some ticks.

    One event more at a random source, or one less where that source has an event already; `Divergence.exponent` tells
    how the difference grows.

    Parameters
    ----------
    simulation : Simulation
        As for `echo_state`.
    inputs : Events
        One recording without repeated events.
    ticks : array_like of int, shape (pairs,)
        When; the distance is counted from that tick on, to the end of the shortest such stretch.
    seed : int
        Which sources.
    """
    inputs = _checked_input(simulation, inputs)
    when = np.atleast_1d(np.asarray(ticks))
    if when.ndim != 1 or when.size == 0 or when.dtype.kind not in "iu":
        raise ParameterError(f"ticks={ticks!r}: must be a list of whole numbers")
    if when.min() < 0 or when.max() >= inputs.n_ticks:
        raise ParameterError(f"ticks must lie in 0 ... {inputs.n_ticks - 1}, got {when.min()} to {when.max()}")
    drawn = rng.uniform(seed, rng.stream_number("reservoir", "perturbed source"), np.arange(when.size))
    parts = []
    for tick, source in zip(when, (drawn * inputs.n_sources).astype(np.int64), strict=True):
        there = (inputs.ticks == tick) & (inputs.sources == source)
        more = not there.any()
        changed = Events.from_ticks(
            np.concatenate((inputs.ticks[~there], [tick] * more)).astype(np.int64),
            np.concatenate((inputs.sources[~there], [source] * more)).astype(np.int64),
            n_sources=inputs.n_sources,
            n_ticks=inputs.n_ticks,
            dt=inputs.dt,
        )
        parts += [inputs, changed]
    return _divergence(simulation, Events.concatenate(parts), when)


def _divergence(simulation: Simulation, events: Events, start: int | NDArray[np.int64]) -> Divergence:
    """Run recordings 2 i and 2 i + 1 as pairs; compare them from `start` on, the same for all or one a pair."""
    population = _reservoir(simulation)
    key = f"{population}.membrane"
    result = simulation.run_samples(events, record=(Spikes(population), Trace(population)))
    trace = np.asarray(result.traces[key], np.float64)
    threshold = getattr(simulation.network.population(population).model, "threshold", 1.0)
    apart = pairwise_separation(trace[0::2] / threshold, trace[1::2] / threshold)
    fired = result.spikes[population]
    keys = (fired.recordings // 2 * fired.n_ticks + fired.ticks) * fired.n_sources + fired.sources
    # One of a pair fires alone where the number of its spikes and of the other's is odd.
    cells, count = np.unique(keys, return_counts=True)
    alone = cells[count == 1] // fired.n_sources
    differing = np.bincount(alone, minlength=apart.size).reshape(apart.shape)
    starts = np.broadcast_to(np.asarray(start), (len(apart),))
    length = fired.n_ticks - int(starts.max())
    index = starts[:, None] + np.arange(length)
    return Divergence(np.take_along_axis(apart, index, 1), np.take_along_axis(differing, index, 1).astype(np.int64))


def _whole(recording: Events) -> Events:
    """Return a recording without what comes after its end."""
    return recording.crop(max(int(recording.lengths[0]), 1))


def _checked_input(simulation: Simulation, inputs: Events) -> Events:
    if not isinstance(simulation, Simulation):
        raise ParameterError(f"simulation={simulation!r}: expected a Simulation")
    if len(inputs) != 1:
        raise ParameterError(f"inputs hold {len(inputs)} recordings; give one")
    _reservoir(simulation)
    return _whole(inputs)


def _reservoir(simulation: Simulation) -> str:
    neurons = [population.name for population in simulation.network.populations if not population.is_source]
    if len(neurons) != 1 or len(simulation.network.populations) != 2:
        listed = ", ".join(population.name for population in simulation.network.populations)
        raise ParameterError(f"simulation: expected one input and one population of neurons, there are: {listed}")
    return neurons[0]


def _states(states: ArrayLike) -> Floats:
    array = np.asarray(states, np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ParameterError(f"states has shape {array.shape}, expected two dimensions, neither empty")
    return array


def _squared_correlations(a: Floats, b: Floats) -> Floats:
    """Return the squared correlation of each column of `a` with that of `b`; 0 where one does not vary."""
    x, y = a - a.mean(axis=0), b - b.mean(axis=0)
    both = (x * y).sum(axis=0)
    spread = (x**2).sum(axis=0) * (y**2).sum(axis=0)
    return np.where(spread > 0, both**2 / np.where(spread > 0, spread, 1.0), 0.0)
