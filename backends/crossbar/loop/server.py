"""A device shown to the network: one thread that carries requests out one after another.

There is no password: whoever reaches the port can program the chip. Serve on 127.0.0.1, or on a network of one's own.
"""

from __future__ import annotations

import contextlib
import secrets
import selectors
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from snnsim.backends.crossbar.chip.failures import kind_of, status_of
from snnsim.backends.crossbar.chip.geometry import Geometry, plain_scale
from snnsim.backends.crossbar.chip.protocol import LoopDevice
from snnsim.backends.crossbar.loop.client import port_number
from snnsim.backends.crossbar.loop.frames import LIMIT, DamagedError, Inbox, Kind, Message, encode, needs
from snnsim.errors import DeviceError, ParameterError, SnnsimError, positive, whole

#: Clients that are connected at the same time, and clients whose last answer is kept.
CONNECTIONS, SESSIONS = 16, 64
#: Bytes of last answers that are kept for clients that are not connected.
_KEPT_BYTES = 2**28
_TICK = 0.5


@dataclass
class _Session:
    """A client: the number of its last request and the answer to it."""

    number: int = 0
    answer: bytes = b""


@dataclass(eq=False)
class _Peer:
    """A connection."""

    connection: socket.socket
    inbox: Inbox
    session: str | None = None
    out: bytearray = field(default_factory=bytearray)
    last: bool = False
    heard: float = field(default_factory=time.monotonic)


class DeviceServer:
    """A server that is bound to its port and waits to be run.

    Parameters
    ----------
    device : LoopDevice
    host : str
    port : int
        0 takes a free one; `address` says which.
    limit : int
        Most bytes of a frame.
    patience : float
        Seconds after which a client that stopped within a frame, or does not take its answer, is dropped.

    Raises
    ------
    OSError
        The port cannot be had.
    """

    def __init__(
        self, device: LoopDevice, host: str = "127.0.0.1", port: int = 0, *, limit: int = LIMIT, patience: float = 30.0
    ) -> None:
        positive("patience", patience)
        self.device, self.limit, self.patience = device, whole("limit", limit, at_least=2**16), float(patience)
        port_number(port)
        self._geometry = Geometry(status_of(device))
        self._instance = secrets.token_hex(16)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._peers: set[_Peer] = set()
        self._stopped = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=CONNECTIONS)
        self._listener.setblocking(False)
        #: Host and port that clients connect to.
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._waker, self._wake = socket.socketpair()
        self._waker.setblocking(False)
        self._wake.setblocking(False)

    def stop(self) -> None:
        """Make `run` return once the request at work is done; from a signal or another thread."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._wake.send(b"x")

    def run(self) -> None:
        """Serve until `stop`; a request at work is finished, and its answer is sent."""
        with selectors.DefaultSelector() as selector:
            self._selector = selector
            selector.register(self._listener, selectors.EVENT_READ, None)
            selector.register(self._waker, selectors.EVENT_READ, None)
            try:
                while not self._stopped.is_set():
                    for key, events in selector.select(_TICK):
                        if key.fileobj is self._listener:
                            self._accept()
                        elif key.fileobj is self._waker:
                            with contextlib.suppress(OSError):
                                self._waker.recv(64)
                        elif key.data in self._peers:
                            self._serve(key.data, events)
                    self._drop_stalled()
                self._flush()
            finally:
                for peer in list(self._peers):
                    self._drop(peer)
                for one in (self._listener, self._waker, self._wake):
                    one.close()

    # -- connections -------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone again before it was let in
            return
        if len(self._peers) >= CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = _Peer(connection, Inbox(self.limit))
        self._peers.add(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _serve(self, peer: _Peer, events: int) -> None:
        """Send and receive what a connection is ready for; whatever a client does, the others go on."""
        try:
            if events & selectors.EVENT_WRITE:
                self._send(peer)
            if events & selectors.EVENT_READ and peer in self._peers and not peer.last:
                peer.heard = time.monotonic()
                message = peer.inbox.receive(peer.connection)
                if message is not None:
                    self._answer(peer, message)
        except BlockingIOError:
            return
        except DamagedError as error:
            self._reply(peer, encode(Message(Kind.DAMAGED, error.number, {"message": str(error)})))
        except DeviceError as error:
            if error.kind == "lost":
                self._drop(peer)
                return
            # Where the next frame begins is not known any more.
            peer.last = True
            _say(f"a client is cut off: {error}")
            self._reply(peer, encode(Message(Kind.REFUSED, 0, {"message": str(error)})))
        except OSError:
            self._drop(peer)
        except Exception as error:  # whatever a client has found to send: it goes, and the others stay
            _say(f"a client is cut off: {type(error).__name__}: {error}")
            self._drop(peer)

    def _reply(self, peer: _Peer, frame: bytes) -> None:
        peer.out += frame
        peer.heard = time.monotonic()
        try:
            self._send(peer)
        except BlockingIOError:
            return
        except OSError:
            self._drop(peer)

    def _send(self, peer: _Peer) -> None:
        while peer.out:
            try:
                sent = peer.connection.send(memoryview(peer.out)[: 2**20])
            except BlockingIOError:
                break
            del peer.out[:sent]
            peer.heard = time.monotonic()
        if not peer.out and peer.last:
            self._drop(peer)
            return
        # No new request of a client is read before it has taken its answer.
        self._selector.modify(peer.connection, selectors.EVENT_WRITE if peer.out else selectors.EVENT_READ, peer)

    def _drop(self, peer: _Peer) -> None:
        self._peers.discard(peer)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(peer.connection)
        peer.connection.close()

    def _drop_stalled(self) -> None:
        now = time.monotonic()
        for peer in [peer for peer in self._peers if peer.inbox.begun or peer.out or peer.session is None]:
            if now - peer.heard > self.patience:
                _say(f"a client is dropped: it has been silent for {self.patience:g} s")
                self._drop(peer)

    def _flush(self) -> None:
        """Give the last answers a second to leave."""
        until = time.monotonic() + 1.0
        while any(peer.out for peer in self._peers) and time.monotonic() < until:
            for key, _ in self._selector.select(0.05):
                if key.data in self._peers and key.data.out:
                    with contextlib.suppress(OSError):
                        self._send(key.data)

    # -- requests ----------------------------------------------------------------------------------------

    def _answer(self, peer: _Peer, message: Message) -> None:
        if message.kind is Kind.HELLO:
            self._welcome(peer, message)
            return
        if message.kind is Kind.BYE:
            self._sessions.pop(peer.session or "", None)
            self._drop(peer)
            return
        if peer.session is None or peer.session not in self._sessions:
            raise DeviceError("a request came before the hello", kind="answer")
        session = self._sessions[peer.session]
        if message.number < session.number:
            raise DeviceError(f"request {message.number} came after {session.number}", kind="answer")
        if message.number > session.number:
            answer = self._carry_out(message)
            session.number, session.answer = message.number, answer
        self._reply(peer, session.answer)

    def _welcome(self, peer: _Peer, message: Message) -> None:
        token = needs(message.fields, "session", str)
        if not 16 <= len(token) <= 64:
            raise DeviceError(f"a session of {len(token)} letters; expected 16 to 64", kind="answer")
        known = token in self._sessions
        self._sessions.setdefault(token, _Session())
        self._sessions.move_to_end(token)
        peer.session = token
        self._forget_sessions()
        facts = {
            "instance": self._instance,
            "known": known,
            "limit": self.limit,
            "status": self._geometry.status.as_dict(),
        }
        self._reply(peer, encode(Message(Kind.WELCOME, message.number, facts)))

    def _forget_sessions(self) -> None:
        connected = {peer.session for peer in self._peers}
        kept = sum(len(session.answer) for session in self._sessions.values())
        for token in [token for token in self._sessions if token not in connected]:
            if len(self._sessions) <= SESSIONS and kept <= _KEPT_BYTES:
                return
            kept -= len(self._sessions.pop(token).answer)

    def _carry_out(self, message: Message) -> bytes:
        """Do what a request asks; an error of the device is an answer too."""
        try:
            fields, arrays = self._ask_device(message)
            frame = encode(Message(Kind.ANSWER, message.number, fields, arrays))
            if len(frame) <= self.limit:
                return frame
            kind, reason = "refused", f"the answer would have {len(frame)} bytes; the limit is {self.limit}"
        except SnnsimError as error:
            kind, reason = getattr(error, "kind", "refused"), str(error)
        except Exception as error:  # a driver may raise anything; the server outlives it
            _say(f"{type(error).__name__}: {error}")
            kind, reason = kind_of(error), f"{type(error).__name__}: {error}"
        return encode(Message(Kind.REFUSED, message.number, {"kind": kind, "message": reason[:2000]}))

    def _ask_device(self, message: Message) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays, geometry = message.arrays, self._geometry
        if message.kind is Kind.STATUS:
            geometry.status = status_of(self.device)
            return {"status": geometry.status.as_dict()}, {}
        tile = needs(message.fields, "tile", int)
        if message.kind is Kind.PROGRAM:
            tile, targets, scale = geometry.program(tile, _array(arrays, "targets"), arrays.get("full_scale"))
            geometry.programming(tile)
            self.device.program(tile, targets, plain_scale(scale))
            geometry.programmed(tile, targets)
            return {}, {}
        if message.kind is not Kind.READ:
            raise ParameterError(f"a message of kind {message.kind.name} is no request")
        tile, offsets, rows, keys = geometry.read(
            tile, _array(arrays, "offsets"), _array(arrays, "rows"), arrays.get("keys")
        )
        vectors, outputs = offsets.size - 1, geometry.outputs(tile) or geometry.status.outputs
        if 8 * vectors * outputs > self.limit:
            raise ParameterError(f"{vectors} vectors of {outputs} currents are more than {self.limit} bytes")
        # Whether the currents can be true, the client says, who knows which vectors it asked for.
        return {}, {"currents": np.asarray(self.device.read(tile, offsets, rows, keys), np.float64)}


def _say(what: str) -> None:
    print(f"snnsim serve-device: {what}", file=sys.stderr, flush=True)


def _array(arrays: dict[str, Any], name: str) -> Any:
    if name not in arrays:
        raise ParameterError(f"a request came without its {name}")
    return arrays[name]


def serve(
    device: LoopDevice,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    limit: int = LIMIT,
    patience: float = 30.0,
    ready: Callable[[str, int], None] | None = None,
) -> None:
    """Show a device to the network until Ctrl-C or SIGTERM.

    Parameters
    ----------
    device : LoopDevice
    host : str
        There is no password: whoever reaches the port can program the chip.
    port : int
        0 takes a free one.
    limit : int
        Most bytes of a frame.
    patience : float
        Seconds after which a client that stopped within a frame is dropped.
    ready : callable, optional
        Called with host and port once clients can connect.
    """
    server = DeviceServer(device, host, port, limit=limit, patience=patience)
    with _stopping(server.stop):
        if ready is not None:
            ready(*server.address)
        server.run()


@contextlib.contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C and SIGTERM, which only the main thread can hear."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
