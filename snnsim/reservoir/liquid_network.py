r"""Liquid-state machines: a fixed random recurrent network whose spikes a trained linear readout looks at.

The cell, with x the input of a tick, s the spikes, d the decay and no learning in either matrix:

.. math:: V_t = d \, V_{t-1} (1 - s_{t-1}) + W_\mathrm{in} x_t + W_\mathrm{rec} s_{t-1}, \quad s_t = [V_t > \theta]

An input acts in its own tick, a spike of the reservoir in the next; the reset goes to zero and the threshold is
strict. That is a `LIF` neuron with ``reset="zero", strict=True``, a projection without delay from the input and one of
one tick's delay within, so that the machine is a `Network` and nothing else.

Idea: Maass, Natschläger and Markram, Real-time computing without stable states, Neural Computation 14:2531 (2002),
doi:10.1162/089976602760407955. Weights from resistive switching: Lin et al., Nature Computational Science 5:37 (2025),
doi:10.1038/s43588-024-00751-z. The code of that paper is public without the file of its cell; this one, with the same
parameters, is from another repository of its first author (SpeakerAuthentication/models.py of
https://github.com/MrLinNing/RMAdaptiveMachine), here without biases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.architectures import time_constant_of
from snnsim.connectivity import Dense, Sparse
from snnsim.errors import ParameterError, one_of, positive, whole
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import LIF, Input
from snnsim.neurons.parameters import membrane_decay
from snnsim.numerics import rng
from snnsim.reservoir.resistive_switching import STATISTICS, WeightStatistics

Floats = NDArray[np.float64]
#: Names of the two populations.
INPUT, RESERVOIR = "input", "reservoir"


@dataclass(frozen=True)
class DistanceDependent:
    r"""Synapses within the reservoir by chance, the likelier the nearer, on a grid of three dimensions.

    From neuron a to neuron b with probability :math:`C_{ab} \exp(-(D(a, b) / \lambda)^2)`, D their distance in steps
    of the grid (Maass et al. 2002, doi:10.1162/089976602760407955, with their defaults).

    Parameters
    ----------
    grid : tuple of three int, optional
        Neurons along each side, in C order; default the size of the reservoir as near a cube as it divides into.
    reach : float
        Lambda, in steps of the grid.
    inhibitory : float
        Share of inhibitory neurons, chosen at random; used unless the builder is given one.
    probabilities : tuple of four float
        C from excitatory to excitatory, excitatory to inhibitory, inhibitory to excitatory, inhibitory to inhibitory.
    self_connections : bool
        Whether a neuron may have a synapse on itself.
    """

    grid: tuple[int, int, int] | None = None
    reach: float = 2.0
    inhibitory: float = 0.2
    probabilities: tuple[float, float, float, float] = (0.3, 0.2, 0.4, 0.1)
    self_connections: bool = False

    def __post_init__(self) -> None:
        positive("reach", self.reach)
        _share("inhibitory", self.inhibitory)
        if len(self.probabilities) != 4:
            raise ParameterError(f"probabilities={self.probabilities!r}: four numbers, EE, EI, IE and II")
        for value in self.probabilities:
            _share("probabilities", value)
        if self.grid is not None:
            if len(self.grid) != 3:
                raise ParameterError(f"grid={self.grid!r}: must be three whole numbers")
            for extent in self.grid:
                whole("grid", extent, at_least=1)

    def positions(self, size: int) -> Floats:
        """Return the place of each neuron in steps of the grid, shape (size, 3)."""
        grid = _near_cube(size) if self.grid is None else self.grid
        if math.prod(grid) != size:
            raise ParameterError(f"grid={grid!r} holds {math.prod(grid)} neurons, the reservoir has size={size}")
        return np.stack(np.unravel_index(np.arange(size), grid), axis=1).astype(np.float64)

    def probability(self, inhibitory: NDArray[np.bool_]) -> Floats:
        """Return the probability of a synapse, shape (sources, targets), given which neurons inhibit."""
        places = self.positions(inhibitory.size)
        squared = ((places[:, None] - places[None]) ** 2).sum(axis=2)
        kind = 2 * inhibitory[:, None].astype(int) + inhibitory[None].astype(int)
        chance = np.asarray(self.probabilities)[kind] * np.exp(-squared / self.reach**2)
        if not self.self_connections:
            np.fill_diagonal(chance, 0.0)
        return np.asarray(chance, np.float64)


def liquid_state_machine(
    n_inputs: int | Sequence[int],
    size: int = 200,
    *,
    threshold: float = 5.0,
    decay: float = 0.9,
    gain: float = 0.07,
    recurrent_gain: float | None = None,
    weights: str | WeightStatistics = "normal",
    connectivity: str | DistanceDependent = "dense",
    inhibitory: float | None = None,
    balance: float | None = None,
    input_probability: float = 1.0,
    dt: float = 1e-3,
    seed: int = 0,
    name: str = "liquid-state machine",
) -> Network:
    """Return a liquid-state machine: populations ``"input"`` and ``"reservoir"``; train a readout on what it records.

    Parameters
    ----------
    n_inputs : int or sequence of int
        Number or shape of the inputs, for instance ``(1, 16, 16)``.
    size : int
        Neurons in the reservoir.
    threshold : float
        A neuron fires above it, not at it.
    decay : float
        What is left of a membrane after a tick, between 0 and 1.
    gain : float
        Units of the threshold a microsiemens: all weights are multiplied by it. It must be tuned anew whenever the
        number of inputs, the width of a tick or the rate changes, on data that is not tested on.
    recurrent_gain : float, optional
        The same for weights within the reservoir, default `gain`; 0 leaves recurrence out, as a control.
    weights : {"normal", "resistive switching"} or WeightStatistics
        What they are drawn from, see `snnsim.reservoir.resistive_switching`.
    connectivity : {"dense"} or DistanceDependent
        Within the reservoir; dense is every neuron to every one, itself included.
    inhibitory : float, optional
        Share of neurons that inhibit: Dale's law, all weights of a source within the reservoir have one sign and the
        drawn weights give their sizes. Default none for a dense reservoir, where signs are as drawn, and the share of
        `DistanceDependent` with that.
    balance : float, optional
        With Dale's law, how many times stronger an inhibitory synapse is; default such that both kinds together
        cancel over the reservoir, ``(1 - inhibitory) / inhibitory``.
    input_probability : float
        Chance of each synapse from an input; 1 is all.
    dt : float
        Seconds a tick.
    seed : int
        Key of all draws.
    name : str

    Returns
    -------
    Network

    Raises
    ------
    ParameterError
        An argument out of range.

    Examples
    --------
    >>> import snnsim as sn
    >>> from snnsim.reservoir.liquid_network import liquid_state_machine
    >>> network = liquid_state_machine((1, 16, 16), 200, gain=0.07, dt=1e-3)
    >>> network.projection("reservoir->reservoir").delay == network.dt
    True
    """
    size = whole("size", size, at_least=1)
    inner_gain = gain if recurrent_gain is None else recurrent_gain
    positive("gain", gain)
    positive("recurrent_gain", inner_gain, zero=True)
    _share("input_probability", input_probability)
    statistics = _statistics(weights)
    model = LIF(time_constant_leaving(decay, dt), threshold=threshold, reset="zero", strict=True)
    populations = [Population(INPUT, n_inputs, Input()), Population(RESERVOIR, size, model)]
    sources = math.prod(populations[0].shape)

    inward = gain * statistics[0].draw((sources, size), seed, "input")
    projections = [Projection(INPUT, RESERVOIR, _connected(inward, input_probability, seed))]
    if inner_gain > 0:
        inner = inner_gain * statistics[1].draw((size, size), seed, "recurrent")
        inhibits = _inhibitory_neurons(connectivity, inhibitory, size, seed)
        if inhibits is not None:
            inner = _one_sign(inner, inhibits, balance)
        rule: Dense | Sparse = Dense(inner)
        if isinstance(connectivity, DistanceDependent):
            chance = connectivity.probability(np.zeros(size, bool) if inhibits is None else inhibits)
            rule = _chosen(inner, chance, seed, "recurrent")
        projections.append(Projection(RESERVOIR, RESERVOIR, rule, delay=dt))
    return Network(populations, projections, dt=dt, seed=seed, name=name)


def time_constant_leaving(decay: float, dt: float) -> float:
    """Return the membrane time constant in seconds that leaves exactly `decay` of the membrane after a tick.

    The time constant ``-dt / log(decay)`` leaves it to within a unit or two in the last place; of its neighbours one
    leaves it to the last bit, for decays from about 1/e up. Below, the nearest is taken.

    Parameters
    ----------
    decay : float
        Between 0 and 1.
    dt : float
        Seconds a tick.
    """
    middle = time_constant_of(decay, dt)
    if middle in (0.0, math.inf):
        return middle
    candidates = np.asarray(middle * (1.0 + np.arange(-64, 65) * 2.0**-53), np.float64)
    error = np.abs(membrane_decay(candidates, dt, "exact") - decay)
    return float(candidates[np.argmin(error)])


def inhibitory_neurons(size: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Return which neurons of the reservoir inhibit, the nearest whole number to `share` of them, at random."""
    chosen = np.zeros(size, bool)
    order = rng.permutation(seed, rng.stream_number("reservoir", "inhibitory"), size)
    chosen[order[: round(share * size)]] = True
    return chosen


def _statistics(weights: str | WeightStatistics) -> tuple[WeightStatistics, WeightStatistics]:
    if isinstance(weights, WeightStatistics):
        return weights, weights
    one_of("weights", weights, STATISTICS)
    return STATISTICS[weights]


def _inhibitory_neurons(
    connectivity: str | DistanceDependent, share: float | None, size: int, seed: int
) -> NDArray[np.bool_] | None:
    if isinstance(connectivity, DistanceDependent):
        share = connectivity.inhibitory if share is None else share
    else:
        one_of("connectivity", connectivity, ("dense",))
    if share is None:
        return None
    _share("inhibitory", share)
    return inhibitory_neurons(size, share, seed)


def _one_sign(weights: Floats, inhibits: NDArray[np.bool_], balance: float | None) -> Floats:
    """Return the sizes of the weights, below zero and `balance` times as large where the source inhibits."""
    if balance is None:
        count = int(inhibits.sum())
        balance = (inhibits.size - count) / count if 0 < count < inhibits.size else 1.0
    positive("balance", balance)
    return np.asarray(np.abs(weights) * np.where(inhibits, -balance, 1.0)[:, None], np.float64)


def _connected(weights: Floats, probability: float, seed: int) -> Dense | Sparse:
    if probability == 1.0:
        return Dense(weights)
    return _chosen(weights, np.full(weights.shape, probability), seed, "input")


def _chosen(weights: Floats, probability: Floats, seed: int, name: str) -> Sparse:
    drawn = rng.uniform(seed, rng.stream_number("reservoir", name, "connected"), np.arange(weights.size))
    sources, targets = np.nonzero(drawn.reshape(weights.shape) < probability)
    return Sparse(sources, targets, weights[sources, targets])


def _near_cube(size: int) -> tuple[int, int, int]:
    """Return three factors of `size`, as equal as they can be."""
    triples = [
        (a, b, size // (a * b))
        for a in range(1, round(size ** (1 / 3)) + 2)
        if size % a == 0
        for b in range(a, math.isqrt(size // a) + 1)
        if (size // a) % b == 0
    ]
    a, b, c = min(triples, key=lambda sides: (max(sides) - min(sides), sides))
    return c, b, a


def _share(name: str, value: float) -> None:
    positive(name, value, zero=True)
    if value > 1:
        raise ParameterError(f"{name}={value!r}: must lie between 0 and 1")
