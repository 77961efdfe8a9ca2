"""Fingerprints: short texts that are equal where two descriptions are, for checks across processes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnsim.errors import ParameterError
from snnsim.network.network import Network
from snnsim.timebase import same_dt


def fingerprint(value: Any) -> str:
    """Return 32 hexadecimal digits that depend on a value: numbers, texts, arrays, dataclasses, and tuples of them."""
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, value)
    return digest.hexdigest()


def description(network: Network) -> dict[str, str]:
    """Return what a network is, part by part: short values as they are, others as # and their fingerprint."""
    facts = {"dt": repr(network.dt), "seed": repr(network.seed)}
    for kind, items in (("population", network.populations), ("projection", network.projections)):
        facts[f"order of {kind}s"] = ", ".join(item.name for item in items)
        for item in items:
            for field in dataclasses.fields(item):
                facts[f"{field.name} of {kind} {item.name!r}"] = shown(getattr(item, field.name))
    return facts


def shown(value: Any) -> str:
    """Return a short value as it is, and of any other # and its fingerprint."""
    plain = value is None or isinstance(value, (str, int, float))
    plain |= isinstance(value, tuple) and all(isinstance(part, int) for part in value)
    return repr(value) if plain else f"#{fingerprint(value)}"


def check_same_network(given: Network, stored: Network, where: object) -> None:
    """Raise `ParameterError` that names what differs, unless two networks have the same description."""
    parts = [
        {name: str(getattr(network, name)) for name in ("seed", "score", "extension")} for network in (given, stored)
    ]
    parts[0]["dt"], parts[1]["dt"] = str(stored.dt if same_dt(given.dt, stored.dt) else given.dt), str(stored.dt)
    for part, network in zip(parts, (given, stored), strict=True):
        part.update({f"population {item.name!r}": fingerprint(item) for item in network.populations})
        part.update({f"projection {item.name!r}": fingerprint(item) for item in network.projections})
    first, second = parts
    different = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    if not different and list(first) != list(second):
        different = ["the order of populations or projections"]
    if different:
        listed = ", ".join(different[:5]) + (f" and {len(different) - 5} more" if len(different) > 5 else "")
        raise ParameterError(f"network: {where} is of another network; different are: {listed}")


def _feed(digest: Any, value: Any) -> None:
    digest.update(f"{type(value).__name__}:".encode())
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            digest.update(f"{field.name}=".encode())
            _feed(digest, getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(f"{key!r}=".encode())
            _feed(digest, part)
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}".encode())
        for part in value:
            _feed(digest, part)
    else:
        digest.update(repr(value).encode())
    digest.update(b";")
