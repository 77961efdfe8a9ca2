"""One network over the ranks of MPI: each process owns a part, and spikes are exchanged once a window.

A script needs no change: started by ``mpiexec -n 2 python script.py`` every rank runs it, a long run is shared among
them, and each of them gets the whole result, bit for bit that of one process. What keeps them together is in
`snnsim.system.mpi_processes`.
"""

from __future__ import annotations

import ctypes
import traceback
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu.parts.records import Mail


class Exchange:
    """Brings the spikes of a window to all ranks, called by its address from the compiled engine.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
    mail : Mail
        Boxes of all parts; this rank fills that of its own part.
    """

    def __init__(self, communicator: Any, mail: Mail) -> None:
        self._communicator, self._mail = communicator, mail
        self._head, self._heads = np.zeros(2, np.int64), np.zeros((communicator.size, 2), np.int64)
        # Kept, or the code behind the address would be given back.
        self._function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(self._called)

    @property
    def address(self) -> int:
        """Address of a C function that takes the number of the boxes in use."""
        return int(ctypes.cast(self._function, ctypes.c_void_p).value or 0)

    def _called(self, box: int) -> int:
        try:
            self._bring(box)
        except BaseException:
            # No exception passes through compiled code, and the other ranks would wait for ever.
            traceback.print_exc()
            self._communicator.Abort(1)
        return 0

    def _bring(self, box: int) -> None:
        mail, rank = self._mail, self._communicator.rank
        self._head[:] = mail.counts[box, rank, 0], mail.next_ticks[box, rank, 0]
        self._communicator.Allgather(self._head, self._heads)
        counts = self._heads[:, 0]
        mail.counts[box, :, 0], mail.next_ticks[box, :, 0] = counts, self._heads[:, 1]
        if not counts.any():
            return
        # One number a spike: key in the upper half, neuron in the lower.
        mine = (mail.keys[box, rank, : counts[rank]] << 32) | mail.numbers[box, rank, : counts[rank]]
        everyone = np.empty(counts.sum(), np.int64)
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        self._communicator.Allgatherv(mine, (everyone, (counts, starts)))
        for other in range(self._communicator.size):
            if other != rank:
                theirs = everyone[starts[other] : starts[other] + counts[other]]
                mail.keys[box, other, : counts[other]] = theirs >> 32
                mail.numbers[box, other, : counts[other]] = theirs & 0xFFFFFFFF


def summed(communicator: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Return the sum over ranks of arrays of which each rank has filled its own places, the rest being zero."""
    total = np.empty_like(values)
    communicator.Allreduce(values, total)
    return total
