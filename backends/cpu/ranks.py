"""One network over the ranks of MPI: each process owns a part, and spikes are exchanged once a window.

A script needs no change: started by ``mpiexec -n 2 python script.py`` every rank runs it, a long run is shared among
them, and each of them gets the whole result, bit for bit that of one process.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu import long_engine
from snnsim.backends.cpu._jit import jit, specialised
from snnsim.backends.cpu.long_parts import Mail, Part, Run, Senders, Shared, Traces
from snnsim.errors import missing_dependency

#: Variables by which launchers tell a process how many there are.
_WORLD_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")


@functools.cache
def world() -> Any:
    """Return the communicator of all ranks, or None in a process that no launcher of MPI started with others.

    Raises
    ------
    MissingDependencyError
        A launcher started several processes, and mpi4py is not installed.
    """
    if not any(os.environ.get(name, "1") not in ("", "1") for name in _WORLD_SIZES):
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise missing_dependency("mpi4py", "mpi", "a run over several ranks") from error
    return MPI.COMM_WORLD if MPI.COMM_WORLD.size > 1 else None


@functools.cache
def _entries(version: str) -> tuple[Any, Any, Any, Any]:
    """Return the engine cut at the exchange: begin, advance a window, take its spikes, finish."""
    names = ("begin", "advance", "take", "finish")
    return tuple(  # type: ignore[return-value]
        specialised(getattr(long_engine, name).py_func, f"{name}_{version}", cache=True) for name in names
    )


@jit
def _pack(keys, neurons, count, packed):
    """Write spikes as one number each: key in the upper half, neuron in the lower."""
    for i in range(count):
        packed[i] = (keys[i] << 32) | np.int64(neurons[i])


@jit
def _unpack(packed, first, count, keys, neurons):
    """Undo `_pack`."""
    for i in range(count):
        keys[i] = packed[first + i] >> 32
        neurons[i] = np.int32(packed[first + i] & 0xFFFFFFFF)


def run_rank(
    communicator: Any,
    version: str,
    part: Part,
    shared: Shared,
    run: Run,
    senders: Senders,
    mail: Mail,
    traces: Traces,
) -> Any:
    """Run the part of this rank from start to end beside the other ranks; returns what `run_part` returns."""
    begin, advance, take, finish = _entries(version)
    rank, ranks = communicator.rank, communicator.size
    carried = begin(part, shared, run, senders, mail)
    tick, box = run.start, np.int64(0)
    head, heads = np.zeros(2, np.int64), np.zeros((ranks, 2), np.int64)
    while tick < run.end:
        carried = advance(part, shared, run, senders, mail, box, traces, carried, tick)
        head[:] = mail.counts[box, rank], mail.next_ticks[box, rank]
        communicator.Allgather(head, heads)
        mail.counts[box], mail.next_ticks[box] = heads[:, 0], heads[:, 1]
        if heads[:, 0].any():
            _exchange(communicator, mail, box, heads[:, 0])
        carried, tick = take(part, shared, run, senders, mail, box, carried, tick)
        box = 1 - box
    return finish(part, shared, run, carried)


def _exchange(communicator: Any, mail: Mail, box: Any, counts: NDArray[np.int64]) -> None:
    """Bring the spikes of all ranks into the boxes of this one."""
    rank = communicator.rank
    mine = np.empty(counts[rank], np.int64)
    _pack(mail.keys[box, rank], mail.numbers[box, rank], counts[rank], mine)
    everyone = np.empty(counts.sum(), np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    communicator.Allgatherv(mine, (everyone, (counts, starts)))
    for other in range(communicator.size):
        if other != rank:
            _unpack(everyone, starts[other], counts[other], mail.keys[box, other], mail.numbers[box, other])


def summed(communicator: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Return the sum over ranks of arrays of which each rank has filled its own places, the rest being zero."""
    total = np.empty_like(values)
    communicator.Allreduce(values, total)
    return total


def gathered(communicator: Any, log: Any) -> Sequence[Any]:
    """Return what every rank has, in order of ranks."""
    return list(communicator.allgather(log))
