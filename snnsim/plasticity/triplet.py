r"""Triplets of spikes (Pfister and Gerstner 2006, doi:10.1523/JNEUROSCI.1425-06.2006).

Pairs alone cannot explain that potentiation grows with the rate of the pairs. Here a postsynaptic spike counts the more
the more postsynaptic spikes came before it, and a presynaptic spike likewise:

.. math::
    \text{pre arrives:}\quad w \leftarrow w - o_1 (A_2^- + A_3^- r_2), \qquad
    \text{post fires:}\quad w \leftarrow w + r_1 (A_2^+ + A_3^+ o_2)

with traces r₁ (τ₊), r₂ (τ_x) of the presynaptic neuron and o₁ (τ₋), o₂ (τ_y) of the postsynaptic one; r₂ and o₂ are
read before they jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snnsim.plasticity.base import Coefficients, PlasticityRule
from snnsim.plasticity.normalisation import Normalisation


@dataclass(frozen=True)
class TripletSTDP(PlasticityRule):
    """Triplet STDP; the defaults are the minimal all-to-all model of the visual cortex data.

    Parameters
    ----------
    pair_potentiation, triplet_potentiation : float
        A₂⁺ and A₃⁺, in the units of the weights (with a multiplicative rule shares of the way to the bound).
    pair_depression, triplet_depression : float
        A₂⁻ and A₃⁻.
    potentiation_time_constant, depression_time_constant : float
        τ₊ and τ₋ in seconds.
    slow_pre_time_constant, slow_post_time_constant : float
        τ_x and τ_y in seconds.
    minimum, maximum : float
        Bounds of the weight; an additive rule may have infinite ones.
    weight_dependence : {"additive", "multiplicative"}
        Whether changes shrink in proportion to the distance from the bound.
    pairing : {"all", "nearest"}
        Whether a trace jumps by one at a spike, or to one.
    normalisation : Normalisation, optional
        Keep the sum of the weights of each target.
    """

    pair_potentiation: float = 0.0
    triplet_potentiation: float = 6.5e-3
    pair_depression: float = 7.1e-3
    triplet_depression: float = 0.0
    potentiation_time_constant: float = 16.8e-3
    depression_time_constant: float = 33.7e-3
    slow_pre_time_constant: float = 101e-3
    slow_post_time_constant: float = 114e-3
    minimum: float = 0.0
    maximum: float = 1.0
    weight_dependence: str = "additive"
    pairing: str = "all"
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        self._check(
            ("pair_potentiation", "triplet_potentiation", "pair_depression", "triplet_depression"),
            (
                "potentiation_time_constant",
                "depression_time_constant",
                "slow_pre_time_constant",
                "slow_post_time_constant",
            ),
        )

    @classmethod
    def visual_cortex(cls, **changes: Any) -> TripletSTDP:
        """Return the minimal model of the visual cortex data, fitted with all pairs; it is the default."""
        return cls(**changes)

    @classmethod
    def hippocampus(cls, **changes: Any) -> TripletSTDP:
        """Return the minimal model of the hippocampal culture data, fitted with all pairs."""
        values: dict[str, Any] = {
            "pair_potentiation": 5.3e-3,
            "triplet_potentiation": 8e-3,
            "pair_depression": 3.5e-3,
            "triplet_depression": 0.0,
            "slow_post_time_constant": 40e-3,
        }
        return cls(**(values | changes))

    @property
    def coefficients(self) -> Coefficients:
        """Amplitudes and bounds."""
        return Coefficients(
            self.pair_potentiation,
            self.triplet_potentiation,
            self.pair_depression,
            self.triplet_depression,
            self.minimum,
            self.maximum,
        )

    @property
    def pre_time_constants(self) -> tuple[float, ...]:
        """Seconds of the two presynaptic traces."""
        return (self.potentiation_time_constant, self.slow_pre_time_constant)

    @property
    def post_time_constants(self) -> tuple[float, ...]:
        """Seconds of the two postsynaptic traces."""
        return (self.depression_time_constant, self.slow_post_time_constant)
