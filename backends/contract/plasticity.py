"""What a plastic projection carries from one tick to the next, the same on every backend.

Weights stand in the order of `Network.synapses`. The trace of a presynaptic neuron is kept as it is sent: a synapse
with delay d sees it d ticks late, so spikes that have not arrived everywhere yet are kept with what was there before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import CapabilityError, DataError, NetworkError, exactly
from snnsim.network.network import Network
from snnsim.network.projection import Projection
from snnsim.plasticity import Coefficients, PlasticityRule
from snnsim.plasticity.decay import DecayTable

#: Tick of the last spike of a neuron that has not fired yet: so long ago that nothing is left of its trace.
NEVER = -(2**62)


@dataclass
class PlasticState:
    """State of one plastic projection.

    Parameters
    ----------
    projection : int
        Its number.
    pre_traces : ndarray, shape (traces, sources)
        Value after the last spike sent.
    pre_ticks : ndarray of int64, shape (sources,)
        When that was sent.
    post_traces : ndarray, shape (traces, targets)
        Value after the last spike.
    post_ticks : ndarray of int64, shape (targets,)
        When that was.
    weights : ndarray, shape (synapses,), optional
        None as long as they are what the network says.
    eligibility : ndarray, shape (synapses,), optional
        With a rule that has it: its value at the last spike on either side of the synapse. None for zeros.
    flight_sources, flight_ticks : ndarray of int64, shape (flights,), optional
        Spikes that may be on their way, in order of sending: source, and when it was sent. None for none.
    flight_before_ticks : ndarray of int64, shape (flights,), optional
        When the same source had sent the spike before.
    flight_before : ndarray, shape (traces, flights), optional
        Its traces after that spike.
    """

    projection: int
    pre_traces: NDArray[Any]
    pre_ticks: NDArray[np.int64]
    post_traces: NDArray[Any]
    post_ticks: NDArray[np.int64]
    weights: NDArray[Any] | None = None
    eligibility: NDArray[Any] | None = None
    flight_sources: NDArray[np.int64] | None = None
    flight_ticks: NDArray[np.int64] | None = None
    flight_before_ticks: NDArray[np.int64] | None = None
    flight_before: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Constants:
    """The numbers of a rule in the precision of the run.

    Parameters
    ----------
    rule : PlasticityRule
    coefficients : Coefficients
        Numbers of the run's type.
    pre_decays, post_decays : tuple of DecayTable
        One for each trace.
    eligibility_decay : DecayTable, optional
    nearest : bool
        Whether a trace jumps to one, not by one.
    normalise_every : int
        Ticks; 0 for never.
    """

    rule: PlasticityRule
    coefficients: Coefficients
    pre_decays: tuple[DecayTable, ...]
    post_decays: tuple[DecayTable, ...]
    eligibility_decay: DecayTable | None
    nearest: bool
    normalise_every: int

    @classmethod
    def of(cls, network: Network, projection: Projection, dtype: np.dtype[Any]) -> Constants:
        """Round the numbers of a projection's rule to `dtype`."""
        rule = projection.plasticity
        assert rule is not None
        dt = network.dt
        own = rule.eligibility
        normalisation = rule.normalisation
        return cls(
            rule,
            Coefficients(*(dtype.type(value) for value in rule.coefficients)),
            tuple(DecayTable.of(time_constant, dt, dtype) for time_constant in rule.pre_time_constants),
            tuple(DecayTable.of(time_constant, dt, dtype) for time_constant in rule.post_time_constants),
            None if own is None else DecayTable.of(own, dt, dtype),
            rule.pairing == "nearest",
            0 if normalisation is None else normalisation.ticks(dt, projection.name),
        )


def plastic_projections(network: Network) -> tuple[int, ...]:
    """Return the numbers of the plastic projections."""
    return tuple(i for i, projection in enumerate(network.projections) if projection.plasticity is not None)


def initial_states(network: Network, dtype: np.dtype[Any]) -> tuple[PlasticState, ...]:
    """Return the state of every plastic projection before the first tick."""
    states = []
    for number in plastic_projections(network):
        projection = network.projections[number]
        rule = projection.plasticity
        assert rule is not None
        sources, targets = network.population(projection.source).size, network.population(projection.target).size
        states.append(
            PlasticState(
                number,
                np.zeros((len(rule.pre_time_constants), sources), dtype),
                np.full(sources, NEVER, np.int64),
                np.zeros((len(rule.post_time_constants), targets), dtype),
                np.full(targets, NEVER, np.int64),
            )
        )
    return tuple(states)


def check_bounds(projection: Projection, weights: NDArray[Any]) -> None:
    """Raise `NetworkError` where a weight lies outside the bounds of the rule.

    What was learned up to a bound in float32 lies at the bound in float64 too, although as a number it may be beyond.
    """
    rule = projection.plasticity
    assert rule is not None
    if not weights.size:
        return
    least, most = weights.min(), weights.max()
    low, high = rule.learned_bounds
    if least < low or most > high:
        raise NetworkError(
            f"projection {projection.name!r}: weights from {exactly(least)} to {exactly(most)} leave the bounds of "
            f"{type(rule).__name__}, minimum={exactly(rule.minimum)} and maximum={exactly(rule.maximum)}; widen the "
            "bounds, or cut the weights off, for instance with Normal(..., low=, high=)"
        )


def check_synapses(network: Network, state: PlasticState, synapses: int) -> None:
    """Raise `DataError` where a state does not have as many weights as a projection has synapses."""
    for name in ("weights", "eligibility"):
        values = getattr(state, name)
        if values is not None and values.shape != (synapses,):
            raise DataError(
                f"projection {network.projections[state.projection].name!r}: the state holds {name} of shape "
                f"{values.shape}, the network has {synapses} synapses"
            )


def refuse_recordings(network: Network) -> None:
    """Raise `CapabilityError` where recordings that each start from rest have no meaning: weights would differ."""
    for number in plastic_projections(network):
        raise CapabilityError(
            f"projection {network.projections[number].name!r} is plastic: its weights change from one recording to the "
            "next; give the recordings one after another to Simulation.run, or leave plasticity out"
        )
