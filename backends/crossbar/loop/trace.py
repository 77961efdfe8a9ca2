"""Traces: every call of a device with its answer, in one HDF5 file that a killed program leaves readable.

Numbers of all calls lie one after another in ``floats`` (targets, full scales, currents), ``integers`` (offsets, rows)
and ``keys``, texts in ``texts``; a row of ``calls`` says how many belong to each call, and is written after them. The
file is written in the single-writer mode of HDF5, in which what is flushed can be read at any time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.chip.protocol import PROTOCOL_VERSION, Status
from snnsim.errors import DataError, DeviceError, ParameterError
from snnsim.storage.hdf5 import SCHEMA
from snnsim.version import __version__

KIND = "snnsim.device_trace"
PROGRAM, READ, STATUS = 0, 1, 2
NAMES = {PROGRAM: "program", READ: "read", STATUS: "status"}
#: What the columns of ``calls`` hold; an answer of -1 outputs is an error, whose text follows.
COLUMNS = ("kind", "tile", "target_rows", "target_columns", "scales", "vectors", "rows", "keys", "outputs", "text")
_STREAMS = {"floats": np.float64, "integers": np.int64, "keys": np.uint64, "texts": np.uint8}
_CHUNK = 2**15


@dataclass
class Call:
    """A call with its answer.

    Parameters
    ----------
    kind : {PROGRAM, READ, STATUS}
    tile : int
    targets : ndarray, shape (rows, columns), or None
    full_scale : ndarray of shape () or (outputs,), or None
    offsets, rows, keys : ndarray or None
    currents : ndarray, shape (vectors, outputs), or None
    text : str
        A status as JSON, or that of an error.
    failed : bool
    """

    kind: int
    tile: int = 0
    targets: NDArray[np.float64] | None = None
    full_scale: NDArray[np.float64] | None = None
    offsets: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None
    keys: NDArray[np.uint64] | None = None
    currents: NDArray[np.float64] | None = None
    text: str = ""
    failed: bool = False

    def packed(self) -> tuple[list[int], dict[str, list[NDArray[Any]]]]:
        """Return its row of ``calls``, and its numbers by stream."""
        text = np.frombuffer(self.text.encode(), np.uint8)
        floats = [np.ravel(part) for part in (self.targets, self.full_scale, self.currents) if part is not None]
        integers = [part for part in (self.offsets, self.rows) if part is not None]
        row: list[int] = [
            self.kind,
            self.tile,
            *((0, 0) if self.targets is None else self.targets.shape),
            -1 if self.full_scale is None else (0 if self.full_scale.ndim == 0 else self.full_scale.size),
            _size(self.offsets) - 1,
            _size(self.rows),
            -1 if self.keys is None else self.keys.size,
            -1 if self.failed else (0 if self.currents is None else self.currents.shape[1]),
            text.size,
        ]
        keys = [] if self.keys is None else [self.keys]
        return row, {"floats": floats, "integers": integers, "keys": keys, "texts": [text]}


def _size(part: NDArray[Any] | None) -> int:
    return 0 if part is None else part.size


class TraceWriter:
    """A trace that grows.

    Parameters
    ----------
    path : path
        Must not be there yet.
    status : Status
        Of the device, from before the first call.
    buffer : int
        Bytes that are kept in memory until they are written.
    """

    def __init__(self, path: str | Path, status: Status, buffer: int) -> None:

        where = Path(path)
        if where.exists():
            raise ParameterError(f"path={str(path)!r}: is there already; give another name, or remove it")
        where.parent.mkdir(parents=True, exist_ok=True)
        self._buffer, self._waiting = buffer, 0
        self._rows: list[list[int]] = []
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _STREAMS}
        self._file = h5py.File(where, "w-", libver="latest")
        self._file.attrs.update(kind=KIND, schema=SCHEMA, snnsim_version=__version__, protocol=PROTOCOL_VERSION)
        self._file.attrs["status"] = json.dumps(status.as_dict())
        self._file.attrs["columns"] = json.dumps(COLUMNS)
        for name, dtype in _STREAMS.items():
            # Random numbers do not become smaller, but most targets and lists of rows do.
            self._file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK,), compression="lzf")
        width = len(COLUMNS)
        self._file.create_dataset("calls", (0, width), np.int64, maxshape=(None, width), chunks=(1024, width))
        self._file.swmr_mode = True

    def add(self, call: Call) -> None:
        """Take a call; it is written once the buffer is full."""
        row, parts = call.packed()
        self._rows.append(row)
        self._waiting += 8 * len(row)
        for name, arrays in parts.items():
            for array in arrays:
                if array.size:
                    self._parts[name].append(np.array(array))  # a copy: the caller may use its buffer again
                    self._waiting += array.nbytes
        if self._waiting >= self._buffer:
            self.flush()

    def flush(self) -> None:
        """Write what waits; numbers first, so that no row of ``calls`` is without them."""
        for name, parts in self._parts.items():
            if parts:
                _append(self._file[name], np.concatenate(parts))
        if self._rows:
            self._file.flush()
            _append(self._file["calls"], np.array(self._rows, np.int64))
            self._file.flush()
        self._rows, self._parts, self._waiting = [], {name: [] for name in _STREAMS}, 0

    def close(self) -> None:
        """Write what waits and close the file."""
        if self._file:
            self.flush()
            self._file.close()


def _append(stream: h5py.Dataset, values: NDArray[Any]) -> None:
    before = stream.shape[0]
    stream.resize(before + len(values), axis=0)
    stream[before:] = values
    stream.flush()


class TraceReader:
    """A trace, call by call; no more than one call is in memory.

    Raises
    ------
    DataError
        No such file, not a trace, damaged, or written by another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"{path}: no such file")
        try:
            # Readable in this mode even where the program that wrote it was killed.
            self._file = h5py.File(self.path, "r", libver="latest", swmr=True)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable HDF5 file; it may be cut short or of another format") from error
        try:
            with self._damage():
                found = self._file.attrs.get("kind")
                if found != KIND:
                    raise DataError(f"{path}: expected a file of kind {KIND!r}, found {found!r}")
                version = (int(self._file.attrs["schema"]), int(self._file.attrs["protocol"]))
                if version != (SCHEMA, PROTOCOL_VERSION):
                    raise DataError(
                        f"{path}: schema and protocol are {version}, this snnsim reads {(SCHEMA, PROTOCOL_VERSION)}; "
                        "use the version that wrote it, or record again"
                    )
                self.status = Status.from_dict(json.loads(self._file.attrs["status"]))
                self.calls: NDArray[np.int64] = self._file["calls"][()]
                if self.calls.shape[1:] != (len(COLUMNS),) or self.calls.dtype.kind not in "iu":
                    raise DataError(
                        f"{path}: the file is damaged or not complete (calls has {self.calls.dtype} {self.calls.shape})"
                    )
        except BaseException:
            self._file.close()
            raise
        self._next, self._places = 0, dict.fromkeys(_STREAMS, 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def number(self) -> int:
        """How many calls were taken."""
        return self._next

    def take(self) -> Call | None:
        """Return the next call, or None after the last one."""
        if self._next >= len(self.calls):
            return None
        kind, tile, height, width, scales, vectors, rows, keys, outputs, text = (int(n) for n in self.calls[self._next])
        with self._damage():
            call = Call(kind, tile, failed=outputs < 0)
            if kind == PROGRAM:
                call.targets = self._some("floats", height * width).reshape(height, width)
                if scales >= 0:
                    call.full_scale = self._some("floats", max(1, scales)).reshape(() if scales == 0 else (scales,))
            if kind == READ:
                call.offsets, call.rows = self._some("integers", vectors + 1), self._some("integers", rows)
                call.keys = None if keys < 0 else self._some("keys", keys)
                if outputs >= 0:
                    call.currents = self._some("floats", vectors * outputs).reshape(vectors, outputs)
            call.text = self._some("texts", text).tobytes().decode()
        self._next += 1
        return call

    def rewind(self) -> None:
        """Start again with the first call."""
        self._next, self._places = 0, dict.fromkeys(_STREAMS, 0)

    def _some(self, stream: str, size: int) -> NDArray[Any]:
        start = self._places[stream]
        values: NDArray[Any] = self._file[stream][start : start + size]
        if values.size != size:
            raise DataError(f"{self.path}: the file is damaged or not complete ({stream} ends within a call)")
        self._places[stream] = start + size
        return values

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except DeviceError:
            raise
        except (
            KeyError, OSError, ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError
        ) as error:  # fmt: skip
            if isinstance(error, DataError):
                raise
            reason = str(error).splitlines()[0].strip("'\"")
            raise DataError(f"{self.path}: the file is damaged or not complete ({reason})") from error
