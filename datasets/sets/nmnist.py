"""N-MNIST: the digits of MNIST seen by an event camera that makes three saccades.

Format: 40 bits an event, big-endian: 8 bits x, 8 bits y, 1 bit polarity (1 = ON), 23 bits time in microseconds.

Orchard, Jayawant, Cohen, Thakor: Converting static image datasets to spiking neuromorphic datasets using saccades,
Frontiers in Neuroscience 9:437 (2015), doi:10.3389/fnins.2015.00437. Licence of the data: CC BY-SA 4.0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from snnsim.datasets.cache import cached, fingerprint
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.downloads.download import download
from snnsim.datasets.formats.nmnist_archive import Sample, open_samples
from snnsim.errors import DataError, ParameterError, one_of, positive
from snnsim.events import Events
from snnsim.timebase import tick_ratio

SENSOR_SHAPE = (2, 34, 34)
CLASSES = tuple(str(digit) for digit in range(10))
#: The smallest round length that covers what was measured: the last of 4,518,827 events of 1,100 recordings (the first
#: 1,000 for training and the first 100 for testing) comes at 336,040 microseconds.
DURATION = 0.34
MICROSECOND = 1e-6
BYTES_AN_EVENT = 5
#: The camera marks a wrap of its 13-bit clock by an event of this row; it stands for time, not for a place.
OVERFLOW_ROW = 240
OVERFLOW_MICROSECONDS = 2**13
#: Raise when the reader gives another result for the same file: caches of before are then not found.
READER_VERSION = 2
#: Recordings decoded at a time: enough to make the calls cheap, few enough to stay in the processor's cache.
CHUNK = 64
#: From how many recordings on a progress bar is worth its place.
SHOWN_FROM = 2000
SOURCE = (
    "N-MNIST, recorded with an ATIS event camera from MNIST digits on a screen during three saccades "
    "(Orchard et al. 2015, doi:10.3389/fnins.2015.00437; CC BY-SA 4.0)"
)

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
        raise _cut_short(len(content), name)
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


def load_nmnist(
    path: str | Path | None = None,
    *,
    split: str = "train",
    dt: float = MICROSECOND,
    duration: float | None = None,
    crop: bool = False,
    sort: bool = False,
    limit: int | None = None,
    cache: bool = False,
    progress: bool = True,
) -> EventDataset:
    """Load N-MNIST from its original files.

    Parameters
    ----------
    path : path, optional
        A folder or a zip with ``Train/<class>/<number>.bin`` and ``Test/<class>/<number>.bin``, or with ``Train.zip``
        and ``Test.zip`` that hold them; nothing is unpacked to disk. By default the data folder (see
        `snnsim.datasets.data_folder`), into which the split is downloaded if it is not there.
    split : {"train", "test"}
        The split of the publishers.
    dt : float
        Seconds a tick, a whole number of microseconds. Several events in one tick stay several.
    duration : float, optional
        Length of a recording in seconds, 0.34 s by default; a last tick that is not full counts.
    crop : bool
        Drop events after `duration` instead of raising an error.
    sort : bool
        Accept recordings whose times are not in order, and sort them.
    limit : int, optional
        Only so many samples, the first in the official order.
    cache : bool
        Keep the result in the data folder, and take it from there the next time (see `snnsim.datasets.cached`). Reading
        a zip takes no longer than reading the cache, so this pays for folders of many files and slow disks only.
    progress : bool
        Show a progress bar while many samples are read, if standard error is a terminal.

    Returns
    -------
    EventDataset
        Samples in the official order (that of MNIST), sensor shape (2, 34, 34).

    Raises
    ------
    DataError
        Damaged or wrong files; the message names the file and says what to do.
    ParameterError
        An argument out of range.
    """
    one_of("split", split, ("train", "test"))
    ratio = tick_ratio(dt, MICROSECOND)
    length = DURATION if duration is None else duration
    positive("duration", length)
    microseconds = round(length / MICROSECOND)
    if microseconds < 1:
        raise ParameterError(f"duration={duration!r} s is shorter than the microsecond that the recordings resolve")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 1):
        raise ParameterError(f"limit={limit!r}: must be a whole number, 1 or above, or None for all samples")
    where = download("nmnist", splits=[split]) if path is None else Path(path)

    def build() -> EventDataset:
        with open_samples(where, split) as samples:
            return _read(samples[:limit], split, ratio, dt, microseconds, crop, sort, progress)

    if not cache or not where.exists():
        return build()
    settings = {"split": split, "ratio": ratio, "microseconds": microseconds, "crop": crop, "sort": sort}
    return cached(
        build,
        name=f"nmnist-{split}",
        key={"reader": READER_VERSION, "limit": limit, **settings, "content": fingerprint(where)},
    )


def _read(
    samples: list[Sample],
    split: str,
    ratio: int,
    dt: float,
    microseconds: int,
    crop: bool,
    sort: bool,
    progress: bool,
) -> EventDataset:
    from snnsim.datasets.event_kernels import to_sorted_ticks

    for sample in samples:
        if sample.size % BYTES_AN_EVENT:
            raise _cut_short(sample.size, sample.name)
    room = sum(sample.size for sample in samples) // BYTES_AN_EVENT
    n_ticks, n_sources = -(-microseconds // ratio), int(np.prod(SENSOR_SHAPE))
    ticks, sources = np.empty(room, np.int64), np.empty(room, np.int32)
    offsets = np.zeros(len(samples) + 1, np.int64)
    shown = None if progress and len(samples) > SHOWN_FROM else True  # None: only where standard error is a terminal
    with tqdm(total=len(samples), unit="sample", desc=f"N-MNIST {split}", disable=shown) as bar:
        for first in range(0, len(samples), CHUNK):
            chunk = samples[first : first + CHUNK]
            start = offsets[first]
            local = _decode(chunk, ticks[start:], sources[start:], sort)
            if not crop:
                _check_duration(chunk, ticks[start:], local, microseconds)
            to_sorted_ticks(ticks[start:], sources[start:], local, ratio, microseconds, n_sources)
            offsets[first + 1 : first + 1 + len(chunk)] = start + local[1:]
            bar.update(len(chunk))
    total = int(offsets[-1])
    if total < room:
        ticks, sources = ticks[:total].copy(), sources[:total].copy()
    events = Events(ticks, sources, offsets, n_sources, n_ticks, float(dt)).trimmed()
    labels = np.array([sample.label for sample in samples], np.int64)
    return EventDataset(events, labels, CLASSES, SENSOR_SHAPE, f"nmnist-{split}", SOURCE)


def _decode(chunk: list[Sample], times: NDArray[np.int64], sources: NDArray[np.int32], sort: bool) -> NDArray[np.int64]:
    from snnsim.datasets.event_kernels import decode_forty_bits

    starts = np.concatenate(([0], np.cumsum([sample.size for sample in chunk])))
    raw = np.empty(starts[-1], np.uint8)
    for sample, begin, end in zip(chunk, starts[:-1], starts[1:], strict=True):
        content = sample.read()
        if len(content) != sample.size:
            raise _cut_short(len(content), sample.name)
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


def _cut_short(size: int, name: str) -> DataError:
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


def _check_duration(
    chunk: list[Sample], times: NDArray[np.int64], offsets: NDArray[np.int64], microseconds: int
) -> None:
    filled = np.flatnonzero(np.diff(offsets))
    last = times[offsets[filled + 1] - 1]  # in order, so that the last event is the latest
    if last.size and last.max() >= microseconds:
        worst = int(np.argmax(last))
        raise DataError(
            f"{chunk[filled[worst]].name}: an event at {int(last[worst]):,} microseconds lies after the duration of "
            f"{microseconds:,}; pass duration={(int(last[worst]) + 1) * MICROSECOND:.6f} or longer, "
            "or crop=True to drop later events"
        )
