r"""What Potjans and Diesmann published about a column of early sensory cortex, and what follows from it.

Potjans and Diesmann (2014), "The cell-type specific cortical microcircuit: relating structure and activity in a
full-scale spiking network model", Cerebral Cortex 24:785-806, doi:10.1093/cercor/bhs358. Numbers of neurons, connection
probabilities, external in-degrees: their Table 5. Means and deviations of the initial membrane, and rates of the
full-size network: the reference implementation, https://github.com/INM-6/microcircuit-PD14-model.

Two neurons of populations i and j are connected with probability C_ij, from which the number of synapses is

.. math:: K_{ij} = \ln(1 - C_{ij}) / \ln(1 - 1 / (N_i N_j)),

each drawn with source and target of its own. A network with fewer synapses a neuron keeps the variance of its input by
weights that grow with the square root of what was taken away, and its mean by a constant current
(van Albada, Helias, Diesmann 2015, doi:10.1371/journal.pcbi.1004490).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, positive

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class MicrocircuitParameters:
    """Parameters of the microcircuit at full size; matrices have a row a target and a column a source.

    Parameters
    ----------
    populations : tuple of str
        Layer, and E (excitatory) or I (inhibitory).
    sizes : tuple of int
        Neurons.
    probabilities : matrix of float
        Probability that two neurons are connected.
    rates : tuple of float
        Spikes a second of the full-size network, which the constant current of a smaller one makes up for.
    external_in_degrees : tuple of int
        Synapses of each neuron from outside.
    external_rate : float
        Spikes a second of each of them.
    amplitude : float
        Peak of an excitatory postsynaptic potential in mV.
    doubled : tuple of (str, str)
        Source and target of the one projection with twice that amplitude.
    relative_inhibition : float
        Inhibitory amplitude over excitatory amplitude.
    weight_spread, delay_spread : float
        Standard deviation over mean.
    excitatory_delay, inhibitory_delay : float
        Mean delay in seconds.
    time_constant, synaptic_time_constant, refractory : float
        Seconds.
    capacitance : float
        pF.
    rest, threshold, reset : float
        mV.
    initial_means, initial_spreads : tuple of float
        Of the membrane before the first tick in mV, chosen so that the network starts without a volley.
    """

    populations: tuple[str, ...] = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
    sizes: tuple[int, ...] = (20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948)
    probabilities: Matrix = (
        (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0),
        (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0),
        (0.0077, 0.0059, 0.0497, 0.135, 0.0067, 0.0003, 0.0453, 0.0),
        (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0),
        (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0),
        (0.0548, 0.0269, 0.0257, 0.0022, 0.06, 0.3158, 0.0086, 0.0),
        (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252),
        (0.0364, 0.001, 0.0034, 0.0005, 0.0277, 0.008, 0.0658, 0.1443),
    )
    rates: tuple[float, ...] = (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829)
    external_in_degrees: tuple[int, ...] = (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100)
    external_rate: float = 8.0
    amplitude: float = 0.15
    doubled: tuple[str, str] = ("L4E", "L23E")
    relative_inhibition: float = -4.0
    weight_spread: float = 0.1
    excitatory_delay: float = 1.5e-3
    inhibitory_delay: float = 0.75e-3
    delay_spread: float = 0.5
    time_constant: float = 10e-3
    synaptic_time_constant: float = 0.5e-3
    refractory: float = 2e-3
    capacitance: float = 250.0
    rest: float = -65.0
    threshold: float = -50.0
    reset: float = -65.0
    initial_means: tuple[float, ...] = (-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43)
    initial_spreads: tuple[float, ...] = (5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48)

    def __post_init__(self) -> None:
        n = len(self.populations)
        for name in ("sizes", "rates", "external_in_degrees", "initial_means", "initial_spreads"):
            given = getattr(self, name)
            if len(given) != n:
                raise ParameterError(f"{name} has {len(given)} entries, expected one for each of {n} populations")
        matrix = np.asarray(self.probabilities, np.float64)
        if matrix.shape != (n, n) or np.any(matrix < 0) or np.any(matrix >= 1):
            raise ParameterError(f"probabilities: expected {n} rows of {n} numbers from 0 up, below 1")
        if any(name not in self.populations for name in self.doubled):
            raise ParameterError(f"doubled={self.doubled!r}: expected names of two of {', '.join(self.populations)}")
        for name in ("time_constant", "synaptic_time_constant", "capacitance", "amplitude"):
            positive(name, getattr(self, name))
        if self.time_constant == self.synaptic_time_constant:
            raise ParameterError(f"synaptic_time_constant={self.synaptic_time_constant!r}: must differ from the other")

    @property
    def current_over_potential(self) -> float:
        r"""Jump of the current in pA that makes a postsynaptic potential with a peak of 1 mV.

        With h = time constant of the membrane and s = that of the synapse, the peak of the potential of a unit jump is
        (h s / C) / (s - h) ((h/s)^(h / (s - h)) - (h/s)^(s / (s - h))).
        """
        membrane, synapse = self.time_constant * 1e3, self.synaptic_time_constant * 1e3
        power = (membrane / synapse) ** (1.0 / (synapse - membrane))
        peak = membrane * synapse / self.capacitance / (synapse - membrane) * (power**membrane - power**synapse)
        return float(1.0 / peak)

    @property
    def millivolt_per_picoampere(self) -> float:
        """Depolarisation by a constant current: membrane time constant over capacitance."""
        return self.time_constant * 1e3 / self.capacitance

    def synapse_numbers(self) -> NDArray[np.float64]:
        """Return how many synapses there are between all pairs of populations, before rounding."""
        pairs = np.outer(self.sizes, self.sizes).astype(np.float64)
        return np.asarray(np.log1p(-np.asarray(self.probabilities)) / np.log1p(-1.0 / pairs))

    def weights(self) -> NDArray[np.float64]:
        """Return mean weights in pA: the jump of the current at a spike."""
        inhibitory = np.array([name.endswith("I") for name in self.populations])
        amplitudes = np.where(inhibitory, self.relative_inhibition * self.amplitude, self.amplitude)
        matrix = np.tile(amplitudes, (len(self.populations), 1))
        source, target = (self.populations.index(name) for name in self.doubled)
        matrix[target, source] *= 2.0
        return np.asarray(matrix * self.current_over_potential)

    @property
    def external_weight(self) -> float:
        """Weight of a synapse from outside in pA."""
        return self.amplitude * self.current_over_potential

    def external_currents(self) -> NDArray[np.float64]:
        """Return the mean current from outside into a neuron of each population in pA."""
        events = self.external_rate * np.asarray(self.external_in_degrees, np.float64)
        return np.asarray(events * self.external_weight * self.synaptic_time_constant)

    def recurrent_currents(self) -> NDArray[np.float64]:
        """Return the mean current from within into a neuron of each population at full size in pA."""
        in_degrees = self.synapse_numbers() / np.asarray(self.sizes, np.float64)[:, np.newaxis]
        per_event = self.weights() * self.synaptic_time_constant
        return np.asarray((per_event * in_degrees * np.asarray(self.rates)).sum(axis=1))
