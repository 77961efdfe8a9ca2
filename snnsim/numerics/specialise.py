"""How every kernel of this backend is compiled: one place for caching, error model and fast-math.

Kernels are serial and release the GIL; threads come from Python. So they can all be cached on disk (cached parallel
kernels have crashed when the number of threads changed). Fast-math stays off: the same sums on every machine.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any

from snnsim.numerics.compilation import compiled

OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": False}
#: For what only compiled functions call: the way in from Python, through all fields of a NamedTuple of arrays, takes
#: longer to compile than the function.
_INNER: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function: Callable[..., Any]) -> Any:
    """Compile a leaf; the kernel that calls it is what is cached."""
    # Said aloud, since Numba would let a leaf take over from its first caller that it counts no references.
    return compiled(function, _nrt=True, **OPTIONS)


def bare(function: Callable[..., Any]) -> Any:
    """Compile a leaf that counts no references to the arrays it is given: it makes none, and returns none.

    Counting costs an atomic operation for every field of a NamedTuple that is read, more than the work of a short
    loop over the array.
    """
    return compiled(function, _nrt=False, **OPTIONS, **_INNER)


def melted(function: Callable[..., Any]) -> Any:
    """Compile a `bare` leaf into the body of its caller: passing on all fields of some NamedTuples takes 0.1 us."""
    return compiled(function, _nrt=False, forceinline=True, **OPTIONS, **_INNER)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a leaf that only compiled functions call, and that may make arrays."""
    return compiled(function, _nrt=True, **OPTIONS, **_INNER)


def specialised(
    template: Callable[..., Any], name: str, *, cache: bool = False, distinct: bool = False, **names: Any
) -> Any:
    """Compile a copy of `template` in which some of its global names stand for other things.

    With `cache` the machine code is kept on disk under `name`, which must change whenever anything that the copy
    calls changes (see `digest`): Numba itself watches only the file of the template. No two copies may have one name,
    not even in different programs: where machine code from the disk is loaded, the linker takes functions of one name
    and one type for the same. `distinct` promises that no two pointers given to the function, where one of them is
    written to, reach the same memory.
    """
    more = {"pipeline_class": _distinct_pointers()} if distinct else {}
    return compiled(copied(template, name, names), cache=cache, **OPTIONS, **more)


@functools.cache
def _distinct_pointers() -> Any:
    """Return a Numba compiler that marks pointers as LLVM's `noalias`: loops over many arrays become vectors too.

    Without the mark LLVM compares addresses before a loop, and leaves it as it is where that takes more than eight
    comparisons, as between five arrays.
    """
    from numba.core.compiler import Compiler

    class DistinctPointers(Compiler):
        def define_pipelines(self) -> Any:
            self.state.flags.noalias = True
            return super().define_pipelines()  # type: ignore[no-untyped-call]

    return DistinctPointers


def in_precision(function: Callable[..., Any], number: type[Any]) -> Any:
    """Compile a copy of a model's function whose module-level floats are of a type, as are those it calls.

    Numba would take ``_ONE + x`` for a float64 with x a float32, where NumPy keeps float32.
    """
    assert isinstance(function, FunctionType)
    names: dict[str, Any] = {}
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, float):
            names[name] = number(value)
        elif isinstance(value, FunctionType):
            names[name] = in_precision(value, number)
    return jit(copied(function, function.__name__, names))


def called_modules(function: Callable[..., Any]) -> set[str]:
    """Return the names of the modules of a function and of the functions that it calls."""
    assert isinstance(function, FunctionType)
    found = {function.__module__}
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType):
            found |= called_modules(value)
    return found


def copied(template: Callable[..., Any], name: str, names: dict[str, Any]) -> FunctionType:
    """Return a copy of a function under another name, in which some of its global names stand for other things."""
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
