"""Random numbers of torch, keyed."""

from __future__ import annotations

import torch

from snnsim.numerics import rng


def keyed_generator(seed: int, *key: int) -> torch.Generator:
    """Return random numbers of torch keyed by a seed and some numbers."""
    word = int(rng.bits(seed, rng.stream_number("training", *key), 0))
    return torch.Generator().manual_seed(word % 2**63)
