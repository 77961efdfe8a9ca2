"""Backends by name: those that come with snnsim, and those that other packages declare.

A package adds a backend with an entry point of the group ``snnsim.backends`` that names a `Program` class.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Mapping
from typing import Any

from snnsim.backends.contract.capabilities import missing
from snnsim.backends.contract.options import DEFAULTS, Options
from snnsim.backends.contract.program import Program
from snnsim.errors import BackendError, CapabilityError, ParameterError
from snnsim.frames import Frames, Recordings
from snnsim.network.network import Network

#: Module and class of each backend of our own; modules are imported when first asked for.
_OWN = {
    "reference": "snnsim.backends.reference.program:ReferenceProgram",
    "cpu": "snnsim.backends.cpu.program:CpuProgram",
    "crossbar": "snnsim.backends.crossbar.program:CrossbarProgram",
}


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


def compile_network(network: Network, backend: str, options: Options = DEFAULTS, **own: Any) -> Program:
    """Compile a network for a backend.

    Parameters
    ----------
    network : Network
    backend : str
    options : Options
        Those that every backend takes.
    **own
        Those that only this backend has.

    Raises
    ------
    ParameterError
        The backend has no such option.
    CapabilityError
        The backend cannot run the network; the error names those that can.
    """
    program = get(backend)
    known = inspect.signature(program).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for option in own:
        if option not in known and not takes_any:
            there_are = ", ".join(name for name in known if name not in ("network", "options")) or "none"
            raise ParameterError(f"backend {backend!r} takes no option {option!r}; options of its own: {there_are}")
    lacking = missing(network, program.capabilities)
    if lacking is not None:
        able = [name for name, other in installed().items() if lacking.able(other.capabilities)]
        others = f"backends that can: {', '.join(able)}" if able else "no installed backend can"
        raise CapabilityError(f"backend {backend!r} cannot run {lacking.what}; {others}")
    return program(network, options, **own)


def check_recordings(program: Program, given: Mapping[int, Recordings]) -> None:
    """Raise `CapabilityError` where recordings are of a kind that the backend does not take."""
    for number, recordings in given.items():
        if isinstance(recordings, Frames) and not program.capabilities.frames:
            able = [name for name, other in installed().items() if other.capabilities.frames]
            raise CapabilityError(
                f"backend {program.name!r} cannot run Frames, which are given for the input "
                f"{program.network.populations[number].name!r}; backends that can: {', '.join(able)}"
            )


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group="snnsim.backends"))
