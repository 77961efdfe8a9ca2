"""N-MNIST: the digits of MNIST seen by an event camera that makes three saccades.

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
from snnsim.datasets.formats.nmnist_bin import BYTES_AN_EVENT, MICROSECOND, SENSOR_SHAPE, cut_short, decode_recordings
from snnsim.errors import DataError, ParameterError, one_of, positive
from snnsim.events import Events
from snnsim.timebase import tick_ratio

CLASSES = tuple(str(digit) for digit in range(10))
#: The smallest round length that covers what was measured: the last of 4,518,827 events of 1,100 recordings (the first
#: 1,000 for training and the first 100 for testing) comes at 336,040 microseconds.
DURATION = 0.34
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
            raise cut_short(sample.size, sample.name)
    room = sum(sample.size for sample in samples) // BYTES_AN_EVENT
    n_ticks, n_sources = -(-microseconds // ratio), int(np.prod(SENSOR_SHAPE))
    ticks, sources = np.empty(room, np.int64), np.empty(room, np.int32)
    offsets = np.zeros(len(samples) + 1, np.int64)
    shown = None if progress and len(samples) > SHOWN_FROM else True  # None: only where standard error is a terminal
    with tqdm(total=len(samples), unit="sample", desc=f"N-MNIST {split}", disable=shown) as bar:
        for first in range(0, len(samples), CHUNK):
            chunk = samples[first : first + CHUNK]
            start = offsets[first]
            local = decode_recordings(chunk, ticks[start:], sources[start:], sort)
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
