"""Synapses in their plain form, which every rule expands to: rows of sources, each sorted as the rule says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


class Key(NamedTuple):
    """Key of the random numbers of a projection."""

    seed: int
    name: str


@dataclass(frozen=True, eq=False)
class Synapses:
    """All synapses of a projection, row by row of sources; the arrays are read-only.

    Parameters
    ----------
    offsets : ndarray of int64, shape (sources + 1,)
        Where the row of each source starts.
    targets : ndarray of int32, shape (synapses,)
    weights : ndarray of float64, shape (synapses,)
    delays : ndarray of int32, shape (synapses,), or None
        Ticks of each synapse; None where the projection has one delay.
    once : bool
        A target counts at most one spike of this projection in a tick (max pooling).
    order : ndarray of int64, shape (synapses,), or None
        Which element of the user's arrays each synapse is; None where they are in the same order.
    """

    offsets: NDArray[np.int64]
    targets: NDArray[np.int32]
    weights: NDArray[np.float64]
    delays: NDArray[np.int32] | None = None
    once: bool = False
    order: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        # Read-only, since an array may be the one that the network holds; and so all are of one type to the kernels.
        for name in ("offsets", "targets", "weights", "delays", "order"):
            array = getattr(self, name)
            if array is not None:
                view = array.view()
                view.setflags(write=False)
                object.__setattr__(self, name, view)
