"""How much memory a network will take, how much there is, and a refusal before the machine is brought to its knees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snnsim.errors import ResourceError
from snnsim.system.machine import available_memory
from snnsim.system.tables import in_bytes, table

#: Bytes for which the machine is not asked what it has: loading the libraries has taken more.
UNASKED = 2**26


@dataclass(frozen=True)
class MemoryForecast:
    """Bytes that a long run of a network will take, at most; see `Network.memory`.

    Parameters
    ----------
    name : str
        Of the network.
    n_neurons : int
        Neurons, sources not counted.
    n_synapses : int
        Of random projections the expected number.
    synapses : int
        Targets, weights and delays.
    rows : int
        Where the synapses of each source begin.
    state : int
        States of neurons and receptors, input on its way, and what the engine keeps for each neuron.
    plasticity : int
        Traces, histories and eligibilities of plastic projections.
    building : int
        What is given back after building: the synapses of projections that are not random, as lists.
    """

    name: str
    n_neurons: int
    n_synapses: int
    synapses: int
    rows: int
    state: int
    plasticity: int
    building: int

    @property
    def total(self) -> int:
        """Bytes of everything at once."""
        return self.kept + self.building

    @property
    def kept(self) -> int:
        """Bytes of what stays after building."""
        return self.synapses + self.rows + self.state + self.plasticity

    def __str__(self) -> str:
        def per(size: int, count: int, what: str) -> str:
            return f"{size / count:.3g} bytes a {what}" if count else ""

        lines = [
            (
                "synapses",
                f"{self.n_synapses:,}",
                in_bytes(self.synapses),
                per(self.synapses, self.n_synapses, "synapse"),
            ),
            ("rows", "", in_bytes(self.rows), per(self.rows, self.n_synapses, "synapse")),
            ("state", f"{self.n_neurons:,}", in_bytes(self.state), per(self.state, self.n_neurons, "neuron")),
            ("plasticity", "", in_bytes(self.plasticity), ""),
            ("building", "", in_bytes(self.building), "given back"),
            ("total", "", in_bytes(self.total), ""),
        ]
        return f"{self.name}\n\n" + table(("", "number", "memory", ""), lines, right=(1, 2))


def check_memory(forecast: MemoryForecast, limit: int | None = None, taken: int = 0, processes: int = 1) -> None:
    """Raise `ResourceError` where a network takes more memory than there is.

    Parameters
    ----------
    forecast : MemoryForecast
    limit, taken, processes : int
        Bytes that may be taken, those that are taken already, and processes that share the machine; see `check_room`.

    Raises
    ------
    ResourceError
        With what is needed, what there is, and what to do.
    """
    parts = {
        "synapses": forecast.synapses,
        "rows": forecast.rows,
        "state": forecast.state,
        "plasticity": forecast.plasticity,
        "building": forecast.building,
    }
    advice = (
        "Less is needed with dtype='float32', with one weight or one delay for all synapses of a projection, with "
        "fewer synapses, or on several machines (mpiexec); a larger memory_limit=... lets it try"
    )
    check_room(f"network {forecast.name!r}", parts, advice, limit, taken, processes)


def check_room(
    what: str, parts: Mapping[str, int], advice: str, limit: int | None = None, taken: int = 0, processes: int = 1
) -> None:
    """Raise `ResourceError` where something takes more memory than there is.

    Parameters
    ----------
    what : str
        What needs the memory.
    parts : mapping of str to int
        Bytes by what they are for.
    advice : str
        What to do about it.
    limit : int, optional
        Bytes that may be taken; default what the machine has to spare. Where that cannot be found out, all is allowed.
    taken : int
        Bytes of the limit that are taken already.
    processes : int
        How many share what the machine has, and take as much at the same time.
    """
    needed = sum(parts.values())
    if limit is None and needed <= UNASKED:
        return
    available = available_memory() if limit is None else max(limit - taken, 0)
    there_is = "there are" if limit is None else f"memory_limit {'leaves' if taken else 'allows'}"
    if limit is None and available is not None and processes > 1:
        available, there_is = available // processes, f"for each of {processes} processes there are"
    if available is None or needed <= available:
        return
    named = ", ".join(f"{name} {in_bytes(size)}" for name, size in parts.items() if size >= 0.01 * needed)
    shown = in_bytes(needed), in_bytes(available)
    if shown[0] == shown[1]:
        shown = f"{needed:,} B", f"{available:,} B"
    raise ResourceError(f"{what} needs {shown[0]} ({named}), {there_is} {shown[1]}. {advice}")
