"""The processes that a launcher of MPI has started, where they run one network together.

They must do the same: describe the same network, make the same calls with the same arguments. Before anything is shared
each tells the others what it is about to do; where they differ, all of them raise the same error, which names what
differs. A process that ends, for whatever reason, says so to those that wait for it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from snnsim.errors import RanksError, SnnsimError, missing_dependency

Outcome = TypeVar("Outcome")

#: Variables by which launchers tell a process how many there are.
_WORLD_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
#: Tag of our messages on the communicator of all ranks, which scripts may use too.
_TAG = 31_415
#: How often a message is looked for without a pause, and the longest pause between two looks, in seconds.
_EAGER_LOOKS, _LONGEST_PAUSE = 2000, 1e-3
#: Said by a process that ends.
_ENDED = "the end of its script"


def launched() -> int:
    """Return how many processes a launcher says it has started; 1 where there is none."""
    found = [os.environ.get(name, "") for name in _WORLD_SIZES]
    return max((int(size) for size in found if size.isdigit()), default=1)


@functools.cache
def world() -> Ranks | None:
    """Return all ranks, or None in a process that no launcher of MPI started with others.

    Raises
    ------
    MissingDependencyError
        A launcher started several processes, and mpi4py is not installed.
    RanksError
        The processes do not see each other.
    """
    processes = launched()
    if processes == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise missing_dependency("mpi4py", "mpi", "a run over several ranks") from error
    except RuntimeError as error:  # of mpi4py, which finds no library
        reason = str(error).splitlines()[0]
        raise RanksError(
            f"a launcher started {processes} processes, but mpi4py has no MPI ({reason}); install one, or let each "
            "process run a network of its own with Simulation(..., ranks='separate')"
        ) from error
    if MPI.COMM_WORLD.size == 1:
        raise RanksError(
            f"a launcher started {processes} processes, but mpi4py sees one: they belong to different MPIs. Use the "
            "launcher of that MPI, or let each process run a network of its own with "
            "Simulation(..., ranks='separate')"
        )
    return Ranks(MPI.COMM_WORLD)


class Ranks:
    """All processes, as one of them sees them.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    """

    def __init__(self, communicator: Any) -> None:
        self.communicator = communicator
        self.rank: int = communicator.rank
        self.size: int = communicator.size
        self._others = [rank for rank in range(self.size) if rank != self.rank]
        self._gone: list[int] = []
        self._meetings = 0

    # -- to do the same ----------------------------------------------------------------------------------

    def meet(self, call: str, facts: Mapping[str, str] | None = None, value: Any = None) -> list[Any]:
        """Wait for all ranks to make the same call; return the value of each, in order of ranks.

        Parameters
        ----------
        call : str
        facts : mapping of str to str
            What must be the same on all ranks; those that begin with # are fingerprints, which no message shows.
        value : object
            What may differ.

        Raises
        ------
        RanksError
            On all ranks: some make another call, or with other facts, or have ended.
        """
        self._meetings += 1
        everyone = self._told((self._meetings, call, dict(facts or {}), value))
        ended = [rank for rank, told in enumerate(everyone) if told is None]
        if ended:
            raise RanksError(
                f"ranks go apart: {_listed(ended)} reached {_ENDED}, while others make the call {call}; an error there "
                "comes first in the output"
            )
        if len({told[:2] for told in everyone}) > 1:
            calls = ", ".join(f"rank {rank} {told[1]}" for rank, told in enumerate(everyone))
            raise RanksError(f"ranks go apart in what they call: {calls}; all of them must make the same calls")
        different = self._different([told[2] for told in everyone])
        if different:
            more = f" and {len(different) - 5} more" if len(different) > 5 else ""
            raise RanksError(
                f"ranks go apart in the call {call}: they differ in {'; '.join(different[:5])}{more}. All of them must "
                "say the same (random numbers of a script need a seed), or each runs on its own with "
                "Simulation(..., ranks='separate')"
            )
        return [told[3] for told in everyone]

    def together(self, call: str, work: Callable[[], Outcome]) -> Outcome:
        """Do some work that shares nothing, and raise on all ranks what it has raised on any."""
        failure, outcome = None, None
        try:
            outcome = work()
        except Exception as error:
            failure = error
        told = self.meet(call, None, None if failure is None else f"{type(failure).__name__}: {failure}")
        if failure is not None:
            raise failure
        for rank, text in enumerate(told):
            if text is not None:
                raise RanksError(f"{call} has failed on rank {rank}: {text}")
        return outcome  # type: ignore[return-value]

    @contextlib.contextmanager
    def or_abort(self) -> Iterator[None]:
        """End all processes where an error of one leaves the others in the middle of sharing, to wait for ever."""
        try:
            yield
        except SnnsimError:  # of what all ranks do alike
            raise
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            self.communicator.Abort(1)
            raise

    @staticmethod
    def _different(facts: list[dict[str, str]]) -> list[str]:
        found = []
        for name in dict.fromkeys(name for one in facts for name in one):
            values = [one.get(name, "none") for one in facts]
            if len(set(values)) > 1:
                shown = [f"{value} on rank {rank}" for rank, value in enumerate(values) if not value.startswith("#")]
                found.append(f"{name} ({', '.join(shown[:4])})" if len(shown) == len(values) else name)
        return found

    # -- messages ----------------------------------------------------------------------------------------

    def _told(self, message: Any) -> list[Any]:
        """Tell the others, and return what each says; None for those that have ended."""
        here = [other for other in self._others if other not in self._gone]
        sent = [self.communicator.isend(message, dest=other, tag=_TAG) for other in here]
        everyone = [message if rank == self.rank else self._heard(rank) for rank in range(self.size)]
        for request in sent:
            request.wait()
        return everyone

    def _heard(self, other: int) -> Any:
        if other in self._gone:
            return None
        looks = 0
        while not self.communicator.iprobe(source=other, tag=_TAG):
            looks += 1
            if looks > _EAGER_LOOKS:  # Ctrl-C is heard in between, and the cores are free for those that work
                time.sleep(_LONGEST_PAUSE)
        message = self.communicator.recv(source=other, tag=_TAG)
        if message == _ENDED:
            self._gone.append(other)
            return None
        return message

    def leave(self) -> None:
        """Tell the others that this process ends, and wait until they have ended, too."""
        sent = [self.communicator.isend(_ENDED, dest=other, tag=_TAG) for other in self._others]
        for other in self._others:
            while self._heard(other) is not None:
                pass
        for request in sent:
            request.wait()


def _leave() -> None:
    """Tell processes that may wait for this one that it ends, where it ever began to speak MPI."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return
    with contextlib.suppress(SnnsimError):
        ranks = world()
        if ranks is not None:
            ranks.leave()


if launched() > 1:
    atexit.register(_leave)  # before that of mpi4py, which waits for all ranks


def _listed(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
