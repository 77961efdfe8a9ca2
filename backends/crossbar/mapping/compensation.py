"""What arrays have lost: known vectors are read, and what comes back is held against what the cells were told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.array_read.noise_keys import PROBES
from snnsim.backends.crossbar.chip.protocol import Integers, Keys, Status
from snnsim.backends.crossbar.mapping.mapping import Mapping
from snnsim.backends.crossbar.number_checks import Floats
from snnsim.numerics import rng

#: Share of rows in a vector that a tile is compensated with, and how many of them.
PROBE_ACTIVITY, PROBE_VECTORS = 0.1, 64


def measured_gain(
    read: Callable[[Integers, Integers, Keys], Floats],
    targets: NDArray[np.float64],
    reference: NDArray[np.float64],
    mapping: Mapping,
    status: Status,
) -> NDArray[np.float64]:
    """Return by which factor the currents of each output of a tile have shrunk, all outputs alike or one by one.

    An output of which nothing comes back, or the opposite, has the factor 1.

    Parameters
    ----------
    read : callable
        ``read(offsets, rows, keys)`` gives the currents of the tile in uA; see `LoopDevice.read`.
    targets : ndarray, shape (rows, columns)
        Conductances that the cells were told to have, in uS.
    reference : ndarray, shape (outputs,)
        Weight of the full range.
    mapping : Mapping
    status : Status
    """
    rows, span = targets.shape[0], status.g_max - status.g_min
    drawn = rng.uniform(0, rng.stream_number("crossbar probes"), np.arange(PROBE_VECTORS * rows))
    active = drawn.reshape(PROBE_VECTORS, rows) < max(PROBE_ACTIVITY, 1 / rows)
    offsets = np.concatenate(([0], np.cumsum(active.sum(1)))).astype(np.int64)
    keys = PROBES + np.arange(PROBE_VECTORS, dtype=np.uint64)
    currents = read(offsets, np.ascontiguousarray(np.nonzero(active)[1]), keys)
    found = mapping.weights(currents / status.read_voltage, reference, span)
    # Against the weights as the cells were told, so that what slices round is no loss.
    told = mapping.weights(targets[:, 0::2] - targets[:, 1::2], reference, span)
    wanted = active.astype(np.float64) @ told
    axis = 0 if mapping.compensate == "output" else None
    above, below = np.sum(found * wanted, axis=axis), np.sum(wanted**2, axis=axis)
    gain = np.divide(above, below, out=np.ones_like(below), where=below > 0)
    return np.broadcast_to(np.where(gain > 0, gain, 1.0), reference.shape).copy()
