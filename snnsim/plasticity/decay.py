"""How much is left of a trace after some ticks: one table for all backends, so that they agree bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Ticks of the fine table; the coarse one steps by as many.
FINE = 256
#: What is left of a trace counts as zero when less than this is left, so that no number becomes subnormal.
NOTHING = 2.0**-64


@dataclass(frozen=True, eq=False)
class DecayTable:
    """Exponential decay over whole ticks: n ticks leave ``coarse[n // FINE] * fine[n % FINE]``, rounded once.

    A trace keeps the tick of its last jump and its value there; what is left of it later is one product, whatever has
    or has not been computed in between.

    Parameters
    ----------
    coarse, fine : ndarray of float32 or float64
    last : int
        After more ticks than these nothing is left: about 44 time constants.
    """

    coarse: NDArray[Any]
    fine: NDArray[Any]
    last: int

    @classmethod
    def of(cls, time_constant: float, dt: float, dtype: np.dtype[Any]) -> DecayTable:
        """Return the table of exp(-n dt / time_constant).

        Parameters
        ----------
        time_constant, dt : float
            Seconds.
        dtype : dtype
            Precision of the run.
        """
        last = int(-np.log(NOTHING) * time_constant / dt)
        fine = np.exp(-np.arange(FINE) * (dt / time_constant))
        coarse = np.exp(-np.arange(0, last + 1, FINE) * (dt / time_constant))
        return cls(coarse.astype(dtype), fine.astype(dtype), last)

    def after(self, ticks: ArrayLike) -> NDArray[Any]:
        """Return what is left after `ticks` (zero or more) of them."""
        n = np.asarray(ticks, np.int64)
        known = np.minimum(n, self.last)
        left = self.coarse[known // FINE] * self.fine[known % FINE]
        return np.asarray(np.where(n <= self.last, left, left.dtype.type(0)))

    def flat(self) -> NDArray[Any]:
        """Return what is left after 0, 1, ..., `last` ticks, and a zero."""
        return self.after(np.arange(self.last + 2))
