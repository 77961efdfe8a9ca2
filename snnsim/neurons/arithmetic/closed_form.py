"""The numbers by which neurons go on between events; see `snnsim.neurons.membrane.silent_ticks`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class CurrentForm(NamedTuple):
    """The current of a receptor between events; every array has shape () or (neurons,).

    Parameters
    ----------
    log_decay : ndarray
        Logarithm of what is left after a tick.
    factor : ndarray
        What a current of one adds to the membrane in a tick, gain and coupling.
    apart : ndarray
        Distance d of the logarithms of both decays.
    share : ndarray
        1 / (1 - exp(-d)), or 0 where d is 0.
    peak : ndarray
        An upper bound of R(n) over n.
    """

    log_decay: Floats
    factor: Floats
    apart: Floats
    share: Floats
    peak: Floats


class MembraneForm(NamedTuple):
    """The membrane between events; every array has shape () or (neurons,).

    Parameters
    ----------
    log_decay : ndarray
        Logarithm of what is left of the membrane after a tick.
    rise : ndarray
        1 / (1 - decay), or 0 where the membrane does not leak.
    settled : ndarray
        Where the membrane goes without input.
    threshold : ndarray
        Infinity where the model does not fire.
    """

    log_decay: Floats
    rise: Floats
    settled: Floats
    threshold: Floats


class ClosedForm(NamedTuple):
    """A population between events: its membrane, and each of its exponential receptors in order."""

    membrane: MembraneForm
    currents: tuple[CurrentForm, ...]
