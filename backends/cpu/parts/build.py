"""Building: the synapses of each part, in the rows that the engine reads.

A part's rows of a group are one a source, sorted by (delay, place in the plane); what is equal stays in the order of
`Network.synapses`. Random synapses are drawn twice: counted, then put where they belong, so that
nothing but the rows takes memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu.parts.build_kernels import count_listed, place_listed, sort_rows
from snnsim.backends.cpu.parts.checks import check_listed
from snnsim.backends.cpu.parts.partition import Partition
from snnsim.backends.cpu.parts.projection_groups import Group, delay_type
from snnsim.connectivity.distributions import Distribution, recipe_of
from snnsim.connectivity.draw_kernels import count_sources, place
from snnsim.connectivity.draw_plan import Plan
from snnsim.connectivity.draw_records import Values
from snnsim.connectivity.synapses import Synapses
from snnsim.errors import InternalError
from snnsim.network.connection import Connection
from snnsim.network.network import Network

Ints = NDArray[np.int64]

#: Share of the time that counting and placing take, for the progress bar.
_COUNTING, _PLACING = 1, 4
#: Rows that are sorted at once.
_SORTED_ROWS = 4096


@dataclass(eq=False)
class PartStore:
    """All synapses onto the neurons of one part, group after group.

    The row of source s of group g is the range ``rows[row_start[g] + s] ... rows[row_start[g] + s + 1]``, counted from
    ``target_start[g]`` in `targets`, from ``weight_start[g]`` in `weights`, and from ``delay_start[g]`` in `delays`.

    Parameters
    ----------
    rows : ndarray of int64
        For each group, one number a source and one more.
    row_start, target_start : ndarray of int64, shape (groups,)
    targets : ndarray of uint16
        Places in the plane of the part; see `Partition`.
    weights : ndarray of float32 or float64
    weight_start : ndarray of int64, shape (groups,)
        -1 where all synapses have one weight.
    delays : ndarray of uint8, uint16 or int32
        Ticks, in the smallest type that holds the longest delay of the network that is not common to a group.
    delay_start : ndarray of int64, shape (groups,)
        -1 where all synapses have one delay.
    out_degrees : list of ndarray of int32, shape (sources,)
        For each projection, the synapses of each source onto this part.
    """

    rows: Ints
    row_start: Ints
    targets: NDArray[np.uint16]
    target_start: Ints
    weights: NDArray[Any]
    weight_start: Ints
    delays: NDArray[Any]
    delay_start: Ints
    out_degrees: list[NDArray[np.int32]]

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return int(self.targets.size)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays: list[NDArray[Any]] = [self.rows, self.targets, self.weights, self.delays, *self.out_degrees]
        return sum(array.nbytes for array in arrays)


def build_parts(
    network: Network,
    partition: Partition,
    groups: Sequence[Group],
    parts: Sequence[int],
    dtype: np.dtype[Any] | str,
    threads: int = 1,
    progress: bool = False,
) -> list[PartStore]:
    """Build the synapses of some parts.

    Parameters
    ----------
    network : Network
        `MaxPool2d` is treated as if every spike counted.
    partition : Partition
    groups : sequence of Group
        As `groups_of` makes them.
    parts : sequence of int
        Numbers of the parts.
    dtype : dtype
        Type of the weights.
    threads : int
        Parts that are built at the same time.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    list of PartStore
        One for each of `parts`. The same for any number of threads.
    """
    members = [_Member.of(connection) for connection in network.connections]
    share = _share(network, partition, parts)
    total = sum(member.expected * part for member, part in zip(members, share, strict=True))
    with _Bar(total * (_COUNTING + _PLACING), progress) as bar:
        builders = [_Builder(network, partition, part, groups, members, np.dtype(dtype), bar.update) for part in parts]
        with ThreadPoolExecutor(max(1, min(threads, len(builders)))) as pool:
            try:
                return list(pool.map(_Builder.build, builders))
            except BaseException:  # Ctrl-C, too: the others need not go on to their end
                bar.stopped = True
                raise


def _share(network: Network, partition: Partition, parts: Sequence[int]) -> list[float]:
    """Return which share of the targets of each projection the parts own."""
    own = (partition.high - partition.low)[list(parts)].sum(axis=0)
    return [float(own[connection.target_number]) / connection.target.size for connection in network.connections]


@dataclass(frozen=True, eq=False)
class _Member:
    """A projection as it is built: drawn by plan, or listed."""

    target: int
    receptor: int
    expected: float
    plan: Plan | None
    listed: Synapses | None
    delays: Values

    @classmethod
    def of(cls, connection: Connection) -> _Member:
        drawn = isinstance(connection.projection.delay, Distribution)
        listed = connection.synapses() if connection.plan is None else None
        if listed is not None:
            check_listed(connection, listed)
        return cls(
            connection.target_number,
            connection.receptor_number,
            connection.expected,
            connection.plan,
            listed,
            connection.delay_recipe if drawn else _NO_TICKS,
        )


class _Builder:
    """Builds one part."""

    def __init__(
        self,
        network: Network,
        partition: Partition,
        part: int,
        groups: Sequence[Group],
        members: Sequence[_Member],
        dtype: np.dtype[Any],
        update: Callable[[float], None],
    ) -> None:
        self.dt, self.groups, self.members, self.update = network.dt, groups, members, update
        self.dtype, self.delay_type = dtype, delay_type(groups)
        self.sizes = [population.size for population in network.populations]
        self.low, self.high = partition.low[part], partition.high[part]
        self.base = partition.base[part]

    def build(self) -> PartStore:
        """Count, allocate, place, sort."""
        degrees = [np.zeros(0, np.int32) for _ in self.members]
        for group in self.groups:
            for number in group.numbers:
                degrees[number] = self._count(self.members[number], self.sizes[group.source])
        lengths = np.array([sum(int(degrees[i].sum()) for i in g.numbers) for g in self.groups], np.int64)
        row_start = _starts(np.array([self.sizes[group.source] + 1 for group in self.groups], np.int64))
        target_start = _starts(lengths)
        own_weights = np.array([group.weight is None for group in self.groups], np.bool_)
        own_delays = np.array([group.delay < 0 for group in self.groups], np.bool_)
        weight_start, delay_start = _starts(lengths * own_weights), _starts(lengths * own_delays)
        store = PartStore(
            np.zeros(int(row_start[-1]), np.int64),
            row_start[:-1],
            np.empty(int(target_start[-1]), np.uint16),
            target_start[:-1],
            np.empty(int(weight_start[-1]), self.dtype),
            np.where(own_weights, weight_start[:-1], -1),
            np.empty(int(delay_start[-1]), self.delay_type),
            np.where(own_delays, delay_start[:-1], -1),
            degrees,
        )
        for number in range(len(self.groups)):
            self._fill(store, number, int(lengths[number]))
        return store

    def _count(self, member: _Member, n_sources: int) -> NDArray[np.int32]:
        counts = np.zeros(n_sources, np.int32)
        low, high = int(self.low[member.target]), int(self.high[member.target])
        if member.listed is not None:
            count_listed(member.listed.offsets, member.listed.targets, low, high, counts)
            self.update(_COUNTING * int(counts.sum()))
        elif member.plan is not None:
            room = member.plan.room()
            for first, last in member.plan.chunks(low, high):
                self.update(_COUNTING * count_sources(member.plan.wiring, first, last, counts, room))
        return counts

    def _fill(self, store: PartStore, number: int, length: int) -> None:
        group = self.groups[number]
        n_sources = self.sizes[group.source]
        rows = store.rows[store.row_start[number] :][: n_sources + 1]
        np.cumsum(sum(store.out_degrees[i] for i in group.numbers), out=rows[1:])
        targets, weights, delays = (
            arena[max(start[number], 0) :][: length if start[number] >= 0 else 0]
            for arena, start in (
                (store.targets, store.target_start),
                (store.weights, store.weight_start),
                (store.delays, store.delay_start),
            )
        )
        ends = rows[1:].copy()
        # In order of the plane, so that each row comes out in that order.
        for i in sorted(group.numbers, key=lambda i: self._plane(self.members[i])):
            self._place(self.members[i], rows[:-1], targets, weights, delays)
        # Each place of a row's begin has moved on to its end, which is the next row's begin.
        if not np.array_equal(rows[:-1], ends):
            raise InternalError("rows of a part do not have as many synapses as were counted")
        rows[1:] = rows[:-1]
        rows[0] = 0
        if delays.size:
            for first in range(0, n_sources, _SORTED_ROWS):
                sort_rows(rows, first, min(first + _SORTED_ROWS, n_sources), targets, weights, delays)

    def _plane(self, member: _Member) -> int:
        """Return the place in the plane of the first own target."""
        p = member.target
        return int(self.base[p] + member.receptor * (self.high[p] - self.low[p]))

    def _place(self, member: _Member, ends: Ints, *arenas: NDArray[Any]) -> None:
        low, high, plane = int(self.low[member.target]), int(self.high[member.target]), self._plane(member)
        if member.listed is not None:
            listed = member.listed
            delays = _NO_DELAYS if listed.delays is None else listed.delays
            place_listed(listed.offsets, listed.targets, listed.weights, delays, low, high, plane, ends, *arenas)
            self.update(_PLACING * listed.targets.size * (high - low) / self.sizes[member.target])
        elif member.plan is not None:
            plan = member.plan
            room = plan.room()
            for first, last in plan.chunks(low, high):
                where = plane + first - low
                place(plan.wiring, plan.weights, member.delays, self.dt, first, last, where, ends, *arenas, room)
                self.update(_PLACING * plan.mean_in_degree * (last - first))


#: How delays are drawn where a projection has one for all.
_NO_TICKS = recipe_of(0.0, 0, 0, 1.0)
_NO_DELAYS = np.zeros(0, np.int32)
_NO_DELAYS.setflags(write=False)  # as the delays of `Synapses` are, for which the kernels are compiled


def _starts(lengths: Ints) -> Ints:
    """Return where each begins if they stand one after another, and where the last ends."""
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


class _Bar:
    """A progress bar that several threads move, if it is shown; and a way to stop them."""

    def __init__(self, total: float, show: bool) -> None:
        self.stopped = False
        self._lock = Lock()
        self._bar: Any = None
        if show:
            from tqdm import tqdm

            form = "{desc} {percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left"
            self._bar = tqdm(total=max(total, 1.0), desc="building synapses", bar_format=form)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._bar is not None:
            if kind is None:
                self._bar.update(self._bar.total - self._bar.n)  # what chance made fewer or more
            self._bar.close()

    def update(self, done: float) -> None:
        """Move the bar, or raise where another thread has failed."""
        if self.stopped:
            raise RuntimeError("building was stopped")
        if self._bar is not None:
            with self._lock:
                self._bar.update(min(done, self._bar.total - self._bar.n))
