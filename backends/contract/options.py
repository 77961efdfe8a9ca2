"""How a program computes: precision, threads, when neurons are advanced, how much memory it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snnsim.errors import ParameterError, one_of, whole
from snnsim.network.network import Network

DTYPES = ("float32", "float64")
#: When a population is advanced; see `Options`.
VISITS = ("auto", "events", "ticks")

Visit = str | Mapping[str, str]


@dataclass(frozen=True)
class Options:
    """How a program computes, the same for every backend.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of weights and states.
    threads : int, optional
        Threads to compute on; default all cores. The results do not depend on it.
    visit : {"auto", "events", "ticks"} or dict of str to one of these
        When a population is advanced: where an event or its bound asks for it, at every tick, or as the backend thinks
        best; for all populations, or by name (others are "auto"). The results are the same, so a backend that knows
        one way only (such as `reference`, which visits every tick) takes all three.
    progress : bool
        Show a bar while the network is built.
    memory_limit : int, optional
        Bytes that the program may take; default what the machine has to spare.
    """

    dtype: str = "float32"
    threads: int | None = None
    visit: Visit = "auto"
    progress: bool = False
    memory_limit: int | None = None

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, DTYPES)
        object.__setattr__(self, "dtype", str(self.dtype))
        for name in ("threads", "memory_limit"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else whole(name, value, at_least=1))
        object.__setattr__(self, "progress", bool(self.progress))


DEFAULTS = Options()


def check_visit(network: Network, visit: Visit) -> dict[str, str]:
    """Return when each population that is no source is advanced, or raise `ParameterError`."""
    names = [population.name for population in network.populations if not population.is_source]
    if not isinstance(visit, Mapping):
        one_of("visit", visit, VISITS)
        return dict.fromkeys(names, visit)
    for name, how in visit.items():
        if name not in names:
            listed = ", ".join(repr(known) for known in names) or "none"
            raise ParameterError(f"visit: {name!r} is no population of neurons; there are: {listed}")
        one_of(f"visit of {name!r}", how, VISITS)
    return {name: visit.get(name, "auto") for name in names}
