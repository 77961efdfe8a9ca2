"""The two networks of Vogels and Abbott that became benchmarks of simulators: CUBA and COBA.

Vogels and Abbott (2005), "Signal propagation and logic gating in networks of integrate-and-fire neurons", J. Neurosci.
25:10786-10795, doi:10.1523/JNEUROSCI.3508-05.2005, in the form of benchmarks 2 and 1 of Brette et al. (2007),
"Simulation of networks of spiking neurons: a review of tools and strategies", J. Comput. Neurosci. 23:349-398,
doi:10.1007/s10827-007-0038-6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity import FixedProbability
from snnsim.errors import whole
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import LIF, Conductance, ConductanceLIF, Exponential, NeuronModel
from snnsim.numerics import rng

#: Mean number of synapses a neuron, whatever the size: 2 % of the 4,000 neurons of the benchmark.
IN_DEGREE = 80.0
TIME_CONSTANT, REFRACTORY = 20e-3, 5e-3
EXCITATORY_TIME_CONSTANT, INHIBITORY_TIME_CONSTANT = 5e-3, 10e-3
THRESHOLD, RESET = -50.0, -60.0
NAMES = ("excitatory", "inhibitory")


def vogels_abbott_cuba(
    n: int = 4000,
    *,
    excitatory_weight: float = 1.62,
    inhibitory_weight: float = -9.0,
    rest: float = -49.0,
    dt: float = 1e-4,
    seed: int = 0,
) -> Network:
    """Return the network with exponential currents: about 5 spikes a second out of step.

    Parameters
    ----------
    n : int
        Neurons, four fifths of them excitatory; each receives 80 synapses in the mean, for any `n`.
    excitatory_weight, inhibitory_weight : float
        Jump of the current in mV: 60 times 0.27 and -20 times 4.5, over 10, as in Brian's documentation.
    rest : float
        mV, above the threshold: the neurons fire unaided.
    dt : float
        Seconds a tick, which is also the delay of the synapses.
    seed : int
        Key of wiring and initial membranes, uniform between reset and threshold.

    Returns
    -------
    Network
        Populations ``excitatory`` and ``inhibitory``, each with receptors of those names. Voltages are in mV.
    """
    sizes = _sizes(n)

    def model(name: str) -> NeuronModel:
        unit = rng.uniform(seed, rng.stream_number(name, "initial"), np.arange(sizes[name]))
        return LIF(
            TIME_CONSTANT,
            threshold=THRESHOLD,
            reset=RESET,
            refractory=REFRACTORY,
            rest=rest,
            receptors=(
                Exponential(EXCITATORY_TIME_CONSTANT, "excitatory"),
                Exponential(INHIBITORY_TIME_CONSTANT, "inhibitory"),
            ),
            initial=RESET + (THRESHOLD - RESET) * unit,
        )

    populations = [Population(name, sizes[name], model(name)) for name in NAMES]
    return _network(populations, (excitatory_weight, inhibitory_weight), n, dt, seed, "CUBA")


def vogels_abbott_coba(
    n: int = 4000,
    *,
    excitatory_weight: float = 0.6,
    inhibitory_weight: float = 6.7,
    current: float = 20.0,
    integration: str = "exact",
    dt: float = 1e-4,
    seed: int = 0,
) -> Network:
    """Return the network with conductances: about 21 spikes a second out of step.

    Parameters
    ----------
    n : int
        Neurons, four fifths of them excitatory; each receives 80 synapses in the mean, for any `n`.
    excitatory_weight, inhibitory_weight : float
        Jump of the conductance in units of the leak: 6 nS and 67 nS over 10 nS.
    current : float
        Constant input in mV, which would hold the membrane that far above its rest of -60 mV. It starts the network
        and keeps it going; the benchmark's authors start it by a volley. The rate hardly depends on it.
    integration : str
        How the membrane is advanced; see `ConductanceLIF`.
    dt : float
        Seconds a tick, which is also the delay of the synapses.
    seed : int
        Key of wiring and initial membranes, normal with mean -55 mV and deviation 5 mV.

    Returns
    -------
    Network
        Populations ``excitatory`` and ``inhibitory``, each with receptors of those names. Voltages are in mV.
    """
    sizes = _sizes(n)

    def model(name: str) -> NeuronModel:
        return ConductanceLIF(
            time_constant=TIME_CONSTANT,
            threshold=THRESHOLD,
            reset=RESET,
            refractory=REFRACTORY,
            rest=-60.0,
            bias=current,
            receptors=(
                Conductance(EXCITATORY_TIME_CONSTANT, 0.0, "excitatory"),
                Conductance(INHIBITORY_TIME_CONSTANT, -80.0, "inhibitory"),
            ),
            integration=integration,
            initial=_normal(-55.0, 5.0, name, sizes[name], seed),
        )

    populations = [Population(name, sizes[name], model(name)) for name in NAMES]
    return _network(populations, (excitatory_weight, inhibitory_weight), n, dt, seed, "COBA")


def _sizes(n: int) -> dict[str, int]:
    whole("n", n, at_least=int(IN_DEGREE))
    excitatory = 4 * n // 5
    return {"excitatory": excitatory, "inhibitory": n - excitatory}


def _normal(mean: float, sd: float, name: str, size: int, seed: int) -> NDArray[np.float64]:
    return mean + sd * rng.normal(seed, rng.stream_number(name, "initial"), np.arange(size))


def _network(
    populations: list[Population], weights: tuple[float, float], n: int, dt: float, seed: int, name: str
) -> Network:
    rules = [FixedProbability(IN_DEGREE / n, weight) for weight in weights]
    projections = [
        Projection(source, target, rule, delay=dt, receptor=source)
        for source, rule in zip(NAMES, rules, strict=True)
        for target in NAMES
    ]
    return Network(populations, projections, dt=dt, seed=seed, name=f"{name} with {n:,} neurons")
