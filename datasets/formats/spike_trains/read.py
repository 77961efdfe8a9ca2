"""Read a file of spike trains in the form of the Spiking Heidelberg Digits as a data set."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from snnsim.datasets.cache import cached, fingerprint
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.formats.spike_trains.file import SpikesFile
from snnsim.datasets.formats.spike_trains.rounding import Rounding
from snnsim.errors import DataError, ParameterError, whole
from snnsim.events import Events
from snnsim.timebase import check_span, tick_count, to_seconds

#: Raise when the reader gives another result for the same file: caches of before are then not found.
READER_VERSION = 2
#: Names of published sets, which another file never gets.
RESERVED = frozenset(("shd", "ssc"))


def read_spikes_hdf5(
    path: str | Path,
    *,
    name: str | None = None,
    source: str | None = None,
    dt: float = 0.01,
    duration: float | None = None,
    crop: bool = False,
    from_first_event: bool = False,
    closed_end: bool = True,
    n_units: int | None = None,
    sort: bool = False,
    allow_empty: bool = False,
    limit: int | None = None,
    cache: bool = False,
    progress: bool = True,
) -> EventDataset:
    """Read a file of spike trains in the form of the Spiking Heidelberg Digits (see `snnsim.datasets.SpikesFile`).

    Every spike is kept, and rounded once, down to its tick. The result takes 12 bytes of memory a spike; a file that is
    too large for that is read batch by batch with `SpikesFile`.

    Parameters
    ----------
    path : path
    name : str, optional
        Name of the data set; by default ``file-`` and the name of the file. Names of published sets are refused:
        `load_shd` and `load_ssc` give them, to what is published.
    source : str, optional
        Where the data come from, in a sentence; by default the attribute ``description`` of the file.
    dt, from_first_event, closed_end
        Ticks and how times become ticks, as for `SpikesFile.events`.
    duration : float, optional
        Seconds that no sample is longer than; by default those of the longest. A sample ends with its last spike.
    crop : bool
        Drop spikes after `duration` instead of raising an error.
    n_units, sort, allow_empty
        As for `SpikesFile`.
    limit : int, optional
        Only so many samples, the first of the file.
    cache : bool
        Keep the result in the data folder, and take it from there the next time (see `snnsim.datasets.cached`).
    progress : bool
        Show a progress bar while many samples are read, if standard error is a terminal.

    Returns
    -------
    EventDataset
        Sensor shape (units,), the speakers as groups where the file names them.

    Raises
    ------
    DataError
        A damaged or foreign file, or a damaged sample; the message names it and says what to do.
    ParameterError
        An argument out of range.
    ResourceError
        The spikes do not fit into memory.
    """
    where = Path(path)
    if name is not None and RESERVED.intersection(re.split("[^a-z0-9]+", name.casefold())):
        raise ParameterError(
            f"name={name!r}: load_shd and load_ssc alone give the names SHD and SSC, to what is published under them; "
            "say what is in the file"
        )
    title = f"file-{where.stem}" if name is None else name
    rounding = checked_rounding(dt, from_first_event, closed_end, duration, limit)

    def build() -> EventDataset:
        file = SpikesFile(where, n_units=n_units, sort=sort, allow_empty=allow_empty)
        origin = (file.description or f"spikes read from the file {where.name}") if source is None else source
        return read_samples(file, title, origin, rounding, duration, crop, limit, progress)

    if not cache or not where.is_file():
        return build()
    accepted = {"n_units": n_units, "sort": sort, "allow_empty": allow_empty, "name": title, "source": source}
    return cached(build, name=title, key={**accepted, **cache_key(where, rounding, duration, crop, limit)})


def cache_key(path: Path, rounding: Rounding, duration: float | None, crop: bool, limit: int | None) -> dict[str, Any]:
    """Return what the result of `read_samples` depends on."""
    settings = {"duration": duration, "crop": crop, "limit": limit, **asdict(rounding)}
    return {"reader": READER_VERSION, "content": fingerprint(path), **settings}


def checked_rounding(
    dt: float, from_first_event: bool, closed_end: bool, duration: float | None, limit: int | None
) -> Rounding:
    """Return how to round, once all settings are known to be allowed."""
    rounding = Rounding(dt, from_first_event, closed_end)
    if limit is not None:
        whole("limit", limit, at_least=1)
    if duration is not None:
        tick_count(duration, dt, name="duration")
    return rounding


def read_samples(
    file: SpikesFile,
    name: str,
    source: str,
    rounding: Rounding,
    duration: float | None,
    crop: bool,
    limit: int | None,
    progress: bool,
) -> EventDataset:
    """Read the first samples of an open file as a data set, and close it."""
    chosen = slice(limit)
    try:
        events = file.events(chosen, progress=progress, **asdict(rounding))
    finally:
        file.close()
    if duration is None:
        check_span(events.n_ticks, rounding.dt, name=f"{file.path}: times")
    else:
        events = _fitted(events, tick_count(duration, rounding.dt, name="duration"), crop, file)
    groups = None if file.groups is None else file.groups[chosen]
    return EventDataset(events, file.labels[chosen], file.classes, (file.n_units,), name, source, groups)


def _fitted(events: Events, n_ticks: int, crop: bool, file: SpikesFile) -> Events:
    if events.n_ticks > n_ticks:
        if crop:
            return events.crop(n_ticks)
        latest = int(np.argmax(events.ticks))
        sample = int(events.recordings[latest])
        raise DataError(
            f"{file.path}: sample {sample} lasts {to_seconds(events.n_ticks, events.dt):g} s, longer than the duration "
            f"of {to_seconds(n_ticks, events.dt):g}; pass a longer one, or crop=True to drop later spikes"
        )
    return events.crop(n_ticks)
