"""A part as the engine reads it, made from the synapses that `build_parts` drew for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu.neurons.step import SCRATCH
from snnsim.backends.cpu.neurons.table_columns import RECEPTORS, SIZE, SLOTS
from snnsim.backends.cpu.parts.build import PartStore
from snnsim.backends.cpu.parts.checks import check_rows, check_segments
from snnsim.backends.cpu.parts.delay_run_lengths import count_segments, write_segments
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.cpu.parts.plasticity_records import Learning
from snnsim.backends.cpu.parts.projection_groups import Group
from snnsim.backends.cpu.parts.records import ROWS, SEGMENT_ROWS, TARGETS, WEIGHTS, Part, Shared
from snnsim.errors import InternalError


def packed(store: PartStore, sizes: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the segments of a part's synapses, where those of each source begin, and where those of each group."""
    rows = [store.rows[start : start + size + 1] for start, size in zip(store.row_start, sizes, strict=True)]
    late = [g for g, start in enumerate(store.delay_start) if start >= 0]
    counts = [count_segments(store.delays[store.delay_start[g] :], rows[g]) for g in late]
    segments = np.empty(sum(counts), np.uint16)
    segment_rows = np.zeros(sum(rows[g].size for g in late), np.int64)
    begin = np.full(len(sizes), -1, np.int64)
    place = first = 0
    for g in late:
        begin[g] = first
        mine = segment_rows[first : first + rows[g].size]
        place = write_segments(store.delays[store.delay_start[g] :], rows[g], segments, place, mine)
        first += rows[g].size
    if place != segments.size:
        raise InternalError(f"delays of a part take {place} segments, and {segments.size} were counted")
    return segments, segment_rows, begin


def _check(
    store: PartStore,
    groups: Sequence[Group],
    sizes: Sequence[int],
    segments: NDArray[Any],
    segment_rows: NDArray[Any],
    begin: NDArray[np.int64],
    accumulators: int,
    longest: int,
) -> None:
    """Raise `InternalError` where the engine would leave the arrays of a part."""
    ends = np.append(store.target_start[1:], store.targets.size)
    for g, (group, size) in enumerate(zip(groups, sizes, strict=True)):
        rows = store.rows[store.row_start[g] : store.row_start[g] + size + 1]
        count = int(ends[g] - store.target_start[g])
        targets = store.targets[store.target_start[g] :][:count]
        weights = store.weights[max(store.weight_start[g], 0) :][: 0 if group.weight is not None else count]
        check_rows(rows, targets, weights, 0, accumulators)
        if begin[g] >= 0:
            check_segments(rows, segment_rows[begin[g] :][: size + 1], segments, longest)


def part_of(
    number: int,
    store: PartStore,
    partition: Partition,
    groups: Sequence[Group],
    shared: Shared,
    learning: Learning,
    dtype: np.dtype[Any],
) -> Part:
    """Return a part for the engine; `store` is given up: its delays are packed into segments."""
    sizes = [int(shared.populations[group.source, SIZE]) for group in groups]
    segments, segment_rows, begin = packed(store, sizes)
    longest = int(shared.populations[:, SLOTS].max()) - 1
    _check(store, groups, sizes, segments, segment_rows, begin, int(partition.sizes[number]), longest)
    table = np.full((len(groups), WEIGHTS + 1), -1, np.int64)
    table[:, ROWS], table[:, SEGMENT_ROWS] = store.row_start, begin
    table[:, TARGETS], table[:, WEIGHTS] = store.target_start, store.weight_start
    size = int(partition.sizes[number])
    low, high, base = partition.low[number], partition.high[number], partition.base[number]
    tracked = bool(shared.by_events.any())
    slot_of = np.zeros(size if tracked else 0, np.int32)
    if tracked:
        for p, n_receptors in enumerate(shared.populations[:, RECEPTORS]):
            own = int(high[p] - low[p])
            for r in range(int(n_receptors)):
                slot_of[base[p] + r * own : base[p] + (r + 1) * own] = base[p] + np.arange(own)
    return Part(
        number,
        np.ascontiguousarray(low),
        np.ascontiguousarray(high),
        np.ascontiguousarray(base),
        np.zeros(size + 1, dtype),
        table,
        store.rows,
        segment_rows,
        store.targets,
        segments,
        store.weights,
        np.zeros(SCRATCH, dtype),
        np.zeros(int((high - low).max(initial=0)) + 1, np.int32),
        slot_of,
        np.zeros(size if tracked else 0, np.uint8),
        np.zeros((2, size if tracked else 0), np.int32),
        learning,
    )
