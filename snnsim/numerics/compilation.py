"""Numba with a disk to keep the machine code on, or without: a read-only installation still runs.

With the environment variable ``SNNSIM_CHECK_BOUNDS`` set to 1 all kernels are compiled so that every index is checked,
also those of `snnsim.backends.cpu.compiler.pointers`: several times slower, and an access out of range is an
`IndexError`. It is for the tests of snnsim; their machine code is kept beside the other under names of its own.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar, cast

from snnsim.numerics.compilation_progress import watch

Function = TypeVar("Function", bound=Callable[..., Any])

#: Whether kernels check their indices.
CHECKED = os.environ.get("SNNSIM_CHECK_BOUNDS", "") not in ("", "0")


def compiled(function: Callable[..., Any], *, cache: bool = False, **options: Any) -> Any:
    """Compile at the first call; with `cache`, keep the machine code where Numba finds a folder to write to."""
    import numba

    watch()
    _mark(function, options)
    return _with_disk(numba.njit, function, options) if cache else numba.njit(**options)(function)


def compiled_c(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
    """Compile at once to a C function, which has an `address`, and keep the machine code."""
    import numba

    _mark(function, options)
    return _with_disk(lambda **more: numba.cfunc(signature, **more), function, options)


def _mark(function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Have indices checked where that is asked for; Numba keeps machine code by name, whatever the options."""
    if CHECKED:
        options["boundscheck"] = True
        function.__qualname__ = f"{function.__qualname__.removesuffix('_checked')}_checked"


def _with_disk(decorator: Callable[..., Any], function: Callable[..., Any], options: Any) -> Any:
    try:
        return decorator(cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        warnings.warn(
            "compiled kernels cannot be kept, so each program compiles them again: neither the installation nor "
            "the home folder can be written; set NUMBA_CACHE_DIR to a folder that can",
            RuntimeWarning,
            stacklevel=2,
        )
    return decorator(**options)(function)


def kernel(function: Function) -> Function:
    """Compile at the first call and keep the result on disk.

    Kernels are serial: Python threads run them side by side on ranges of their own. Fast-math is off, so that sums
    keep their order and are the same everywhere.
    """
    return cast(Function, compiled(function, cache=True, nogil=True, error_model="numpy"))


def leaf(function: Function) -> Function:
    """Compile a function that kernels call; it becomes part of them and is not kept on its own."""
    return cast(Function, compiled(function, nogil=True, error_model="numpy"))


def kernel_with(*modules: ModuleType) -> Callable[[Function], Function]:
    """Return `kernel` for functions that call functions of other modules.

    Numba compiles a kernel again when its own file changes, and does not look at the files of what it calls; so a hash
    of those is part of the name under which the result is kept.
    """
    text = "".join(inspect.getsource(module) for module in modules)
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]

    def decorate(function: Function) -> Function:
        function.__qualname__ = f"{function.__qualname__}_{mark}"
        return kernel(function)

    return decorate
