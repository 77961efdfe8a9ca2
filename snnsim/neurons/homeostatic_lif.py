r"""Leaky integrate-and-fire with a threshold that moves until the neuron fires at a given rate.

.. math:: d\theta/dt = -\eta \, r^*, \qquad \theta \leftarrow \theta + \eta \text{ at each spike}

On average the threshold stands still where the rate is the target r*, whatever the input is (an intrinsic form of the
homeostasis of Turrigiano et al. 1998, doi:10.1038/36103; the rule is that of Diehl and Cook 2015,
doi:10.3389/fncom.2015.00099, with a constant fall in place of a decay, so that the target is met).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from snnsim.errors import ParameterError, exactly, positive
from snnsim.neurons.base import Arithmetic
from snnsim.neurons.membrane.leaky import LeakyModel
from snnsim.neurons.membrane.resets import check_landing, check_reset, reset_coefficients
from snnsim.neurons.parameters import Parameter, as_parameter
from snnsim.neurons.receptors import Delta, Receptor


class Coefficients(NamedTuple):
    """What one tick of a homeostatic neuron needs."""

    decay: Any
    gain: Any
    offset: Any
    threshold: Any
    subtract: Any
    reset_value: Any
    fall: Any
    rise: Any


def integrate(membrane: Any, shift: Any, drive: Any, c: Any) -> Any:
    """Advance the membrane by one tick and let the threshold fall."""
    return c.decay * membrane + (c.gain * drive + c.offset), shift - c.fall


def distance(membrane: Any, shift: Any, c: Any) -> Any:
    """Return how far the membrane is above the shifted threshold."""
    return membrane - (c.threshold + shift)


def reset(membrane: Any, shift: Any, spike: Any, c: Any) -> Any:
    """Subtract the shifted threshold or go to the reset value; a spike raises the threshold."""
    landing = c.subtract * (membrane - (c.threshold + shift)) + c.reset_value
    return spike * landing + (membrane - spike * membrane), shift + spike * c.rise


_ARITHMETIC = Arithmetic(("membrane", "shift"), Coefficients, integrate, distance, reset)


@dataclass(frozen=True, eq=False)
class HomeostaticLIF(LeakyModel):
    """Leaky integrate-and-fire neuron whose threshold moves until it fires at a target rate.

    `AdaptiveLIF` raises its threshold at a spike too, but lets it come back: it has no rate to reach. The state
    ``"shift"`` is what is added to the threshold.

    Parameters
    ----------
    time_constant, threshold, reset, refractory, rest, bias, receptors, decay_input, integration, strict, initial
        As for `LIF`; the threshold is that of the first tick.
    target_rate : float or array
        Spikes a second, over all time; below one in a refractory time.
    rise : float or array
        Rise of the threshold at each spike.
    """

    time_constant: Parameter = 20e-3
    threshold: Parameter = 1.0
    target_rate: Parameter = 10.0
    rise: Parameter = 0.01
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
        object.__setattr__(self, "threshold", as_parameter("threshold", self.threshold))
        for name in ("target_rate", "rise"):
            object.__setattr__(self, name, as_parameter(name, getattr(self, name), at_least=0.0))
        object.__setattr__(self, "reset", check_reset(self.reset))
        check_landing(self.reset, self.threshold, self.strict, forgets=self.forgets)
        positive("refractory", self.refractory, zero=True)
        if float(np.max(self.target_rate)) * self.refractory >= 1:
            raise ParameterError(
                f"target_rate={self.target_rate!r}: must be below one spike in refractory={exactly(self.refractory)} s"
            )

    def coefficients(self, dt: float) -> Coefficients:
        """Return the coefficients of `LIF` and those of the threshold."""
        decay, gain, offset = self.leak(dt)
        subtract, value = reset_coefficients(self.reset)
        fall = self.rise * self.target_rate * dt
        # The state is held in the refractory time; what the threshold would fall in it is taken off its rise.
        rise = self.rise - fall * self.refractory_ticks(dt)
        return Coefficients(decay, gain, offset, self.threshold, subtract, value, fall, rise)

    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the initial membrane and no shift."""
        return (self.initial_membrane, 0.0)

    def check_dtype(self, dt: float, dtype: str) -> None:
        """Refuse a precision in which the fall of the threshold in a tick would be lost."""
        fall, threshold = self.rise * self.target_rate * dt, np.abs(self.threshold)
        lost = np.asarray((fall > 0) & (fall < 50 * np.finfo(dtype).eps * threshold))
        if np.any(lost):
            raise ParameterError(
                f"in {dtype} a threshold of {np.max(threshold):g} does not follow a fall of {np.min(fall):.2g} a tick "
                f"of {dt:g} s; use dtype='float64', a larger rise, or a coarser dt"
            )
