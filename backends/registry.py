"""Backends by name: those that come with snnsim, and those that other packages declare.

A package adds a backend with an entry point of the group ``snnsim.backends`` that names a `Program` class.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from typing import Any

from snnsim.backends.contract.program import Program, Visit
from snnsim.errors import BackendError, ParameterError
from snnsim.network.network import Network

#: Module and class of each backend of our own; modules are imported when first asked for.
_OWN = {
    "reference": "snnsim.backends.reference.program:ReferenceProgram",
    "cpu": "snnsim.backends.cpu.program:CpuProgram",
    "crossbar": "snnsim.backends.crossbar.program:CrossbarProgram",
}

_COMMON = ("network", "dtype", "threads", "visit", "progress", "memory_limit")


def names() -> list[str]:
    """Return the names of all backends that are installed."""
    return [*_OWN, *(point.name for point in _entry_points() if point.name not in _OWN)]


def get(name: str) -> type[Program]:
    """Return the program class of a backend.

    Raises
    ------
    BackendError
        No backend has that name.
    """
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        found: type[Program] = getattr(importlib.import_module(module), attribute)
        return found
    for point in _entry_points():
        if point.name == name:
            loaded: type[Program] = point.load()
            return loaded
    raise BackendError(f"no backend {name!r}; there are: {', '.join(names())}")


def installed() -> dict[str, type[Program]]:
    """Return all backends by name."""
    return {name: get(name) for name in names()}


def compile_network(
    network: Network,
    backend: str,
    *,
    dtype: str = "float32",
    threads: int | None = None,
    visit: Visit = "auto",
    progress: bool = False,
    memory_limit: int | None = None,
    **options: Any,
) -> Program:
    """Compile a network for a backend; the options are those of `Program`, and those that only this backend has."""
    program = get(backend)
    known = inspect.signature(program).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for option in options:
        if option not in known and not takes_any:
            own = ", ".join(name for name in known if name not in _COMMON) or "none"
            raise ParameterError(f"backend {backend!r} takes no option {option!r}; options of its own: {own}")
    return program(
        network, dtype=dtype, threads=threads, visit=visit, progress=progress, memory_limit=memory_limit, **options
    )


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group="snnsim.backends"))
