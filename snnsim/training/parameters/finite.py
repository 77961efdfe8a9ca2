"""Numbers that must be finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from snnsim.errors import ParameterError


def sum_is_finite(values: Tensor) -> bool:
    """Whether the sum of some values is finite, and with it every one of them: one look at each, and no memory.

    The sum is NumPy's: after one of its own torch keeps a second core busy with waiting, in the way of the kernels.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(values.numpy().sum())


def refuse_any_not_finite(named: Mapping[str, Tensor]) -> None:
    """Raise `ParameterError` at the first of some tensors, by what they are, that holds NaN or infinity."""
    for what, value in named.items():
        refuse_not_finite(what, value)


def refuse_not_finite(what: str, value: Tensor) -> None:
    """Raise `ParameterError` where a tensor holds NaN or infinity."""
    value = value.detach()
    if sum_is_finite(value):
        return
    bad = ~torch.isfinite(value)
    count = int(bad.sum())
    if count:
        place = tuple(int(i) for i in bad.nonzero()[0])
        where = f" at {place}" if place else ""
        raise ParameterError(
            f"{what}: {float(value[place])}{where} ({count} of {value.numel()} numbers); every one must be finite"
        )
