"""What leaky membranes share: their parameters, their leak, and the currents that flow into them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snnsim.errors import ParameterError, one_of
from snnsim.neurons.base import NeuronModel
from snnsim.neurons.parameters import Parameter, as_parameter, membrane_decay
from snnsim.neurons.receptors import Delta, Exponential, ExponentialCoefficients, Receptor, exponential_receptor


class LeakyModel(NeuronModel):
    """Base of the models with a leaky membrane; see `LIF` for what the parameters mean."""

    time_constant: Parameter
    rest: Parameter
    bias: Parameter
    receptors: tuple[Receptor, ...]
    decay_input: bool
    integration: str
    initial: Parameter | None

    receptor_kinds = (Delta, Exponential)

    def check_membrane(self) -> None:
        """Check and normalise the parameters of the membrane."""
        keep = object.__setattr__
        keep(self, "time_constant", as_parameter("time_constant", self.time_constant, at_least=0.0, infinite=True))
        for name in ("rest", "bias"):
            keep(self, name, as_parameter(name, getattr(self, name)))
        if self.initial is not None:
            keep(self, "initial", as_parameter("initial", self.initial))
        one_of("integration", self.integration, ("exact", "euler"))
        given: Any = self.receptors
        listed = given if isinstance(given, Iterable) else (given,)
        receptors = tuple(listed)
        if not receptors or not all(isinstance(receptor, (Delta, Exponential)) for receptor in receptors):
            raise ParameterError(f"receptors={given!r}: expected Delta(...) or Exponential(...), at least one")
        names = [receptor.name for receptor in receptors]
        if len(set(names)) != len(names):
            raise ParameterError(f"receptors: two have the same name; names are {names}")
        keep(self, "receptors", receptors)

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

    def receptor_coefficients(self, receptor: Receptor, dt: float) -> ExponentialCoefficients:
        """Return (decay, coupling) of an exponential receptor; the coupling undoes the gain, meant for delta input."""
        assert isinstance(receptor, Exponential)
        decay, coupling = exponential_receptor(receptor, self.time_constant, dt, self.integration)
        return ExponentialCoefficients(decay, coupling / self.leak(dt)[1])
