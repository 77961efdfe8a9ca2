"""Logarithm and exponential of many numbers, compiled: those of `snnsim.numerics.elementary`."""

from __future__ import annotations

from typing import Any

from snnsim.numerics import elementary
from snnsim.numerics.compilation import kernel_with, leaf

_log: Any = leaf(elementary.log)
_exp: Any = leaf(elementary.exp)
_kernel: Any = kernel_with(elementary)


@_kernel
def write_logarithm(values, results):
    """Write the natural logarithm of normal numbers above zero."""
    for i in range(values.size):
        results[i] = _log(values[i])


@_kernel
def write_exponential(values, results):
    """Write the exponential."""
    for i in range(values.size):
        results[i] = _exp(values[i])
