r"""Leaky integrate-and-fire.

The membrane V of a neuron between spikes obeys

.. math:: \tau \, dV/dt = -(V - V_\mathrm{rest}) + \sum_r I_r , \qquad \tau_r \, dI_r/dt = -I_r

and over one tick, solved exactly (Rotter and Diesmann 1999, doi:10.1007/s004220050570),

.. math:: V \leftarrow \lambda V + (g x + b), \quad \lambda = e^{-\Delta t/\tau}

with x the drive of the tick: the weights of spikes on delta receptors plus coupling times the current
of each exponential receptor as it stood before this tick's spikes. V >= threshold fires, then resets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from snnsim.errors import positive
from snnsim.neurons.arithmetic.closed_form import ClosedForm
from snnsim.neurons.base import Arithmetic
from snnsim.neurons.membrane.leaky import LeakyModel
from snnsim.neurons.membrane.resets import check_landing, check_reset, reset_coefficients
from snnsim.neurons.membrane.silent_ticks import leaky_form
from snnsim.neurons.parameters import Parameter, as_parameter
from snnsim.neurons.receptors import Delta, Receptor


class Coefficients(NamedTuple):
    """What one tick of a LIF neuron needs."""

    decay: Any
    gain: Any
    offset: Any
    threshold: Any
    subtract: Any
    reset_value: Any


def integrate(membrane: Any, drive: Any, c: Any) -> Any:
    """Advance the membrane by one tick."""
    return (c.decay * membrane + (c.gain * drive + c.offset),)


def distance(membrane: Any, c: Any) -> Any:
    """Return how far the membrane is above threshold."""
    return membrane - c.threshold


def reset(membrane: Any, spike: Any, c: Any) -> Any:
    """Subtract the threshold (`subtract` = 1, `reset_value` = 0) or go to the reset value (`subtract` = 0)."""
    landing = c.subtract * (membrane - c.threshold) + c.reset_value
    return (spike * landing + (membrane - spike * membrane),)


_ARITHMETIC = Arithmetic(("membrane",), Coefficients, integrate, distance, reset)


@dataclass(frozen=True, eq=False)
class LIF(LeakyModel):
    """Leaky integrate-and-fire neuron.

    Parameters
    ----------
    time_constant : float or array
        Membrane time constant in seconds; ``inf`` never leaks, ``0`` forgets at every tick.
    threshold : float or array
        The neuron fires where the membrane reaches it.
    reset : {"subtract", "zero"} or float or array
        After a spike: subtract the threshold, go to zero, or go to that value.
    refractory : float
        Seconds after a spike during which the membrane is held and input on delta receptors is lost.
    rest : float or array
        Where the membrane relaxes to.
    bias : float or array
        Constant input of every tick, in the units of the weights.
    receptors : sequence of Delta or Exponential
        Default: one `Delta` named ``"input"``.
    decay_input : bool
        Multiply delta input and bias by (1 - decay), so that a constant input x settles at rest + x. Other
        libraries differ here: spikingjelly does so by default, snntorch does not.
    integration : {"exact", "euler"}
        decay = exp(-dt/tau), or 1 - dt/tau.
    strict : bool
        Fire only above the threshold, not at it.
    initial : float or array, optional
        Membrane before the first tick; default `rest`.
    """

    time_constant: Parameter = 20e-3
    threshold: Parameter = 1.0
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
        object.__setattr__(self, "reset", check_reset(self.reset))
        check_landing(self.reset, self.threshold, self.strict, forgets=self.forgets)
        positive("refractory", self.refractory, zero=True)

    def coefficients(self, dt: float) -> Coefficients:
        """Return decay, gain, offset, threshold and the two numbers of the reset."""
        decay, gain, offset = self.leak(dt)
        subtract, value = reset_coefficients(self.reset)
        return Coefficients(decay, gain, offset, self.threshold, subtract, value)

    def closed_form(self, dt: float) -> ClosedForm | None:
        """Return how the membrane goes on between events; a model that derives from this one has to say so itself."""
        return leaky_form(self, self.coefficients(dt), dt) if type(self) is LIF else None
