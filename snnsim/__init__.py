"""snnsim: describe a spiking network once; train it; run it event-driven on any backend.

    import snnsim as sn

What a network is made of and what runs it stands here; the rest is a name away and imported when it is asked for:
``sn.training`` (the only part that takes torch), ``sn.plot``, ``sn.datasets``, ``sn.energy``, and so on.
"""

import importlib as _importlib
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING

from snnsim.connectivity import Conv2d as Conv2d
from snnsim.connectivity import Dense as Dense
from snnsim.connectivity import FixedInDegree as FixedInDegree
from snnsim.connectivity import FixedProbability as FixedProbability
from snnsim.connectivity import FixedTotalNumber as FixedTotalNumber
from snnsim.connectivity import Kaiming as Kaiming
from snnsim.connectivity import LogNormal as LogNormal
from snnsim.connectivity import MaxPool2d as MaxPool2d
from snnsim.connectivity import Normal as Normal
from snnsim.connectivity import OneToOne as OneToOne
from snnsim.connectivity import Sparse as Sparse
from snnsim.connectivity import SumPool2d as SumPool2d
from snnsim.connectivity import Uniform as Uniform
from snnsim.errors import SnnsimError as SnnsimError
from snnsim.events import Events as Events
from snnsim.frames import Frames as Frames
from snnsim.network.learnable_delay import Learnable as Learnable
from snnsim.network.network import Network as Network
from snnsim.network.population import Population as Population
from snnsim.network.projection import Projection as Projection
from snnsim.neurons import IF as IF
from snnsim.neurons import LI as LI
from snnsim.neurons import LIF as LIF
from snnsim.neurons import AdaptiveLIF as AdaptiveLIF
from snnsim.neurons import Alpha as Alpha
from snnsim.neurons import Conductance as Conductance
from snnsim.neurons import ConductanceLIF as ConductanceLIF
from snnsim.neurons import Delta as Delta
from snnsim.neurons import Exponential as Exponential
from snnsim.neurons import HomeostaticLIF as HomeostaticLIF
from snnsim.neurons import Input as Input
from snnsim.neurons import Parameter as Parameter
from snnsim.neurons import Poisson as Poisson
from snnsim.neurons import PoissonDrive as PoissonDrive
from snnsim.neurons import Scripted as Scripted
from snnsim.neurons import State as State
from snnsim.neurons import neuron as neuron
from snnsim.plasticity import STDP as STDP
from snnsim.plasticity import Normalisation as Normalisation
from snnsim.plasticity import RewardModulatedSTDP as RewardModulatedSTDP
from snnsim.plasticity import TripletSTDP as TripletSTDP
from snnsim.simulation.probes import Spikes as Spikes
from snnsim.simulation.probes import Trace as Trace
from snnsim.simulation.result import Result as Result
from snnsim.simulation.simulation import Simulation as Simulation
from snnsim.simulation.simulation import run as run
from snnsim.version import __version__ as __version__

#: Parts that are imported when they are asked for.
_PARTS = (
    "analysis",
    "architectures",
    "backends",
    "circuits",
    "datasets",
    "early_exit",
    "energy",
    "errors",
    "monte_carlo",
    "plot",
    "report",
    "reservoir",
    "training",
    "zero_shot",
)

__all__ = [
    "IF",
    "LI",
    "LIF",
    "STDP",
    "AdaptiveLIF",
    "Alpha",
    "Conductance",
    "ConductanceLIF",
    "Conv2d",
    "Delta",
    "Dense",
    "Events",
    "Exponential",
    "FixedInDegree",
    "FixedProbability",
    "FixedTotalNumber",
    "Frames",
    "HomeostaticLIF",
    "Input",
    "Kaiming",
    "Learnable",
    "LogNormal",
    "MaxPool2d",
    "Network",
    "Normal",
    "Normalisation",
    "OneToOne",
    "Poisson",
    "PoissonDrive",
    "Population",
    "Projection",
    "Result",
    "RewardModulatedSTDP",
    "Scripted",
    "Simulation",
    "SnnsimError",
    "Sparse",
    "Spikes",
    "SumPool2d",
    "Trace",
    "TripletSTDP",
    "Uniform",
    "__version__",
    "run",
]


if _TYPE_CHECKING:
    from snnsim import analysis as analysis
    from snnsim import architectures as architectures
    from snnsim import backends as backends
    from snnsim import circuits as circuits
    from snnsim import datasets as datasets
    from snnsim import early_exit as early_exit
    from snnsim import energy as energy
    from snnsim import errors as errors
    from snnsim import monte_carlo as monte_carlo
    from snnsim import plot as plot
    from snnsim import report as report
    from snnsim import reservoir as reservoir
    from snnsim import training as training
    from snnsim import zero_shot as zero_shot
else:
    # Hidden from type checkers, to whom it would make every misspelt name a module.
    def __getattr__(name: str) -> _ModuleType:
        if name in _PARTS:
            return _importlib.import_module(f"snnsim.{name}")
        raise AttributeError(f"module 'snnsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})
