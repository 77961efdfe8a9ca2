"""Leaky integrator: a membrane that never fires, read out as the answer of a network.

With ``time_constant=0`` it has no memory and gives each tick's input (a plain linear readout); with
``time_constant=inf`` it sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from snnsim.neurons.base import Arithmetic, Delta, Exponential, NeuronModel, Parameter, Receptor
from snnsim.neurons.lif import check_membrane, current_coefficients, leak_coefficients


class Coefficients(NamedTuple):
    """What one tick of a leaky integrator needs."""

    decay: Any
    gain: Any
    offset: Any


def integrate(membrane: Any, drive: Any, c: Any) -> Any:
    """Advance the membrane by one tick."""
    return (c.decay * membrane + (c.gain * drive + c.offset),)


@dataclass(frozen=True, eq=False)
class LI(NeuronModel):
    """Leaky integrator (readout); see `LIF` for the parameters.

    Parameters
    ----------
    time_constant : float or array
        Seconds; ``0`` gives each tick's input, ``inf`` sums over time.
    rest, bias, receptors, decay_input, integration, initial
        As for `LIF`.
    """

    time_constant: Parameter = 20e-3
    rest: Parameter = 0.0
    bias: Parameter = 0.0
    receptors: tuple[Receptor, ...] = (Delta(),)
    decay_input: bool = False
    integration: str = "exact"
    initial: Parameter | None = None

    spiking = False
    arithmetic = Arithmetic(("membrane",), Coefficients, integrate, None, None)

    def __post_init__(self) -> None:
        check_membrane(self)

    def coefficients(self, dt: float) -> Coefficients:
        """Return decay, gain and offset."""
        return Coefficients(*leak_coefficients(self, dt))

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
