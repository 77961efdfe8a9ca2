"""One HTTP transfer into a file, going on where an earlier one stopped."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tqdm import tqdm

BLOCK = 1 << 18


class RefusedError(Exception):
    """The answer makes another attempt at this mirror pointless."""


def transfer(url: str, part: Path, *, size: int | None, checked: bool, timeout: float, progress: bool) -> bool:
    """Bring `part` to its full length from `url`; return whether it went on from bytes that were there before.

    Where the server names versions (ETag, date), bytes are only continued if the file has not changed since. Bytes
    of another address, or of a server that names none, are only continued if the caller has a hash to check the
    whole by (`checked`). A server that does not know ranges sends the file from the start, and it is taken from there.

    Raises
    ------
    OSError, http.client.HTTPException
        The transfer failed or broke off; what has arrived stays in `part`.
    RefusedError
        The file cannot be the one wanted, or does not fit on the disk.
    """
    begin = part.stat().st_size if part.is_file() else 0
    if size is not None and begin >= size:
        if begin == size:
            return True
        begin = 0
    if begin and not checked and not _validator(part, url):
        begin = 0
    answer, begin = _ask(url, part, begin, timeout)
    if answer is None:
        return True
    with answer:
        total = _total(answer, begin)
        if size is not None and total is not None and total != size:
            raise RefusedError(f"offers {total:,} bytes, expected {size:,}")
        _check_room(part, total, begin)
        _remember(part, url, answer)
        _receive(answer, part, begin, total, progress)
    return begin > 0


def _ask(url: str, part: Path, begin: int, timeout: float) -> tuple[http.client.HTTPResponse | None, int]:
    """Send the request, with a range if bytes are there; return the answer and where its bytes belong.

    The answer is None where the server says that nothing is left to send.
    """
    headers = {"User-Agent": "snnsim", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
        validator = _validator(part, url)
        if validator:
            headers["If-Range"] = validator
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not begin:
            raise
        error.close()
        if error.headers.get("Content-Range", "") == f"bytes */{begin}":
            return None, begin
        part.unlink()
        return _ask(url, part, 0, timeout)
    if answer.status == 206:
        found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if not found or int(found[1]) != begin:
            answer.close()
            part.unlink()
            return _ask(url, part, 0, timeout)
        return answer, begin
    return answer, 0


def _total(answer: http.client.HTTPResponse, begin: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return begin + int(length) if length.isdigit() else None


def _check_room(part: Path, total: int | None, begin: int) -> None:
    free = shutil.disk_usage(part.parent).free + (0 if begin or not part.is_file() else part.stat().st_size)
    if total is not None and total - begin > free:
        raise RefusedError(f"{total - begin:,} bytes to come, but only {free:,} free in {part.parent}; make room there")


def _receive(answer: http.client.HTTPResponse, part: Path, begin: int, total: int | None, progress: bool) -> None:
    shown: dict[str, Any] = {"unit": "B", "unit_scale": True, "desc": part.stem, "disable": None if progress else True}
    arrived = begin
    with part.open("ab" if begin else "wb") as file, tqdm(total=total, initial=begin, **shown) as bar:
        while block := answer.read(BLOCK):
            file.write(block)
            arrived += len(block)
            bar.update(len(block))
    if total is not None and arrived != total:
        raise http.client.HTTPException(f"broke off after {arrived:,} of {total:,} bytes")


def _remember(part: Path, url: str, answer: http.client.HTTPResponse) -> None:
    """Keep beside the part where it comes from and how the server names this version of it."""
    etag = answer.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    part.with_name(f"{part.name}.from").write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _validator(part: Path, url: str) -> str:
    try:
        known = json.loads(part.with_name(f"{part.name}.from").read_text(encoding="utf-8"))
        return str(known["validator"]) if known["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
