"""snnsim: describe a spiking network once; train it; run it event-driven on any backend."""

__version__ = "0.1.0"

from snnsim import circuits as circuits
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
from snnsim.learnable import Learnable as Learnable
from snnsim.network import Network as Network
from snnsim.network import Population as Population
from snnsim.network import Projection as Projection
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
from snnsim.neurons import Poisson as Poisson
from snnsim.neurons import PoissonDrive as PoissonDrive
from snnsim.neurons import Scripted as Scripted
from snnsim.plasticity import STDP as STDP
from snnsim.plasticity import Normalisation as Normalisation
from snnsim.plasticity import RewardModulatedSTDP as RewardModulatedSTDP
from snnsim.plasticity import TripletSTDP as TripletSTDP
from snnsim.recording import Spikes as Spikes
from snnsim.recording import Trace as Trace
from snnsim.result import Result as Result
from snnsim.simulation import Simulation as Simulation
from snnsim.simulation import run as run
