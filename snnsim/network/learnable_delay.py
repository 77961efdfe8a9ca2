"""Delays that training moves: what a description says of them before they are learned.

Every synapse has a delay of its own, a real number of ticks while it is learned and a whole one when the network runs
(dilated convolutions with learnable spacings, Hammouamri, Khalfaoui-Hassani, Masquelier 2024, arXiv:2306.17670).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, exactly, one_of, positive
from snnsim.numerics import rng

#: Shapes that a synapse has over delays while it is learned; see `snnsim.training.delays.taps`.
LearnedKernel = Literal["gauss", "triangle", "two_tap"]
KERNELS: tuple[str, ...] = get_args(LearnedKernel)


@dataclass(frozen=True)
class Learnable:
    """Delays of a `Dense` projection, one a synapse, that `snnsim.training.TrainableNetwork` can learn.

    Until then they are random: uniform over all ticks of the kernel, the longest a little more likely, as in the
    paper. A network that holds them runs on every backend with these delays rounded to ticks.

    Parameters
    ----------
    maximum : float
        Seconds. The kernel has ``maximum / dt`` ticks, one more where that is even; delays reach from zero to one tick
        less than its length.
    kernel : {"gauss", "triangle", "two_tap"}
        Shape of a synapse over delays in training: a Gaussian bump, a triangle, or two neighbouring ticks.
    """

    maximum: float
    kernel: LearnedKernel = "gauss"

    def __post_init__(self) -> None:
        positive("Learnable maximum", self.maximum)
        one_of("Learnable kernel", self.kernel, KERNELS)

    def longest(self, dt: float) -> int:
        """Return the longest delay in ticks of `dt` seconds, which is even.

        Raises
        ------
        ParameterError
            `maximum` is shorter than a tick.
        """
        ticks = round(self.maximum / dt)
        if ticks < 1:
            raise ParameterError(
                f"Learnable maximum={exactly(self.maximum)} s: must be one tick of dt={exactly(dt)} s or longer"
            )
        return ticks - 1 if ticks % 2 else ticks

    def initial(self, count: int, dt: float, seed: int, name: str) -> NDArray[np.float64]:
        """Return delays in ticks before any training, real numbers.

        Parameters
        ----------
        count : int
            Synapses.
        dt : float
            Seconds a tick.
        seed : int
        name : str
            Of the projection.
        """
        longest = self.longest(dt)
        drawn = rng.uniform(seed, rng.stream_number(name, "delays"), np.arange(count)) * (longest + 1)
        return np.minimum(drawn, float(longest))

    def initial_ticks(self, count: int, dt: float, seed: int, name: str) -> NDArray[np.int64]:
        """Return `initial` rounded to whole ticks."""
        return np.rint(self.initial(count, dt, seed, name)).astype(np.int64)

    def describe(self) -> str:
        """Return the range in a few words."""
        return f"learnable to {self.maximum:g} s"
