"""Results in HDF5: written at once or piece by piece, read at once or one recording of a population at a time."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.activity import ChipActivity
from snnsim.events import Events
from snnsim.simulation.counters import Answer, Counters
from snnsim.storage.hdf5 import create_array, read_hdf5, read_names, write_hdf5, write_names

T = TypeVar("T")
_COUNTS = ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks", "multiply_accumulates")


class Facts(NamedTuple):
    """All of a result but spikes and traces; see `Result`."""

    counters: Counters
    n_ticks: int
    start_tick: int
    dt: float
    wall_seconds: float
    provenance: dict[str, str]
    chip: ChipActivity | None
    answer: Answer | None
    lengths: NDArray[np.int64]


def save(path: str | Path, recorded: Mapping[str, Events], traced: Mapping[str, NDArray[Any]], facts: Facts) -> None:
    """Save a result to an HDF5 file, which is complete or not there at all."""
    with write_hdf5(path, "result") as file:
        write_facts(file, facts)
        spikes, traces = groups(file)
        for name, events in recorded.items():
            events.write(spikes.create_group(name))
        for key, values in traced.items():
            create_array(traces, key, values.shape, values.dtype)[...] = values


def groups(file: h5py.File) -> tuple[h5py.Group, h5py.Group]:
    """Create the groups for spikes and traces, which keep the order in which they were recorded."""
    return file.create_group("spikes", track_order=True), file.create_group("traces", track_order=True)


def write_facts(file: h5py.File, facts: Facts) -> None:
    """Write all of a result but spikes and traces."""
    if facts.chip is not None:
        # A data set: of many tiles there is more to say than an attribute holds.
        file.create_dataset("chip", data=json.dumps(facts.chip.to_dict()))
    for name in ("n_ticks", "start_tick", "dt", "wall_seconds"):
        file.attrs[name] = getattr(facts, name)
    file.attrs["answer"] = json.dumps(None if facts.answer is None else asdict(facts.answer))
    file.create_group("provenance").attrs.update(facts.provenance)
    file.create_dataset("lengths", data=facts.lengths)
    group = file.create_group("counters")
    for name in _COUNTS:
        group.create_dataset(name, data=getattr(facts.counters, name))
    # Datasets, for there may be thousands of names.
    names = group.create_group("names")
    write_names(names, "populations", facts.counters.populations)
    write_names(names, "projections", facts.counters.projections)
    names.create_dataset("sources", data=np.array(facts.counters.sources, bool))


def load(path: str | Path, *, lazily: bool = False) -> tuple[Mapping[str, Events], Mapping[str, NDArray[Any]], Facts]:
    """Load a result; `lazily`, its spikes and traces are read from the file each time they are asked for."""
    where = Path(path).absolute()
    with read_hdf5(where if lazily else path, "result") as file:
        group = file["counters"]
        names = group["names"]
        counters = Counters(
            read_names(names, "populations"),
            read_names(names, "projections"),
            group["spikes"][()],
            group["membrane_updates"][()],
            group["synaptic_operations"][()],
            group["exit_ticks"][()],
            tuple(map(bool, names["sources"][()])),
            # Of files from before there were frames, None.
            group["multiply_accumulates"][()] if "multiply_accumulates" in group else None,
        )
        spikes: Mapping[str, Events]
        traces: Mapping[str, NDArray[Any]]
        if lazily:
            spikes = _StoredSpikes(where, "spikes", tuple(file["spikes"]))
            traces = _StoredTraces(where, "traces", tuple(file["traces"]))
        else:
            spikes = {name: Events.read(file["spikes"][name]) for name in file["spikes"]}
            traces = {key: file["traces"][key][()] for key in file["traces"]}
        facts = Facts(
            counters,
            int(file.attrs["n_ticks"]),
            int(file.attrs["start_tick"]),
            float(file.attrs["dt"]),
            float(file.attrs["wall_seconds"]),
            {key: str(value) for key, value in file["provenance"].attrs.items()},
            _chip(file),
            _answer(file),
            file["lengths"][()],
        )
        return spikes, traces, facts


def _chip(file: h5py.File) -> ChipActivity | None:
    return None if "chip" not in file else ChipActivity.from_dict(json.loads(file["chip"].asstr()[()]))


def _answer(file: h5py.File) -> Answer | None:
    facts = json.loads(file.attrs["answer"])
    return None if facts is None else Answer(**facts)


class _Stored(Mapping[str, T], Generic[T]):
    """Parts of a result that are read from its file each time, and never kept."""

    def __init__(self, path: Path, group: str, names: tuple[str, ...]) -> None:
        self._path, self._group, self._names = path, group, names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        with read_hdf5(self._path, "result") as file:
            return self._read(file[self._group][name])

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        return f"{self._group} in {self._path}: {', '.join(self._names) or 'none'}"

    @abstractmethod
    def _read(self, part: Any) -> T:
        """Read one of the parts."""


class _StoredSpikes(_Stored[Events]):
    def _read(self, part: h5py.Group) -> Events:
        return Events.read(part)


class _StoredTraces(_Stored[NDArray[Any]]):
    def _read(self, part: h5py.Dataset) -> NDArray[Any]:
        values: NDArray[Any] = part[()]
        return values
