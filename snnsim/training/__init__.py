"""Training in PyTorch: a module over a description, surrogate gradients, learning rules, the loop around them.

Only this package imports torch (the extra ``train``).
"""

try:
    import torch as _torch
except ImportError as _error:
    from snnsim.errors import missing_dependency

    raise missing_dependency("torch", "train", "training") from _error

from snnsim.training.chips.in_the_loop import Fabric as Fabric
from snnsim.training.chips.in_the_loop import in_the_loop as in_the_loop
from snnsim.training.chips.noise_aware import noise_aware as noise_aware
from snnsim.training.chips.noise_aware import programming_noise as programming_noise
from snnsim.training.chips.software_fabric import SoftwareFabric as SoftwareFabric
from snnsim.training.contrastive.contrastive import ContrastiveProjection as ContrastiveProjection
from snnsim.training.contrastive.history import PairHistory as PairHistory
from snnsim.training.contrastive.prototypes import PrototypeProjection as PrototypeProjection
from snnsim.training.eventprop.network import EventPropNetwork as EventPropNetwork
from snnsim.training.eventprop.rule import EventProp as EventProp
from snnsim.training.loop.history import History as History
from snnsim.training.loop.train import evaluate as evaluate
from snnsim.training.loop.train import train as train
from snnsim.training.losses import Loss as Loss
from snnsim.training.losses import PerTickCrossEntropy as PerTickCrossEntropy
from snnsim.training.losses import ScoreCrossEntropy as ScoreCrossEntropy
from snnsim.training.model.memory import MemoryReport as MemoryReport
from snnsim.training.model.trainable_network import TrainableNetwork as TrainableNetwork
from snnsim.training.parameters.surrogates import ATan as ATan
from snnsim.training.parameters.surrogates import Rectangle as Rectangle
from snnsim.training.parameters.surrogates import Sigmoid as Sigmoid
from snnsim.training.parameters.surrogates import SuperSpike as SuperSpike
from snnsim.training.parameters.surrogates import Surrogate as Surrogate
from snnsim.training.parameters.surrogates import Triangle as Triangle
from snnsim.training.rules.base import Outcome as Outcome
from snnsim.training.rules.base import Rule as Rule
from snnsim.training.rules.bptt import BPTT as BPTT
from snnsim.training.rules.dsr import DSR as DSR
from snnsim.training.rules.hooks import StepHooks as StepHooks
from snnsim.training.rules.ottt import OTTT as OTTT
from snnsim.training.rules.sltt import SLTT as SLTT

__all__ = [
    "BPTT",
    "DSR",
    "OTTT",
    "SLTT",
    "ATan",
    "ContrastiveProjection",
    "EventProp",
    "EventPropNetwork",
    "Fabric",
    "History",
    "Loss",
    "MemoryReport",
    "Outcome",
    "PairHistory",
    "PerTickCrossEntropy",
    "PrototypeProjection",
    "Rectangle",
    "Rule",
    "ScoreCrossEntropy",
    "Sigmoid",
    "SoftwareFabric",
    "StepHooks",
    "SuperSpike",
    "Surrogate",
    "TrainableNetwork",
    "Triangle",
    "evaluate",
    "in_the_loop",
    "noise_aware",
    "programming_noise",
    "train",
]

del _torch
