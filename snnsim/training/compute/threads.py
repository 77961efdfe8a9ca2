"""Kernels side by side: each call owns a range, so that results do not depend on who is faster.

torch's own threads stay out of it. Its OpenMP team spins for a while after each operation and would hold the cores
that the kernels want, so the workers run torch operations single-threaded, on ranges, next to the compiled kernels.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

#: Operations below which a second thread costs more (about 0.1 ms to hand over) than it takes off.
WORTH_SHARING = 2**19


class Workers:
    """Threads that share ranges of rows; one worker means the calling thread itself."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        if count > 1:
            self._pool = ThreadPoolExecutor(count, "snnsim-training", initializer=torch.set_num_threads, initargs=(1,))
            for started in [self._pool.submit(os.getpid) for _ in range(count)]:
                started.result()
            # A worker's setting is its own, except for the number that threads made later begin with.
            torch.set_num_threads(count)

    def map(self, function: Callable[[int, int], None], total: int, operations: int) -> None:
        """Call ``function(low, high)`` on equal ranges that cover ``0 ... total - 1``, and wait for all.

        Parameters
        ----------
        function : callable
        total : int
        operations : int
            Additions or so that all ranges take together; little work is done by the calling thread, because handing
            it over would cost more.
        """
        if self._pool is None or total < 2 or operations < WORTH_SHARING:
            function(0, total)
            return
        edges = [total * i // self.count for i in range(self.count + 1)]
        waiting = [self._pool.submit(function, low, high) for low, high in itertools.pairwise(edges)]
        for one in waiting:
            one.result()

    def share(self, function: Callable[[int, int, int], None], total: int, operations: int) -> None:
        """Call ``function(worker, low, high)`` on ranges that cover ``0 ... total - 1``, and wait for all.

        As `map`, for work that needs memory of its own a worker: `worker` counts from 0 to ``count - 1``.
        """

        def part(first: int, last: int) -> None:
            function(first, total * first // self.count, total * last // self.count)

        self.map(part, self.count, operations)


@functools.cache
def _workers_of(count: int, process: int) -> Workers:
    return Workers(count)


def workers() -> Workers:
    """Return as many workers as torch is set to use threads (``torch.set_num_threads``)."""
    return _workers_of(torch.get_num_threads(), os.getpid())


@contextlib.contextmanager
def working() -> Iterator[Workers]:
    """Yield the workers; until the end of the block, torch runs single-threaded in the calling thread too."""
    count = torch.get_num_threads()
    team = workers()
    if count == 1:
        yield team
        return
    torch.set_num_threads(1)
    try:
        yield team
    finally:
        torch.set_num_threads(count)
