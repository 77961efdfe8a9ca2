"""Where samples end."""

from __future__ import annotations

import torch
from torch import Tensor


def within(ticks: int, ends: Tensor, first: int = 0) -> Tensor:
    """Return which ticks, counted from `first`, belong to each sample: a Tensor of bool, shape (ticks, batch)."""
    return torch.arange(first, first + ticks).unsqueeze(1) < ends
