"""Times of spikes in seconds, rounded once to ticks, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DataError
from snnsim.numerics.sampling import IntArray
from snnsim.timebase import check_dt


class Columns(NamedTuple):
    """Samples one after another: where each begins, and times (as they are stored) and units of all."""

    offsets: IntArray
    times: NDArray[Any]
    units: NDArray[Any]


@dataclass(frozen=True)
class Rounding:
    """How times become ticks; see `SpikesFile.events` for the parameters."""

    dt: float
    from_first_event: bool
    closed_end: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "dt", check_dt(self.dt))
        for name in ("from_first_event", "closed_end"):
            object.__setattr__(self, name, bool(getattr(self, name)))

    def apply(
        self,
        part: Columns,
        n_units: int,
        sort: bool,
        numbers: IntArray,
        named: Callable[[Any], str],
        ticks: NDArray[np.int64],
        sources: NDArray[np.int32],
    ) -> None:
        """Fill `ticks`, in order within each sample, and `sources`.

        Raises
        ------
        DataError
            A time or a unit that cannot be, or times out of order without `sort`; the message begins with `named` of
            the number of the sample.
        """
        from snnsim.datasets.event_kernels import seconds_to_ticks

        units = part.units if part.units.dtype == np.uint16 else part.units.astype(np.int64)
        seconds, unordered = as_seconds(part.times), np.zeros(numbers.size, np.bool_)
        settings = (self.dt, n_units, self.from_first_event, self.closed_end)
        wrong, sample, event = seconds_to_ticks(seconds, units, part.offsets, *settings, ticks, sources, unordered)
        if wrong:
            at = part.offsets[sample] + event
            reason = _reason(wrong, float(seconds[at]), int(units[at]), n_units, self.dt)
            raise DataError(f"{named(numbers[sample])}: spike {event} {reason}")
        for falling in np.flatnonzero(unordered):
            one = slice(part.offsets[falling], part.offsets[falling + 1])
            if not sort:
                at = int(np.argmax(np.diff(seconds[one]) < 0)) + 1
                before, after = seconds[one][at - 1 : at + 1]
                raise DataError(
                    f"{named(numbers[falling])}: times are out of order at spike {at} ({after:g} after {before:g} s); "
                    "pass sort=True to accept and sort them"
                )
            order = np.lexsort((sources[one], ticks[one]))
            ticks[one], sources[one] = ticks[one][order], sources[one][order]


def _reason(wrong: int, time: float, unit: int, n_units: int, dt: float) -> str:
    from snnsim.datasets.event_kernels import NEGATIVE, NO_SUCH_UNIT, NOT_FINITE, TOO_LATE

    return {
        NOT_FINITE: f"has the time {time}, which is no number of seconds; the file is damaged",
        NEGATIVE: f"is at {time:g} s, before the sample begins at 0 s",
        TOO_LATE: f"is at {time:g} s, more ticks of {dt:g} s than fit in 64 bits",
        NO_SUCH_UNIT: f"comes from unit {unit}, outside 0 ... {n_units - 1}; pass n_units=... for another "
        "number of channels",
    }[wrong]


#: The value of each of the 65,536 half-precision numbers: looking it up takes a tenth of the time of converting.
_HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)


def as_seconds(times: NDArray[Any]) -> NDArray[np.float64]:
    """Return times as they are stored as float64, exactly."""
    if times.dtype.itemsize == 2:
        return _HALVES[times.astype(np.float16, copy=False).view(np.uint16)]
    return times.astype(np.float64, copy=False)
