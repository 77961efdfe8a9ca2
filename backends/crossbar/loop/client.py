"""A chip at the other end of a socket: `TcpDevice`."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import numpy as np

from snnsim.backends.crossbar.chip.geometry import Geometry
from snnsim.backends.crossbar.chip.protocol import Integers, Keys, Status
from snnsim.backends.crossbar.loop.frames import LIMIT, Inbox, Kind, Message, encode, needs
from snnsim.backends.crossbar.number_checks import Floats
from snnsim.errors import DeviceError, ParameterError, positive, whole

#: Longest pause between two attempts, in seconds.
_LONGEST_PAUSE = 5.0
#: Room in a frame for what is not currents.
_OVERHEAD = 2**12
#: Seconds that an attempt may take: more than a month is a slip of units.
_LONGEST_TIMEOUT = 3e6


def port_number(port: object, *, at_least: int = 0) -> int:
    """Return a port, or raise `ParameterError` unless it is one."""
    number = whole("port", port, at_least=at_least)
    if number > 65535:
        raise ParameterError(f"port={number}: must be at most 65535")
    return number


class TcpDevice:
    """The client of a device that `serve` or ``snnsim serve-device`` shows to the network.

    Requests have numbers. Where an answer does not come, or comes damaged, the client connects again and sends the
    same number; the server, which keeps the last answer of each client, carries no request out twice. Answers are
    held to what was asked.

    Parameters
    ----------
    host : str
    port : int
    timeout : float
        Seconds that one attempt may take, connecting and the work of the device included.
    retries : int
        Attempts after the first one.
    backoff : float
        Seconds before the second attempt; the pause doubles with each further one, up to 5 s.
    limit : int
        Most bytes of a frame, sent or received. Reads whose answers would be larger are asked for in parts.

    Raises
    ------
    DeviceError
        No device answers there (kind "lost" or "timeout"), or it speaks another version (kind "version"). Later calls
        raise it too: kind "restarted" once after the server was started anew, since its cells may have been lost;
        "refused" where the device says no; "answer" where what came cannot be true.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        backoff: float = 0.1,
        limit: int = LIMIT,
    ) -> None:
        positive("timeout", timeout)
        if timeout > _LONGEST_TIMEOUT:
            raise ParameterError(f"timeout={timeout!r}: must be at most {_LONGEST_TIMEOUT:g} s; is it in ms?")
        positive("backoff", backoff, zero=True)
        self.host, self.port = str(host), port_number(port, at_least=1)
        self.timeout, self.backoff = float(timeout), float(backoff)
        self.retries, self.limit = whole("retries", retries), whole("limit", limit, at_least=2**16)
        self._lock = threading.RLock()
        self._connection: socket.socket | None = None
        self._inbox = Inbox(self.limit)
        self._known: Geometry | None = None
        self._server_limit = self.limit
        self._instance: str | None = None
        self._session, self._number = secrets.token_hex(16), 0
        with self._lock:
            self._attempts(None)

    def __repr__(self) -> str:
        return f"TcpDevice({self.host!r}, {self.port})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye; a later call connects again, as a new client."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._connection.sendall(encode(Message(Kind.BYE)))
            self._hang_up()
            self._forget()

    # -- what a device can do ----------------------------------------------------------------------------

    def program(self, tile: int, targets: Floats, full_scale: float | Floats | None = None) -> None:
        """Program a tile; see `LoopDevice.program`."""
        geometry = self._geometry
        tile, wanted, scale = geometry.program(tile, targets, full_scale)
        arrays: dict[str, Any] = {"targets": wanted}
        if scale is not None:
            arrays["full_scale"] = scale
        geometry.programming(tile)
        self._ask(Kind.PROGRAM, {"tile": tile}, arrays)
        geometry.programmed(tile, wanted)

    def read(self, tile: int, offsets: Integers, rows: Integers, keys: Keys | None = None) -> Floats:
        """Read a tile; see `LoopDevice.read`."""
        geometry = self._geometry
        tile, bounds, active, own = geometry.read(tile, offsets, rows, keys)
        parts = []
        for low, high in self._parts(geometry.outputs(tile) or geometry.status.outputs, bounds):
            start, stop = int(bounds[low]), int(bounds[high])
            arrays: dict[str, Any] = {"offsets": bounds[low : high + 1] - start, "rows": active[start:stop]}
            if own is not None:
                arrays["keys"] = own[low:high]
            answer = self._ask(Kind.READ, {"tile": tile}, arrays)
            parts.append(geometry.currents(tile, high - low, answer.arrays.get("currents"), low))
        if len({part.shape[1] for part in parts}) > 1:
            raise DeviceError(
                f"device {geometry.status.name!r}, tile {tile}: was programmed anew between two parts of a read",
                kind="answer",
            )
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def status(self) -> Status:
        """Ask the device what it is."""
        answer = self._ask(Kind.STATUS, {}, {})
        found = Status.from_dict(needs(answer.fields, "status", dict))
        with self._lock:
            self._geometry.status = found
        return found

    # -- asking ------------------------------------------------------------------------------------------

    @property
    def _geometry(self) -> Geometry:
        assert self._known is not None  # known since the first connection
        return self._known

    def _parts(self, outputs: int, bounds: Integers) -> list[tuple[int, int]]:
        """Return ranges of vectors whose request and whose answer fit a frame; one range where there are none."""
        room = min(self.limit, self._server_limit) - _OVERHEAD
        vectors, low, parts = bounds.size - 1, 0, []
        most = max(1, room // max(24, 8 * outputs) // 2)
        while low < vectors:
            high = min(vectors, low + most)
            fitting = int(np.searchsorted(bounds, bounds[low] + room // 16, side="right")) - 1
            high = max(low + 1, min(high, fitting))
            parts.append((low, high))
            low = high
        return parts or [(0, 0)]

    def _ask(self, kind: Kind, fields: dict[str, Any], arrays: dict[str, Any]) -> Message:
        with self._lock:
            self._number += 1
            frame = encode(Message(kind, self._number, fields, arrays))
            room = min(self.limit, self._server_limit)
            if len(frame) > room:
                raise ParameterError(
                    f"a {kind.name.lower()} request of {len(frame)} bytes: the limit of client and server is {room}"
                )
            answer = self._attempts(frame)
            if answer.kind is Kind.REFUSED:
                told = answer.fields.get("kind")
                raise DeviceError(
                    f"{self._where()} refused request {self._number} ({kind.name.lower()}): "
                    f"{needs(answer.fields, 'message', str)}",
                    kind=told if told in DeviceError.KINDS else "refused",
                )
            return answer

    def _attempts(self, frame: bytes | None) -> Message:
        """Connect where there is no connection, send a frame if there is one, and return the answer."""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(_LONGEST_PAUSE, self.backoff * 2 ** (attempt - 1)))
            deadline = time.monotonic() + self.timeout
            try:
                if self._connection is None:
                    welcome = self._connect(deadline)
                    if frame is None:
                        return welcome
                assert frame is not None
                answer = self._exchange(frame, self._number, deadline)
                if answer.kind in (Kind.ANSWER, Kind.REFUSED):
                    return answer
                raise DeviceError(f"asked {self._number}, got a frame of kind {answer.kind.name}", kind="answer")
            except DeviceError as error:
                self._hang_up()
                if error.kind in ("version", "restarted", "refused"):
                    raise
                last: Exception = error
            except OSError as error:
                self._hang_up()
                last = error
            except BaseException:  # Ctrl-C: what is on its way must not be taken for a later answer
                self._hang_up()
                raise
        raise self._failure(last) from last

    def _failure(self, last: Exception) -> DeviceError:
        tries = f"{self.retries + 1} attempt{'s' * (self.retries > 0)}"
        if isinstance(last, TimeoutError):
            return DeviceError(
                f"{self._where()} did not answer within {self.timeout:g} s, in {tries}; a slow device needs a larger "
                "timeout",
                kind="timeout",
            )
        kind = last.kind if isinstance(last, DeviceError) else "lost"
        return DeviceError(f"{self._where()}: {last} ({tries})", kind=kind)

    def _connect(self, deadline: float) -> Message:
        self._connection = socket.create_connection((self.host, self.port), _left(deadline))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._inbox = Inbox(self.limit)
        answer = self._exchange(encode(Message(Kind.HELLO, 0, {"session": self._session})), 0, deadline)
        if answer.kind is Kind.REFUSED:
            raise DeviceError(f"{self._where()}: {needs(answer.fields, 'message', str)}", kind="refused")
        if answer.kind is not Kind.WELCOME:
            raise DeviceError(f"expected a welcome, got a frame of kind {answer.kind.name}", kind="answer")
        instance, known = needs(answer.fields, "instance", str), needs(answer.fields, "known", bool)
        self._server_limit = needs(answer.fields, "limit", int)
        if self._server_limit < 2**16:
            raise DeviceError(
                f"the server takes frames of {self._server_limit} bytes; must be 65536 or above", kind="answer"
            )
        status = Status.from_dict(needs(answer.fields, "status", dict))
        if self._instance is not None and (instance != self._instance or not known):
            self._hang_up()
            self._forget()
            raise DeviceError(
                f"{self._where()} was started anew and does not know this client: what was programmed may be lost; "
                "program it again",
                kind="restarted",
            )
        if self._instance is None:
            self._known = Geometry(status)
        self._instance = instance
        return answer

    def _exchange(self, frame: bytes, number: int, deadline: float) -> Message:
        """Send a frame and wait for the next one."""
        assert self._connection is not None
        self._connection.settimeout(_left(deadline))
        self._connection.sendall(frame)
        while True:
            self._connection.settimeout(_left(deadline))
            answer = self._inbox.receive(self._connection)
            if answer is None:
                continue
            if answer.kind is Kind.DAMAGED:
                raise DeviceError("request arrived damaged", kind="answer")
            if answer.kind is Kind.REFUSED and answer.number == 0 != number:
                raise DeviceError(
                    f"the server cut the connection: {needs(answer.fields, 'message', str)}", kind="answer"
                )
            if answer.number != number:
                raise DeviceError(f"asked {number}, got the answer of {answer.number}", kind="answer")
            return answer

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _forget(self) -> None:
        """Be a new client from now on."""
        self._session, self._number, self._instance = secrets.token_hex(16), 0, None

    def _where(self) -> str:
        return f"device at {self.host}:{self.port}"


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
