r"""STDP that waits for a reward.

Pairs of spikes change an eligibility c of each synapse instead of its weight; it decays, and a reward turns what is
left of it into weight (Izhikevich 2007, doi:10.1093/cercor/bhl152):

.. math:: dc/dt = -c/\tau_c + \mathrm{STDP}(\Delta)\,\delta(t - t_\text{pair}), \qquad dw/dt = c\, d

A reward is given between two runs, ``Simulation.reward(projection, value)``. It acts at once,

.. math:: w \leftarrow w + \text{value} \cdot c ,

which is the rule above for dopamine d that is gone much sooner than c (value is the time integral of d). Dopamine that
stays is several rewards, one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

from snnsim.plasticity.base import Coefficients, PlasticityRule
from snnsim.plasticity.normalisation import Normalisation


@dataclass(frozen=True)
class RewardModulatedSTDP(PlasticityRule):
    """Pair-based STDP of an eligibility that a reward turns into weight.

    Parameters
    ----------
    potentiation, depression : float
        Change of the eligibility for a pair of spikes without time between them; times the reward it is a change of
        the weight.
    potentiation_time_constant, depression_time_constant : float
        Seconds in which the effect of a pair falls to 1/e: pre before post, and post before pre.
    eligibility_time_constant : float
        Seconds in which the eligibility falls to 1/e.
    minimum, maximum : float
        Bounds of the weight; an additive rule may have infinite ones. The eligibility has no bounds.
    weight_dependence : {"additive", "multiplicative"}
        Whether changes shrink in proportion to the distance of the weight from its bound.
    pairing : {"all", "nearest"}
        Whether each spike pairs with all spikes before it on the other side, or with the last one.
    normalisation : Normalisation, optional
        Keep the sum of the weights of each target.
    """

    potentiation: float = 0.01
    depression: float = 0.0105
    potentiation_time_constant: float = 20e-3
    depression_time_constant: float = 20e-3
    eligibility_time_constant: float = 1.0
    minimum: float = 0.0
    maximum: float = 1.0
    weight_dependence: str = "additive"
    pairing: str = "all"
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        self._check(
            ("potentiation", "depression"),
            ("potentiation_time_constant", "depression_time_constant", "eligibility_time_constant"),
        )

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

    @property
    def eligibility(self) -> float | None:
        """Seconds of the eligibility."""
        return self.eligibility_time_constant
