"""A device that answers out of a trace, and accepts nothing but what was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.chip.geometry import Geometry
from snnsim.backends.crossbar.chip.protocol import Integers, Keys, Status
from snnsim.backends.crossbar.loop.trace import NAMES, PROGRAM, READ, STATUS, Call, TraceReader
from snnsim.backends.crossbar.number_checks import Floats
from snnsim.errors import DataError, DeviceError


class Replay:
    """Plays a trace: the same calls in the same order get the same answers, bit for bit, without the device.

    Parameters
    ----------
    path : path
        A trace of `Recorder`.

    Raises
    ------
    DataError
        The file is not there, damaged, or not a trace.
    DeviceError
        Later, of kind "trace": a call is not the recorded one, and the message says which call and what differs; or
        the trace is at its end. Errors of the recorded device are raised again with kind "refused".
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._trace = TraceReader(path)
        self._geometry = Geometry(self._trace.status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Return how many calls were recorded."""
        return len(self._trace.calls)

    def __repr__(self) -> str:
        kinds = self._trace.calls[:, 0]
        counts = ", ".join(f"{int(np.sum(kinds == kind)):,} {name}" for kind, name in NAMES.items())
        return f"Replay of {self._trace.status.name!r}: {len(self):,} calls ({counts})"

    @property
    def finished(self) -> bool:
        """Whether every call was played."""
        return self._trace.number >= len(self)

    def program(self, tile: int, targets: Floats, full_scale: float | Floats | None = None) -> None:
        """Accept a program call as recorded."""
        tile, wanted, scale = self._geometry.program(tile, targets, full_scale)
        recorded = self._next(PROGRAM, tile)
        self._same("targets", wanted, recorded.targets)
        self._same("full_scale", scale, recorded.full_scale)
        self._raise(recorded)
        self._geometry.programmed(tile, wanted)

    def read(self, tile: int, offsets: Integers, rows: Integers, keys: Keys | None = None) -> Floats:
        """Return the recorded currents."""
        tile, bounds, active, own = self._geometry.read(tile, offsets, rows, keys)
        recorded = self._next(READ, tile)
        self._same("offsets", bounds, recorded.offsets)
        self._same("rows", active, recorded.rows)
        self._same("keys", own, recorded.keys)
        self._raise(recorded)
        assert recorded.currents is not None
        return recorded.currents

    def status(self) -> Status:
        """Return the recorded status; outside the order of the trace, that of its beginning."""
        if self._upcoming() != STATUS:
            return self._trace.status
        recorded = self._trace.take()
        assert recorded is not None
        try:
            return Status.from_dict(json.loads(recorded.text))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path}: call {self._trace.number}: the status cannot be read ({error})") from error

    def rewind(self) -> None:
        """Play from the first call again."""
        self._trace.rewind()
        self._geometry.forget()

    def close(self) -> None:
        """Close the trace."""
        self._trace.close()

    # -- comparing ---------------------------------------------------------------------------------------

    def _upcoming(self) -> int | None:
        return None if self.finished else int(self._trace.calls[self._trace.number, 0])

    def _next(self, kind: int, tile: int) -> Call:
        while kind != STATUS and self._upcoming() == STATUS:  # asking what a device is changes nothing
            self._trace.take()
        recorded = self._trace.take()
        if recorded is None:
            raise DeviceError(
                f"{self.path}: call {len(self) + 1}, a {NAMES[kind]} of tile {tile}, was not recorded; the trace has "
                f"{len(self)} calls",
                kind="trace",
            )
        if (recorded.kind, recorded.tile) != (kind, tile):
            raise self._differs(
                f"a {NAMES[kind]} of tile {tile} is asked, a {NAMES.get(recorded.kind, '?')} of tile {recorded.tile} "
                "was recorded"
            )
        return recorded

    def _same(self, name: str, asked: NDArray[Any] | None, recorded: NDArray[Any] | None) -> None:
        """Compare bit for bit, so that NaN equals itself."""
        if asked is None or recorded is None:
            if asked is not recorded:
                raise self._differs(f"{name} {'are' if asked is not None else 'are not'} given, unlike when recorded")
            return
        if asked.shape != recorded.shape:
            raise self._differs(f"{name} have the shape {asked.shape}, recorded {recorded.shape}")
        first, second = np.ravel(asked), np.ravel(recorded)
        wrong = np.flatnonzero(first.view(np.uint64) != second.view(np.uint64))
        if wrong.size:
            i = int(wrong[0])
            raise self._differs(
                f"{name} differ in {wrong.size} of {first.size} entries, first at {i}: {first[i]!s} is asked, "
                f"{second[i]!s} was recorded"
            )

    def _differs(self, what: str) -> DeviceError:
        return DeviceError(f"{self.path}: call {self._trace.number}: {what}", kind="trace")

    def _raise(self, recorded: Call) -> None:
        if recorded.failed:
            raise DeviceError(
                f"{self.path}: call {self._trace.number}: recorded error: {recorded.text}", kind="refused"
            )
