"""IDX: arrays of numbers with their shape in front, the form of MNIST's files, packed (.gz) or not.

Two zero bytes, a code of the type, the number of dimensions, each dimension as 32 bits big-endian, then the numbers,
big-endian, last dimension fastest.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.image_dataset import ImageDataset
from snnsim.errors import DataError

#: Type of the numbers by its code.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
#: Dimensions that a file may have; more are a sign of another form.
MOST_DIMENSIONS = 8
#: Numbers that a file may announce: what is damaged would otherwise ask for all memory.
MOST_NUMBERS = 2**34


def read_idx(path: str | Path) -> NDArray[Any]:
    """Return the array in an IDX file, in the byte order of the machine.

    Parameters
    ----------
    path : path
        Packed by gzip where its name ends in ``.gz``.

    Raises
    ------
    DataError
        No such file, another form, or one that is cut short, too long or damaged.
    """
    where = Path(path)
    try:
        with gzip.open(where) if where.suffix.lower() == ".gz" else where.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= MOST_DIMENSIONS:
                page = " (a web page, by its first bytes)" if head.lstrip()[:1] == b"<" else ""
                raise DataError(
                    f"{where}: begins with the bytes {head.hex(' ') or 'of an empty file'}, which no IDX file "
                    f"does{page}; expected 00 00, a type (08, 09, 0b, 0c, 0d, 0e) and the number of dimensions"
                )
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{where}: ends within its header; it is cut short, get it afresh")
            shape, kind = struct.unpack(f">{head[3]}I", sizes), np.dtype(TYPES[head[2]])
            if math.prod(shape) > MOST_NUMBERS:
                raise DataError(f"{where}: says that it holds {shape} numbers, more than any such file does; damaged")
            expected = math.prod(shape) * kind.itemsize
            content = file.read(expected + 1)
    except FileNotFoundError as error:
        raise DataError(f"{where}: no such file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{where}: cannot be read ({error}); it may be cut short: delete it and get it afresh"
        ) from error
    if len(content) != expected:
        found = "more" if len(content) > expected else f"{len(content):,}"
        raise DataError(
            f"{where}: holds {found} bytes of numbers, its header says {expected:,} for shape {shape}; get it afresh"
        )
    return np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="))


def read_idx_images(
    images: str | Path, labels: str | Path, *, classes: tuple[str, ...] | None = None, name: str | None = None,
    source: str | None = None,
) -> ImageDataset:  # fmt: skip
    """Return the images of one IDX file with the labels of another.

    Parameters
    ----------
    images : path
        Bytes of shape (samples, height, width), or (samples, channels, height, width).
    labels : path
        Bytes of shape (samples,).
    classes : tuple of str, optional
        Names of the classes; default the digits up to the largest label.
    name, source : str, optional
        Default the name of the file of images.

    Raises
    ------
    DataError
        A file cannot be read, is not of that shape, or the two do not belong together.
    """
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or 0 in pixels.shape[1:]:
        raise DataError(
            f"{images}: holds {pixels.dtype} of shape {pixels.shape}; images are bytes (samples, height, width)"
        )
    if numbers.dtype != np.uint8 or numbers.ndim != 1:
        raise DataError(f"{labels}: holds {numbers.dtype} of shape {numbers.shape}; labels are bytes (samples,)")
    if len(numbers) != len(pixels):
        raise DataError(f"{labels}: has {len(numbers):,} labels for the {len(pixels):,} images of {images}")
    names = classes or tuple(str(label) for label in range(int(numbers.max(initial=0)) + 1))
    if numbers.size and numbers.max() >= len(names):
        raise DataError(f"{labels}: label {numbers.max()} is none of the {len(names)} classes 0 ... {len(names) - 1}")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    where = Path(images)
    return ImageDataset(pixels, numbers.astype(np.int64), names, name or where.name, source or str(where))
