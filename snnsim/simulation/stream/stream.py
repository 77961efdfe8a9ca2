"""Runs into a stream: how one begins, goes on after any kind of end, and becomes a result.

The order of what reaches the disk is what makes it safe to kill a run at any moment:

1. the first checkpoint, then the header of the segments;
2. again and again: a segment, then a checkpoint of the state after it;
3. the last segment, the last checkpoint, the result, and only then the segments go.

Each of these files appears whole or not at all. Segments that are newer than the checkpoint are discarded when a run
goes on: they are computed again, with the same bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnsim.backends.contract.activity import ChipActivity
from snnsim.backends.contract.program import Program
from snnsim.errors import DataError, ParameterError
from snnsim.frames import Recordings
from snnsim.network.fingerprint import fingerprint
from snnsim.network.network import Network
from snnsim.simulation.probes import Probes, answer_of, products_of
from snnsim.simulation.stream.merge import merge, run_of
from snnsim.simulation.stream.segments import Header, SegmentFolder
from snnsim.simulation.stream.unfinished_run import UnfinishedRun
from snnsim.storage.hdf5 import sweep
from snnsim.timebase import tick_count


@dataclass(frozen=True)
class Place:
    """Where a run goes.

    Parameters
    ----------
    stream : Path
        File of the result.
    checkpoint : Path, optional
    every : int, optional
        Ticks between checkpoints.
    """

    stream: Path
    checkpoint: Path | None
    every: int | None

    @classmethod
    def of(cls, stream: Any, checkpoint: Any, every: Any, dt: float) -> Place | None:
        """Check the arguments of `Simulation.run`; return None for a run in memory."""
        paths = {"stream": stream, "checkpoint": checkpoint}
        for name, value in paths.items():
            if value is not None and not isinstance(value, (str, Path)):
                raise ParameterError(f"{name}={value!r}: expected the name of a file")
            if value is not None and (not Path(value).name or Path(value).is_dir()):
                raise ParameterError(f"{name}={str(value)!r}: is a folder; give the name of a file")
        if stream is None:
            if checkpoint is not None or every is not None:
                given = "checkpoint" if checkpoint is not None else "checkpoint_every"
                raise ParameterError(
                    f"{given}: needs a stream, for what was recorded before the checkpoint must be on the disk; "
                    "give stream='result.h5'"
                )
            return None
        if checkpoint is None and every is not None:
            raise ParameterError("checkpoint_every: needs checkpoint, the name of a file")
        ticks = None if every is None else tick_count(every, dt, name="checkpoint_every")
        if ticks is not None and ticks < 1:
            raise ParameterError(f"checkpoint_every={every!r}: must be a tick or more")
        # Absolute: a script may change its folder while the run goes on.
        where, kept = Path(stream).absolute(), None if checkpoint is None else Path(checkpoint).absolute()
        if where == kept:
            raise ParameterError(f"checkpoint={str(checkpoint)!r}: is the stream; give it a file of its own")
        return cls(where, kept, ticks)


def call_of(n_ticks: int, probes: Probes, given: Mapping[int, Recordings], network: Network) -> dict[str, str]:
    """Return what must be the same for a run to go on."""
    names = [network.populations[number].name for number in probes.spikes]
    traces = list(zip(probes.keys, probes.traces, strict=True))
    return {
        "duration": f"{n_ticks * network.dt:g} s ({n_ticks} ticks)",
        "record": f"{len(names)} populations and {len(traces)} traces, {fingerprint((names, traces))}",
        "inputs": f"{len(given)} recordings, {fingerprint(dict(given))}" if given else "none",
    }


def header_of(
    run: UnfinishedRun,
    network: Network,
    probes: Probes,
    given: Mapping[int, Recordings],
    dtype: str,
    provenance: dict[str, str],
) -> Header:
    """Return what all segments of a run have in common."""
    recorded = [network.populations[number] for number in probes.spikes]
    return Header(
        run.token,
        run.start,
        run.n_ticks,
        network.dt,
        {population.name: population.size for population in recorded},
        {key: (trace.every, trace.neurons.size) for key, trace in zip(probes.keys, probes.traces, strict=True)},
        dtype,
        [population.name for population in network.populations],
        [projection.name for projection in network.projections],
        [population.is_source for population in network.populations],
        provenance,
        answer_of(network),
        products_of(network, given),
    )


def check_call(unfinished: UnfinishedRun, call: Mapping[str, str] | None) -> None:
    """Raise `ParameterError` unless a run is the one that is unfinished."""
    way_out = (
        "a run into a stream is not finished: make the call that began it, or Simulation.abandon() it "
        "(what it has recorded stays where it is)"
    )
    if call is None:
        raise ParameterError(f"stream: is missing, but {way_out}")
    for name, was in unfinished.call.items():
        if call.get(name) != was:
            raise ParameterError(f"{name}: was {was}, is now {call.get(name)}; {way_out}")


class Stream:
    """The files of one run, as the process that writes them sees them.

    Parameters
    ----------
    place : Place
    header : Header
    """

    def __init__(self, place: Place, header: Header) -> None:
        self._place, self._header = place, header
        self.folder = SegmentFolder(place.stream)
        self._whole = False

    def begin(self) -> None:
        """Take the folder for a run that begins."""
        self.folder.open()
        there = self.folder.segments()
        if there:
            raise ParameterError(
                f"stream: {self.folder.path} holds {there[-1].last} ticks of a run that was not finished; go on with "
                f"Simulation.resume(checkpoint), keep them with Result.recover({str(self._place.stream)!r}), "
                "or delete the folder"
            )
        self._sweep()

    def go_on(self, tick: int) -> None:
        """Take the folder for a run that goes on at one of its ticks; segments after it are discarded."""
        self.folder.open()
        self._sweep()
        header = self.folder.header()
        if header is not None and header.token == self._header.token:
            self.folder.cut(tick)
        elif tick == self._header.n_ticks and run_of(self._place.stream) == self._header.token:
            self._whole = True
        elif tick or header is not None or self.folder.segments():
            found = "no segments" if header is None else "the segments of another run"
            raise DataError(
                f"{self._place.stream}: the run stopped at tick {tick} of {self._header.n_ticks}, but {found} "
                f"are in {self.folder.path}"
            )

    def write_header(self) -> None:
        """Say which run the segments belong to, once there is a checkpoint to go on from."""
        if not self._whole:
            self.folder.write_header(self._header)

    def _sweep(self) -> None:
        self.folder.sweep()
        if self._place.checkpoint is not None:
            sweep(self._place.checkpoint)

    def finish(self, provenance: Mapping[str, str], chip: ChipActivity | None) -> None:
        """Make the result of the segments, and take them away."""
        if not self._whole:
            merge(self._header, self.folder.unbroken(), self._place.stream, provenance, chip)
            self.folder.retire()


@contextlib.contextmanager
def writing(place: Place, header: Header, tick: int | None, program: Program) -> Iterator[Stream]:
    """Yield the files of a run that begins, or goes on at one of its ticks; only the process that writes touches them.

    When the block ends without an error the files are whole for all processes.
    """
    stream = Stream(place, header)
    try:
        program.first_only("Simulation.run", stream.begin if tick is None else lambda: stream.go_on(tick))
        yield stream
    finally:
        stream.folder.close()
    program.agree(0)  # which the others wait for
