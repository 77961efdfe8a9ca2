"""The wire format: frames with a header that is checked before anything else, arrays as raw little-endian bytes.

A frame is 32 bytes of header and a payload. All numbers are little-endian.

======  =====  ==========================================================
offset  bytes  what
======  =====  ==========================================================
0       4      ``SNLD``
4       2      version of the protocol
6       2      kind of message (`Kind`)
8       8      number of the request; an answer has that of its request
16      8      bytes of payload
24      4      CRC-32 of the payload
28      4      CRC-32 of the 28 bytes before
======  =====  ==========================================================

The payload is a length (4 bytes), so many bytes of JSON, and arrays one after another. The JSON holds ``fields`` and
``arrays``, a list of [name, dtype, shape]. Sizes are checked against limits before memory is taken for them.
"""

from __future__ import annotations

import enum
import json
import math
import socket
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.chip.protocol import PROTOCOL_VERSION
from snnsim.errors import DeviceError

MAGIC = b"SNLD"
_HEAD = struct.Struct("<4sHHQQI")
_SUM = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _SUM.size
#: Most bytes of a payload, unless told otherwise: 32 tiles of 512 x 512 targets.
LIMIT = 2**26
_JSON_LIMIT = 2**16
_ARRAYS, _DIMENSIONS = 8, 4
_MOST_NUMBERS = 2**40
_DTYPES = {name: np.dtype(name) for name in ("<f8", "<f4", "<i8", "<i4", "<u8", "<u4")}
_RECEIVE = 2**20


class Kind(enum.IntEnum):
    """Kinds of messages."""

    HELLO = 1
    WELCOME = 2
    PROGRAM = 3
    READ = 4
    STATUS = 5
    ANSWER = 6
    REFUSED = 7
    DAMAGED = 8
    BYE = 9


@dataclass
class Message:
    """A kind of message, the number of its request, plain fields and arrays."""

    kind: Kind
    number: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


class DamagedError(DeviceError):
    """A payload does not have its checksum; the frames after it can still be read."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, kind="answer")
        self.number = number


def encode(message: Message, *, version: int = PROTOCOL_VERSION) -> bytes:
    """Return a message as a frame."""
    arrays = {name: _little(array) for name, array in message.arrays.items()}
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    text = json.dumps({"fields": message.fields, "arrays": listed}).encode()
    payload = b"".join([_SUM.pack(len(text)), text, *(array.tobytes() for array in arrays.values())])
    head = _HEAD.pack(MAGIC, version, message.kind, message.number, len(payload), zlib.crc32(payload))
    return head + _SUM.pack(zlib.crc32(head)) + payload


def _little(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def decode_header(header: bytes, limit: int) -> tuple[Kind, int, int, int]:
    """Return kind, number, bytes and checksum of the payload, or raise `DeviceError`.

    Version comes before checksum: another version may have another header.
    """
    magic, version, kind, number, size, checksum = _HEAD.unpack_from(header)
    if magic != MAGIC:
        raise DeviceError(f"what came is no frame of this protocol: it begins with {bytes(magic)!r}", kind="answer")
    if version != PROTOCOL_VERSION:
        raise DeviceError(
            f"the other side speaks version {version} of the protocol, this snnsim version {PROTOCOL_VERSION}; update "
            "the older of the two",
            kind="version",
        )
    if zlib.crc32(header[: _HEAD.size]) != _SUM.unpack_from(header, _HEAD.size)[0]:
        raise DeviceError("the header of a frame does not have its checksum", kind="answer")
    if size > limit:
        raise DeviceError(f"a frame says it has {size} bytes; the limit is {limit}", kind="answer")
    try:
        return Kind(kind), number, size, checksum
    except ValueError as error:
        raise DeviceError(f"a frame has the kind {kind}, which is none", kind="answer") from error


def decode_payload(kind: Kind, number: int, payload: bytes | bytearray, checksum: int) -> Message:
    """Return the message of a payload, or raise `DeviceError`; its arrays are copies that may be changed."""
    if zlib.crc32(payload) != checksum:
        raise DamagedError(f"the {kind.name.lower()} frame of request {number} does not have its checksum", number)
    view = memoryview(payload)
    if len(view) < _SUM.size:
        raise _malformed(kind, number, "it is too short")
    (length,) = _SUM.unpack_from(view)
    if length > min(_JSON_LIMIT, len(view) - _SUM.size):
        raise _malformed(kind, number, f"its text has {length} bytes")
    start = _SUM.size + length
    try:
        content = json.loads(bytes(view[_SUM.size : start]))
        fields, listed = content["fields"], content["arrays"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _malformed(kind, number, "its text cannot be read") from error
    if not isinstance(fields, dict) or not isinstance(listed, list) or len(listed) > _ARRAYS:
        raise _malformed(kind, number, "its text is not what was agreed")
    arrays: dict[str, NDArray[Any]] = {}
    for entry in listed:
        name, dtype, shape = _described(entry, kind, number)
        size = dtype.itemsize * math.prod(shape)
        if size > len(view) - start:
            raise _malformed(
                kind,
                number,
                f"array {name!r} of {dtype.str} {tuple(shape)} needs {size} bytes, {len(view) - start} are left",
            )
        arrays[name] = np.frombuffer(view[start : start + size], dtype).reshape(shape).astype(dtype.newbyteorder("="))
        start += size
    if start != len(view):
        raise _malformed(kind, number, f"{len(view) - start} bytes are left over")
    return Message(kind, number, fields, arrays)


def _described(entry: Any, kind: Kind, number: int) -> tuple[str, np.dtype[Any], list[int]]:
    good = isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str) and isinstance(entry[2], list)
    if not good or len(entry[2]) > _DIMENSIONS or not all(type(n) is int and 0 <= n < 2**40 for n in entry[2]):
        raise _malformed(kind, number, f"an array is described as {str(entry)[:60]}")
    # An extent of zero leaves nothing to count, and the others to what no array can have.
    if 0 in entry[2] and math.prod(n for n in entry[2] if n) > _MOST_NUMBERS:
        raise _malformed(kind, number, f"array {entry[0]!r} has the shape {tuple(entry[2])}")
    dtype = _DTYPES.get(str(entry[1]))
    if dtype is None:
        raise _malformed(kind, number, f"array {entry[0]!r} has the type {str(entry[1])[:20]!r}")
    return entry[0], dtype, entry[2]


def _malformed(kind: Kind, number: int, why: str) -> DeviceError:
    return DeviceError(f"the {kind.name.lower()} frame of request {number} makes no sense: {why}", kind="answer")


class Inbox:
    """Frames put together from what a socket has, a piece at a time.

    Parameters
    ----------
    limit : int
        Most bytes of a payload.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._bytes = bytearray()
        self._expected: tuple[Kind, int, int, int] | None = None

    @property
    def begun(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._bytes) or self._expected is not None

    def receive(self, connection: socket.socket) -> Message | None:
        """Take one piece from a socket; return a message once it is complete.

        Raises
        ------
        DeviceError
            Something that is no frame, too large, damaged or malformed came (kind "answer"; `DamagedError` where only
            the payload is and the stream may go on), another version (kind "version"), or the end (kind "lost").
        """
        wanted = HEADER_BYTES if self._expected is None else self._expected[2]
        piece = connection.recv(min(wanted - len(self._bytes), _RECEIVE))
        if not piece:
            raise DeviceError("the other side closed the connection" + " within a frame" * self.begun, kind="lost")
        self._bytes += piece
        if len(self._bytes) < wanted:
            return None
        if self._expected is None:
            self._expected = decode_header(bytes(self._bytes), self.limit)
            self._bytes = bytearray()
            if self._expected[2]:
                return None
        (kind, number, _, checksum), payload = self._expected, self._bytes
        self._expected, self._bytes = None, bytearray()
        return decode_payload(kind, number, payload, checksum)


def needs(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a field of a message, or raise `DeviceError` where it is missing or of another type."""
    value = fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise DeviceError(f"a message has {name}={str(value)[:40]!r}; expected {kind.__name__}", kind="answer")
    return value
