"""The Spiking Heidelberg Digits (SHD) and the Spiking Speech Commands (SSC): spoken words as spikes of an inner ear.

Recordings of speech, turned into the spikes of 700 channels by a model of the inner ear. SHD has the digits of English
and German, ten each, spoken by twelve people, two of whom are in the test split only; SSC has the 35 words of Speech
Commands 0.02. Form of the files: `snnsim.datasets.SpikesFile`.

Cramer, Stradmann, Schemmel, Zenke: The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks, IEEE Transactions on Neural Networks and Learning Systems 33:2744 (2022, online 2020),
doi:10.1109/TNNLS.2020.3044364.
Licence of the data: CC BY 4.0.
"""

from __future__ import annotations

from pathlib import Path

from snnsim.datasets.cache import cached
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.downloads.download import download
from snnsim.datasets.downloads.manifest import DATASETS
from snnsim.datasets.downloads.unpack import PACKED, unpack
from snnsim.datasets.formats.spike_trains.file import SpikesFile
from snnsim.datasets.formats.spike_trains.read import cache_key, checked_rounding, read_samples
from snnsim.errors import DataError, one_of

UNITS = 700
CLASSES = {"shd": 20, "ssc": 35}
#: How the publishers name the splits in file names.
PUBLISHED = {"train": "train", "validation": "valid", "test": "test"}
SOURCE = (
    "{title} (Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364; CC BY 4.0), spikes of a model of the inner ear, "
    "{split} split of the publishers"
)


def load_shd(
    split: str = "train",
    *,
    path: str | Path | None = None,
    dt: float = 0.01,
    duration: float | None = None,
    crop: bool = False,
    from_first_event: bool = False,
    closed_end: bool = True,
    limit: int | None = None,
    cache: bool = False,
    progress: bool = True,
) -> EventDataset:
    """Load the Spiking Heidelberg Digits, 20 classes: 8,156 samples to train with and 2,264 to test.

    There is no validation split. `snnsim.datasets.apply_protocol` sets speakers of the training split aside for
    that; results that were chosen on the test split are better than they ought to be.

    Parameters
    ----------
    split : {"train", "test"}
        The split of the publishers.
    path : path, optional
        The file, or the folder it lies in, as it is published or unpacked (``shd_train.h5.gz``, ``shd_train.h5.zip``,
        ``shd_train.h5``). By default the data folder (see `snnsim.datasets.data_folder`), into which the split is
        downloaded if it is not there.
    dt, from_first_event, closed_end
        Ticks and how times become ticks, as for `SpikesFile.events`.
    duration : float, optional
        Length of a sample in seconds; by default that of the longest.
    crop : bool
        Drop spikes after `duration` instead of raising an error.
    limit : int, optional
        Only so many samples, the first of the file.
    cache : bool
        Keep the result in the data folder, and take it from there the next time (see `snnsim.datasets.cached`).
        Reading the published file is as quick, so this pays on slow disks only.
    progress : bool
        Show progress bars, if standard error is a terminal.

    Returns
    -------
    EventDataset
        Sensor shape (700,), the number of the speaker as group.

    Raises
    ------
    DataError
        A damaged file, or one that is not this split; the message names it and says what to do.
    ParameterError
        An argument out of range.
    ResourceError
        The spikes do not fit into memory.
    """
    return _load("shd", split, path, dt, duration, crop, from_first_event, closed_end, limit, cache, progress)


def load_ssc(
    split: str = "train",
    *,
    path: str | Path | None = None,
    dt: float = 0.01,
    duration: float | None = None,
    crop: bool = False,
    from_first_event: bool = False,
    closed_end: bool = True,
    limit: int | None = None,
    cache: bool = False,
    progress: bool = True,
) -> EventDataset:
    """Load the Spiking Speech Commands, 35 classes: 75,466 samples to train with, 9,981 to validate, 20,382 to test.

    The training split takes gigabytes of memory, 12 bytes a spike; `open_ssc` reads it batch by batch instead.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        The split of the publishers.
    path, dt, duration, crop, from_first_event, closed_end, limit, cache, progress
        As for `load_shd`; the files are ``ssc_train.h5``, ``ssc_valid.h5`` and ``ssc_test.h5``.

    Returns
    -------
    EventDataset
        Sensor shape (700,), the number of the speaker as group.

    Raises
    ------
    DataError, ParameterError, ResourceError
        As for `load_shd`.
    """
    return _load("ssc", split, path, dt, duration, crop, from_first_event, closed_end, limit, cache, progress)


def open_shd(split: str = "train", *, path: str | Path | None = None, progress: bool = True) -> SpikesFile:
    """Open a split of the Spiking Heidelberg Digits to be read batch by batch; see `load_shd` for the parameters."""
    return _open("shd", split, path, progress)


def open_ssc(split: str = "train", *, path: str | Path | None = None, progress: bool = True) -> SpikesFile:
    """Open a split of the Spiking Speech Commands to be read batch by batch; see `load_ssc` for the parameters."""
    return _open("ssc", split, path, progress)


def _load(
    name: str,
    split: str,
    path: str | Path | None,
    dt: float,
    duration: float | None,
    crop: bool,
    from_first_event: bool,
    closed_end: bool,
    limit: int | None,
    cache: bool,
    progress: bool,
) -> EventDataset:
    one_of("split", split, DATASETS[name].samples)
    rounding = checked_rounding(dt, from_first_event, closed_end, duration, limit)
    file = _open(name, split, path, progress)
    title, source = f"{name}-{split}", SOURCE.format(title=DATASETS[name].title, split=split)

    def build() -> EventDataset:
        return read_samples(file, title, source, rounding, duration, crop, limit, progress)

    if not cache:
        return build()
    return cached(build, name=title, key=cache_key(file.path, rounding, duration, crop, limit))


def _open(name: str, split: str, path: str | Path | None, progress: bool) -> SpikesFile:
    """Find, unpack and open the file of a split, and check that it is that split."""
    card = DATASETS[name]
    one_of("split", split, card.samples)
    where = download(name, splits=[split], progress=progress) if path is None else Path(path)
    found = _found(where, f"{name}_{PUBLISHED[split]}.h5")
    packed = found.suffix.lower() in PACKED
    # What is published is taken as it is, a sample without spikes and spikes in no order too.
    file = SpikesFile(unpack(found, progress=progress) if packed else found, n_units=UNITS, sort=True, allow_empty=True)
    samples, classes = len(file), len(file.classes)
    if (samples, classes) != (card.samples[split], CLASSES[name]):
        raise DataError(
            f"{file.path}: has {samples:,} samples of {classes} classes, the {split} split of {name.upper()} has "
            f"{card.samples[split]:,} of {CLASSES[name]}; another file in this form is read with read_spikes_hdf5"
        )
    return file


def _found(where: Path, name: str) -> Path:
    if where.is_file():
        return where
    for candidate in (name, *(f"{name}{ending}" for ending in PACKED)):
        if (where / candidate).is_file():
            return where / candidate
    raise DataError(f"{where}: no such file, or no {name}, {name}.gz or {name}.zip in it")
