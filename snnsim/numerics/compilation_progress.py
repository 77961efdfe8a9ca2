"""What is said on stderr while kernels are compiled, which a machine does once and which takes up to a minute.

Nothing is said of what takes less than a second, nor where ``SNNSIM_QUIET`` is set to 1.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

#: Seconds of compiling after which it is said; and seconds between lines where stderr is no terminal.
_PATIENCE, _EVERY = 1.0, 10.0
#: Functions that the engines are made of, counted once: they are compiled one by one into the whole.
_ENGINES = {"run_part": ("the engine of long runs", 99), "run_recordings": ("the engine of recordings", 77)}


class Progress:
    """Counts what Numba compiles: a listener for its events ``numba:compile``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth, self._functions, self._seconds = 0, 0, 0.0
        self._began, self._said = 0.0, 0.0
        self._whole, self._before = "", 0

    def on_start(self, event: Any) -> None:
        """Take note of a function that begins to be compiled, perhaps within another one."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._began, self._before = time.monotonic(), self._functions
                self._whole = event.data["dispatcher"].py_func.__name__

    def on_end(self, event: Any) -> None:
        """Take note of a function that is compiled, and say how far it is."""
        del event
        with self._lock:
            self._depth -= 1
            self._functions += 1
            now = time.monotonic()
            if self._seconds + now - self._began > _PATIENCE:
                self._say(now)
            if self._depth == 0:
                self._seconds += now - self._began

    def notify(self, event: Any) -> None:
        """Take an event, as Numba's listeners do."""
        (self.on_start if event.is_start else self.on_end)(event)

    def _say(self, now: float) -> None:
        shown = sys.stderr
        if shown is None or shown.closed:
            return
        terminal = shown.isatty()
        if not terminal and self._said and now - self._said < _EVERY:
            return
        self._said = now
        text = f"snnsim compiles, once on this machine: {self._functions} functions, "
        text += f"{self._seconds + now - self._began:.0f} s"
        for prefix, (name, about) in _ENGINES.items():
            if self._whole.startswith(prefix):
                text += f"; {name}: {self._functions - self._before} of about {about}"
        # On a terminal the next line takes its place.
        print(f"{text}\x1b[K\r" if terminal else text, end="" if terminal else "\n", file=shown, flush=True)


_progress: Progress | None = None


def watch() -> None:
    """Have it said from now on."""
    global _progress
    if _progress is not None or os.environ.get("SNNSIM_QUIET", "") not in ("", "0"):
        return
    from numba.core import event

    _progress = Progress()
    event.Listener.register(Progress)  # to have Numba imported no earlier than it is needed, Progress is no subclass
    event.register("numba:compile", _progress)  # type: ignore[no-untyped-call]
