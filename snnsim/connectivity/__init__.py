"""Connection rules. A new rule is one class here and one line in `RULES`."""

from snnsim.connectivity.base import Connectivity as Connectivity
from snnsim.connectivity.distributions import DISTRIBUTIONS as DISTRIBUTIONS
from snnsim.connectivity.distributions import Distribution as Distribution
from snnsim.connectivity.distributions import Kaiming as Kaiming
from snnsim.connectivity.distributions import LogNormal as LogNormal
from snnsim.connectivity.distributions import Normal as Normal
from snnsim.connectivity.distributions import Uniform as Uniform
from snnsim.connectivity.explicit import Dense as Dense
from snnsim.connectivity.explicit import OneToOne as OneToOne
from snnsim.connectivity.explicit import Sparse as Sparse
from snnsim.connectivity.random import FixedInDegree as FixedInDegree
from snnsim.connectivity.random import FixedProbability as FixedProbability
from snnsim.connectivity.random import FixedTotalNumber as FixedTotalNumber
from snnsim.connectivity.spatial import Conv2d as Conv2d
from snnsim.connectivity.spatial import MaxPool2d as MaxPool2d
from snnsim.connectivity.spatial import SumPool2d as SumPool2d
from snnsim.connectivity.synapses import Key as Key
from snnsim.connectivity.synapses import Synapses as Synapses

#: Every rule by name.
RULES: dict[str, type[Connectivity]] = {
    rule.__name__: rule
    for rule in (
        Dense,
        Sparse,
        OneToOne,
        Conv2d,
        SumPool2d,
        MaxPool2d,
        FixedProbability,
        FixedInDegree,
        FixedTotalNumber,
    )
}

__all__ = [
    "DISTRIBUTIONS",
    "RULES",
    "Connectivity",
    "Conv2d",
    "Dense",
    "Distribution",
    "FixedInDegree",
    "FixedProbability",
    "FixedTotalNumber",
    "Kaiming",
    "Key",
    "LogNormal",
    "MaxPool2d",
    "Normal",
    "OneToOne",
    "Sparse",
    "SumPool2d",
    "Synapses",
    "Uniform",
]
