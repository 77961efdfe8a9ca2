"""Published networks as plain descriptions: change a parameter, take one apart, or run it as it is."""

from snnsim.circuits.balanced import brunel as brunel
from snnsim.circuits.balanced import brunel_stdp as brunel_stdp
from snnsim.circuits.microcircuit_parameters import MicrocircuitParameters as MicrocircuitParameters
from snnsim.circuits.potjans_diesmann import potjans_diesmann as potjans_diesmann
from snnsim.circuits.vogels_abbott import vogels_abbott_coba as vogels_abbott_coba
from snnsim.circuits.vogels_abbott import vogels_abbott_cuba as vogels_abbott_cuba

__all__ = [
    "MicrocircuitParameters",
    "brunel",
    "brunel_stdp",
    "potjans_diesmann",
    "vogels_abbott_coba",
    "vogels_abbott_cuba",
]
