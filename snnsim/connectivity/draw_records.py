"""What the drawing kernels are told: how a projection is wired, and how its weights and delays are drawn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Kinds of wiring: one in-degree for all targets, an in-degree a target, each pair by chance.
SAME, COUNTED, CHANCE = 0, 1, 2
#: Kinds of values.
CONSTANT, NORMAL, LOG_NORMAL, UNIFORM, KAIMING = 0, 1, 2, 3, 4


class Wiring(NamedTuple):
    """How the sources of a target are drawn."""

    kind: int
    n_sources: int
    n_targets: int
    degree: int
    #: In-degree of each target; empty unless the kind is COUNTED.
    degrees: NDArray[np.int32]
    #: log(1 - probability) where the kind is CHANCE.
    log_rest: float
    self_connections: bool
    key: np.uint64


class Values(NamedTuple):
    """How weights or delays are drawn; the meaning of `a` and `b` is that of the kind."""

    kind: int
    a: float
    b: float
    low: float
    high: float
    seed_key: np.uint64
    stream: np.uint64


class Room(NamedTuple):
    """Arrays for the synapses of one target; `places` are those in the rows of their sources."""

    sources: NDArray[np.int32]
    weights: NDArray[np.float64]
    delays: NDArray[np.float64]
    places: NDArray[np.int64]
