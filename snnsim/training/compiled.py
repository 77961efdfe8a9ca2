"""How the kernels of training are compiled: serial, cached, and without the interpreter's lock."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar, cast

from snnsim.compilation import compiled

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile at the first call and keep the result on disk.

    Kernels are serial: `snnsim.training.threads` runs them side by side on ranges of their own. Fast-math is off, so
    that sums keep their order and equal those of the backends.
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
