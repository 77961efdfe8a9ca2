r"""Leaky integrate-and-fire with conductances.

.. math:: \tau \, dV/dt = (V_\mathrm{rest} - V) + b + \sum_k g_k (E_k - V)

Conductances are in units of the leak. With those of the tick, G = 1 + Σ g_k and V∞ = (V_rest + b + Σ g_k E_k) / G, the
membrane goes on exactly,

.. math:: V \leftarrow V + (V_\infty - V) (1 - e^{-G \Delta t / \tau}),

which is stable however large the conductances are (exponential Euler). By forward Euler, as many published runs of the
network of Vogels and Abbott (2005, doi:10.1523/JNEUROSCI.3508-05.2005) have it, V ← V + (G Δt/τ) (V∞ - V).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from snnsim.errors import ParameterError, one_of, positive
from snnsim.neurons.arithmetic.functions import maximum
from snnsim.neurons.base import Arithmetic, NeuronModel
from snnsim.neurons.lif import distance, reset
from snnsim.neurons.membrane.relaxation import PARTS, relaxed
from snnsim.neurons.membrane.resets import check_landing, check_reset, reset_coefficients
from snnsim.neurons.parameters import Parameter, as_parameter, membrane_decay, plain
from snnsim.neurons.receptors import (
    Conductance,
    ConductanceCoefficients,
    Receptor,
    check_receptors,
    receptor_decay,
)

_ZERO, _ONE = 0.0, 1.0
#: Conductances that both precisions hold.
_MOST = 1e38


class Coefficients(NamedTuple):
    """What one tick of a conductance-based neuron needs; `share` is Δt/τ, over `PARTS` where the tick is exact."""

    share: Any
    offset: Any
    threshold: Any
    subtract: Any
    reset_value: Any


class EulerCoefficients(NamedTuple):
    """The same for forward Euler, which is unstable where the conductances of a tick add up to `most`: 2 τ/Δt - 1."""

    share: Any
    offset: Any
    threshold: Any
    subtract: Any
    reset_value: Any
    most: Any


def integrate(membrane: Any, drive: Any, conductance: Any, c: Any) -> Any:
    """Relax to where the conductances of the tick would take the membrane."""
    total = _ONE + conductance
    return (membrane + ((c.offset + drive) / total - membrane) * relaxed(c.share * total),)


def integrate_euler(membrane: Any, drive: Any, conductance: Any, c: Any) -> Any:
    """Follow the slope at the start of the tick; not finite, and so found, where that leads further and further off."""
    room = c.most - conductance
    one = room / maximum(room, _ZERO)
    return (membrane + c.share * ((c.offset + drive - membrane) - conductance * membrane) * one,)


_INPUTS = ("drive", "conductance")
_EXACT = Arithmetic(("membrane",), Coefficients, integrate, distance, reset, _INPUTS)
_EULER = Arithmetic(("membrane",), EulerCoefficients, integrate_euler, distance, reset, _INPUTS)


@dataclass(frozen=True, eq=False)
class ConductanceLIF(NeuronModel):
    """Leaky integrate-and-fire neuron with conductance-based synapses.

    Parameters
    ----------
    receptors : Conductance or sequence of Conductance
        Their weights are conductances in units of the leak, zero or above. The defaults here and below are in volts,
        those of Vogels and Abbott.
    time_constant : float or array
        Membrane time constant at rest, in seconds.
    threshold, refractory, rest, strict, initial
        As for `LIF`, in the units of the reversal potentials.
    reset : float, array, or {"subtract", "zero"}
        Where the membrane goes after a spike; default `rest`.
    bias : float or array
        A constant current over the leak conductance: what it would move the resting membrane by.
    integration : {"exact", "euler"}
        Exact for the conductances at the start of the tick, or forward Euler.
    """

    receptors: tuple[Receptor, ...] = (
        Conductance(5e-3, 0.0, "excitatory"),
        Conductance(10e-3, -80e-3, "inhibitory"),
    )
    time_constant: Parameter = 20e-3
    threshold: Parameter = -50e-3
    reset: str | Parameter | None = None
    refractory: float = 0.0
    rest: Parameter = -60e-3
    bias: Parameter = 0.0
    integration: str = "exact"
    strict: bool = False
    initial: Parameter | None = None

    arithmetic = _EXACT
    receptor_kinds = (Conductance,)

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "time_constant", as_parameter("time_constant", self.time_constant, above=0.0))
        for name in ("threshold", "rest", "bias"):
            keep(self, name, as_parameter(name, getattr(self, name)))
        if self.initial is not None:
            keep(self, "initial", as_parameter("initial", self.initial))
        if self.reset is not None:
            keep(self, "reset", check_reset(self.reset))
        check_landing(self.landing, self.threshold, self.strict)
        positive("refractory", self.refractory, zero=True)
        one_of("integration", self.integration, ("exact", "euler"))
        keep(self, "receptors", check_receptors(self.receptors, self.receptor_kinds))
        if self.integration == "euler":
            keep(self, "arithmetic", _EULER)

    @property
    def landing(self) -> str | Parameter:
        """Where the membrane goes after a spike."""
        return self.rest if self.reset is None else self.reset

    def coefficients(self, dt: float) -> Coefficients | EulerCoefficients:
        """Return share, offset, threshold and the two numbers of the reset; for forward Euler its limit, too."""
        membrane_decay(self.time_constant, dt, self.integration)  # refuses forward Euler where it is unstable
        share = dt / np.asarray(self.time_constant)
        others = self.rest + self.bias, self.threshold, *reset_coefficients(self.landing)
        if self.integration == "euler":
            with np.errstate(over="ignore", divide="ignore"):
                return EulerCoefficients(plain(share), *others, plain(np.minimum(2.0 / share - 1.0, _MOST)))
        return Coefficients(plain(share / PARTS), *others)

    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the initial membrane."""
        return (self.rest if self.initial is None else self.initial,)

    @property
    def receptor_list(self) -> tuple[Receptor, ...]:
        """Receptors in order."""
        return self.receptors

    def receptor_coefficients(self, receptor: Receptor, dt: float) -> ConductanceCoefficients:
        """Return decay and reversal potential of a conductance."""
        if not isinstance(receptor, Conductance):
            raise ParameterError(f"ConductanceLIF takes Conductance receptors only, not {receptor!r}")
        decay = receptor_decay(receptor, dt, self.integration)
        return ConductanceCoefficients(decay, receptor.reversal)
