"""The data sets that can be loaded, and the files that are downloaded for them, as listed in manifest.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any

from snnsim.errors import ParameterError


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Parameters
    ----------
    name : str
        Name it is kept under.
    mirrors : tuple of str
        http or https addresses, tried in this order.
    splits : tuple of str
        Splits that need it; empty for a file that is only fetched by name.
    size : int, optional
        Length in bytes.
    sha256, md5 : str, optional
        Hexadecimal hash of the contents. Where both are known, sha256 is checked; with neither, the file is refused
        unless verification is turned off.
    """

    name: str
    mirrors: tuple[str, ...]
    splits: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name in (".", "..") or any(sign in self.name for sign in "/\\:\0"):
            raise ParameterError(f"name={self.name!r}: must be a plain file name without folders")
        for mirror in self.mirrors:
            if not mirror.startswith(("https://", "http://")):
                raise ParameterError(f"mirrors: {mirror!r} is not an http or https address")
        for kind, length in (("sha256", 64), ("md5", 32)):
            value = getattr(self, kind)
            if value is not None and (len(value) != length or set(value.lower()) - set("0123456789abcdef")):
                raise ParameterError(f"{kind}={value!r}: must be {length} hexadecimal digits")

    @property
    def hash(self) -> tuple[str, str] | None:
        """Kind and value of the hash to check, or None where none is known."""
        if self.sha256 is not None:
            return "sha256", self.sha256.lower()
        return None if self.md5 is None else ("md5", self.md5.lower())


@dataclass(frozen=True)
class DatasetCard:
    """What a data set is, whose it is, and what has to be downloaded for it.

    Parameters
    ----------
    name, title : str
    samples : mapping of str to int
        Samples of each split.
    sensor_shape : tuple of int
        (polarity, y, x) for a camera, (channels,) for sound.
    licence, citation, doi, homepage : str
    download : str
        What is downloaded, in words.
    files : tuple of RemoteFile
        Empty where nothing is.
    """

    name: str
    title: str
    samples: Mapping[str, int]
    sensor_shape: tuple[int, ...]
    licence: str
    citation: str
    doi: str
    homepage: str
    download: str
    files: tuple[RemoteFile, ...] = field(default=())


def read_manifest(text: str) -> dict[str, DatasetCard]:
    """Return the cards of a manifest given as TOML text."""
    return {name: _card(name, dict(entry)) for name, entry in tomllib.loads(text).items()}


def _card(name: str, entry: dict[str, Any]) -> DatasetCard:
    files = tuple(
        RemoteFile(**{**file, "mirrors": tuple(file["mirrors"]), "splits": tuple(file.get("splits", ()))})
        for file in entry.pop("files", ())
    )
    entry["samples"] = MappingProxyType(dict(entry["samples"]))
    entry["sensor_shape"] = tuple(entry["sensor_shape"])
    return DatasetCard(name=name, files=files, **entry)


#: Cards of all data sets by name.
DATASETS: Mapping[str, DatasetCard] = MappingProxyType(
    read_manifest(resources.files("snnsim.datasets.downloads").joinpath("manifest.toml").read_text(encoding="utf-8"))
)
