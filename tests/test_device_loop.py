"""Chips in the loop: traces that play back exactly, and a socket whose other end is killed, slow or lying."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

import h5py
import numpy as np
import pytest

from snnsim.backends.crossbar.loop import (
    Checked,
    DeviceServer,
    LoopDevice,
    Recorder,
    Replay,
    Status,
    TcpDevice,
    compare_currents,
    frames,
)
from snnsim.backends.crossbar.loop.frames import HEADER_BYTES, Inbox, Kind, Message, encode
from snnsim.commands.cli import main
from snnsim.errors import DataError, DeviceError, ParameterError
from snnsim.numerics import rng

ROWS, COLUMNS, OUTPUTS = 6, 8, 4


class SmallChip:
    """Two tiles in memory, with noise that depends on the key alone, and counters of what it was asked."""

    def __init__(self, tiles=2, rows=ROWS, columns=COLUMNS):
        self.shape = (rows, columns)
        self.cells = [np.zeros(self.shape) for _ in range(tiles)]
        self.programmed = self.reads = 0
        self.scales = {}

    def status(self):
        can = ("partial_programming", "full_scale", "keys")
        return Status("small", *self.shape, len(self.cells), 0.0, 25.0, 0.2, capabilities=can)

    def program(self, tile, targets, full_scale=None):
        self.programmed += 1
        self.scales[tile] = full_scale
        keep = np.isnan(targets)
        if keep.any():
            targets = np.where(keep, self.cells[tile], targets)
        self.cells[tile] = np.array(targets)

    def read(self, tile, offsets, rows, keys=None):
        self.reads += 1
        return currents(self.cells[tile], offsets, rows, keys)


def currents(cells, offsets, rows, keys=None):
    pairs = cells[:, 0::2] - cells[:, 1::2]
    out = np.array([0.2 * pairs[rows[a:b]].sum(0) for a, b in itertools.pairwise(offsets)])
    out = out.reshape(len(offsets) - 1, pairs.shape[1])
    if keys is not None:
        out = out + 1e-3 * rng.normal(0, 1, np.asarray(keys)[:, None], np.arange(pairs.shape[1]))
    return out


def targets(seed=0, rows=ROWS, columns=COLUMNS):
    return np.random.default_rng(seed).uniform(0, 25, (rows, columns))


def vectors(seed=0, count=5, rows=ROWS):
    random = np.random.default_rng(seed)
    lists = [np.flatnonzero(random.random(rows) < 0.4) for _ in range(count)]
    offsets = np.concatenate([[0], np.cumsum([each.size for each in lists])]).astype(np.int64)
    return offsets, np.concatenate(lists).astype(np.int64), random.integers(0, 2**63, count).astype(np.uint64)


@contextlib.contextmanager
def serving(device, **options):
    """Serve a device from a thread; yield its port."""
    server = DeviceServer(device, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def client(server, **options):
    return TcpDevice("127.0.0.1", server.address[1], **{"timeout": 5.0, "backoff": 0.01, **options})


def session(device):
    """Use a device as a run would; return all that it answered."""
    offsets, rows, keys = vectors()
    device.program(0, targets(0))
    answers = [device.read(0, offsets, rows, keys)]
    device.program(1, targets(1), 3.0)
    device.program(1, np.where(targets(2) > 12, np.nan, targets(2)), np.linspace(1, 2, OUTPUTS))
    device.program(0, targets(4)[:, :6])
    answers += [
        device.read(1, offsets, rows),
        device.read(0, offsets, rows),
        device.read(1, np.zeros(1, np.int64), np.zeros(0, np.int64)),
    ]
    return answers, device.status()


def same(first, second):
    assert first[1] == second[1]
    for one, other in zip(first[0], second[0], strict=True):
        assert one.dtype == np.float64
        assert one.shape == other.shape
        np.testing.assert_array_equal(one.view(np.uint64), other.view(np.uint64))


# -- the protocol ------------------------------------------------------------------------------------------


def test_the_parts_are_devices(tmp_path):
    chip = SmallChip()
    assert isinstance(chip, LoopDevice)
    with Recorder(chip, tmp_path / "trace.h5") as recorder:
        assert isinstance(recorder, LoopDevice)
    assert isinstance(Checked(chip), LoopDevice)
    with serving(chip) as server, client(server) as remote:
        assert isinstance(remote, LoopDevice)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.program(2, targets()), "tile=2: device 'small' has the tiles 0 ... 1"),
        (lambda d: d.program(0, np.zeros((3, 3))), r"shape \(3, 3\); a tile has \(6, 8\)"),
        (lambda d: d.program(0, np.zeros((7, 2))), r"shape \(7, 2\); a tile has \(6, 8\)"),
        (lambda d: d.program(0, -targets()), "row 0, column 0 is -"),
        (lambda d: d.program(0, targets(), [1.0]), "full_scale"),
        (lambda d: d.program(0, targets(), -1.0), "full_scale"),
        (lambda d: d.read(0, [0, 1], [6]), "hold 6; the tile has the rows 0 ... 5"),
        (lambda d: d.read(0, [0, 1], [-1]), "hold -1"),
        (lambda d: d.read(0, [0, 2], [1]), "offsets"),
        (lambda d: d.read(0, [0, 2, 1], [1]), "offsets"),
        (lambda d: d.read(0, [0, 1], [0.5]), "rows: float64"),
        (lambda d: d.read(0, [0, 1], [1], np.zeros(2, np.uint64)), "keys"),
        (lambda d: d.read(0, [0, 1], [1], np.zeros(1)), "keys"),
    ],
)
def test_wrong_requests_never_reach_the_device(call, message):
    chip = SmallChip()
    with pytest.raises(ParameterError, match=message):
        call(Checked(chip))
    assert (chip.programmed, chip.reads) == (0, 0)


def test_another_version_or_unit_is_refused():
    class Odd(SmallChip):
        def __init__(self, **changes):
            super().__init__()
            self.changes = changes

        def status(self):
            return Status.from_dict(super().status().as_dict() | self.changes)

    with pytest.raises(DeviceError, match="version 2") as caught:
        Checked(Odd(protocol=2))
    assert caught.value.kind == "version"
    with pytest.raises(DeviceError, match="current in 'nA'; expected 'uA'"):
        Checked(Odd(units={"conductance": "uS", "current": "nA", "full_scale": "uA", "read_voltage": "V"}))


# -- traces ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffer", [1, 2**22])
def test_a_trace_plays_back_bit_for_bit(tmp_path, buffer):
    plain = session(SmallChip())
    with Recorder(SmallChip(), tmp_path / "trace.h5", buffer=buffer) as recorder:
        same(session(recorder), plain)
    with Replay(tmp_path / "trace.h5") as replay:
        assert len(replay) == 9
        same(session(replay), plain)
        assert replay.finished
        replay.rewind()
        same(session(replay), plain)
    # Through a socket as well, and recorded again it is the same trace.
    with (
        Replay(tmp_path / "trace.h5") as replay,
        serving(replay) as server,
        client(server) as remote,
        Recorder(remote, tmp_path / "again.h5") as recorder,
    ):
        same(session(recorder), plain)
    with h5py.File(tmp_path / "trace.h5") as one, h5py.File(tmp_path / "again.h5") as other:
        for name in ("calls", "floats", "integers", "keys"):
            np.testing.assert_array_equal(one[name][()], other[name][()])


def test_what_was_not_recorded_is_named(tmp_path):
    offsets, rows, keys = vectors()
    with Recorder(SmallChip(), tmp_path / "trace.h5") as recorder:
        session(recorder)
    changed = rows.copy()
    changed[2] = (changed[2] + 1) % ROWS

    def begun():
        replay = Replay(tmp_path / "trace.h5")
        replay.program(0, targets(0))
        return replay

    for call, message in (
        (lambda d: d.read(0, offsets, changed, keys), f"call 2: rows differ in 1 of {rows.size} entries, first at 2: "),
        (lambda d: d.read(1, offsets, rows, keys), "call 2: a read of tile 1 is asked, a read of tile 0 was recorded"),
        (lambda d: d.program(0, targets(0)), "call 2: a program of tile 0 is asked, a read of tile 0 was recorded"),
        (lambda d: d.read(0, offsets, rows), "call 2: keys are not given"),
        (lambda d: d.read(0, offsets[:3], rows[: offsets[2]], keys[:2]), "call 2: offsets have the shape"),
    ):
        with begun() as replay, pytest.raises(DeviceError, match=message) as caught:
            call(replay)
        assert caught.value.kind == "trace"
    with (
        Replay(tmp_path / "trace.h5") as replay,
        pytest.raises(DeviceError, match="call 1: targets differ in 48 of 48"),
    ):
        replay.program(0, targets(5))
    with Replay(tmp_path / "trace.h5") as replay:
        session(replay)
        with pytest.raises(DeviceError, match="call 10, a read of tile 0, was not recorded; the trace has 9 calls"):
            replay.read(0, offsets, rows)


def test_a_recorded_error_is_raised_again(tmp_path):
    class Tired(SmallChip):
        def read(self, tile, offsets, rows, keys=None):
            raise DeviceError("too hot", kind="refused")

    with Recorder(Tired(), tmp_path / "trace.h5") as recorder, pytest.raises(DeviceError, match="too hot"):
        recorder.read(0, *vectors()[:2])
    with Replay(tmp_path / "trace.h5") as replay, pytest.raises(DeviceError, match="call 1: recorded error: too hot"):
        replay.read(0, *vectors()[:2])


def test_a_trace_is_never_written_over(tmp_path):
    (tmp_path / "trace.h5").write_text("mine")
    with pytest.raises(ParameterError, match="is there already"):
        Recorder(SmallChip(), tmp_path / "trace.h5")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        Replay(tmp_path / "trace.h5")
    with pytest.raises(DataError, match="no such file"):
        Replay(tmp_path / "none.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["kind"] = "snnsim.network"
    with pytest.raises(DataError, match=r"expected a file of kind 'snnsim.device_trace', found 'snnsim.network'"):
        Replay(tmp_path / "other.h5")


CHILD = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("device_loop_tests", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
tests.{function}(*sys.argv[2:])
"""


def child(function, *arguments):
    """Run a function of this file in a process of its own."""
    code = CHILD.format(function=function)
    return subprocess.Popen([sys.executable, "-c", code, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def record_for_ever(path):
    with Recorder(SmallChip(), path, buffer=2**14) as recorder:
        recorder.program(0, targets())
        for number in range(10**9):
            recorder.read(0, *vectors(number % 7))
            if number == 600:
                print("on its way", flush=True)


def test_a_killed_recording_can_be_played(tmp_path):
    process = child("record_for_ever", str(tmp_path / "trace.h5"))
    with process:
        assert process.stdout.readline() == "on its way\n"
        process.send_signal(signal.SIGKILL)
    chip = SmallChip()
    with Replay(tmp_path / "trace.h5") as replay:
        assert len(replay) > 200
        for device in (replay, chip):
            device.program(0, targets())
        for number in range(min(500, len(replay) - 1)):
            np.testing.assert_array_equal(replay.read(0, *vectors(number % 7)), chip.read(0, *vectors(number % 7)))


# -- the wire ----------------------------------------------------------------------------------------------


def parse(frame, limit=frames.LIMIT):
    """Send bytes through a pair of sockets and put them together again."""
    one, other = socket.socketpair()
    with one, other:
        one.sendall(frame)
        one.shutdown(socket.SHUT_WR)
        inbox = Inbox(limit)
        while (found := inbox.receive(other)) is None:
            pass
        return found


def test_frames_go_there_and_back():
    arrays = {"a": targets(), "b": np.arange(3, dtype=np.uint64), "c": np.array(2.5), "d": np.zeros((0, 4), np.int64)}
    found = parse(encode(Message(Kind.READ, 2**63 + 5, {"tile": 3}, arrays)))
    assert (found.kind, found.number, found.fields) == (Kind.READ, 2**63 + 5, {"tile": 3})
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def reheaded(frame, **changes):
    """Return a frame with another header, with the right checksum of it."""
    names = ("magic", "version", "kind", "number", "size", "checksum")
    values = dict(zip(names, struct.unpack_from("<4sHHQQI", frame), strict=True)) | changes
    head = struct.pack("<4sHHQQI", *values.values())
    return head + struct.pack("<I", zlib.crc32(head)) + frame[HEADER_BYTES:]


def with_text(text):
    payload = struct.pack("<I", len(text)) + text
    return (
        reheaded(encode(Message(Kind.READ)), size=len(payload), checksum=zlib.crc32(payload))[:HEADER_BYTES] + payload
    )


FRAME = encode(Message(Kind.READ, 9, {"tile": 0}, {"x": np.arange(4.0)}))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n", "no frame of this protocol: it begins with b'GET '"),
        (reheaded(FRAME, version=7), "version 7"),
        (reheaded(FRAME, kind=99), "kind 99"),
        (reheaded(FRAME, size=2**40), f"{2**40} bytes; the limit is {frames.LIMIT}"),
        (FRAME[:20] + bytes([FRAME[20] ^ 1]) + FRAME[21:], "header of a frame does not have its checksum"),
        (FRAME[:-1] + bytes([FRAME[-1] ^ 1]), "read frame of request 9 does not have its checksum"),
        (FRAME[:-8], "closed the connection within a frame"),
        (b"", "closed the connection"),
        (with_text(b"{"), "cannot be read"),
        (with_text(b"[" * 60000), "cannot be read"),
        (with_text(b'{"fields": 1, "arrays": []}'), "not what was agreed"),
        (with_text(b'{"fields": {}, "arrays": [["x", "<f8", [1099511627775, 1099511627775]]]}'), "are left"),
        (with_text(b'{"fields": {}, "arrays": [["x", "<f8", [10]]]}'), "needs 80 bytes, 0 are left"),
        (with_text(b'{"fields": {}, "arrays": [["x", "<f8", [-1]]]}'), "described as"),
        (with_text(b'{"fields": {}, "arrays": [["x", "|O", [0]]]}'), "type '|O'"),
        (with_text(b'{"fields": {}, "arrays": []}xyz'), None),
    ],
)
def test_what_is_no_frame_is_refused_before_memory_is_taken(frame, message):
    if message is None:
        frame, message = with_text(b'{"fields": {}, "arrays": []}   '), "3 bytes are left over"
        payload = frame[HEADER_BYTES:]
        payload = struct.pack("<I", len(payload) - 7) + payload[4:]
        frame = reheaded(frame[:HEADER_BYTES], checksum=zlib.crc32(payload)) + payload
    with pytest.raises(DeviceError) as caught:
        parse(frame)
    assert message in str(caught.value)


# -- client and server -------------------------------------------------------------------------------------


def test_a_remote_chip_is_the_chip():
    with serving(SmallChip()) as server, client(server) as remote:
        same(session(remote), session(SmallChip()))


def test_large_reads_come_in_parts():
    offsets, rows, keys = vectors(3, 3000)
    chip, here = SmallChip(), SmallChip()
    with serving(chip, limit=2**16) as server, client(server) as remote:
        for device in (remote, here):
            device.program(0, targets())
        np.testing.assert_array_equal(remote.read(0, offsets, rows, keys), here.read(0, offsets, rows, keys))
        assert chip.reads > 3
        with pytest.raises(ParameterError, match="limit of client and server is 65536"):
            remote.read(0, [0, 20000], np.zeros(20000, np.int64))
        assert remote.read(0, [0, 1], [0]).shape == (1, OUTPUTS)


class Proxy:
    """Stands between client and server and can break what passes; `breaks` are taken one a frame, client's first."""

    def __init__(self, server):
        self.target = server.address
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.to_server, self.to_client, self.frames = [], [], 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            with near, far, contextlib.suppress(OSError, EOFError):
                while True:
                    for source, sink, breaks in ((near, far, self.to_server), (far, near, self.to_client)):
                        frame = self.frame(source)
                        self.frames += 1
                        sink.sendall(breaks.pop(0)(frame) if breaks else frame)

    @staticmethod
    def frame(source):
        def exactly(size):
            data = b""
            while len(data) < size:
                piece = source.recv(size - len(data))
                if not piece:
                    raise EOFError
                data += piece
            return data

        head = exactly(HEADER_BYTES)
        return head + exactly(struct.unpack_from("<4sHHQQI", head)[4])

    def close(self):
        # Waking an accept takes more than closing its socket.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@contextlib.contextmanager
def broken_line(chip):
    with serving(chip) as server:
        proxy = Proxy(server)
        try:
            yield proxy
        finally:
            proxy.close()


def whole(frame):
    return frame


def flipped(frame):
    return frame[:-1] + bytes([frame[-1] ^ 4])


def bad_header(frame):
    return bytes([frame[0] ^ 1]) + frame[1:]


def cut(frame):
    raise EOFError


@pytest.mark.parametrize("side", ["to_server", "to_client"])
@pytest.mark.parametrize("damage", [flipped, bad_header, cut])
def test_a_damaged_line_costs_nothing_and_repeats_nothing(side, damage):
    """The client connects again; what was carried out before is not carried out again."""
    chip = SmallChip()
    with broken_line(chip) as proxy, client(proxy) as remote:
        getattr(proxy, side).extend([damage])
        remote.program(0, targets())
        assert chip.programmed == 1
        getattr(proxy, side).extend([damage])
        offsets, rows, keys = vectors()
        np.testing.assert_array_equal(remote.read(0, offsets, rows, keys), currents(targets(), offsets, rows, keys))
        assert chip.reads == 1
        assert proxy.frames > 6


def test_a_line_that_stays_damaged_is_an_error():
    with broken_line(SmallChip()) as proxy, client(proxy, retries=2) as remote:
        proxy.to_client.extend([flipped, whole, flipped, whole, flipped])
        with pytest.raises(DeviceError, match=r"does not have its checksum \(3 attempts\)") as caught:
            remote.read(0, *vectors()[:2])
        assert caught.value.kind == "answer"
        remote.program(0, targets())  # the next call goes on


def test_a_slow_device_is_waited_for_once():
    class Slow(SmallChip):
        seconds = 0.6

        def read(self, *arguments):
            time.sleep(self.seconds)
            return super().read(*arguments)

    chip = Slow()
    with serving(chip) as server, client(server, timeout=0.25, retries=8) as remote:
        assert remote.read(0, *vectors()[:2]).shape == (5, OUTPUTS)
        assert chip.reads == 1
        chip.seconds = 1.0
        remote.retries = 1
        with pytest.raises(DeviceError, match=r"did not answer within 0.25 s, in 2 attempts") as caught:
            remote.read(0, *vectors()[:2])
        assert caught.value.kind == "timeout"
        remote.retries, chip.seconds = 20, 0.0
        assert remote.read(0, *vectors()[:2]).shape == (5, OUTPUTS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda right: right[:-1], r"asked for 5 vectors of 4 currents, shape \(5, 4\); got float64 \(4, 4\)"),
        (lambda right: right.T, r"shape \(5, 4\); got float64 \(4, 5\)"),
        (lambda right: right.ravel(), r"got float64 \(20,\)"),
        (
            lambda right: np.where(np.arange(20).reshape(5, 4) == 14, np.nan, right),
            r"tile 1: vector 3, column 2 \(cells 4 and 5\) reads nan uA, one of 1",
        ),
        (lambda right: right + np.inf, r"vector 0, column 0 \(cells 0 and 1\) reads inf uA, one of 20"),
    ],
)
def test_a_lying_device_is_found_out(answer, message, tmp_path):
    class Liar(SmallChip):
        def read(self, *arguments):
            return answer(super().read(*arguments))

    with serving(Liar()) as server, client(server) as remote, Recorder(Liar(), tmp_path / "trace.h5") as recorder:
        for device in (Checked(Liar()), remote, recorder):
            device.program(1, targets())
            with pytest.raises(DeviceError, match=message) as caught:
                device.read(1, *vectors()[:2])
            assert caught.value.kind == "answer"
        remote.program(0, targets())  # and the connection lives


def test_errors_of_the_device_come_through_and_the_server_lives(capfd):
    class Moody(SmallChip):
        def program(self, tile, targets, full_scale=None):
            if tile == 0:
                raise DeviceError("tile 0 does not answer", kind="timeout")
            raise RuntimeError("driver bug")

    with serving(Moody()) as server, client(server) as remote:
        with pytest.raises(DeviceError, match=r"refused request 1 \(program\): tile 0 does not answer") as caught:
            remote.program(0, targets())
        assert caught.value.kind == "timeout"
        with pytest.raises(DeviceError, match="RuntimeError: driver bug") as caught:
            remote.program(1, targets())
        assert caught.value.kind == "refused"
        assert remote.read(0, *vectors()[:2]).shape == (5, OUTPUTS)
    assert "driver bug" in capfd.readouterr().err


def raw(server):
    connection = socket.create_connection(server.address)
    connection.settimeout(5)
    return connection


def ended(connection):
    """Wait for the end of a connection, which is a reset where it was cut with bytes of ours unread."""
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""


def test_broken_clients_do_not_disturb_others():
    chip = SmallChip()
    with serving(chip, patience=0.3) as server, client(server) as remote:
        remote.program(0, targets())
        hello = encode(Message(Kind.HELLO, 0, {"session": "s" * 32}))
        half = raw(server)
        half.sendall(hello[:40])  # and never the rest
        silent, rude, huge, other, early, odd = (raw(server) for _ in range(6))
        rude.sendall(b"\x00" * 4096)
        huge.sendall(reheaded(FRAME, size=2**62))
        other.sendall(encode(Message(Kind.HELLO), version=2))
        early.sendall(FRAME)
        odd.sendall(hello + encode(Message(Kind.WELCOME, 1)))
        gone = raw(server)
        gone.sendall(hello + FRAME)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        for _ in range(3):
            assert remote.read(0, *vectors()[:2]).shape == (5, OUTPUTS)
        for connection, message in ((rude, "no frame"), (huge, "the limit is"), (other, "version 2"), (early, "hello")):
            inbox = Inbox(2**20)
            while (found := inbox.receive(connection)) is None:
                pass
            assert found.kind is Kind.REFUSED
            assert message in found.fields["message"]
            ended(connection)
        ended(half)  # dropped when its patience was over
        ended(silent)
        for connection in (half, silent, rude, huge, other, early, odd):
            connection.close()
        assert remote.read(0, *vectors()[:2]).shape == (5, OUTPUTS)


def described(kind, number, shape):
    """Return a frame that says it holds an array of a shape whose extents are too large, but for one that is zero."""
    text = json.dumps({"fields": {}, "arrays": [["currents", "<f8", shape]]}).encode()
    payload = struct.pack("<I", len(text)) + text
    head = struct.pack("<4sHHQQI", b"SNLD", 1, kind, number, len(payload), zlib.crc32(payload))
    return head + struct.pack("<I", zlib.crc32(head)) + payload


@pytest.mark.parametrize("shape", [[0, 2**39, 2**39], [2**39, 0, 2**39], [0, 2**39, 2**39, 2**39]])
def test_an_array_of_nothing_whose_shape_no_array_has_ends_no_server(shape, capfd):
    with serving(SmallChip()) as server, client(server) as remote:
        rude = raw(server)
        rude.sendall(described(Kind.STATUS, 1, shape))  # without a hello
        inbox = Inbox(2**20)
        while (found := inbox.receive(rude)) is None:
            pass
        assert "has the shape" in found.fields["message"]
        ended(rude)
        rude.close()
        remote.program(0, targets())
        assert remote.read(0, *vectors()[:2]).shape == (5, OUTPUTS)
    assert "a client is cut off: the status frame of request 1 makes no sense" in capfd.readouterr().err
    with pytest.raises(DeviceError, match="has the shape"):
        frames.decode_payload(Kind.ANSWER, 1, described(Kind.ANSWER, 1, shape)[HEADER_BYTES:], zlib.crc32(
            described(Kind.ANSWER, 1, shape)[HEADER_BYTES:]))  # fmt: skip


def test_a_server_outlives_what_it_did_not_expect(monkeypatch, capfd):
    with serving(SmallChip()) as server, client(server) as remote:
        rude, answer = raw(server), server._answer

        def odd(peer, message):
            if message.number == 77:
                raise ValueError("what nobody thought of")
            answer(peer, message)

        monkeypatch.setattr(server, "_answer", odd)
        rude.sendall(encode(Message(Kind.STATUS, 77)))
        ended(rude)
        rude.close()
        assert remote.status().name == "small"
    assert "a client is cut off: ValueError: what nobody thought of" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.attrs.__setitem__("schema", [1, 2]), "damaged or not complete"),
        (lambda file: file.attrs.__setitem__("status", "[" * 20000), "damaged or not complete"),
        (lambda file: (file.__delitem__("calls"), file.create_dataset("calls", data=np.zeros(3))), "calls has float64"),
        (lambda file: file["calls"].__setitem__((0, 2), -5), "damaged or not complete"),
        (lambda file: file["texts"].__setitem__(slice(None), 255), "damaged or not complete|cannot be read"),
    ],
)
def test_damaged_traces_are_refused_by_name(tmp_path, damage, words):
    path = tmp_path / "trace.h5"
    with Recorder(SmallChip(), path) as recorder:
        session(recorder)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(DataError, match=words), Replay(path) as replay:
        session(replay)


def test_a_server_of_another_version_is_named():
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(encode(Message(Kind.WELCOME), version=2))

    thread = threading.Thread(target=answer)
    thread.start()
    with (
        listener,
        pytest.raises(DeviceError, match="speaks version 2 of the protocol, this snnsim version 1") as caught,
    ):
        TcpDevice("127.0.0.1", listener.getsockname()[1], timeout=5)
    thread.join()
    assert caught.value.kind == "version"


def serve_small(port, seconds):
    class Slow(SmallChip):
        def read(self, *arguments):
            print("reading", flush=True)
            time.sleep(float(seconds))
            return super().read(*arguments)

    from snnsim.backends.crossbar.loop import serve

    serve(Slow(), port=int(port), ready=lambda host, port: print(port, flush=True))
    print("stopped", flush=True)


def test_a_server_killed_within_a_read():
    """The error names the place; a server started anew is told from the old one, and takes programming again."""
    with child("serve_small", "0", "60") as process:
        port = int(process.stdout.readline())
        with TcpDevice("127.0.0.1", port, timeout=10, retries=2, backoff=0.01) as remote:
            remote.program(0, targets())
            killer = threading.Thread(target=lambda: (process.stdout.readline(), process.send_signal(signal.SIGKILL)))
            killer.start()
            with pytest.raises(DeviceError, match=rf"device at 127.0.0.1:{port}: .*\(3 attempts\)") as caught:
                remote.read(0, *vectors()[:2])
            killer.join()
            assert caught.value.kind == "lost"
            with child("serve_small", str(port), "0") as again:
                assert int(again.stdout.readline()) == port
                with pytest.raises(DeviceError, match=r"started anew .* program it again") as caught:
                    remote.read(0, *vectors()[:2])
                assert caught.value.kind == "restarted"
                remote.program(0, targets())
                offsets, rows, keys = vectors()
                np.testing.assert_array_equal(
                    remote.read(0, offsets, rows, keys), currents(targets(), offsets, rows, keys)
                )
                again.send_signal(signal.SIGTERM)
                assert again.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_told_to_stop_finishes_its_request(number):
    with child("serve_small", "0", "0.7") as process:
        port = int(process.stdout.readline())
        with TcpDevice("127.0.0.1", port, timeout=10) as remote:
            stopper = threading.Thread(target=lambda: (process.stdout.readline(), process.send_signal(number)))
            stopper.start()
            assert remote.read(0, *vectors()[:2]).shape == (5, OUTPUTS)
            stopper.join()
            assert process.wait(10) == 0
            assert process.stdout.read() == "stopped\n"


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeviceError, match=rf"device at 127.0.0.1:{port}: .*\(2 attempts\)") as caught:
        TcpDevice("127.0.0.1", port, retries=1, backoff=0.01)
    assert caught.value.kind == "lost"
    with pytest.raises(ParameterError, match="timeout"):
        TcpDevice("127.0.0.1", port, timeout=0)


# -- measured against modelled -------------------------------------------------------------------------------


def test_measured_against_modelled_currents():
    class Warm(SmallChip):
        """Measures 0.9 times the current and 0.1 uA; output 2 gives half of that; noise of 0.01 uA."""

        def read(self, tile, offsets, rows, keys=None):
            noise = 0.01 * rng.normal(1, 0, np.asarray(keys)[:, None], np.arange(OUTPUTS))
            right = 0.9 * currents(self.cells[tile], offsets, rows) + 0.1
            right[:, 2] *= 0.5
            return right + noise

    class Model(SmallChip):
        def read(self, tile, offsets, rows, keys=None):
            return currents(self.cells[tile], offsets, rows)

    device, model = Warm(), Model()
    for chip in (device, model):
        chip.program(1, targets(3))
    found = compare_currents(device, model, 1, vectors=400, activity=0.4, repeats=4)
    assert found.measured.shape == found.modelled.shape == (400, OUTPUTS)
    np.testing.assert_allclose(found.column_slope, [0.9, 0.9, 0.45, 0.9], atol=2e-3)
    np.testing.assert_allclose(found.column_offset, [0.1, 0.1, 0.05, 0.1], atol=4e-3)
    np.testing.assert_allclose(found.noise, 0.01, rtol=0.1)
    x, y = found.modelled.ravel(), found.measured.ravel()
    slope, offset = np.polyfit(x, y, 1)
    assert found.slope == pytest.approx(slope, rel=1e-9)
    assert found.offset == pytest.approx(offset, rel=1e-9)
    assert found.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-9)
    assert list(found.worst()) == list(np.argsort(-np.sqrt(((found.measured - found.modelled) ** 2).mean(0))))
    lines = str(found).splitlines()
    assert "400 vectors of 4 outputs, each read 4 times" in lines[0]
    assert "R2 0." in lines[1]
    # The same device is its own model, but for the noise.
    alone = compare_currents(model, model, 1)
    assert (alone.slope, alone.offset, alone.r2) == pytest.approx((1.0, 0.0, 1.0), abs=1e-12)
    assert np.isnan(alone.noise).all()
    with pytest.raises(ParameterError, match="program both alike"):
        compare_currents(Model(), SmallChip(columns=4), 1)


# -- the command -------------------------------------------------------------------------------------------


def test_the_command_serves_a_trace(tmp_path):
    with Recorder(SmallChip(), tmp_path / "trace.h5") as recorder:
        recorded = session(recorder)
    arguments = ["serve-device", "--replay", str(tmp_path / "trace.h5"), "--record", str(tmp_path / "again.h5")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "snnsim.commands.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        line = process.stdout.readline()
        assert line.startswith("serving small at 127.0.0.1:")
        with TcpDevice("127.0.0.1", int(line.split(":")[1].split(";")[0])) as remote:
            same(session(remote), recorded)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == "stopped\n"
    with Replay(tmp_path / "again.h5") as replay:
        same(session(replay), recorded)


def test_info_describes_a_trace(tmp_path, capsys):
    with Recorder(SmallChip(), tmp_path / "trace.h5") as recorder:
        session(recorder)
    assert main(["info", str(tmp_path / "trace.h5")]) == 0
    assert "Replay of 'small': 9 calls (4 program, 4 read, 1 status)" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    for arguments, message in (
        (["--replay", tmp_path / "none.h5"], "no such file"),
        (["--replay", tmp_path / "none.h5", "--port", "70000"], "--port 70000"),
        (["--replay", tmp_path / "none.h5", "--save", "chip.h5"], "--save belongs to --chip"),
    ):
        assert main(["serve-device", *map(str, arguments)]) == 1
        assert message in capsys.readouterr().err
