"""How every kernel of this backend is compiled: one place for caching, error model and fast-math.

Kernels are serial and release the GIL; threads come from Python. So they can all be cached on disk (cached parallel
kernels have crashed when the number of threads changed). Fast-math stays off: the same sums on every machine.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any

from snnsim.compilation import compiled, compiled_c

_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": False}


def jit(function: Callable[..., Any]) -> Any:
    """Compile a leaf; the kernel that calls it is what is cached."""
    return compiled(function, **_OPTIONS)


def specialised(template: Callable[..., Any], name: str, *, cache: bool = False, **names: Any) -> Any:
    """Compile a copy of `template` in which some of its global names stand for other things.

    With `cache` the machine code is kept on disk under `name`, which must change whenever anything that the copy
    calls changes (see `digest`): Numba itself watches only the file of the template.
    """
    return compiled(_copy(template, name, names), cache=cache, **_OPTIONS)


def c_function(template: Callable[..., Any], name: str, signature: Any, **names: Any) -> Any:
    """Compile such a copy at once as a C function with an `address`, kept on disk under `name`."""
    return compiled_c(_copy(template, name, names), signature, **_OPTIONS)


def _copy(template: Callable[..., Any], name: str, names: dict[str, Any]) -> FunctionType:
    assert isinstance(template, FunctionType)
    copy = FunctionType(template.__code__, {**template.__globals__, **names}, name, template.__defaults__)
    copy.__qualname__, copy.__module__ = name, template.__module__
    return copy


def digest(modules: Iterable[ModuleType]) -> str:
    """Return a short hash of the source of modules."""
    text = hashlib.sha256()
    for module in modules:
        text.update(inspect.getsource(module).encode())
    return text.hexdigest()[:12]
