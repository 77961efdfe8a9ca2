"""Training with a chip in the loop: the forward pass runs on the device, the backward pass is exact.

The currents of the chip take the place of the products of spikes and weights; membranes, batch norm and losses stay
digital. The gradient is that of the network as described, taken at the membranes that the chip produced, so that the
weights learn to live with what the device does to them: chip-in-the-loop training (Schmitt et al. 2017,
doi:10.1109/IJCNN.2017.7966125; Cramer et al. 2022, doi:10.1073/pnas.2109194119).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Fabric(Protocol):
    """Projections of a network on a chip: weights in, drives out."""

    @property
    def projections(self) -> Collection[str]:
        """Names of the projections that the chip computes; all others are computed in software."""

    def program(self, weights: Mapping[str, NDArray[np.float64]]) -> None:
        """Program the chip.

        Parameters
        ----------
        weights : dict of str to ndarray of float64
            Of every projection in `projections`: shape (sources, targets), of convolutions (channels out, channels in,
            height, width).
        """

    def drive(
        self,
        projection: str,
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        indices: NDArray[Any],
        keys: NDArray[np.uint64],
    ) -> NDArray[Any]:
        """Return what the spikes of some vectors deliver through a projection, in units of its weights.

        Parameters
        ----------
        projection : str
        begin, end : ndarray of int64, shape (vectors,)
            Vector ``i`` holds the sources ``indices[begin[i]:end[i]]``; the lists need not lie side by side.
        indices : ndarray of int
            Flat numbers of sources, ascending in each list; one that fires twice in a tick is there twice.
        keys : ndarray of uint64, shape (vectors,)
            Key of the noise of each vector, the same for the same vector of the same minibatch whenever it is computed.

        Returns
        -------
        ndarray of float, shape (vectors, targets)
        """
