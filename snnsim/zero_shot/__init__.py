"""Learning across two modalities and answering for classes that were never learned."""

from snnsim.zero_shot.features import LabelledFeatures as LabelledFeatures
from snnsim.zero_shot.features import encode as encode
from snnsim.zero_shot.features import input_counts as input_counts
from snnsim.zero_shot.result import ZeroShotResult as ZeroShotResult
from snnsim.zero_shot.result import ask as ask
from snnsim.zero_shot.retrieval import Retrieval as Retrieval
from snnsim.zero_shot.retrieval import bootstrap_interval as bootstrap_interval
from snnsim.zero_shot.retrieval import retrieve as retrieve
from snnsim.zero_shot.retrieval import wilson_interval as wilson_interval
from snnsim.zero_shot.split import ZeroShotSplit as ZeroShotSplit
from snnsim.zero_shot.split import pair_by_class as pair_by_class
from snnsim.zero_shot.split import split_classes as split_classes

__all__ = [
    "LabelledFeatures",
    "Retrieval",
    "ZeroShotResult",
    "ZeroShotSplit",
    "ask",
    "bootstrap_interval",
    "encode",
    "input_counts",
    "pair_by_class",
    "retrieve",
    "split_classes",
    "wilson_interval",
]
