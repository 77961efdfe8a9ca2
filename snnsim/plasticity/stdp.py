r"""Pair-based spike-timing-dependent plasticity.

A presynaptic spike that arrives a time Δ before a postsynaptic one raises the weight, one that arrives after it lowers
the weight (Song, Miller and Abbott 2000, doi:10.1038/78829):

.. math::
    \Delta w = A^+ f_+(w)\, e^{-\Delta/\tau_+} \quad (\Delta \ge 0), \qquad
    \Delta w = -A^- f_-(w)\, e^{\Delta/\tau_-} \quad (\Delta < 0)
"""

from __future__ import annotations

from dataclasses import dataclass

from snnsim.plasticity.base import Coefficients, PlasticityRule
from snnsim.plasticity.normalisation import Normalisation


@dataclass(frozen=True)
class STDP(PlasticityRule):
    """Pair-based STDP.

    Parameters
    ----------
    potentiation, depression : float
        Change of the weight for a pair of spikes without time between them, in the units of the weights; with a
        multiplicative rule the share of the way to the bound. Negative values turn the rule round (anti-Hebbian).
    potentiation_time_constant, depression_time_constant : float
        Seconds in which the effect of a pair falls to 1/e: pre before post, and post before pre.
    minimum, maximum : float
        Bounds of the weight; an additive rule may have infinite ones.
    weight_dependence : {"additive", "multiplicative"}
        Whether changes shrink in proportion to the distance from the bound.
    pairing : {"all", "nearest"}
        Whether each spike pairs with all spikes before it on the other side, or with the last one.
    normalisation : Normalisation, optional
        Keep the sum of the weights of each target.
    """

    potentiation: float = 0.01
    depression: float = 0.0105
    potentiation_time_constant: float = 20e-3
    depression_time_constant: float = 20e-3
    minimum: float = 0.0
    maximum: float = 1.0
    weight_dependence: str = "additive"
    pairing: str = "all"
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        self._check(("potentiation", "depression"), ("potentiation_time_constant", "depression_time_constant"))

    @property
    def coefficients(self) -> Coefficients:
        """Amplitudes and bounds; there are no triplets."""
        return Coefficients(self.potentiation, 0.0, self.depression, 0.0, self.minimum, self.maximum)

    @property
    def pre_time_constants(self) -> tuple[float, ...]:
        """Seconds of the one presynaptic trace."""
        return (self.potentiation_time_constant,)

    @property
    def post_time_constants(self) -> tuple[float, ...]:
        """Seconds of the one postsynaptic trace."""
        return (self.depression_time_constant,)
