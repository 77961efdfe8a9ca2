"""Plastic groups of a part as the kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.plasticity import NEVER, Constants, check_bounds
from snnsim.backends.cpu.neurons.population_tables import Arena
from snnsim.backends.cpu.parts import plasticity_records as t
from snnsim.backends.cpu.parts.build import PartStore
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.cpu.parts.plasticity_records import Flights, Learning
from snnsim.backends.cpu.parts.projection_groups import Group
from snnsim.backends.cpu.plasticity.kernels import kernels
from snnsim.network.network import Network
from snnsim.plasticity.decay import DecayTable

#: Tables of decays with more entries than this are split in two.
_LONGEST_TABLE = 2**18


def learning_of(
    network: Network, groups: Sequence[Group], part: int, partition: Partition, store: PartStore, dtype: np.dtype[Any]
) -> Learning:
    """Return the tables of the plastic groups of a part, with nothing sent and nothing fired."""
    place = np.full(len(groups), -1, np.int64)
    plastic = [g for g, group in enumerate(groups) if group.plastic]
    place[plastic] = np.arange(len(plastic))
    table = np.zeros((len(plastic), t.LEARNING_COLUMNS), np.int64)
    coefficients, totals = np.zeros((len(plastic), 6), dtype), np.zeros(len(plastic))
    decays = Arena(dtype)
    sizes = dict.fromkeys(("pre", "pre_traces", "post", "post_traces", "history", "gains", "eligibility"), 0)

    def room(name: str, size: int) -> int:
        sizes[name] += size
        return sizes[name] - size

    for k, g in enumerate(plastic):
        (connection,) = groups[g].connections
        constants, row = Constants.of(network, connection.projection, dtype), table[k]
        target, receptor = connection.target_number, connection.receptor_number
        own = int(partition.high[part, target] - partition.low[part, target])
        sources = connection.source.size
        begin = int(store.weight_start[g])
        rows = store.rows[store.row_start[g] : store.row_start[g] + sources + 1]
        weights = store.weights[begin : begin + int(rows[-1])]
        check_bounds(connection.projection, weights)
        triplets, eligible = len(constants.pre_decays) == 2, constants.eligibility_decay is not None
        row[t.GROUP], row[t.SOURCE], row[t.TARGET] = g, groups[g].source, target
        row[t.PLANE], row[t.OWN], row[t.SOURCES] = partition.base[part, target] + receptor * own, own, sources
        row[t.PRE], row[t.PRE_TRACES] = room("pre", sources), room("pre_traces", (1 + triplets) * sources)
        row[t.POST], row[t.POST_TRACES] = room("post", own), room("post_traces", (1 + triplets) * own)
        row[t.HISTORY] = room("history", (t.RANKS + 1) * own)
        row[t.GAINS] = room("gains", t.RANKS * own * triplets)
        row[t.ELIGIBILITY] = room("eligibility", weights.size * eligible)
        row[t.NEAREST], row[t.TRIPLETS], row[t.ELIGIBLE] = constants.nearest, triplets, eligible
        row[t.EVERY], row[t.LONGEST] = constants.normalise_every, connection.longest_delay
        in_one = _put_decays(row, constants, decays)
        kind = (constants.rule.weight_dependence, triplets, eligible, in_one, str(dtype))
        row[t.ARRIVE], row[t.REPLAY] = kernels(*kind)
        coefficients[k] = constants.coefficients
        totals[k] = 0.0 if constants.rule.normalisation is None else constants.rule.normalisation.total
    return Learning(
        table,
        place,
        coefficients,
        totals,
        np.full(sizes["pre"], NEVER, np.int64),
        np.full(sizes["pre"], -1, np.int64),
        np.zeros(sizes["pre_traces"], dtype),
        np.full(sizes["post"], NEVER, np.int64),
        np.zeros(sizes["post_traces"], dtype),
        np.zeros(sizes["post"], np.int32),
        np.full(sizes["history"], t.LONG_AGO, np.int32),
        np.zeros(sizes["gains"], dtype),
        np.zeros(sizes["eligibility"], dtype),
        decays.joined(),
        np.zeros(t.SCRATCH if plastic else 0, np.uint32),
        no_flights(dtype),
    )


def no_flights(dtype: np.dtype[Any], size: int = 0) -> Flights:
    """Return room for flights, without any."""
    return Flights(
        np.zeros((t.FLIGHT_FIELDS, size), np.int64), np.zeros((size, t.FLIGHT_VALUES), dtype), np.zeros(2, np.int64)
    )


def _put_decays(row: NDArray[np.int64], constants: Constants, decays: Any) -> bool:
    """Put the tables of decays of a group into the arena; return whether they have an entry for each tick."""
    tables: dict[int, DecayTable] = dict(zip((t.PRE_DECAY, t.SLOW_PRE_DECAY), constants.pre_decays, strict=False))
    tables |= dict(zip((t.POST_DECAY, t.SLOW_POST_DECAY), constants.post_decays, strict=False))
    if constants.eligibility_decay is not None:
        tables[t.ELIGIBILITY_DECAY] = constants.eligibility_decay
    in_one = max(table.last for table in tables.values()) < _LONGEST_TABLE
    for column, table in tables.items():
        row[t.SPANS + column - t.PRE_DECAY] = table.last
        row[column] = decays.add(table.flat() if in_one else np.concatenate((table.fine, table.coarse, [0])))
    row[t.IN_ONE] = in_one
    return in_one
