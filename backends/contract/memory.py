"""How much memory a network will take, how much there is, and a refusal before the machine is brought to its knees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.backends.contract.layout import Layout
from snnsim.connectivity import Conv2d, Dense, FixedInDegree, FixedProbability, FixedTotalNumber, Sparse
from snnsim.connectivity.distributions import Distribution
from snnsim.errors import ResourceError
from snnsim.network.network import Network
from snnsim.network.projection import Projection
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


# -- synapses listed one by one ----------------------------------------------------------------------------

#: Bytes that a synapse takes in the reference backend with plasticity, beside its traces.
_PLASTIC = 72


def forecast_listed(network: Network, dtype: np.dtype[Any]) -> MemoryForecast:
    """Return the memory of a network in which every synapse is kept as `Network.synapses` lists it.

    Each has its target, its weight as given and in the precision of the run, and its delay where they differ.
    """
    synapses = rows = plasticity = building = count = 0.0
    for connection in network.connections:
        projection, number = connection.projection, connection.expected
        kept = 4 + _weight(projection) + (0 if connection.has_one_delay else 4) + _order(projection)
        count += number
        synapses += number * (kept + dtype.itemsize)
        rows += 8 * (connection.source.size + 1)
        building += number * (listed(projection) - kept)
        rule = projection.plasticity
        if rule is not None:
            traces = len(rule.pre_time_constants) + (rule.eligibility is not None)
            plasticity += number * (_PLASTIC + (2 + traces) * dtype.itemsize)
    return MemoryForecast(
        network.name,
        neurons(network),
        round(count),
        round(synapses),
        round(rows),
        state(network, dtype),
        round(plasticity),
        round(building),
    )


def neurons(network: Network) -> int:
    """Return the number of neurons, sources not counted."""
    return sum(population.size for population in network.populations if not population.is_source)


def state(network: Network, dtype: np.dtype[Any]) -> int:
    """Return the bytes of the state of one recording: neurons, receptors, counters, and input on its way."""
    layout = Layout.of(network, [connection.likely_longest_delay for connection in network.connections])
    return layout.n_floats * dtype.itemsize + layout.n_counters * 4


def listed(projection: Projection) -> int:
    """Return the bytes of a synapse at the moment when it is listed: target, weight, delay, and what sorts them."""
    rule, delay = projection.connectivity, projection.delay
    if not isinstance(rule, (Dense, Sparse, FixedInDegree, FixedProbability, FixedTotalNumber)):
        size = 44  # coordinates of kernels and windows, in order of sources
    else:
        size = 4 + _weight(projection) + _order(projection)
    if isinstance(delay, float):
        return size
    return size + (20 if isinstance(delay, Distribution) else 36)


def _weight(projection: Projection) -> int:
    """Return the bytes of a weight in a list: none where it is the array that the network holds."""
    rule = projection.connectivity
    return 0 if isinstance(rule, Dense) and isinstance(rule.weights, np.ndarray) else 8


def _order(projection: Projection) -> int:
    """Return the bytes of the place of a synapse in the arrays of the user, where it is another one."""
    return 8 if isinstance(projection.connectivity, Sparse) else 0


def is_drawn(projection: Projection) -> bool:
    """Return whether a projection is drawn target by target, without a list."""
    return isinstance(projection.connectivity, (FixedInDegree, FixedProbability, FixedTotalNumber))


def is_matrix(projection: Projection) -> bool:
    """Return whether a projection can be kept as a matrix or as kernels."""
    return isinstance(projection.connectivity, (Dense, Conv2d)) and isinstance(projection.delay, float)
