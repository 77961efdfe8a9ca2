"""Leaky integrator: a membrane that never fires, read out as the answer of a network.

With ``time_constant=0`` it has no memory and gives each tick's input (a plain linear readout); with
``time_constant=inf`` it sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from snnsim.neurons.arithmetic.closed_form import ClosedForm
from snnsim.neurons.base import Arithmetic
from snnsim.neurons.membrane.leaky import LeakyModel
from snnsim.neurons.membrane.silent_ticks import leaky_form
from snnsim.neurons.parameters import Parameter
from snnsim.neurons.receptors import Delta, Receptor


class Coefficients(NamedTuple):
    """What one tick of a leaky integrator needs."""

    decay: Any
    gain: Any
    offset: Any


def integrate(membrane: Any, drive: Any, c: Any) -> Any:
    """Advance the membrane by one tick."""
    return (c.decay * membrane + (c.gain * drive + c.offset),)


@dataclass(frozen=True, eq=False)
class LI(LeakyModel):
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
        self.check_membrane()

    def coefficients(self, dt: float) -> Coefficients:
        """Return decay, gain and offset."""
        return Coefficients(*self.leak(dt))

    def closed_form(self, dt: float) -> ClosedForm | None:
        """Return how the membrane goes on between events; a model that derives from this one has to say so itself."""
        return leaky_form(self, self.coefficients(dt), dt) if type(self) is LI else None
