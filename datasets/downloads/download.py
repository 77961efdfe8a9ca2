"""Download published files: mirrors, resumption, hashes, and nothing half-written under the final name."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
from collections.abc import Sequence
from pathlib import Path

from snnsim.datasets.downloads.data_folder import data_folder
from snnsim.datasets.downloads.http_transfer import RefusedError, transfer
from snnsim.datasets.downloads.manifest import DATASETS, RemoteFile
from snnsim.datasets.downloads.unpack import PACKED, unpacked_name
from snnsim.errors import DataError, ParameterError, one_of

#: Reasons for which the next attempt or mirror is tried.
_TRANSIENT = (OSError, http.client.HTTPException)


def download(
    name: str,
    *,
    splits: Sequence[str] | None = None,
    files: Sequence[str] | None = None,
    folder: str | Path | None = None,
    offline: bool | None = None,
    verify: bool = True,
    progress: bool = True,
) -> Path:
    """Download the files of a data set, where they are not there already.

    Parameters
    ----------
    name : str
        A data set of `snnsim.datasets.DATASETS`.
    splits : sequence of str, optional
        Only the files of these splits; all splits by default.
    files : sequence of str, optional
        Exactly these files of the manifest instead.
    folder : path, optional
        Where to put them; by default a folder of the data set's name in the data folder (`data_folder`).
    offline, verify, progress
        As for `fetch`.

    Returns
    -------
    Path
        The folder that holds the files.

    Raises
    ------
    ParameterError
        Unknown data set, split or file.
    DataError
        A file cannot be had, or is not what the manifest says; the message lists each mirror and what went wrong.
    """
    one_of("name", name, DATASETS)
    card = DATASETS[name]
    where = Path(folder) if folder is not None else data_folder() / name
    if files is not None:
        for asked in files:
            one_of("files", asked, [known.name for known in card.files])
        wanted = [known for known in card.files if known.name in files]
    else:
        for split in splits or ():
            one_of("splits", split, card.samples)
        chosen = set(card.samples if splits is None else splits)
        # A file that serves all splits at once, put there by hand or fetched by name, is as good as its parts.
        if any(not file.splits and (where / file.name).is_file() for file in card.files):
            return where
        wanted = [file for file in card.files if chosen & set(file.splits) and not _otherwise(where, file.name)]
        if all(_unpacked(where, split) for split in chosen):
            return where
    for remote in wanted:
        fetch(remote, where, offline=offline, verify=verify, progress=progress)
    return where


def _otherwise(folder: Path, name: str) -> bool:
    """Return whether what is in a packed file is there unpacked, or packed in the other way."""
    inner = unpacked_name(name)
    others = (inner, *(f"{inner}{ending}" for ending in PACKED))
    return inner != name and any((folder / other).is_file() for other in others if other != name)


def _unpacked(folder: Path, split: str) -> bool:
    return any((folder / name).is_dir() for name in (split, split.capitalize()))


def fetch(
    file: RemoteFile,
    folder: str | Path,
    *,
    offline: bool | None = None,
    verify: bool = True,
    progress: bool = True,
    attempts: int = 3,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Download one file into a folder, or check the one that is there.

    The file grows under the name ``<name>.part`` and gets its own name when it is whole and its hash is right. An
    interrupted download goes on from there, also at another mirror. Do not fetch one file twice at the same time.

    Parameters
    ----------
    file : RemoteFile
    folder : path
        Created if it is not there.
    offline : bool, optional
        Never touch the network: a missing file is an error that says what to put where. By default, whether the
        environment variable ``SNNSIM_OFFLINE`` is set to anything but ``0``.
    verify : bool
        Check size and hash. A file whose hash is not known is refused unless this is turned off.
    progress : bool
        Show a bar with the time left, if standard error is a terminal.
    attempts : int
        Times each mirror is tried.
    pause : float
        Seconds before the second attempt at a mirror; it doubles with each further one.
    timeout : float
        Seconds without an answer after which an attempt is given up.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        The hash is not known and `verify` was not turned off.
    DataError
        The file that is there is not the one expected, or no mirror gave it.
    """
    target = Path(folder) / file.name
    if verify and file.hash is None:
        raise ParameterError(
            f"verify=True, but the manifest knows no hash of {file.name}: it cannot be checked; "
            "pass verify=False to use it unchecked"
        )
    if target.is_file():
        if verify and not _known_good(target, file):
            wrong = _mismatch(target, file)
            if wrong:
                raise DataError(f"{target}: {wrong}; delete it to download it again, or pass verify=False to use it")
            _remember_good(target, file)
        return target
    if offline if offline is not None else os.environ.get("SNNSIM_OFFLINE", "0") not in ("", "0"):
        raise DataError(
            f"{file.name} is not in {target.parent}, and snnsim is offline: put the file there ({_facts(file)}), "
            f"or go online (unset SNNSIM_OFFLINE, offline=False); it is published at {' , '.join(file.mirrors)}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for mirror in file.mirrors:
        reason = _from_mirror(mirror, file, target, verify, progress, attempts, pause, timeout)
        if reason is None:
            if verify:
                _remember_good(target, file)
            return target
        failures.append(f"  {mirror}: {reason}")
    raise DataError(
        f"{file.name}: no mirror gave the file; try again later (what has arrived is kept and resumed), "
        f"or get it by hand and put it into {target.parent} ({_facts(file)})\n" + "\n".join(failures)
    )


def _from_mirror(
    mirror: str,
    file: RemoteFile,
    target: Path,
    verify: bool,
    progress: bool,
    attempts: int,
    pause: float,
    timeout: float,
) -> str | None:
    """Try one mirror; return None when the file is in its place, else the reason why it is not."""
    part = target.with_name(f"{target.name}.part")

    def bring() -> bool:
        return transfer(mirror, part, size=file.size, checked=verify, timeout=timeout, progress=progress)

    reason = "no attempt was allowed"
    for attempt in range(max(attempts, 1)):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            resumed = bring()
            wrong = _mismatch(part, file) if verify else None
            if wrong and resumed:
                # The beginning may stem from another version of the file, or from another mirror: start over.
                part.unlink()
                bring()
                wrong = _mismatch(part, file)
        except urllib.error.HTTPError as error:
            with error:
                reason = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                return reason
        except RefusedError as error:
            return str(error)
        except _TRANSIENT as error:
            reason = f"{getattr(error, 'reason', None) or error}" or type(error).__name__
        else:
            if not wrong:
                part.replace(target)
                part.with_name(f"{part.name}.from").unlink(missing_ok=True)
                return None
            part.unlink()
            part.with_name(f"{part.name}.from").unlink(missing_ok=True)
            return wrong
    return reason


def _mismatch(path: Path, file: RemoteFile) -> str | None:
    """Return what is wrong with the contents, or None."""
    size = path.stat().st_size
    with path.open("rb") as opened:
        page = " (a web page, by its first bytes)" if opened.read(64).lstrip()[:1] == b"<" else ""
        opened.seek(0)
        if file.size is not None and size != file.size:
            return f"has {size:,} bytes, expected {file.size:,}{page}"
        if file.hash is not None:
            kind, expected = file.hash
            found = hashlib.file_digest(opened, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
            if found != expected:
                return f"has {kind} {found}, expected {expected}{page}"
    return None


def _facts(file: RemoteFile) -> str:
    size = "size not known" if file.size is None else f"{file.size:,} bytes"
    return f"{size}, " + ("hash not known" if file.hash is None else " ".join(file.hash))


def _stamp(target: Path, file: RemoteFile) -> str:
    status = target.stat()
    return f"{file.hash} {status.st_size} {status.st_mtime_ns}"


def _remember_good(target: Path, file: RemoteFile) -> None:
    """Keep beside the file that it was checked, so that a gigabyte is not hashed at each start."""
    try:
        target.with_name(f".{target.name}.checked").write_text(_stamp(target, file), encoding="utf-8")
    except OSError:
        return  # a folder that cannot be written: checked again next time


def _known_good(target: Path, file: RemoteFile) -> bool:
    try:
        return target.with_name(f".{target.name}.checked").read_text(encoding="utf-8") == _stamp(target, file)
    except OSError:
        return False
