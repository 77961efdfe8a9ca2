"""What leaky membranes share: their parameters, their leak, and the currents that flow into them."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.errors import ParameterError, one_of
from snnsim.neurons.base import NeuronModel
from snnsim.neurons.membrane.currents import alpha_receptor, exponential_receptor
from snnsim.neurons.parameters import Parameter, as_parameter, membrane_decay
from snnsim.neurons.receptors import Alpha, Delta, Exponential, Receptor, check_receptors

#: Ticks of a time constant beyond which 1 - decay is wrong by more than 1 % in float64.
SLOWEST_WITH_DECAY_INPUT = 1e14


class LeakyModel(NeuronModel):
    """Base of the models with a leaky membrane; see `LIF` for what the parameters mean."""

    time_constant: Parameter
    rest: Parameter
    bias: Parameter
    receptors: tuple[Receptor, ...]
    decay_input: bool
    integration: str
    initial: Parameter | None

    receptor_kinds = (Delta, Exponential, Alpha)

    def check_membrane(self) -> None:
        """Check and normalise the parameters of the membrane."""
        keep = object.__setattr__
        keep(self, "time_constant", as_parameter("time_constant", self.time_constant, at_least=0.0, infinite=True))
        for name in ("rest", "bias"):
            keep(self, name, as_parameter(name, getattr(self, name)))
        if self.initial is not None:
            keep(self, "initial", as_parameter("initial", self.initial))
        one_of("integration", self.integration, ("exact", "euler"))
        if self.decay_input and np.any(np.isinf(self.time_constant)):
            raise ParameterError(
                "time_constant=inf with decay_input=True: delta input and bias would be multiplied by 1 - decay, which "
                "is zero; use decay_input=False"
            )
        keep(self, "receptors", check_receptors(self.receptors, self.receptor_kinds))

    @property
    def forgets(self) -> Any:
        """Where the membrane keeps nothing from one tick to the next, and a reset has no effect."""
        return np.asarray(self.time_constant) == 0

    def leak(self, dt: float) -> tuple[Any, Any, Any]:
        """Return decay, gain and offset: V <- decay * V + (gain * drive + offset)."""
        decay = membrane_decay(self.time_constant, dt, self.integration)
        gain = 1.0 - decay if self.decay_input else 1.0
        if self.decay_input and np.any(np.asarray(self.time_constant) > SLOWEST_WITH_DECAY_INPUT * dt):
            raise ParameterError(
                f"time_constant={np.max(self.time_constant):g} s with decay_input=True: 1 - decay, which delta input "
                f"and bias are multiplied by, is lost in rounding at ticks of {dt:g} s; use decay_input=False, or a "
                "coarser dt"
            )
        return decay, gain, self.rest * (1.0 - decay) + gain * self.bias

    @property
    def initial_membrane(self) -> Parameter:
        """Membrane before the first tick."""
        return self.rest if self.initial is None else self.initial

    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the initial membrane."""
        return (self.initial_membrane,)

    @property
    def receptor_list(self) -> tuple[Receptor, ...]:
        """Receptors in order."""
        return self.receptors

    def receptor_coefficients(self, receptor: Receptor, dt: float) -> tuple[Any, ...]:
        """Return the coefficients of a current; its couplings undo the gain, which is meant for delta input."""
        gain = self.leak(dt)[1]
        if isinstance(receptor, Alpha):
            alpha = alpha_receptor(receptor, self.time_constant, dt, self.integration)
            return alpha._replace(coupling=alpha.coupling / gain, rise_coupling=alpha.rise_coupling / gain)
        assert isinstance(receptor, Exponential)
        current = exponential_receptor(receptor, self.time_constant, dt, self.integration)
        return current._replace(coupling=current.coupling / gain)
