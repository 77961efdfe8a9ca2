"""How the kernels of training are compiled: serial, cached, and without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile at the first call and keep the result on disk.

    Kernels are serial: `snnsim.training.threads` runs them side by side on ranges of their own. Fast-math is off, so
    that sums keep their order and equal those of the backends.
    """
    return cast(Function, numba.njit(nogil=True, cache=True, error_model="numpy")(function))
