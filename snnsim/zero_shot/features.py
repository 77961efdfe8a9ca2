"""Features of labelled recordings, one vector each: the spike counts of a frozen network, or of the input itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.dataset import LabelledEvents
from snnsim.errors import DataError, ParameterError
from snnsim.events import Events
from snnsim.network.network import Network
from snnsim.simulation.probes import Spikes
from snnsim.simulation.simulation import Simulation

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """One vector a recording.

    Parameters
    ----------
    values : ndarray of float64, shape (recordings, features)
    labels : ndarray of int64, shape (recordings,)
    numbers : ndarray of int64, shape (recordings,), optional
        Numbers of the recordings, which stay with them in any part; by default they are counted.

    Raises
    ------
    DataError
        The shapes do not fit together, or a value is not finite.
    """

    values: NDArray[np.float64]
    labels: IntArray
    numbers: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        values, labels, numbers = np.asarray(self.values, np.float64), np.asarray(self.labels), np.asarray(self.numbers)
        if values.ndim != 2 or labels.shape != values.shape[:1] or (labels.size and labels.dtype.kind not in "iu"):
            raise DataError(
                f"values has shape {values.shape} and labels are {labels.dtype} of shape {labels.shape}; "
                "must be (recordings, features) and a whole number for each recording"
            )
        if not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0]
            raise DataError(f"values: {values[tuple(bad)]} of recording {bad[0]}, feature {bad[1]}; must be finite")
        if not numbers.size:
            numbers = np.arange(labels.size)
        if numbers.shape != labels.shape:
            raise DataError(f"numbers has shape {numbers.shape} for {labels.size} recordings")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "numbers", numbers.astype(np.int64))

    def __len__(self) -> int:
        """Return the number of recordings."""
        return int(self.labels.size)

    def __getitem__(self, which: ArrayLike) -> LabelledFeatures:
        """Return some of the recordings, which keep their numbers."""
        chosen = np.asarray(which)
        if chosen.size == 0:
            chosen = np.zeros(0, np.int64)
        return LabelledFeatures(self.values[chosen], self.labels[chosen], self.numbers[chosen])


def encode(
    network: Network,
    data: LabelledEvents,
    *,
    population: str = "reservoir",
    make_simulation: Callable[[Network], Any] = Simulation,
) -> LabelledFeatures:
    """Run every recording through a network that stays as it is; features are mean spikes a tick of a population.

    Parameters
    ----------
    network : Network
    data : EventDataset or anything with ``events`` and ``labels``
    population : str
        Whose spikes are counted.
    make_simulation : callable
        Makes of a network what has ``run_samples``: where it runs. ``Simulation`` is the cpu backend,
        ``lambda network: Simulation(network, "crossbar", chip=chip)`` a chip.

    Returns
    -------
    LabelledFeatures
    """
    result = make_simulation(network).run_samples(data.events, record=Spikes(population))
    return LabelledFeatures(result.spikes[population].counts() / result.exit_ticks[:, None], data.labels)


def input_counts(data: LabelledEvents) -> LabelledFeatures:
    """Return mean events a tick of every source: what a reservoir has to be better than."""
    if not isinstance(data.events, Events):
        raise ParameterError(f"input_counts counts Events, and the data hold {type(data.events).__name__}")
    return LabelledFeatures(data.events.counts() / np.maximum(data.events.lengths, 1)[:, None], data.labels)
