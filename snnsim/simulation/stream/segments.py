"""The segments of a run into a stream: files of some ticks each, in a folder beside the result they will become.

A segment appears under its name only when it is whole and on the disk, so that a process that dies at any moment leaves
nothing but whole segments. Spikes take 8 bytes each, and less where they compress.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DataError
from snnsim.simulation.counters import Answer
from snnsim.storage.hdf5 import create_array, make_folder, read_hdf5, replacing, sweep, write_hdf5


@dataclass(frozen=True)
class Header:
    """What all segments of a run have in common.

    Parameters
    ----------
    token : str
        Tells the run from every other one.
    start, n_ticks : int
        Tick of the network at which the run began, and how many it takes.
    dt : float
        Seconds a tick.
    spikes : dict of str to int
        Recorded populations and their sizes, in order.
    traces : dict of str to (every, neurons)
        Recorded traces, in order.
    dtype : str
        Type of the traces.
    populations, projections : list of str
    sources : list of bool
    provenance : dict of str
    answer : Answer, optional
        How the network answers.
    products : list of bool
        Of each projection whether its source is given frames; empty where none is.
    """

    token: str
    start: int
    n_ticks: int
    dt: float
    spikes: dict[str, int]
    traces: dict[str, tuple[int, int]]
    dtype: str
    populations: list[str]
    projections: list[str]
    sources: list[bool]
    provenance: dict[str, str]
    answer: Answer | None
    products: list[bool] = field(default_factory=list)


class Segment(NamedTuple):
    """A whole segment: ticks ``first ... last - 1`` counted from the start of the run."""

    first: int
    last: int
    path: Path


@dataclass
class Counts:
    """What the engine counted in some ticks, each a flat array over populations or projections."""

    spikes: NDArray[np.int64]
    membrane_updates: NDArray[np.int64]
    synaptic_operations: NDArray[np.int64]
    wall_seconds: float = 0.0

    def add(self, other: Counts) -> None:
        """Add the counts of other ticks."""
        self.spikes = self.spikes + other.spikes
        self.membrane_updates = self.membrane_updates + other.membrane_updates
        self.synaptic_operations = self.synaptic_operations + other.synaptic_operations
        self.wall_seconds += other.wall_seconds


class SegmentFolder:
    """The folder of the segments of one stream.

    Parameters
    ----------
    target : Path
        The file that the segments will become.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.segments")
        self._lock: Any = None

    # -- one writer at a time ----------------------------------------------------------------------------

    def open(self) -> None:
        """Make the folder if it is missing, and keep other processes from writing until `close`."""
        make_folder(self.path.parent)
        try:
            self.path.mkdir(exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(f"{self.path}: cannot be a folder for segments ({error.strerror})") from error
        self._lock = (self.path / "lock").open("wb")
        try:
            import fcntl
        except ImportError:  # Windows: no lock, the rest is the same
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._lock = None
            raise DataError(f"{self.target}: another run is writing to this stream now") from error
        except OSError:  # a file system that knows no locks
            pass

    def close(self) -> None:
        """Let others write; a folder in which nothing has begun goes."""
        if self._lock is None:
            return
        if {entry.name for entry in self.path.iterdir()} == {"lock"}:
            (self.path / "lock").unlink()
            self.path.rmdir()
        self._lock.close()
        self._lock = None

    def sweep(self) -> None:
        """Remove what killed writers left."""
        sweep(self.target)
        for entry in self.path.iterdir():
            if entry.name.endswith(".partial"):
                entry.unlink(missing_ok=True)
        for entry in self.path.parent.iterdir():
            if entry.name.startswith(f".{self.path.name}.") and entry.name.endswith(".done"):
                shutil.rmtree(entry, ignore_errors=True)

    def retire(self) -> None:
        """Take the folder away, now that the result is whole."""
        # Renamed first: a folder of which some segments are gone must not pass for one that is whole.
        retired = self.path.with_name(f".{self.path.name}.done")
        if retired.exists():
            shutil.rmtree(retired)
        self.path.rename(retired)
        self._lock.close()
        self._lock = None
        shutil.rmtree(retired, ignore_errors=True)

    # -- contents ----------------------------------------------------------------------------------------

    def header(self) -> Header | None:
        """Return the header, or None where no run has begun."""
        try:
            facts = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            facts["traces"] = {key: (int(every), int(neurons)) for key, (every, neurons) in facts["traces"].items()}
            facts["answer"] = None if facts["answer"] is None else Answer(**facts["answer"])
            return Header(**facts)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{self.path / 'run.json'}: the file is damaged ({error})") from error

    def write_header(self, header: Header) -> None:
        """Begin a run."""
        with replacing(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps(asdict(header)), encoding="utf-8")

    def segments(self) -> list[Segment]:
        """Return all segments in order of their ticks."""
        found = []
        if self.path.is_dir():
            for entry in self.path.iterdir():
                first, _, last = entry.name.removesuffix(".h5").partition("-")
                if entry.suffix == ".h5" and first.isdigit() and last.isdigit():
                    found.append(Segment(int(first), int(last), entry))
        return sorted(found)

    def unbroken(self) -> list[Segment]:
        """Return the segments from the first tick on, up to the first gap."""
        chain: list[Segment] = []
        for segment in self.segments():
            if segment.first == (chain[-1].last if chain else 0):
                chain.append(segment)
        return chain

    def cut(self, tick: int) -> None:
        """Discard the segments after a tick of the run, or raise `DataError` where one before it is missing."""
        # From the last one back, so that a kill in the middle of this leaves no gap.
        for segment in reversed(self.segments()):
            if segment.last > tick:
                segment.path.unlink()
        covered = max((segment.last for segment in self.unbroken()), default=0)
        if covered != tick:
            raise DataError(
                f"{self.path}: the segments end at tick {covered} of the run, the state is at tick {tick}; "
                "go on from a checkpoint with Simulation.resume(...)"
            )

    def write(
        self,
        first: int,
        last: int,
        spikes: Sequence[tuple[NDArray[np.uint32], NDArray[np.int32]]],
        traces: Sequence[NDArray[Any]],
        counts: Counts,
    ) -> None:
        """Write a segment.

        Parameters
        ----------
        first, last : int
            Its first tick, and the one after its last, counted from the start of the run.
        spikes : sequence of (ticks, sources)
            For each recorded population; ticks count from `first`.
        traces : sequence of ndarray, shape (records, neurons)
        counts : Counts
        """
        with write_hdf5(self.path / f"{first:015d}-{last:015d}.h5", "segment") as file:
            file.attrs["wall_seconds"] = counts.wall_seconds
            for name in ("spikes", "membrane_updates", "synaptic_operations"):
                file.create_dataset(name, data=getattr(counts, name))
            sizes = np.array([ticks.size for ticks, _ in spikes], np.int64)
            file.create_dataset("sizes", data=sizes)
            # One array for all populations: opening thousands would take longer than writing them.
            for name, column, dtype in (("ticks", 0, np.uint32), ("sources", 1, np.int32)):
                array, place = create_array(file, name, (int(sizes.sum()),), dtype), 0
                for part in spikes:
                    array[place : place + part[column].size] = part[column]
                    place += part[column].size
            for i, values in enumerate(traces):
                create_array(file, f"trace {i}", values.shape, values.dtype)[...] = values


def read_counts(segment: Segment) -> tuple[Counts, NDArray[np.int64]]:
    """Return what was counted in a segment, and its spikes of each recorded population."""
    with read_hdf5(segment.path, "segment") as file:
        counts = Counts(
            file["spikes"][()],
            file["membrane_updates"][()],
            file["synaptic_operations"][()],
            float(file.attrs["wall_seconds"]),
        )
        return counts, file["sizes"][()]
