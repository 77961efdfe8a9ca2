r"""Leaky integrate-and-fire with an adaptive threshold.

.. math:: V \leftarrow \lambda V + (g x + b), \quad a \leftarrow \rho a, \quad
          V \ge \theta + \beta a \Rightarrow \text{spike},\; a \leftarrow a + 1

The threshold rises by `adaptation` at each spike and decays back with `adaptation_time_constant`
(Bellec et al. 2018, "Long short-term memory and learning-to-learn in networks of spiking neurons",
arXiv:1803.09574).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from snnsim.errors import positive
from snnsim.neurons.base import Arithmetic
from snnsim.neurons.membrane.leaky import LeakyModel
from snnsim.neurons.membrane.resets import check_landing, check_reset, reset_coefficients
from snnsim.neurons.parameters import Parameter, as_parameter, membrane_decay
from snnsim.neurons.receptors import Delta, Receptor


class Coefficients(NamedTuple):
    """What one tick of an adaptive LIF neuron needs."""

    decay: Any
    gain: Any
    offset: Any
    threshold: Any
    subtract: Any
    reset_value: Any
    adaptation: Any
    adaptation_decay: Any


def integrate(membrane: Any, trace: Any, drive: Any, c: Any) -> Any:
    """Advance membrane and spike trace by one tick."""
    return c.decay * membrane + (c.gain * drive + c.offset), c.adaptation_decay * trace


def distance(membrane: Any, trace: Any, c: Any) -> Any:
    """Return how far the membrane is above the risen threshold."""
    return membrane - (c.threshold + c.adaptation * trace)


def reset(membrane: Any, trace: Any, spike: Any, c: Any) -> Any:
    """Subtract the risen threshold or go to the reset value; the trace counts the spike."""
    risen = c.threshold + c.adaptation * trace
    landing = c.subtract * (membrane - risen) + c.reset_value
    return spike * landing + (membrane - spike * membrane), trace + spike


_ARITHMETIC = Arithmetic(("membrane", "trace"), Coefficients, integrate, distance, reset)


@dataclass(frozen=True, eq=False)
class AdaptiveLIF(LeakyModel):
    """Leaky integrate-and-fire neuron whose threshold rises at each spike.

    Parameters
    ----------
    time_constant, threshold, reset, refractory, rest, bias, receptors, decay_input, integration, strict, initial
        As for `LIF`. In the refractory time membrane and trace are both held.
    adaptation : float or array
        Rise of the threshold at each spike.
    adaptation_time_constant : float or array
        Seconds in which the rise falls to 1/e.
    """

    time_constant: Parameter = 20e-3
    threshold: Parameter = 1.0
    adaptation: Parameter = 0.1
    adaptation_time_constant: Parameter = 200e-3
    reset: str | Parameter = "subtract"
    refractory: float = 0.0
    rest: Parameter = 0.0
    bias: Parameter = 0.0
    receptors: tuple[Receptor, ...] = (Delta(),)
    decay_input: bool = False
    integration: str = "exact"
    strict: bool = False
    initial: Parameter | None = None

    arithmetic = _ARITHMETIC

    def __post_init__(self) -> None:
        self.check_membrane()
        for name in ("threshold", "adaptation"):
            object.__setattr__(self, name, as_parameter(name, getattr(self, name)))
        tau = as_parameter("adaptation_time_constant", self.adaptation_time_constant, above=0.0, infinite=True)
        object.__setattr__(self, "adaptation_time_constant", tau)
        object.__setattr__(self, "reset", check_reset(self.reset))
        fall = np.maximum(-np.asarray(self.adaptation), 0.0)
        check_landing(self.reset, self.threshold, self.strict, fall=fall, forgets=self.forgets)
        positive("refractory", self.refractory, zero=True)

    def coefficients(self, dt: float) -> Coefficients:
        """Return the coefficients of `LIF` and those of the adaptation."""
        decay, gain, offset = self.leak(dt)
        subtract, value = reset_coefficients(self.reset)
        rho = membrane_decay(self.adaptation_time_constant, dt, self.integration)
        return Coefficients(decay, gain, offset, self.threshold, subtract, value, self.adaptation, rho)

    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the initial membrane and an empty trace."""
        return (self.initial_membrane, 0.0)
