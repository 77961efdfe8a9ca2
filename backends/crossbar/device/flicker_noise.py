r"""1/f noise by held random values: octave k of a cell is a number that is held for :math:`2^k` ticks.

The sum of octaves of equal variance has a spectrum that falls as 1/f from half the tick rate down to about
:math:`2^{-K}` of it, K being the number of octaves (the scheme of R. F. Voss, in M. Gardner, Scientific American
238(4), 1978, and J. McCartney's variant). The number of an octave is a function of cell, octave and ``tick >> octave``:
any tick can be asked for, there is no state.
"""

from __future__ import annotations

from dataclasses import dataclass

from snnsim.backends.crossbar.number_checks import settle_numbers
from snnsim.errors import ParameterError, positive, whole

#: Ticks are 64-bit whole numbers.
MOST_OCTAVES = 62


@dataclass(frozen=True)
class Flicker:
    """1/f noise of a cell's conductance.

    Held values are uniform, so that their sum over octaves is close to a normal number: its excess kurtosis is
    -1.2 / octaves.

    Parameters
    ----------
    deviation : float
        Standard deviation over all octaves, relative to the conductance.
    octaves : int
        Number of octaves; the slowest value is held for ``2 ** (octaves - 1)`` ticks.
    """

    deviation: float
    octaves: int = 16

    def __post_init__(self) -> None:
        settle_numbers(self)
        positive("deviation", self.deviation, zero=True)
        if whole("octaves", self.octaves, at_least=1) > MOST_OCTAVES:
            raise ParameterError(f"octaves={self.octaves!r}: must be at most {MOST_OCTAVES}")

    def describe(self) -> str:
        """Return the numbers."""
        return f"1/f, relative sd {self.deviation:g} over {self.octaves} octaves of ticks"
