"""Folders of images, PNG or JPEG, one folder a class; in a folder, or in a tar or zip of which nothing is unpacked."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from snnsim.datasets.image_dataset import ImageDataset
from snnsim.errors import DataError, ParameterError, missing_dependency, one_of, whole

ENDINGS = (".png", ".jpg", ".jpeg")
#: From how many images on a progress bar is worth its place.
SHOWN_FROM = 2000
#: Pixels of an image beyond which it is taken for damaged, or for what no network here is given.
MOST_PIXELS = 2**26


def read_image_folder(
    path: str | Path,
    *,
    folder: str = "",
    classes: tuple[str, ...] | None = None,
    channels: int | None = None,
    limit: int | None = None,
    name: str | None = None,
    source: str | None = None,
    progress: bool = True,
) -> ImageDataset:
    """Read images that lie in a folder for each class: ``<class>/<any name>.png``, ``.jpg`` or ``.jpeg``.

    Parameters
    ----------
    path : path
        A folder, or a tar (packed or not) or zip file, of which nothing is unpacked to disk.
    folder : str
        Where in it the folders of the classes are, such as ``"train"``.
    classes : tuple of str, optional
        Names of the folders in the order of their labels; each must be there. Default all, in order of their names.
    channels : {1, 3}, optional
        1: gray, 3: colour; others are converted. Default as the first image is.
    limit : int, optional
        Only so many of each class, the first in order of their names, numbers within names counted as numbers.
    name, source : str, optional
        Default the name of the folder.
    progress : bool
        Show a progress bar while many images are read, if standard error is a terminal.

    Returns
    -------
    ImageDataset
        Class after class. JPEG is lossy: pixels are not those that the image was made of.

    Raises
    ------
    DataError
        No such folder, a class without images, a damaged image, or images of several sizes; the message has the name.
    MissingDependencyError
        Pillow is not installed.
    """
    try:
        import PIL.Image
    except ImportError as error:
        raise missing_dependency("pillow", "data", "read_image_folder") from error
    one_of("channels", channels, (None, 1, 3))
    if limit is not None:
        whole("limit", limit, at_least=1)
    given: Any = classes  # from outside, it may be anything
    if given is not None and (isinstance(given, str) or not given or len(set(given)) != len(given)):
        raise ParameterError(f"classes={classes!r}: must be names of folders, each once")
    where = Path(path)
    with _opened(where) as (files, read):
        found = _by_class(files, folder)
        names = tuple(sorted(found, key=_natural)) if classes is None else tuple(classes)
        missing = [one for one in names if not found.get(one)]
        if missing or not names:
            there = ", ".join(sorted(found, key=_natural)[:12]) or "none"
            said = f"no images of {', '.join(map(repr, missing))}" if missing else "no images"
            inside = f" in {folder!r}" if folder else ""
            raise DataError(f"{where}: {said}{inside}; folders with PNG or JPEG images there: {there}")
        chosen = [(label, file) for label, one in enumerate(names) for file in found[one][:limit]]
        images: NDArray[np.uint8] | None = None
        shown = None if progress and len(chosen) > SHOWN_FROM else True  # None: only where standard error is a terminal
        for place, (_, file) in enumerate(tqdm(chosen, unit="image", desc=where.name, disable=shown)):
            pixels = _decoded(PIL.Image, read(file), f"{where}: {file}", channels)
            if images is None:
                channels = pixels.shape[0]
                images = np.empty((len(chosen), *pixels.shape), np.uint8)
            if pixels.shape != images.shape[1:]:
                raise DataError(
                    f"{where}: {file} is {pixels.shape[2]} x {pixels.shape[1]} pixels, those before it "
                    f"{images.shape[3]} x {images.shape[2]}; a data set has images of one size"
                )
            images[place] = pixels
    assert images is not None
    labels = np.array([label for label, _ in chosen], np.int64)
    title = name or "-".join(part for part in (where.name.split(".")[0], folder.strip("/").replace("/", "-")) if part)
    return ImageDataset(images, labels, names, title, source or str(where))


def _decoded(pillow: Any, content: bytes, where: str, channels: int | None) -> NDArray[np.uint8]:
    """Return an image as (channels, height, width)."""
    try:
        with pillow.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{where}: {image.width} x {image.height} pixels, more than {MOST_PIXELS:,}")
            gray = image.mode in ("1", "L", "LA", "I", "I;16", "F")
            pixels = np.asarray(image.convert("L" if (channels or (1 if gray else 3)) == 1 else "RGB"))
    except DataError:
        raise
    except Exception as error:  # a damaged image may raise anything
        raise DataError(f"{where}: cannot be read as a PNG or JPEG image ({error}); get it afresh") from error
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), np.uint8)


def _by_class(files: list[str], folder: str) -> dict[str, list[str]]:
    """Return the images of each folder of a class, in order."""
    inside = [part for part in folder.replace("\\", "/").split("/") if part]
    found: dict[str, list[str]] = {}
    for file in sorted(files, key=_natural):
        *above, label, _ = ["", *file.split("/")]
        # An archive may have folders above, such as its own name.
        if label and above[len(above) - len(inside) :] == inside:
            found.setdefault(label, []).append(file)
    return found


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return what sorts numbers within names as numbers."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


@contextmanager
def _opened(where: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Yield the names of the images in a folder or archive, and how one is read."""
    if where.is_dir():
        names = [
            path.relative_to(where).as_posix() for path in where.rglob("*") if _is_image(path.name) and path.is_file()
        ]
        yield names, lambda name: (where / name).read_bytes()
    elif not where.is_file():
        raise DataError(f"{where}: no such file or folder; expected a folder, tar or zip with a folder for each class")
    elif zipfile.is_zipfile(where):
        with zipfile.ZipFile(where) as archive:
            names = [name for name in archive.namelist() if _is_image(name)]
            yield names, lambda name: _read(where, name, lambda: archive.read(name))
    else:
        # All at once: in a packed tar, going back to an earlier image would unpack it from the beginning.
        held = _of_tar(where)
        yield list(held), held.__getitem__


def _of_tar(where: Path) -> dict[str, bytes]:
    held: dict[str, bytes] = {}

    def read() -> bytes:
        with tarfile.open(where) as archive:
            for member in archive:
                if member.isreg() and _is_image(member.name):
                    file = archive.extractfile(member)
                    held[member.name.removeprefix("./")] = b"" if file is None else file.read()
        return b""

    _read(where, "", read)
    return held


def _read(where: Path, name: str, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except (
        OSError,
        EOFError,
        zlib.error,
        tarfile.TarError,
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
    ) as error:
        inside = f": {name}" if name else ""
        raise DataError(f"{where}{inside}: cannot be read ({error}); get it afresh") from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.rsplit("/", 1)[-1].startswith(".")
