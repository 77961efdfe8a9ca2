"""Local learning rules that run inside the engine; see `snnsim.plasticity.base` and docs/plasticity.md."""

from snnsim.plasticity.base import Coefficients as Coefficients
from snnsim.plasticity.base import PlasticityRule as PlasticityRule
from snnsim.plasticity.normalisation import Normalisation as Normalisation
from snnsim.plasticity.reward import RewardModulatedSTDP as RewardModulatedSTDP
from snnsim.plasticity.stdp import STDP as STDP
from snnsim.plasticity.triplet import TripletSTDP as TripletSTDP

#: Every plasticity rule by name.
PLASTICITY: dict[str, type[PlasticityRule]] = {rule.__name__: rule for rule in (STDP, TripletSTDP, RewardModulatedSTDP)}

__all__ = [
    "PLASTICITY",
    "STDP",
    "Coefficients",
    "Normalisation",
    "PlasticityRule",
    "RewardModulatedSTDP",
    "TripletSTDP",
]
