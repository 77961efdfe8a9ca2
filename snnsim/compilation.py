"""Numba with a disk to keep the machine code on, or without: a read-only installation still runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., Any], *, cache: bool = False, **options: Any) -> Any:
    """Compile at the first call; with `cache`, keep the machine code where Numba finds a folder to write to."""
    import numba

    if cache:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            warnings.warn(
                "compiled kernels cannot be kept, so each program compiles them again: neither the installation nor "
                "the home folder can be written; set NUMBA_CACHE_DIR to a folder that can",
                RuntimeWarning,
                stacklevel=2,
            )
    return numba.njit(**options)(function)
