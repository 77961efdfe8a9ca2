"""Buffers that are made once and used at every chunk.

Fresh blocks above 32 MiB are mapped and unmapped at every allocation by glibc, and every first touch of a page is a
trip into the kernel; a training step that allocates per chunk spends more time there than on its sums.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class Workspace:
    """Named buffers of a model, for one call at a time.

    Attributes
    ----------
    lock : threading.RLock
        Whoever holds it has the model to itself; calls from other threads wait.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}
        self.lock = threading.RLock()
        self._taken = False

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Workspace]:
        """Wait for the lock and yield buffers for a call; one within a call, as of a loss, has its own."""
        with self.lock:
            if self._taken:
                yield Workspace()
                return
            self._taken = True
            try:
                yield self
            finally:
                self._taken = False

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return a buffer of that name and shape; it holds whatever the last user left in it."""
        count = 1
        for extent in shape:
            count *= extent
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < count:
            # The smaller one goes first, so that its memory can be part of the larger one.
            del buffer
            self._buffers.pop((name, dtype), None)
            with torch.inference_mode(False):  # or training could not use it afterwards
                buffer = torch.zeros(count, dtype=dtype)
            self._buffers[name, dtype] = buffer
        return buffer[:count].view(shape)

    def release(self) -> None:
        """Give all buffers back."""
        self._buffers.clear()

    @property
    def nbytes(self) -> int:
        """Bytes in all buffers."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self._buffers.values())

    def __reduce__(self) -> tuple[Any, ...]:
        """Begin with no buffers in copies and pickles of a model."""
        return Workspace, ()
