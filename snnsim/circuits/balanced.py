"""Balanced random networks with delta synapses: Brunel's, and the same with plastic excitatory synapses."""

from __future__ import annotations

from typing import Any

from snnsim.connectivity import FixedInDegree
from snnsim.errors import ParameterError, positive, whole
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import LIF, PoissonDrive
from snnsim.plasticity import STDP, PlasticityRule

#: Excitatory weight in mV.
WEIGHT = 0.1


def brunel(
    order: int = 2500,
    g: float = 5.0,
    eta: float = 2.0,
    *,
    probability: float = 0.1,
    weight: float = WEIGHT,
    delay: float = 1.5e-3,
    time_constant: float = 20e-3,
    threshold: float = 20.0,
    reset: float = 0.0,
    refractory: float = 2e-3,
    plasticity: PlasticityRule | None = None,
    dt: float = 1e-4,
    seed: int = 0,
) -> Network:
    """Return a sparse random network of leaky integrate-and-fire neurons, four excitatory ones to an inhibitory one.

    The constants are those of NEST's example ``brunel_delta_nest`` (Brunel's paper resets to 10 mV). With
    ``order=2500`` there are 12,500 neurons with 1,250 synapses each, which fire at about 32 spikes a second, out of
    step. The mean input alone would make them fire; with a lower `eta` noise does, and the intervals vary more.

    Parameters
    ----------
    order : int
        Number of inhibitory neurons; there are four times as many excitatory ones.
    g : float
        Inhibitory over excitatory weight.
    eta : float
        Rate of the external input over the rate that would just hold the mean membrane at threshold.
    probability : float
        Each neuron receives this share of the neurons of either kind as synapses, drawn with replacement.
    weight : float
        Excitatory weight in mV: how far one spike moves the membrane.
    delay, time_constant, refractory : float
        Seconds.
    threshold, reset : float
        mV; the membrane rests at 0.
    plasticity : PlasticityRule, optional
        Rule of the synapses among excitatory neurons; default none.
    dt : float
        Seconds a tick.
    seed : int
        Key of wiring and noise.

    Returns
    -------
    Network
        Populations ``excitatory`` and ``inhibitory``.

    References
    ----------
    Brunel 2000, "Dynamics of sparsely connected networks of excitatory and inhibitory spiking neurons", J. Comput.
    Neurosci. 8:183-208, doi:10.1023/A:1008925309027.
    """
    whole("order", order, at_least=1)
    for name, value in (("g", g), ("eta", eta), ("probability", probability)):
        positive(name, value, zero=True)
    for name, value in (("weight", weight), ("time_constant", time_constant), ("threshold", threshold)):
        positive(name, value)
    if probability > 1:
        raise ParameterError(f"probability={probability!r}: must lie between 0 and 1")
    # eta = 1 holds the mean at threshold: weight * rate * time_constant = threshold.
    drive = PoissonDrive(eta * threshold / (weight * time_constant), weight)
    model = LIF(time_constant, threshold=threshold, reset=reset, refractory=refractory)
    sizes = {"excitatory": 4 * order, "inhibitory": order}
    weights = {"excitatory": weight, "inhibitory": -g * weight}
    populations = [Population(name, size, model, drive=drive) for name, size in sizes.items()]
    projections = []
    for source, size in sizes.items():
        for target in sizes:
            rule = FixedInDegree(int(probability * size), weights[source])
            more: dict[str, Any] = {"plasticity": plasticity} if source == target == "excitatory" else {}
            projections.append(Projection(source, target, rule, delay=delay, **more))
    return Network(populations, projections, dt=dt, seed=seed, name=f"balanced network of order {order}")


def brunel_stdp(
    order: int = 2500,
    g: float = 5.0,
    eta: float = 2.0,
    *,
    plasticity: PlasticityRule | None = None,
    **others: Any,
) -> Network:
    """Return `brunel` with synapses that learn among the excitatory neurons.

    Parameters
    ----------
    order, g, eta
        As in `brunel`.
    plasticity : PlasticityRule, optional
        Default additive pair STDP: weights move by 1 % of `weight` for a pair, by a little more downwards, between
        nothing and three times `weight`.
    **others
        Further parameters of `brunel`.

    Returns
    -------
    Network
        Populations ``excitatory`` and ``inhibitory``; ``"excitatory->excitatory"`` learns.
    """
    if plasticity is None:
        step = 0.01 * float(others.get("weight", WEIGHT))
        plasticity = STDP(potentiation=step, depression=1.05 * step, maximum=300.0 * step)
    return brunel(order, g, eta, plasticity=plasticity, **others)
