"""Random weights of resistive switching: what a reservoir is made of where nobody programs its cells.

A pristine cell of resistive memory conducts next to nothing; a voltage above its own breakdown voltage forms it. That
voltage varies from cell to cell, so that one voltage for all forms a random subset, each cell of it to a random
conductance. A weight is the difference of two cells, in microsiemens.

The paper that `NormalPairs` follows is Lin et al. 2025, doi:10.1038/s43588-024-00751-z, a reservoir in 40 nm resistive
memory, whose repository (https://github.com/MrLinNing/MemristorLSM) lacks the file of the reservoir. The moments are
defaults of the same parameters in another repository of its first author (SpeakerAuthentication/models.py of
https://github.com/MrLinNing/RMAdaptiveMachine): that the published weights had them, and that they are microsiemens of
differential pairs, is our reading. The statistics of `BreakdownPairs` are computed from
the source data of Wang et al., Echo state graph neural networks with analogue random resistive memory arrays, Nature
Machine Intelligence 5:104 (2023), doi:10.1038/s42256-023-00609-5: breakdown voltages of a map of 20 x 20 cells,
conductances of formed cells. The conductances of one chip cannot be had from them, only their distribution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.connectivity.distributions import Normal
from snnsim.errors import ParameterError, positive
from snnsim.numerics import rng

Floats = NDArray[np.float64]

#: Mean and standard deviation of breakdown voltages, in volts.
BREAKDOWN_MEAN, BREAKDOWN_SD = 3.433, 0.114
#: Mean and standard deviation of the conductance of formed cells, in microsiemens.
FORMED_MEAN, FORMED_SD = 12.35, 1.86
#: Forms 17 % of the cells: the difference of two then has a standard deviation of 6.66 microsiemens, near that of
#: `NormalPairs`.
VOLTAGE = 3.3246


class WeightStatistics(ABC):
    """Base of what weights are drawn from; concrete ones are frozen dataclasses."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], seed: int, name: str) -> Floats:
        """Return weights in microsiemens; element i depends on (seed, name, i) only.

        Parameters
        ----------
        shape : tuple of int
        seed : int
        name : str
            What the weights are for; another name gives other weights.
        """

    @property
    @abstractmethod
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of a weight, in microsiemens."""


@dataclass(frozen=True)
class NormalPairs(WeightStatistics):
    """Normal weights with the moments of differential pairs.

    Parameters
    ----------
    mean, sd : float
        In microsiemens.
    """

    mean: float = 0.0
    sd: float = 6.61329

    def __post_init__(self) -> None:
        Normal(self.mean, self.sd)  # checks both

    def draw(self, shape: tuple[int, ...], seed: int, name: str) -> Floats:
        """Return normal numbers."""
        stream = rng.stream_number("switching", name, "normal")
        return Normal(self.mean, self.sd).draw(math.prod(shape), seed, stream, 1.0).reshape(shape)

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        return self.mean, self.sd


@dataclass(frozen=True)
class BreakdownPairs(WeightStatistics):
    """Difference of two cells, each formed where the voltage exceeds its own breakdown voltage.

    With the same seed a higher voltage forms the same cells and more.

    Parameters
    ----------
    voltage : float
        Forming voltage of all cells, in volts; it sets how many conduct (`formed`).
    breakdown_mean, breakdown_sd : float
        Of the breakdown voltages, normally distributed, in volts.
    mean, sd : float
        Conductance of a formed cell, in microsiemens: the part above zero of a normal distribution. Other cells have
        none.
    """

    voltage: float = VOLTAGE
    breakdown_mean: float = BREAKDOWN_MEAN
    breakdown_sd: float = BREAKDOWN_SD
    mean: float = FORMED_MEAN
    sd: float = FORMED_SD

    def __post_init__(self) -> None:
        positive("breakdown_sd", self.breakdown_sd)
        positive("mean", self.mean)
        positive("sd", self.sd, zero=True)
        for name in ("voltage", "breakdown_mean"):
            positive(name, getattr(self, name), zero=True)

    @classmethod
    def with_formed(cls, share: float) -> BreakdownPairs:
        """Return the statistics at the voltage that forms this share of the cells, between 0 and 1."""
        given: Any = share
        if not isinstance(given, Real) or not 0.0 < share < 1.0:
            raise ParameterError(f"share={share!r}: must lie between 0 and 1, without the ends")
        return cls(voltage=NormalDist(BREAKDOWN_MEAN, BREAKDOWN_SD).inv_cdf(share))

    @property
    def formed(self) -> float:
        """Expected share of formed cells, the normal distribution function of the voltage."""
        return NormalDist(self.breakdown_mean, self.breakdown_sd).cdf(self.voltage)

    def cells(self, shape: tuple[int, ...], seed: int, name: str) -> Floats:
        """Return conductances of single cells, in microsiemens; zero where a cell is not formed."""
        n = math.prod(shape)
        breakdown = rng.normal(seed, rng.stream_number("switching", name, "breakdown"), np.arange(n))
        stream = rng.stream_number("switching", name, "conductance")
        conductance = Normal(self.mean, self.sd, low=0.0).draw(n, seed, stream, 1.0)
        formed = self.breakdown_mean + self.breakdown_sd * breakdown <= self.voltage
        return np.where(formed, conductance, 0.0).reshape(shape)

    def draw(self, shape: tuple[int, ...], seed: int, name: str) -> Floats:
        """Return differences of two cells."""
        return self.cells(shape, seed, f"{name}/plus") - self.cells(shape, seed, f"{name}/minus")

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation: with p formed, the variance is 2 (p (m² + s²) - p² m²).

        Mean m and variance s² are those of a formed cell, which has only the part above zero of its distribution.
        """
        p, m, square = self.formed, self.mean, self.mean**2
        if self.sd:
            normal = NormalDist(self.mean, self.sd)
            excess = self.sd**2 * normal.pdf(0.0) / normal.cdf(2.0 * self.mean)  # at zero, by what lies above zero
            m, square = self.mean + excess, self.mean**2 + self.sd**2 + self.mean * excess
        return 0.0, math.sqrt(2.0 * (p * square - (p * m) ** 2))


#: Statistics by name: of weights from the inputs, and of weights within the reservoir.
STATISTICS: dict[str, tuple[WeightStatistics, WeightStatistics]] = {
    "normal": (NormalPairs(0.00156, 6.61329), NormalPairs(0.00606, 6.67268)),
    "resistive switching": (BreakdownPairs(), BreakdownPairs()),
}
