"""Small reports as JSON: complete or absent, with a kind and a schema number as in HDF5 files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnsim.errors import DataError
from snnsim.storage.hdf5 import SCHEMA, replacing
from snnsim.version import __version__


def write_json(path: str | Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write a report of a kind; it appears under `path` only when it is whole.

    Raises
    ------
    DataError
        A number is not finite, which JSON cannot hold.
    """
    head = {"kind": f"snnsim.{kind}", "schema": SCHEMA, "snnsim_version": __version__}
    try:
        text = json.dumps({**head, **content}, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise DataError(f"{path}: a number is not finite, and JSON cannot hold it") from error
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a report and check that it is of that kind and of a schema known here."""
    where = Path(path)
    if not where.is_file():
        raise DataError(f"{where}: no such file")
    try:
        content = json.loads(where.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{where}: not a readable JSON file; it may be cut short or of another format") from error
    found = content.get("kind") if isinstance(content, dict) else None
    if found != f"snnsim.{kind}":
        raise DataError(f"{where}: expected a file of kind 'snnsim.{kind}', found {found!r}")
    if content.get("schema") != SCHEMA:
        raise DataError(
            f"{where}: written with schema {content.get('schema')}, this snnsim reads schema {SCHEMA}; "
            "update snnsim, or write the file again with this version"
        )
    return dict(content)
