"""MNIST and Fashion-MNIST: 70,000 gray images of 28 x 28 pixels each, ten classes.

LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, Proceedings of the IEEE 86:2278
(1998), doi:10.1109/5.726791. Xiao, Rasul, Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms, arXiv:1708.07747 (2017; licence of the data: MIT).
"""

from __future__ import annotations

from pathlib import Path

from snnsim.datasets.downloads.download import download
from snnsim.datasets.downloads.manifest import DATASETS
from snnsim.datasets.formats.idx import read_idx_images
from snnsim.datasets.image_dataset import ImageDataset
from snnsim.errors import DataError, one_of, whole

DIGITS = tuple(str(digit) for digit in range(10))
GARMENTS = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
CLASSES = {"mnist": DIGITS, "fashion_mnist": GARMENTS}
#: How the publishers name the splits in file names.
PUBLISHED = {"train": "train", "test": "t10k"}


def load_mnist(
    split: str = "train", *, path: str | Path | None = None, limit: int | None = None, progress: bool = True
) -> ImageDataset:
    """Load MNIST: 60,000 handwritten digits to train with and 10,000 to test.

    Parameters
    ----------
    split : {"train", "test"}
        The split of the publishers. There is no validation split: `ImageDataset.split` sets some training images aside.
    path : path, optional
        The folder that holds the IDX files, ``train-images-idx3-ubyte`` and so on, packed (``.gz``) or not. By default
        the data folder (see `snnsim.datasets.data_folder`), into which the split is downloaded if it is not there.
    limit : int, optional
        Only so many samples, the first of the files.
    progress : bool
        Show a progress bar of the download, if standard error is a terminal.

    Returns
    -------
    ImageDataset
        Shape (1, 28, 28), samples in the official order.

    Raises
    ------
    DataError
        A file is missing, damaged, or not this split; the message names it and says what to do.
    ParameterError
        An argument out of range.
    """
    return _load("mnist", split, path, limit, progress)


def load_fashion_mnist(
    split: str = "train", *, path: str | Path | None = None, limit: int | None = None, progress: bool = True
) -> ImageDataset:
    """Load Fashion-MNIST: 60,000 images of clothes to train with and 10,000 to test; see `load_mnist`."""
    return _load("fashion_mnist", split, path, limit, progress)


def _load(name: str, split: str, path: str | Path | None, limit: int | None, progress: bool) -> ImageDataset:
    card = DATASETS[name]
    one_of("split", split, card.samples)
    if limit is not None:
        whole("limit", limit, at_least=1)
    where = download(name, splits=[split], progress=progress) if path is None else Path(path)
    images, labels = (
        _found(where, f"{PUBLISHED[split]}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    found = read_idx_images(
        images,
        labels,
        classes=CLASSES[name],
        name=f"{name}-{split}",
        source=f"{card.title} ({card.citation}), {split} split",
    )
    if len(found) != card.samples[split] or found.shape != card.sensor_shape:
        raise DataError(
            f"{images}: holds {len(found):,} images of shape {found.shape}, the {split} split of {card.name} has "
            f"{card.samples[split]:,} of {card.sensor_shape}; other files in this form are read with read_idx_images"
        )
    missing = [found.classes[label] for label, count in enumerate(found.class_counts) if not count]
    if missing:
        raise DataError(f"{labels}: has no label of {', '.join(map(repr, missing))}; get it afresh")
    return found if limit is None else found[:limit]


def _found(where: Path, name: str) -> Path:
    """Return the file of that name, packed or not, under either of the names that are in use."""
    for one in (name, name.replace("-idx", ".idx")):
        for candidate in (where / f"{one}.gz", where / one):
            if candidate.is_file():
                return candidate
    raise DataError(f"{where}: no {name}.gz or {name} in it")
