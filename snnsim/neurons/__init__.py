"""Neuron models and sources. A new model is one file here and one line in `MODELS`, or a class under `neuron`."""

from snnsim.neurons.adaptive_lif import AdaptiveLIF as AdaptiveLIF
from snnsim.neurons.arithmetic.functions import exp as exp
from snnsim.neurons.arithmetic.functions import maximum as maximum
from snnsim.neurons.arithmetic.functions import minimum as minimum
from snnsim.neurons.arithmetic.functions import where as where
from snnsim.neurons.base import Arithmetic as Arithmetic
from snnsim.neurons.base import NeuronModel as NeuronModel
from snnsim.neurons.conductance_lif import ConductanceLIF as ConductanceLIF
from snnsim.neurons.declared import State as State
from snnsim.neurons.homeostatic_lif import HomeostaticLIF as HomeostaticLIF
from snnsim.neurons.integrate_and_fire import IF as IF
from snnsim.neurons.li import LI as LI
from snnsim.neurons.lif import LIF as LIF
from snnsim.neurons.parameters import Parameter as Parameter
from snnsim.neurons.receptors import Alpha as Alpha
from snnsim.neurons.receptors import Conductance as Conductance
from snnsim.neurons.receptors import Delta as Delta
from snnsim.neurons.receptors import Exponential as Exponential
from snnsim.neurons.receptors import Receptor as Receptor
from snnsim.neurons.receptors import check_weights as check_weights
from snnsim.neurons.registry import MODELS as MODELS
from snnsim.neurons.registry import neuron as neuron
from snnsim.neurons.sources.drives import SECOND as SECOND
from snnsim.neurons.sources.drives import UNREACHED as UNREACHED
from snnsim.neurons.sources.drives import DriveTable as DriveTable
from snnsim.neurons.sources.drives import PoissonDrive as PoissonDrive
from snnsim.neurons.sources.drives import drive_counts as drive_counts
from snnsim.neurons.sources.drives import drive_key as drive_key
from snnsim.neurons.sources.sources import Input as Input
from snnsim.neurons.sources.sources import Poisson as Poisson
from snnsim.neurons.sources.sources import Scripted as Scripted
from snnsim.neurons.sources.sources import Source as Source

#: Every source by name.
SOURCES: dict[str, type[Source]] = {source.__name__: source for source in (Input, Poisson, Scripted)}
#: Every receptor by name.
RECEPTORS: dict[str, type[Receptor]] = {
    receptor.__name__: receptor for receptor in (Delta, Exponential, Alpha, Conductance)
}

__all__ = [
    "IF",
    "LI",
    "LIF",
    "MODELS",
    "RECEPTORS",
    "SECOND",
    "SOURCES",
    "UNREACHED",
    "AdaptiveLIF",
    "Alpha",
    "Arithmetic",
    "Conductance",
    "ConductanceLIF",
    "Delta",
    "DriveTable",
    "Exponential",
    "HomeostaticLIF",
    "Input",
    "NeuronModel",
    "Parameter",
    "Poisson",
    "PoissonDrive",
    "Receptor",
    "Scripted",
    "Source",
    "State",
    "check_weights",
    "drive_counts",
    "drive_key",
    "exp",
    "maximum",
    "minimum",
    "neuron",
    "where",
]
