"""Training in PyTorch: a module over a description, surrogate gradients, BPTT and SLTT, the loop around them.

Only this package imports torch (the extra ``train``).
"""

try:
    import torch as _torch
except ImportError as _error:
    from snnsim.errors import missing_dependency

    raise missing_dependency("torch", "train", "training") from _error

from snnsim.training.contrastive import ContrastiveProjection as ContrastiveProjection
from snnsim.training.eventprop import EventProp as EventProp
from snnsim.training.eventprop import EventPropNetwork as EventPropNetwork
from snnsim.training.history import History as History
from snnsim.training.in_the_loop import Fabric as Fabric
from snnsim.training.in_the_loop import in_the_loop as in_the_loop
from snnsim.training.loop import evaluate as evaluate
from snnsim.training.loop import train as train
from snnsim.training.losses import Loss as Loss
from snnsim.training.losses import PerTickCrossEntropy as PerTickCrossEntropy
from snnsim.training.losses import ScoreCrossEntropy as ScoreCrossEntropy
from snnsim.training.memory import MemoryReport as MemoryReport
from snnsim.training.model import TrainableNetwork as TrainableNetwork
from snnsim.training.noise_aware import noise_aware as noise_aware
from snnsim.training.noise_aware import programming_noise as programming_noise
from snnsim.training.pair_history import PairHistory as PairHistory
from snnsim.training.prototypes import PrototypeProjection as PrototypeProjection
from snnsim.training.rules import BPTT as BPTT
from snnsim.training.rules import SLTT as SLTT
from snnsim.training.rules import Outcome as Outcome
from snnsim.training.rules import Rule as Rule
from snnsim.training.software_fabric import SoftwareFabric as SoftwareFabric
from snnsim.training.surrogate import ATan as ATan
from snnsim.training.surrogate import Rectangle as Rectangle
from snnsim.training.surrogate import Sigmoid as Sigmoid
from snnsim.training.surrogate import SuperSpike as SuperSpike
from snnsim.training.surrogate import Surrogate as Surrogate
from snnsim.training.surrogate import Triangle as Triangle

del _torch
