"""How functions of arithmetic and the templates around them are compiled: one place for caching and fast-math.

Kernels are serial and release the GIL; threads come from Python. So they can all be cached on disk (cached parallel
kernels have crashed when the number of threads changed). Fast-math stays off: the same sums on every machine.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np

from snnsim.numerics import elementary
from snnsim.numerics.compilation import compiled

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": False}
#: For what only compiled functions call: the way in from Python, through all fields of a NamedTuple of arrays, takes
#: longer to compile than the function.
_INNER: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
#: What stands for a function where it is compiled; see `compiled_as`.
_SCALARS: dict[Callable[..., Any], Callable[[type[Any]], Any]] = {}


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


def compiled_as(scalar: Callable[[type[Any]], Any]) -> Callable[[Function], Function]:
    """Say what stands for a function where it is compiled: ``scalar(number)`` returns it for numbers of a type.

    For functions that look at what they are given, as those of `snnsim.neurons.arithmetic.functions` do.
    """

    def keep(function: Function) -> Function:
        _SCALARS[function] = scalar
        return function

    return keep


def in_precision(function: Callable[..., Any], number: type[Any]) -> Any:
    """Compile a copy of a model's function whose numbers are of a type, as are those of the functions it calls.

    Numba would take ``1.0 + x`` for a float64 with x a float32, where NumPy keeps float32.
    """
    if function in _SCALARS:
        return _SCALARS[function](number)
    return jit(_of_type(function, number, in_precision))


def with_numbers(function: Callable[..., Any], number: type[Any]) -> Callable[..., Any]:
    """Return the copy that `in_precision` compiles, for NumPy: sums of constants are rounded as they are there."""
    return function if function in _SCALARS else _of_type(function, number, with_numbers)


def _of_type(function: Callable[..., Any], number: type[Any], called: Callable[..., Any]) -> FunctionType:
    assert isinstance(function, FunctionType)

    def of_type(value: Any) -> Any:
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
            return number(value)
        return called(value, number) if isinstance(value, FunctionType) else value

    code, known = function.__code__, function.__globals__
    names = {name: of_type(known[name]) for name in code.co_names if name in known}
    code = code.replace(co_consts=tuple(of_type(value) for value in code.co_consts))
    cells = tuple(CellType(of_type(cell.cell_contents)) for cell in function.__closure__ or ())
    # A name of its own, since the linker takes functions of one name and type for the same; and a module that machine
    # code from the disk finds again, which that of a notebook or a script would not be.
    copy = FunctionType(code, {**known, **names}, f"{function.__name__}_{mark([function])}", None, cells or None)
    copy.__qualname__, copy.__module__ = copy.__name__, __name__
    return copy


def mark(functions: Iterable[Callable[..., Any]], more: str = "") -> str:
    """Return a short hash of what functions compute, their code, the numbers they name and what they call, and more.

    Their source would not do: functions of a notebook have no file, and the numbers they name may stand elsewhere.
    """
    text = hashlib.sha256(more.encode())
    for function in functions:
        _feed(text, function)
    return text.hexdigest()[:12]


def _feed(text: Any, value: Any) -> None:
    text.update(f"{type(value).__name__}:".encode())
    if isinstance(value, FunctionType) and value in _SCALARS:
        text.update(digest([sys.modules[value.__module__], elementary]).encode())
    elif isinstance(value, FunctionType):
        _feed(text, value.__code__)
        for name in value.__code__.co_names:
            _feed(text, value.__globals__.get(name))
        for cell in value.__closure__ or ():
            _feed(text, cell.cell_contents)
    elif isinstance(value, CodeType):
        text.update(value.co_code)
        for part in (*value.co_consts, *value.co_names, *value.co_varnames):
            _feed(text, part)
    elif isinstance(value, ModuleType):
        text.update(value.__name__.encode())
    else:
        text.update(repr(value).encode())
    text.update(b";")


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
