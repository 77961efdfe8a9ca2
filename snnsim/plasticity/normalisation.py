"""Keep the sum of the sizes of the weights that a neuron receives over a projection."""

from __future__ import annotations

from dataclasses import dataclass

from snnsim.errors import ParameterError, exactly, positive
from snnsim.timebase import check_length, tick_count

#: A target is left alone where the sum of sizes is below this share of what it should be: scaled, weights of nothing
#: would be rounding errors, or not finite.
NOTHING = 2.0**-64


@dataclass(frozen=True)
class Normalisation:
    """Scale the weights of each target to a fixed sum of sizes, at regular times.

    All weights w of a target are multiplied by ``total / sum(|w|)`` and then cut at the bounds of the rule, so that
    inhibitory weights stay inhibitory, and mixed ones keep their signs; for weights of zero and above it is their sum
    (Goodhill and Barrow 1994, doi:10.1162/neco.1994.6.2.255). A target whose weights are all zero is left alone.

    Parameters
    ----------
    total : float
        The sum of sizes, in the units of the weights.
    every : float
        Seconds from one time to the next; whole ticks of the network's `dt`. It is done at the end of the last tick.
    """

    total: float
    every: float

    def __post_init__(self) -> None:
        positive("Normalisation total", self.total)
        positive("Normalisation every", self.every)
        object.__setattr__(self, "total", float(self.total))
        object.__setattr__(self, "every", float(self.every))

    def ticks(self, dt: float, where: str) -> int:
        """Return `every` in ticks of `dt` seconds."""
        name = f"{where}: Normalisation every"
        count = tick_count(self.every, dt, name=name)
        check_length(count, dt, name=name)
        if count < 1:
            raise ParameterError(f"{name}={exactly(self.every)} s: must be one tick of {exactly(dt)} s or more")
        return count
