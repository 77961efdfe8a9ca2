"""Compiled inner loops of the readers: decoding, ordering, counting.

Imported inside the functions that need them, because importing numba takes longer than reading a small data set.
Serial kernels only, so that the compiled code can be kept between runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import InternalError
from snnsim.numerics.compilation import compiled

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a kernel; what it is called with and returns stays visible to type checkers."""
    return cast(F, compiled(function, cache=True, nogil=True))


#: A run of simultaneous events up to this long is sorted by insertion, which beats the general sort on short runs.
SHORT_RUN = 24


@kernel
def decode_forty_bits(
    raw: NDArray[np.uint8],
    starts: NDArray[np.int64],
    height: int,
    width: int,
    overflow_row: int,
    overflow_ticks: int,
    times: NDArray[np.int64],
    sources: NDArray[np.int32],
    offsets: NDArray[np.int64],
    unordered: NDArray[np.bool_],
) -> tuple[int, int]:
    """Decode recordings of 40-bit events; return (recording, event) of the first one off the sensor, or (-1, -1).

    `starts` are byte positions in `raw`. `times` (microseconds), `sources` (flat index of polarity, y, x), `offsets`
    and `unordered` (does time fall within the recording?) are filled.
    """
    rows = raw.reshape(-1, 5)
    if min(times.size, sources.size) < rows.shape[0] or starts[starts.size - 1] > raw.size:
        raise InternalError("recordings have more events than there is room for")
    written = 0
    for recording in range(starts.size - 1):
        carried = np.int64(0)
        previous = np.int64(-1)
        falls = False
        for event in range(starts[recording] // 5, starts[recording + 1] // 5):
            x = rows[event, 0]
            y = rows[event, 1]
            if y == overflow_row:
                carried += overflow_ticks
                continue
            if x >= width or y >= height:
                return recording, event - starts[recording] // 5
            flags = np.int64(rows[event, 2])
            time = ((flags & 127) << 16) + (np.int64(rows[event, 3]) << 8) + np.int64(rows[event, 4]) + carried
            if time < previous:
                falls = True
            previous = time
            times[written] = time
            sources[written] = ((flags >> 7) * height + y) * width + x
            written += 1
        offsets[recording + 1] = written
        unordered[recording] = falls
    return -1, -1


@kernel
def to_sorted_ticks(
    times: NDArray[np.int64],
    sources: NDArray[np.int32],
    offsets: NDArray[np.int64],
    ratio: int,
    limit: int,
    n_sources: int,
) -> None:
    """Turn times into ticks of `ratio`, drop times from `limit` on, and order by (tick, source), all in place.

    `times` must not fall within a recording; `offsets` is rewritten where events were dropped.
    """
    n_ticks = -(-limit // ratio)
    written = 0
    begin = 0
    for recording in range(offsets.size - 1):
        first = written
        tick = np.int64(0)
        next_tick = np.int64(ratio)
        for event in range(begin, offsets[recording + 1]):
            time = times[event]
            if time >= limit:
                break
            if time >= next_tick:  # dividing costs more than all the rest: only where the tick changes
                tick = time // ratio if ratio > 1 else time
                next_tick = (tick + 1) * ratio
            times[written] = tick
            sources[written] = sources[event]
            written += 1
        begin = offsets[recording + 1]
        offsets[recording + 1] = written
        if written - first > 8 * n_ticks:
            _order_by_counting(times[first:written], sources[first:written], n_ticks, n_sources)
        else:
            _order_runs(times[first:written], sources[first:written])


@kernel
def _order_runs(ticks: NDArray[np.int64], sources: NDArray[np.int32]) -> None:
    begin = 0
    while begin < ticks.size:
        end = begin + 1
        if end == ticks.size or ticks[end] != ticks[begin]:
            begin = end
            continue
        while end < ticks.size and ticks[end] == ticks[begin]:
            end += 1
        if end - begin > SHORT_RUN:
            sources[begin:end].sort()
        else:
            for i in range(begin + 1, end):
                moved = sources[i]
                j = i
                while j > begin and sources[j - 1] > moved:
                    sources[j] = sources[j - 1]
                    j -= 1
                sources[j] = moved
        begin = end


@kernel
def _order_by_counting(ticks: NDArray[np.int64], sources: NDArray[np.int32], n_ticks: int, n_sources: int) -> None:
    """Order by (tick, source) with two stable counting sorts: cheaper than comparing where ticks are few."""
    place = np.zeros(n_sources + 1, np.int64)
    for event in range(sources.size):
        place[sources[event] + 1] += 1
    for source in range(n_sources):
        place[source + 1] += place[source]
    tick_by_source = np.empty(ticks.size, np.int64)
    source_by_source = np.empty(ticks.size, np.int32)
    next_of_tick = np.zeros(n_ticks + 1, np.int64)
    for event in range(sources.size):
        to = place[sources[event]]
        place[sources[event]] = to + 1
        tick_by_source[to] = ticks[event]
        source_by_source[to] = sources[event]
        next_of_tick[ticks[event] + 1] += 1
    for tick in range(n_ticks):
        next_of_tick[tick + 1] += next_of_tick[tick]
    for event in range(sources.size):
        tick = tick_by_source[event]
        to = next_of_tick[tick]
        next_of_tick[tick] = to + 1
        ticks[to] = tick
        sources[to] = source_by_source[event]


@kernel
def count_events(
    ticks: NDArray[np.int64], sources: NDArray[np.int32], offsets: NDArray[np.int64], counts: NDArray[Any]
) -> None:
    """Add one to ``counts[recording, tick, source]`` for each event."""
    for recording in range(offsets.size - 1):
        frame, begin, end = counts[recording], offsets[recording], offsets[recording + 1]
        if begin < end and not 0 <= ticks[begin] <= ticks[end - 1] < frame.shape[0]:
            raise InternalError("a recording has events after its end")
        for event in range(begin, end):
            frame[ticks[event], sources[event]] += 1


@kernel
def count_channels(
    ticks: NDArray[np.int64],
    sources: NDArray[np.int32],
    offsets: NDArray[np.int64],
    chosen: NDArray[np.int64],
    channels: NDArray[np.int64],
    counts: NDArray[Any],
) -> None:
    """Add one to ``counts[row, tick, channels[source]]`` for each event of the recording ``chosen[row]``."""
    for row in range(chosen.size):
        frame, begin, end = counts[row], offsets[chosen[row]], offsets[chosen[row] + 1]
        if begin < end and not 0 <= ticks[begin] <= ticks[end - 1] < frame.shape[0]:
            raise InternalError("a recording has events after its end")
        for event in range(begin, end):
            frame[ticks[event], channels[sources[event]]] += 1


#: What `seconds_to_ticks` finds wrong with a time or a unit.
FINE, NOT_FINITE, NEGATIVE, TOO_LATE, NO_SUCH_UNIT = 0, 1, 2, 3, 4
#: A time this near to a whole tick, in ticks, lies on it: doubles cannot hold decimal fractions of seconds exactly.
NEAR, NEAR_OF_MANY, MOST_TICKS = 1e-9, 4e-16, 2.0**62


@kernel
def seconds_to_ticks(
    seconds: NDArray[np.float64],
    units: NDArray[Any],
    offsets: NDArray[np.int64],
    dt: float,
    n_units: int,
    from_first: bool,
    closed_end: bool,
    ticks: NDArray[np.int64],
    sources: NDArray[np.int32],
    unordered: NDArray[np.bool_],
) -> tuple[int, int, int]:
    """Round times down to ticks; return (what is wrong, recording, event) of the first that is, or (FINE, -1, -1).

    With `from_first`, times count from the earliest of the recording. With `closed_end`, the last tick of a recording
    includes its end, so that its number is ceil(latest / dt). `ticks`, `sources` and `unordered` (does time fall
    within the recording?) are filled.
    """
    for recording in range(offsets.size - 1):
        begin, end = offsets[recording], offsets[recording + 1]
        latest = 0.0
        earliest = seconds[begin] if begin < end else 0.0
        falls = False
        for event in range(begin, end):
            time = seconds[event]
            if not time >= 0.0:
                return (NEGATIVE if time < 0.0 else NOT_FINITE), recording, event - begin
            if time == np.inf:
                return NOT_FINITE, recording, event - begin
            if units[event] < 0 or units[event] >= n_units:
                return NO_SUCH_UNIT, recording, event - begin
            if time >= latest:
                latest = time
            else:
                falls = True
                earliest = min(earliest, time)
        unordered[recording] = falls
        origin = earliest if from_first else 0.0
        last = np.int64(0)
        if begin < end:
            exact = (latest - origin) / dt
            if exact > MOST_TICKS:
                return TOO_LATE, recording, int(np.argmax(seconds[begin:end]))
            nearest = np.rint(exact)
            on_the_grid = abs(exact - nearest) <= max(NEAR, exact * NEAR_OF_MANY)
            last = np.int64(nearest) if on_the_grid else np.int64(np.floor(exact))
            if closed_end and on_the_grid and last > 0:
                last -= 1
        tick, since, until = np.int64(0), np.inf, -np.inf
        for event in range(begin, end):
            time = seconds[event] - origin
            if time < since or time >= until:  # dividing costs more than all the rest: only where the tick may change
                exact = time / dt
                nearest = np.rint(exact)
                if abs(exact - nearest) > max(NEAR, exact * NEAR_OF_MANY):
                    nearest = np.floor(exact)
                # From here to well before the border, all lies in this tick.
                since, until = time, (nearest + 1.0 - 10 * max(NEAR, exact * NEAR_OF_MANY)) * dt
                tick = min(np.int64(nearest), last)
            ticks[event] = tick
            sources[event] = units[event]
    return FINE, -1, -1


@kernel
def order_recordings(
    ticks: NDArray[np.int64], sources: NDArray[np.int32], offsets: NDArray[np.int64], n_sources: int
) -> None:
    """Order the events of each tick by source, in place; ticks must not fall within a recording."""
    for recording in range(offsets.size - 1):
        begin, end = offsets[recording], offsets[recording + 1]
        if begin == end:
            continue
        n_ticks = ticks[end - 1] + 1
        if end - begin > 8 * n_ticks:
            _order_by_counting(ticks[begin:end], sources[begin:end], n_ticks, n_sources)
        else:
            _order_runs(ticks[begin:end], sources[begin:end])
