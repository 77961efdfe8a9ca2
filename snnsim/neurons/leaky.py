"""What leaky membranes share: their parameters, their leak, and the currents that flow into them."""

from __future__ import annotations

from typing import Any

from snnsim.errors import one_of
from snnsim.neurons.base import NeuronModel
from snnsim.neurons.currents import alpha_receptor, exponential_receptor
from snnsim.neurons.parameters import Parameter, as_parameter, membrane_decay
from snnsim.neurons.receptors import Alpha, Delta, Exponential, Receptor, check_receptors


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
        keep(self, "receptors", check_receptors(self.receptors, self.receptor_kinds))

    def leak(self, dt: float) -> tuple[Any, Any, Any]:
        """Return decay, gain and offset: V <- decay * V + (gain * drive + offset)."""
        decay = membrane_decay(self.time_constant, dt, self.integration)
        gain = 1.0 - decay if self.decay_input else 1.0
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
