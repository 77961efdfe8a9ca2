"""Buffers that are made once and used at every chunk.

Fresh blocks above 32 MiB are mapped and unmapped at every allocation by glibc, and every first touch of a page is a
trip into the kernel; a training step that allocates per chunk spends more time there than on its sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Workspace:
    """Named buffers; one belongs to one model and to one thread at a time."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

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

    def __deepcopy__(self, memo: dict[int, Any]) -> Workspace:
        return Workspace()

    def __getstate__(self) -> dict[str, Any]:
        return {"_buffers": {}}
