"""Projections: synapses from one population to another, as a user describes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from snnsim.connectivity import Connectivity
from snnsim.connectivity.distributions import Values, as_values
from snnsim.errors import ParameterError
from snnsim.network.learnable_delay import Learnable
from snnsim.network.population import check_name
from snnsim.plasticity import PlasticityRule
from snnsim.timebase import as_decimals


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population to another.

    Parameters
    ----------
    source, target : str
        Names of the populations.
    connectivity : Connectivity
        For instance ``Dense(weights)``.
    delay : float, array, Distribution or Learnable
        Seconds, whole ticks of the network's `dt`; one for all synapses, or one a synapse (in the shape or order of
        the connectivity's weights; values of a Distribution are rounded to ticks, at least one tick). `Learnable` ones
        are random until `snnsim.training` learns them.
    receptor : str, optional
        Name of the target's receptor; default its first.
    name : str, optional
        Default ``"source->target"``.
    plasticity : PlasticityRule, optional
        How spikes change the weights, for instance ``STDP(...)``; default they stay.
    """

    source: str
    target: str
    connectivity: Connectivity
    delay: Values | Learnable = 0.0
    receptor: str | None = None
    name: str = ""
    plasticity: PlasticityRule | None = None

    def __post_init__(self) -> None:
        for end in ("source", "target"):
            if not isinstance(getattr(self, end), str):
                raise ParameterError(f"projection: {end}={getattr(self, end)!r}: give the name of the population")
        if self.name == "":
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        check_name("projection", self.name)
        for part in ("connectivity", "delay", "plasticity"):
            if isinstance(given := getattr(self, part), type):
                raise ParameterError(f"projection {self.name!r}: {part} is the class; write {given.__name__}(...)")
        if not isinstance(self.connectivity, Connectivity):
            raise ParameterError(f"projection {self.name!r}: {self.connectivity!r} is no Connectivity")
        if not isinstance(self.delay, Learnable):
            object.__setattr__(self, "delay", as_values(f"{self.name}: delay", as_decimals(self.delay)))
        if self.plasticity is not None and not isinstance(self.plasticity, PlasticityRule):
            raise ParameterError(f"projection {self.name!r}: plasticity={self.plasticity!r} is no plasticity rule")

    @cached_property
    def rule(self) -> Connectivity:
        """The connectivity as it acts between these ends: only within a population is i to i a self-connection."""
        return self.connectivity if self.source == self.target else self.connectivity.between_populations()
