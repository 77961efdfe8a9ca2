"""Digital-analog converters at the rows: real values as voltages of so many steps.

A converter of ``bits`` bits has the codes ``-(2**(bits - 1) - 1) ... 2**(bits - 1) - 1``, as the converters at the
columns have: symmetric, with a code for zero. The outermost codes drive a row with plus and minus the read voltage, for
the values ``full_scale`` and ``-full_scale``; what lies beyond is held there. Halves are rounded to even codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.array_read.converter import FEWEST_BITS, MOST_BITS
from snnsim.backends.crossbar.number_checks import settle_numbers
from snnsim.errors import ParameterError, positive, whole


@dataclass(frozen=True)
class DAC:
    """A kind of converter at the rows of a chip that is given real values (`snnsim.Frames`).

    Parameters
    ----------
    bits : int
        2 to 20.
    full_scale : float
        Value that drives a row with the whole read voltage.

    Raises
    ------
    ParameterError
        A value is out of range.
    """

    bits: int
    full_scale: float = 1.0

    def __post_init__(self) -> None:
        settle_numbers(self)
        if whole("DAC: bits", self.bits, at_least=FEWEST_BITS) > MOST_BITS:
            raise ParameterError(f"DAC: bits={self.bits!r}: must be a whole number, {FEWEST_BITS} to {MOST_BITS}")
        positive("DAC: full_scale", self.full_scale)

    @property
    def largest_code(self) -> int:
        """The code of ``full_scale``."""
        return int(2 ** (self.bits - 1) - 1)

    def levels(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the voltages that values become, as shares of the read voltage."""
        codes = np.rint(np.asarray(values, np.float64) / self.full_scale * self.largest_code)
        return np.asarray(np.clip(codes, -self.largest_code, self.largest_code) / self.largest_code)
