"""CIFAR-10: 60,000 colour images of 32 x 32 pixels, ten classes.

Krizhevsky: Learning multiple layers of features from tiny images, technical report, University of Toronto (2009).
"""

from __future__ import annotations

from pathlib import Path

from snnsim.datasets.downloads.download import download
from snnsim.datasets.downloads.manifest import DATASETS
from snnsim.datasets.formats.cifar_batches import read_cifar_batches
from snnsim.datasets.image_dataset import ImageDataset
from snnsim.errors import DataError, one_of, whole

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
ARCHIVE = "cifar-10-python.tar.gz"


def load_cifar10(
    split: str = "train", *, path: str | Path | None = None, limit: int | None = None, progress: bool = True
) -> ImageDataset:
    """Load CIFAR-10: 50,000 images to train with and 10,000 to test.

    The Python batches of the publishers are read without running anything that stands in them. Images as PNG or JPEG in
    a folder for each class are read by ``read_image_folder(path, folder="train", classes=...)``; those that were packed
    as JPEG have other pixels, and accuracies on them are not comparable with published ones.

    Parameters
    ----------
    split : {"train", "test"}
        The split of the publishers. There is no validation split: `ImageDataset.split` sets some training images aside.
    path : path, optional
        ``cifar-10-python.tar.gz``, of which nothing is unpacked to disk, or a folder that holds it or its batches. By
        default the data folder (see `snnsim.datasets.data_folder`), into which it is downloaded if it is not there.
    limit : int, optional
        Only so many samples, the first of the batches.
    progress : bool
        Show a progress bar of the download, if standard error is a terminal.

    Returns
    -------
    ImageDataset
        Shape (3, 32, 32), samples in the official order.

    Raises
    ------
    DataError
        A batch is missing or damaged, holds something else, or names anything that a batch does not need.
    ParameterError
        An argument out of range.
    """
    card = DATASETS["cifar10"]
    one_of("split", split, card.samples)
    if limit is not None:
        whole("limit", limit, at_least=1)
    where = download("cifar10", splits=[split], progress=progress) if path is None else Path(path)
    if (where / ARCHIVE).is_file():
        where = where / ARCHIVE
    images, labels = read_cifar_batches(where, BATCHES[split])
    found = ImageDataset(images, labels, CLASSES, f"cifar10-{split}", f"{card.title} ({card.citation}), {split} split")
    if len(found) != card.samples[split]:
        raise DataError(
            f"{where}: holds {len(found):,} images, the {split} split of cifar10 has {card.samples[split]:,}; get it "
            "afresh"
        )
    missing = [found.classes[label] for label, count in enumerate(found.class_counts) if not count]
    if missing:
        raise DataError(f"{where}: has no image of {', '.join(map(repr, missing))}; get it afresh")
    return found if limit is None else found[:limit]
