"""The cortical microcircuit of Potjans and Diesmann at full size or scaled down."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.circuits.microcircuit_parameters import MicrocircuitParameters
from snnsim.connectivity import FixedTotalNumber, Normal
from snnsim.errors import ParameterError, one_of, positive
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import LIF, Exponential, PoissonDrive
from snnsim.numerics import rng


def potjans_diesmann(
    scale: float = 1.0,
    background: str = "dc",
    parameters: MicrocircuitParameters | None = None,
    *,
    in_degree_scale: float | None = None,
    dt: float = 1e-4,
    seed: int = 0,
) -> Network:
    """Return the microcircuit: four layers with an excitatory and an inhibitory population each.

    Voltages and weights are in mV: a weight w moves the current I of ``tau dV/dt = -(V - rest) + I`` by w. Both kinds
    of synapse have one time constant, so each neuron has one receptor, and the sign of a weight says which kind it is.

    Parameters
    ----------
    scale : float
        Share of the neurons, above 0 and at most 1. At 1 there are 77,169 neurons and 299 million synapses.
    background : {"dc", "poisson"}
        What stands for the synapses from outside: their mean as a constant current, or Poisson events.
    parameters : MicrocircuitParameters, optional
        Default the published ones.
    in_degree_scale : float, optional
        Share of the synapses a neuron; default `scale`. Weights grow by its square root, and a constant current keeps
        the mean input of the full network.
    dt : float
        Seconds a tick.
    seed : int
        Key of wiring, weights, delays, initial membranes and background.

    Returns
    -------
    Network
        Populations ``L23E`` to ``L6I``; a projection for each pair with synapses, ``"L4E->L23E"`` and so on.

    Notes
    -----
    As in the reference implementation: sources and targets drawn with replacement, so that a neuron may connect to
    itself and twice to another; weights drawn again where their sign is wrong, delays where they are below half a tick,
    then rounded to ticks. Poisson events act at once, where there they take 1.5 ms: the same at every time after that.

    References
    ----------
    Potjans and Diesmann 2014, doi:10.1093/cercor/bhs358.
    """
    p = MicrocircuitParameters() if parameters is None else parameters
    share = scale if in_degree_scale is None else in_degree_scale
    for name, value in (("scale", scale), ("in_degree_scale", share)):
        positive(name, value)
        if value > 1:
            raise ParameterError(f"{name}={value!r}: must be above 0 and at most 1")
    one_of("background", background, ("dc", "poisson"))
    to_millivolt = p.millivolt_per_picoampere
    sizes = np.rint(np.asarray(p.sizes) * scale).astype(int)
    if sizes.min() < 1:
        raise ParameterError(f"scale={scale!r}: leaves population {p.populations[int(sizes.argmin())]!r} empty")
    currents = constant_currents(p, background, share) * to_millivolt
    populations = [
        _population(p, i, int(sizes[i]), float(currents[i]), background, share, seed) for i in range(sizes.size)
    ]
    counts = np.rint(p.synapse_numbers() * scale * share).astype(int)
    weights = p.weights() / np.sqrt(share) * to_millivolt
    projections = [
        _projection(p, source, target, int(counts[target, source]), float(weights[target, source]), dt)
        for target in range(sizes.size)
        for source in range(sizes.size)
        if counts[target, source] > 0
    ]
    return Network(populations, projections, dt=dt, seed=seed, name=f"Potjans-Diesmann microcircuit, scale {scale:g}")


def constant_currents(
    parameters: MicrocircuitParameters, background: str, in_degree_scale: float
) -> NDArray[np.float64]:
    """Return the constant current into a neuron of each population in pA.

    It holds the mean of the input from outside, where `background` is ``"dc"``, and what the scaled in-degrees leave
    out: n synapses of weight w / sqrt(s) become s n, and their mean s n w / sqrt(s) = sqrt(s) n w lacks (1 - sqrt(s)).

    Parameters
    ----------
    parameters : MicrocircuitParameters
    background : {"dc", "poisson"}
    in_degree_scale : float

    Returns
    -------
    ndarray of float64, shape (populations,)
    """
    lost = 1.0 - np.sqrt(in_degree_scale)
    outside = parameters.external_currents() * (1.0 if background == "dc" else lost)
    return np.asarray(outside + lost * parameters.recurrent_currents())


def _population(
    p: MicrocircuitParameters, number: int, size: int, current: float, background: str, share: float, seed: int
) -> Population:
    name = p.populations[number]
    noise = rng.normal(seed, rng.stream_number(name, "initial"), np.arange(size))
    model = LIF(
        p.time_constant,
        threshold=p.threshold,
        reset=p.reset,
        refractory=p.refractory,
        rest=p.rest,
        bias=current,
        receptors=(Exponential(p.synaptic_time_constant),),
        decay_input=True,  # the bias is then the depolarisation it leads to
        initial=p.initial_means[number] + p.initial_spreads[number] * noise,
    )
    more: dict[str, Any] = {}
    if background == "poisson":
        in_degree = int(np.rint(p.external_in_degrees[number] * share))
        weight = p.external_weight / float(np.sqrt(share)) * p.millivolt_per_picoampere
        more["drive"] = PoissonDrive(p.external_rate * in_degree, weight)
    return Population(name, size, model, **more)


def _projection(
    p: MicrocircuitParameters, source: int, target: int, count: int, weight: float, dt: float
) -> Projection:
    name = p.populations[source]
    inhibitory = name.endswith("I")
    sign: dict[str, float] = {"high": 0.0} if inhibitory else {"low": 0.0}
    delay = p.inhibitory_delay if inhibitory else p.excitatory_delay
    return Projection(
        name,
        p.populations[target],
        FixedTotalNumber(count, Normal(weight, abs(weight) * p.weight_spread, **sign)),
        delay=Normal(delay, delay * p.delay_spread, low=0.5 * dt),
    )
