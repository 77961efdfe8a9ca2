"""Work that takes long: a bar with the time left, and a Ctrl-C that waits for a good moment."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@contextlib.contextmanager
def bar(show: bool, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that moves a bar with the time left by so many units, or one that does nothing."""
    if not show:
        yield lambda count: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=f" {unit}", leave=False) as shown:
        yield shown.update


class Asked(threading.Event):
    """Set by the first Ctrl-C; see `interruptible`."""

    #: Whether a block within this one took the Ctrl-C, and so may have ended early.
    inside = False


@dataclass(frozen=True)
class _Handler:
    asked: Asked
    before: Any

    def __call__(self, number: int, frame: Any) -> None:
        if self.asked.is_set():
            raise KeyboardInterrupt
        self.asked.set()
        around = self.before
        while isinstance(around, _Handler):
            around.asked.inside = True
            around.asked.set()
            around = around.before


@contextlib.contextmanager
def interruptible() -> Iterator[Asked]:
    """Turn the first Ctrl-C into an event that is looked at after each step; a second one acts at once.

    Of blocks within each other the innermost takes it, and those around it are told.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may take signals
        return
    before = signal.getsignal(signal.SIGINT)

    signal.signal(signal.SIGINT, _Handler(asked, before))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
