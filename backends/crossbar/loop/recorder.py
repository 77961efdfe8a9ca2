"""A device whose calls and answers are written to a trace."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from snnsim.backends.crossbar.chip.failures import asking, status_of
from snnsim.backends.crossbar.chip.geometry import Geometry, plain_scale
from snnsim.backends.crossbar.chip.protocol import Integers, Keys, LoopDevice, Status
from snnsim.backends.crossbar.loop.trace import PROGRAM, READ, STATUS, Call, TraceWriter
from snnsim.backends.crossbar.number_checks import Floats
from snnsim.errors import positive


class Recorder:
    """Passes calls on to a device and keeps them, with the answers, in a trace that `Replay` plays.

    Parameters
    ----------
    device : LoopDevice
    path : path
        Of the trace, an HDF5 file that must not be there yet.
    buffer : int
        Bytes that may wait in memory; what waits is lost where the program is killed, what is written is not.

    Notes
    -----
    Use it as a context manager, or call `close`. Errors of the device are recorded too, and raised again.
    """

    def __init__(self, device: LoopDevice, path: str | Path, *, buffer: int = 2**22) -> None:
        positive("buffer", buffer)
        self.device, self.path = device, Path(path)
        self._geometry = Geometry(status_of(device))
        self._trace = TraceWriter(path, self._geometry.status, int(buffer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def program(self, tile: int, targets: Floats, full_scale: float | Floats | None = None) -> None:
        """Program a tile; see `LoopDevice.program`."""
        tile, wanted, scale = self._geometry.program(tile, targets, full_scale)
        self._geometry.programming(tile)
        call = Call(PROGRAM, tile, targets=wanted, full_scale=scale)
        with self._kept(call), asking(f"{self._name}, program of tile {tile}"):
            self.device.program(tile, wanted, plain_scale(scale))
        self._geometry.programmed(tile, wanted)

    def read(self, tile: int, offsets: Integers, rows: Integers, keys: Keys | None = None) -> Floats:
        """Read a tile; see `LoopDevice.read`."""
        tile, bounds, active, own = self._geometry.read(tile, offsets, rows, keys)
        call = Call(READ, tile, offsets=bounds, rows=active, keys=own)
        with self._kept(call):
            with asking(f"{self._name}, read of tile {tile} with {bounds.size - 1} vectors"):
                answer = self.device.read(tile, bounds, active, own)
            call.currents = self._geometry.currents(tile, bounds.size - 1, answer)
        return call.currents

    def status(self) -> Status:
        """Return what the device is."""
        found = status_of(self.device)
        self._trace.add(Call(STATUS, text=json.dumps(found.as_dict())))
        return found

    @property
    def _name(self) -> str:
        return f"{type(self.device).__name__} {self._geometry.status.name!r}"

    @contextlib.contextmanager
    def _kept(self, call: Call) -> Iterator[None]:
        """Record a call when it is done; one that Ctrl-C breaks off has no answer, and is not."""
        try:
            yield
        except Exception as error:
            call.failed, call.text = True, str(error)
            self._trace.add(call)
            raise
        self._trace.add(call)

    def flush(self) -> None:
        """Write what waits in memory."""
        self._trace.flush()

    def close(self) -> None:
        """Finish the trace; the device stays as it is."""
        self._trace.close()
