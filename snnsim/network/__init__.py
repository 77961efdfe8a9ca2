"""Networks: populations, projections, and what follows from them."""

from snnsim.network.connection import Connection as Connection
from snnsim.network.learnable_delay import Learnable as Learnable
from snnsim.network.network import Network as Network
from snnsim.network.population import Population as Population
from snnsim.network.projection import Projection as Projection

__all__ = [
    "Connection",
    "Learnable",
    "Network",
    "Population",
    "Projection",
]
