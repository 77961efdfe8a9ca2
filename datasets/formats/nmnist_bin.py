"""Recordings of N-MNIST in their files of 40 bits an event.

Big-endian: 8 bits x, 8 bits y, 1 bit polarity (1 = ON), 23 bits time in microseconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.formats.nmnist_archive import Sample
from snnsim.errors import DataError

SENSOR_SHAPE = (2, 34, 34)
MICROSECOND = 1e-6
BYTES_AN_EVENT = 5
#: The camera marks a wrap of its 13-bit clock by an event of this row; it stands for time, not for a place.
OVERFLOW_ROW = 240
OVERFLOW_MICROSECONDS = 2**13

Columns = tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int16], NDArray[np.int8]]


def read_nmnist_bin(source: bytes | str | Path, *, sort: bool = False) -> Columns:
    """Read one N-MNIST recording.

    Parameters
    ----------
    source : bytes or path
        Contents of a ``.bin`` file, or where it is.
    sort : bool
        Put events in order of time where they are not, instead of raising an error.

    Returns
    -------
    t : ndarray of int64, shape (events,)
        Microseconds, ascending.
    x, y : ndarray of int16, shape (events,)
        Column and row, 0 to 33.
    p : ndarray of int8, shape (events,)
        Polarity, 0 = OFF, 1 = ON.

    Raises
    ------
    DataError
        No such file, a truncated file, coordinates off the sensor, or times out of order.
    """
    if isinstance(source, bytes):
        content, name = source, "recording"
    else:
        name = str(source)
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror or error})") from error
    if len(content) % BYTES_AN_EVENT:
        raise cut_short(len(content), name)
    raw = np.frombuffer(content, np.uint8).reshape(-1, BYTES_AN_EVENT)
    t = (raw[:, 2] & 127).astype(np.int64) << 16
    t += raw[:, 3].astype(np.int64) << 8
    t += raw[:, 4]
    marks = raw[:, 1] == OVERFLOW_ROW
    if marks.any():
        t = (t + np.cumsum(marks) * OVERFLOW_MICROSECONDS)[~marks]
        raw = raw[~marks]
    x, y, p = raw[:, 0].astype(np.int16), raw[:, 1].astype(np.int16), (raw[:, 2] >> 7).astype(np.int8)
    off = (y >= SENSOR_SHAPE[1]) | (x >= SENSOR_SHAPE[2])
    if off.any():
        first = int(np.argmax(off))
        raise _off_sensor(name, int(np.flatnonzero(~marks)[first]), int(x[first]), int(y[first]))
    if np.any(t[1:] < t[:-1]):
        if not sort:
            raise _unordered(name, t)
        order = np.argsort(t, kind="stable")
        t, x, y, p = t[order], x[order], y[order], p[order]
    return t, x, y, p


def decode_recordings(
    chunk: list[Sample], times: NDArray[np.int64], sources: NDArray[np.int32], sort: bool
) -> NDArray[np.int64]:
    """Write microseconds and sources of some recordings one after another, and return where each begins and ends."""
    from snnsim.datasets.event_kernels import decode_forty_bits

    starts = np.concatenate(([0], np.cumsum([sample.size for sample in chunk])))
    raw = np.empty(starts[-1], np.uint8)
    for sample, begin, end in zip(chunk, starts[:-1], starts[1:], strict=True):
        content = sample.read()
        if len(content) != sample.size:
            raise cut_short(len(content), sample.name)
        raw[begin:end] = np.frombuffer(content, np.uint8)
    offsets = np.zeros(len(chunk) + 1, np.int64)
    unordered = np.zeros(len(chunk), np.bool_)
    sensor = (*SENSOR_SHAPE[1:], OVERFLOW_ROW, OVERFLOW_MICROSECONDS)
    bad, event = decode_forty_bits(raw, starts, *sensor, times, sources, offsets, unordered)
    if bad >= 0:
        at = starts[bad] + BYTES_AN_EVENT * event
        raise _off_sensor(chunk[bad].name, event, int(raw[at]), int(raw[at + 1]))
    for recording in np.flatnonzero(unordered):
        part = slice(offsets[recording], offsets[recording + 1])
        if not sort:
            raise _unordered(chunk[recording].name, times[part])
        order = np.argsort(times[part], kind="stable")
        times[part], sources[part] = times[part][order], sources[part][order]
    return offsets


def cut_short(size: int, name: str) -> DataError:
    """Return the error of a file that ends within an event."""
    return DataError(
        f"{name}: {size:,} bytes are not a whole number of events of {BYTES_AN_EVENT} bytes; "
        "the file is cut short or of another format: get it afresh"
    )


def _off_sensor(name: str, event: int, x: int, y: int) -> DataError:
    return DataError(
        f"{name}: event {event} lies at x={x}, y={y}, off the sensor of 34 x 34 pixels; "
        "the file comes from another sensor or is of another format"
    )


def _unordered(name: str, times: NDArray[np.int64]) -> DataError:
    at = int(np.argmax(times[1:] < times[:-1])) + 1
    return DataError(
        f"{name}: times are out of order at event {at} ({int(times[at])} after {int(times[at - 1])} microseconds); "
        "pass sort=True to accept and sort them"
    )
