"""What programming a cell does: levels, the error of an attempt, and the loop that reads back and tries again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnsim.backends.crossbar.device.curves import Curve, check_curve
from snnsim.backends.crossbar.number_checks import Floats, settle_numbers
from snnsim.errors import ParameterError, positive, whole


@dataclass(frozen=True)
class ProgrammingNoise:
    """Gaussian error of a programming attempt, in microsiemens, that depends on the target.

    The conductance an attempt leaves is cut at zero, so that the mean error of small targets is above zero.

    Parameters
    ----------
    deviation : Curve
        Standard deviation (uS) at a target (uS).
    offset : Curve, optional
        Mean error (uS) at a target; default none.
    """

    deviation: Curve
    offset: Curve | None = None

    def __post_init__(self) -> None:
        settle_numbers(self)
        check_curve("deviation", self.deviation)
        if self.offset is not None:
            check_curve("offset", self.offset, negative=True)

    def sigma(self, target: Floats) -> Floats:
        """Return the standard deviation (uS) at each target (uS)."""
        return self.deviation(target)

    def mean(self, target: Floats) -> Floats | None:
        """Return the mean error (uS) at each target (uS); None where there is none at all."""
        return None if self.offset is None else self.offset(target)

    def describe(self) -> str:
        """Return the formulas."""
        text = f"error of sd {self.deviation.describe()} (uS, of the target), cut at 0"
        return text if self.offset is None else f"{text}; mean error {self.offset.describe()}"


@dataclass(frozen=True)
class FormedNoise:
    """Conductance of cells by dielectric breakdown: chance decides it, whatever the target asked for.

    A target of zero leaves the cell pristine, with no conductance; any other forms it.

    Parameters
    ----------
    average : float
        Mean conductance of a formed cell, uS.
    deviation : float
        Its standard deviation from cell to cell and from attempt to attempt, uS; at most half the average, so that few
        cells are cut at zero, which would not be formed.
    """

    average: float
    deviation: float

    def __post_init__(self) -> None:
        settle_numbers(self)
        positive("average", self.average)
        positive("deviation", self.deviation, zero=True)
        if self.deviation > self.average / 2:
            raise ParameterError(
                f"deviation={self.deviation!r}: must be at most half of average={self.average!r}; a normal number so "
                "wide is below zero for too many cells, which formed ones are not"
            )

    def sigma(self, target: Floats) -> Floats:
        """Return the standard deviation (uS) at each target (uS)."""
        return np.where(target > 0, self.deviation, 0.0)

    def mean(self, target: Floats) -> Floats | None:
        """Return the mean error (uS) at each target (uS)."""
        return np.where(target > 0, self.average - target, 0.0)

    def describe(self) -> str:
        """Return the formulas."""
        return f"a target above 0 forms the cell: {self.average:g} +- {self.deviation:g} uS, cut at 0; else 0"


@dataclass(frozen=True)
class WriteVerify:
    """Read a cell back after programming and program it again while it is off by more than the tolerance.

    The read has the device's white read noise of that moment. A cell that is still off after the last attempt stays
    as that attempt left it.

    Parameters
    ----------
    tolerance : float
        uS; a cell that reads within this of its target is done.
    iterations : int
        Most attempts, the first included.
    correction : float
        Share of the deviation read by which the aim of the next attempt is moved, 0 to 1. With 0 each attempt is
        another throw of the same dice; above, the loop also takes away the cell's own gain and mean errors.
    """

    tolerance: float
    iterations: int
    correction: float = 0.5

    def __post_init__(self) -> None:
        settle_numbers(self)
        positive("tolerance", self.tolerance)
        whole("iterations", self.iterations, at_least=1)
        positive("correction", self.correction, zero=True)
        if self.correction > 1:
            raise ParameterError(f"correction={self.correction!r}: must lie between 0 and 1")

    def describe(self) -> str:
        """Return the numbers."""
        return (
            f"again while off by more than {self.tolerance:g} uS, at most {self.iterations} attempts, "
            f"aim moved by {self.correction:g} of the deviation"
        )


def nearest_levels(target: Floats, levels: int | None, low: float, high: float) -> Floats:
    """Return the programmable conductance nearest to each target; of two equally near, the even level."""
    if levels is None:
        return target
    step = (high - low) / (levels - 1)
    return np.asarray(low + np.rint((target - low) / step) * step)
