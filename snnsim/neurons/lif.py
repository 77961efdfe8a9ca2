r"""Leaky integrate-and-fire.

The membrane V of a neuron between spikes obeys

.. math:: \tau \, dV/dt = -(V - V_\mathrm{rest}) + \sum_r I_r , \qquad \tau_r \, dI_r/dt = -I_r

and over one tick, solved exactly (Rotter and Diesmann 1999, doi:10.1007/s004220050570),

.. math:: V \leftarrow \lambda V + (g x + b), \quad \lambda = e^{-\Delta t/\tau}

with x the drive of the tick: the weights of spikes on delta receptors plus coupling times the current
of each exponential receptor as it stood before this tick's spikes. V >= threshold fires, then resets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from snnsim.errors import ParameterError, one_of, positive
from snnsim.neurons.base import (
    Arithmetic,
    Delta,
    Exponential,
    NeuronModel,
    Parameter,
    Receptor,
    as_parameter,
    exponential_receptor,
    membrane_decay,
)


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
class LIF(NeuronModel):
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
        check_membrane(self)
        object.__setattr__(self, "threshold", as_parameter("threshold", self.threshold))
        object.__setattr__(self, "reset", check_reset(self.reset))
        positive("refractory", self.refractory, zero=True)

    def coefficients(self, dt: float) -> Coefficients:
        """Return decay, gain, offset, threshold and the two numbers of the reset."""
        decay, gain, offset = leak_coefficients(self, dt)
        subtract, value = reset_coefficients(self.reset)
        return Coefficients(decay, gain, offset, self.threshold, subtract, value)

    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the initial membrane."""
        return (self.rest if self.initial is None else self.initial,)

    @property
    def receptor_list(self) -> tuple[Receptor, ...]:
        """Receptors in order."""
        return self.receptors

    def receptor_coefficients(self, receptor: Receptor, dt: float) -> tuple[Any, Any]:
        """Return (decay, coupling) a tick of an exponential receptor."""
        assert isinstance(receptor, Exponential)
        return current_coefficients(self, receptor, dt)


def check_membrane(model: Any) -> None:
    """Check and normalise the parameters that every leaky membrane has."""
    tau = as_parameter("time_constant", model.time_constant, at_least=0.0, infinite=True)
    object.__setattr__(model, "time_constant", tau)
    for name in ("rest", "bias"):
        object.__setattr__(model, name, as_parameter(name, getattr(model, name)))
    if model.initial is not None:
        object.__setattr__(model, "initial", as_parameter("initial", model.initial))
    one_of("integration", model.integration, ("exact", "euler"))
    receptors = model.receptors
    if isinstance(receptors, (Delta, Exponential)):
        receptors = (receptors,)
    receptors = tuple(receptors) if isinstance(receptors, Iterable) else ()
    if not receptors or not all(isinstance(receptor, (Delta, Exponential)) for receptor in receptors):
        raise ParameterError(f"receptors={model.receptors!r}: expected Delta(...) or Exponential(...), at least one")
    names = [receptor.name for receptor in receptors]
    if len(set(names)) != len(names):
        raise ParameterError(f"receptors: two have the same name; names are {names}")
    object.__setattr__(model, "receptors", receptors)


def leak_coefficients(model: Any, dt: float) -> tuple[Any, Any, Any]:
    """Return decay, gain and offset: V <- decay * V + (gain * drive + offset)."""
    decay = membrane_decay(model.time_constant, dt, model.integration)
    gain = 1.0 - decay if model.decay_input else 1.0
    return decay, gain, model.rest * (1.0 - decay) + gain * model.bias


def current_coefficients(model: Any, receptor: Exponential, dt: float) -> tuple[Any, Any]:
    """Return (decay, coupling) of a receptor; the coupling undoes the gain, which is for delta input only."""
    decay, coupling = exponential_receptor(receptor, model.time_constant, dt, model.integration)
    gain = leak_coefficients(model, dt)[1]
    return decay, coupling / gain


def check_reset(reset: Any) -> str | Parameter:
    """Return a reset rule as the user gave it, or raise `ParameterError`."""
    if isinstance(reset, str):
        one_of("reset", reset, ("subtract", "zero"))
        return reset
    return as_parameter("reset", reset)


def reset_coefficients(reset: str | Parameter) -> tuple[float, Parameter]:
    """Return (subtract, reset_value) for the branch-free reset."""
    if isinstance(reset, str):
        return (1.0, 0.0) if reset == "subtract" else (0.0, 0.0)
    return 0.0, reset
