"""The order of a part's plastic synapses within that of `Network.synapses`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import InternalError
from snnsim.network.connection import Connection
from snnsim.numerics.compilation import kernel


class Order(Protocol):
    """Takes values of synapses from one order to the other."""

    def into_part(self, values: NDArray[Any], part: NDArray[Any]) -> None:
        """Fill a part's array from one of all synapses."""

    def out_of_part(self, part: NDArray[Any], values: NDArray[Any]) -> None:
        """Fill the places of a part's synapses in an array of all synapses."""


@dataclass(frozen=True, eq=False)
class RowOrder:
    """One delay for all: a part's row of a source is a piece of the whole row, in the same order.

    Parameters
    ----------
    rows : ndarray of int64, shape (sources + 1,)
        Where the rows of the part begin.
    starts : ndarray of int64, shape (sources,)
        Where their pieces begin among all synapses.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    def into_part(self, values: NDArray[Any], part: NDArray[Any]) -> None:
        """Fill a part's array from one of all synapses."""
        _take_rows(self.rows, self.starts, values, part)

    def out_of_part(self, part: NDArray[Any], values: NDArray[Any]) -> None:
        """Fill the places of a part's synapses in an array of all synapses."""
        _put_rows(self.rows, self.starts, part, values)


@dataclass(frozen=True, eq=False)
class ListedOrder:
    """Delays of their own: a part's rows are in order of delay.

    Parameters
    ----------
    places : ndarray of int64, shape (synapses of the part,)
        Which of all synapses each is.
    """

    places: NDArray[np.int64]

    @classmethod
    def of(cls, connection: Connection, low: int, high: int) -> ListedOrder:
        """Find the synapses onto targets ``low ... high - 1``."""
        drawn = connection.synapses()
        assert drawn.delays is not None
        mine = np.flatnonzero((drawn.targets >= low) & (drawn.targets < high))
        # A row is in order of targets; synapses with one delay stay in it.
        sources = np.searchsorted(drawn.offsets, mine, side="right")
        return cls(mine[np.lexsort((drawn.delays[mine], sources))])

    def into_part(self, values: NDArray[Any], part: NDArray[Any]) -> None:
        """Fill a part's array from one of all synapses."""
        part[:] = values[self.places]

    def out_of_part(self, part: NDArray[Any], values: NDArray[Any]) -> None:
        """Fill the places of a part's synapses in an array of all synapses."""
        values[self.places] = part


@kernel
def _take_rows(rows: NDArray[np.int64], starts: NDArray[np.int64], values: NDArray[Any], part: NDArray[Any]) -> None:
    for source in range(starts.size):
        shift = starts[source] - rows[source]
        if rows[source + 1] > part.size or rows[source + 1] + shift > values.size:
            raise InternalError("a part has more plastic synapses than its projection")
        for i in range(rows[source], rows[source + 1]):
            part[i] = values[i + shift]


@kernel
def _put_rows(rows: NDArray[np.int64], starts: NDArray[np.int64], part: NDArray[Any], values: NDArray[Any]) -> None:
    for source in range(starts.size):
        shift = starts[source] - rows[source]
        if rows[source + 1] > part.size or rows[source + 1] + shift > values.size:
            raise InternalError("a part has more plastic synapses than its projection")
        for i in range(rows[source], rows[source + 1]):
            values[i + shift] = part[i]
