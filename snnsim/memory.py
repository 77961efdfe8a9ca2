"""How much memory a network will take, how much there is, and a refusal before the machine is brought to its knees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snnsim.errors import ResourceError
from snnsim.tables import table

_UNITS = ("B", "kB", "MB", "GB", "TB")
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


def in_bytes(size: float) -> str:
    """Return a number of bytes in three digits."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.3g} {_UNITS[unit]}"


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


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still take, or None where the system does not tell.

    It is what Linux says is available, or less where a control group of the process has a limit.
    """
    found = [_of_machine(root / "proc/meminfo"), *_of_groups(root)]
    known = [size for size in found if size is not None]
    return max(0, min(known)) if known else None


def _of_machine(path: Path) -> int | None:
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _of_groups(root: Path) -> list[int | None]:
    """Return what each control group of this process leaves, in both versions of Linux's control groups."""
    left: list[int | None] = []
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return left
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.lstrip("/")
        # A container may see its own group as the root, under a path that is not there.
        left += [_of_group(folder, *names) for folder in (group, *group.parents) if folder.is_relative_to(base)]
    return left


def _of_group(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    try:
        allowed = int((folder / limit).read_text(encoding="ascii"))  # "max" is no number
        used = int((folder / usage).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    try:
        counts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        used -= int(counts[cache])  # files that are given up when memory is needed
    except (OSError, ValueError, KeyError):
        pass
    return allowed - used
