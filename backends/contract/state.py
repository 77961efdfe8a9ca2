"""The state of a run: everything that it carries from one tick to the next, laid out alike on every backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.plasticity import PlasticState


@dataclass
class State:
    """Everything that a run carries from one tick to the next, for each recording of a batch.

    Parameters
    ----------
    floats : ndarray, shape (recordings, floats)
        Neuron states, receptor currents and input on its way; see `Layout`.
    counters : ndarray of int32, shape (recordings, counters)
        Refractory ticks left.
    tick : int
        The next tick.
    visited : ndarray of int64, shape (recordings, neurons), optional
        Tick up to which each neuron is advanced, where that is not `tick`: a backend that visits neurons only when
        events reach them leaves them there (see `snnsim.backends.contract.silent_neurons`).
    plastic : tuple of PlasticState
        One for each plastic projection. A backend may hold the weights back in an order of its own until
        `Program.settle` asks for them.
    """

    floats: NDArray[Any]
    counters: NDArray[np.int32]
    tick: int = 0
    visited: NDArray[np.int64] | None = None
    plastic: tuple[PlasticState, ...] = ()
