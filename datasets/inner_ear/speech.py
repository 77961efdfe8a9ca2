"""Many sound recordings to spikes, and spikes to a file in the format of the Spiking Heidelberg Digits.

The format (Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364) is HDF5 with ``spikes/times`` (seconds) and
``spikes/units`` (channels), an array of any length for each recording; ``labels``; ``extra/speaker``, the number of the
speaker of each recording; ``extra/keys``, the names of the classes; and ``extra/meta_info`` with an entry a speaker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from snnsim.datasets.inner_ear.audio import read_audio
from snnsim.datasets.inner_ear.inner_ear import InnerEar
from snnsim.errors import DataError, ParameterError, one_of, whole
from snnsim.events import Events
from snnsim.storage.hdf5 import write_hdf5
from snnsim.system.machine import cores
from snnsim.system.progress import bar

#: A sound: its file, or the contents of it, or samples with their rate.
Sound = str | Path | bytes | tuple[ArrayLike, float]


def convert_recordings(
    sounds: Iterable[Sound],
    ear: InnerEar | None = None,
    *,
    seed: int = 0,
    mix: bool = False,
    threads: int | None = None,
    progress: bool = True,
) -> Events:
    """Turn many recordings into spikes, several at a time.

    Parameters
    ----------
    sounds : iterable of path, bytes or (samples, sample_rate)
        Files, contents of files, or sound in memory.
    ear : InnerEar, optional
        Another ear than one of 700 channels.
    seed : int
        Recording i is ``ear.convert(..., seed=seed, recording=i)``, so its spikes depend neither on the others nor on
        the number of threads.
    mix : bool
        Take the mean of the channels of a file instead of refusing it.
    threads : int, optional
        Recordings at a time; all cores by default.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    Events
        In the order of `sounds`, all as long as the longest.

    Raises
    ------
    DataError
        A recording that cannot be converted; the message names its file or number.
    """
    chosen = InnerEar() if ear is None else ear
    waiting = list(sounds)
    if not waiting:
        raise ParameterError("sounds is empty; there is nothing to convert")
    workers = min(len(waiting), cores() if threads is None else whole("threads", threads, at_least=1))

    def one(number: int) -> Events:
        sound = waiting[number]
        named = str(sound) if isinstance(sound, (str, Path)) else f"recording {number}"
        try:
            audio, sample_rate = sound if isinstance(sound, tuple) else read_audio(sound, mix=mix)
            return chosen.convert(audio, sample_rate, seed=seed, recording=number, threads=1)
        except DataError as error:
            # What comes from a file names it already.
            raise error if str(error).startswith(named) else DataError(f"{named}: {error}") from error

    with bar(progress, len(waiting), "recordings") as advance:
        heard = []
        for events in _in_order(one, len(waiting), workers):
            heard.append(events)
            advance(1)
    return Events.concatenate(heard)


def _in_order(work: Any, total: int, workers: int) -> Iterator[Events]:
    """Yield the results of ``work(0) ... work(total - 1)``, a few of them ahead in other threads."""
    if workers == 1:
        yield from map(work, range(total))
        return
    with ThreadPoolExecutor(workers, "snnsim-recordings") as pool:
        ahead: list[Future[Events]] = []
        try:
            for number in range(total):
                ahead.append(pool.submit(work, number))
                if len(ahead) > 4 * workers:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        finally:
            for left in ahead:
                left.cancel()


def write_spoken(
    path: str | Path,
    events: Events,
    labels: ArrayLike,
    *,
    classes: Sequence[str],
    speakers: ArrayLike | None = None,
    meta_info: Mapping[str, ArrayLike] | None = None,
    dtype: DTypeLike = np.float16,
    description: str = "",
    ear: InnerEar | None = None,
) -> None:
    """Write recordings to an HDF5 file in the format of the Spiking Heidelberg Digits; it is whole or absent.

    Parameters
    ----------
    path : path
    events : Events
        One recording a sample.
    labels : array_like of int, shape (samples,)
        Class of each sample.
    classes : sequence of str
        Names of the classes (``extra/keys``).
    speakers : array_like of int, shape (samples,), optional
        Number of the speaker of each sample (``extra/speaker``); all zero by default.
    meta_info : mapping of str to array_like, optional
        What is known of the speakers, an entry a speaker: ``gender``, ``age``, ``body_height`` in the published files.
    dtype : {float16, float32, float64}
        Of the times. The published files have float16, which rounds to 0.5 ms after half a second and to 1 ms after a
        second; float32 is a hair off whole ticks, on either side, and float64 keeps every tick.
    description : str
        Kept with the file, as are the parameters of `ear`.
    ear : InnerEar, optional

    Raises
    ------
    DataError
        Numbers of labels, speakers and recordings that differ, or labels and speakers out of range.
    """
    kind = np.dtype(dtype)
    one_of("dtype", kind.name, ("float16", "float32", "float64"))
    samples = len(events)
    label = _numbers("labels", labels, samples, len(classes) - 1)
    speaker = _numbers("speakers", np.zeros(samples, np.int64) if speakers is None else speakers, samples, 2**16 - 1)
    about = {name: np.asarray(values) for name, values in (meta_info or {}).items()}
    for name, values in about.items():
        if values.ndim != 1 or values.size <= int(speaker.max(initial=0)):
            raise DataError(
                f"meta_info[{name!r}] has shape {values.shape}; one entry for each of the "
                f"{int(speaker.max(initial=0)) + 1} speakers is needed"
            )
    if events.n_sources > 2**16:
        raise DataError(f"events: {events.n_sources:,} channels; the format has numbers up to {2**16 - 1:,}")
    if events.duration > float(np.finfo(kind).max):
        raise DataError(f"events: {events.duration:g} s is too long for times in {kind.name}; pass dtype=numpy.float32")
    times, units = events.times.astype(kind), events.sources.astype(np.uint16)
    with write_hdf5(path, "spoken") as file:
        file.attrs.update(description=description, channels=events.n_sources, duration=events.duration)
        if ear is not None:
            file.attrs["inner_ear"] = json.dumps(asdict(ear))
        for name, values in (("times", times), ("units", units)):
            rows = file.create_dataset(f"spikes/{name}", (samples,), _any_length(values.dtype))
            for number in range(samples):
                rows[number] = values[events.offsets[number] : events.offsets[number + 1]]
        file["labels"] = label
        file["extra/speaker"] = speaker
        file["extra/keys"] = np.array([name.encode() for name in classes], np.bytes_)
        group = file.create_group("extra/meta_info")
        for name, values in about.items():
            group[name] = np.char.encode(values.astype(str)) if values.dtype.kind == "U" else values


def _any_length(dtype: Any) -> Any:
    import h5py

    return h5py.vlen_dtype(dtype)


def _numbers(name: str, values: ArrayLike, samples: int, largest: int) -> NDArray[np.uint16]:
    array = np.asarray(values)
    if array.shape != (samples,) or array.dtype.kind not in "iu":
        raise DataError(
            f"{name} has shape {array.shape} and type {array.dtype}; one whole number for each of the {samples} "
            "recordings is needed"
        )
    if array.size and (array.min() < 0 or array.max() > largest):
        bad = int(array.min() if array.min() < 0 else array.max())
        raise DataError(f"{name}: {bad} lies outside 0 ... {largest}")
    return array.astype(np.uint16)
