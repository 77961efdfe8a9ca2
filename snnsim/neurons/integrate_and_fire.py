"""Integrate-and-fire without a leak: V <- V + (x + bias); the neuron of ANN-to-SNN conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from snnsim.errors import positive
from snnsim.neurons.base import Arithmetic, NeuronModel
from snnsim.neurons.lif import distance, reset
from snnsim.neurons.membrane.resets import check_landing, check_reset, reset_coefficients
from snnsim.neurons.parameters import Parameter, as_parameter


class Coefficients(NamedTuple):
    """What one tick of an IF neuron needs."""

    offset: Any
    threshold: Any
    subtract: Any
    reset_value: Any


def integrate(membrane: Any, drive: Any, c: Any) -> Any:
    """Add the drive of the tick."""
    return (membrane + (drive + c.offset),)


_ARITHMETIC = Arithmetic(("membrane",), Coefficients, integrate, distance, reset)


@dataclass(frozen=True, eq=False)
class IF(NeuronModel):
    """Integrate-and-fire neuron without a leak; see `LIF` for the parameters.

    Parameters
    ----------
    threshold, reset, refractory, bias, strict
        As for `LIF`.
    initial : float or array
        Membrane before the first tick; half the threshold is usual for converted networks.
    """

    threshold: Parameter = 1.0
    reset: str | Parameter = "subtract"
    refractory: float = 0.0
    bias: Parameter = 0.0
    strict: bool = False
    initial: Parameter = 0.0

    arithmetic = _ARITHMETIC

    def __post_init__(self) -> None:
        for name in ("threshold", "bias", "initial"):
            object.__setattr__(self, name, as_parameter(name, getattr(self, name)))
        object.__setattr__(self, "reset", check_reset(self.reset))
        check_landing(self.reset, self.threshold, self.strict)
        positive("refractory", self.refractory, zero=True)

    def coefficients(self, dt: float) -> Coefficients:
        """Return bias, threshold and the two numbers of the reset."""
        return Coefficients(self.bias, self.threshold, *reset_coefficients(self.reset))

    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the initial membrane."""
        return (self.initial,)
