"""From segments to a result: one file after another, with no more than one segment in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from snnsim.backends.contract.activity import ChipActivity
from snnsim.backends.contract.requests import TraceRequest
from snnsim.errors import DataError
from snnsim.simulation.counters import Counters
from snnsim.simulation.result_file import Facts, groups, write_facts
from snnsim.simulation.stream.segments import Header, Segment, SegmentFolder, read_counts
from snnsim.storage.hdf5 import create_array, read_hdf5, write_hdf5


def merge(
    header: Header,
    segments: Sequence[Segment],
    target: Path,
    provenance: Mapping[str, str],
    chip: ChipActivity | None = None,
) -> None:
    """Write the result that unbroken segments make up.

    The file is that of `Result.save` after a run in memory; besides, it says which run it is.
    """
    counts, sizes = read_counts(segments[0])
    for segment in segments[1:]:
        more, further = read_counts(segment)
        counts.add(more)
        sizes = sizes + further
    n_ticks = segments[-1].last
    counters = Counters(
        tuple(header.populations),
        tuple(header.projections),
        counts.spikes[None],
        counts.membrane_updates[None],
        counts.synaptic_operations[None],
        np.array([n_ticks], np.int64),
        tuple(header.sources),
    ).with_products(header.products)
    with write_hdf5(target, "result") as file:
        file.attrs["run"] = header.token
        facts = Facts(
            counters,
            n_ticks,
            header.start,
            header.dt,
            counts.wall_seconds,
            dict(provenance),
            chip,
            header.answer,
            np.array([n_ticks]),
        )
        write_facts(file, facts)
        spikes, traces = groups(file)
        columns = [
            _create_events(spikes.create_group(name), int(total), n_sources, n_ticks, header.dt)
            for (name, n_sources), total in zip(header.spikes.items(), sizes, strict=True)
        ]
        values = []
        for key, (every, neurons) in header.traces.items():
            records = TraceRequest(0, 0, every, np.zeros(0, np.int64)).records(header.start, n_ticks)
            values.append(create_array(traces, key, (1, records, neurons), header.dtype))
        places, records_done = np.zeros(len(columns), np.int64), np.zeros(len(values), np.int64)
        for segment in segments:
            with read_hdf5(segment.path, "segment") as part:
                ticks, sources = part["ticks"][()].astype(np.int64) + segment.first, part["sources"][()]
                edges = np.concatenate(([0], np.cumsum(part["sizes"][()])))
                for i, (tick_column, source_column) in enumerate(columns):
                    size = int(edges[i + 1] - edges[i])
                    here, there = slice(places[i], places[i] + size), slice(edges[i], edges[i + 1])
                    tick_column[here], source_column[here] = ticks[there], sources[there]
                    places[i] += size
                for i, array in enumerate(values):
                    rows = part[f"trace {i}"][()]
                    array[0, records_done[i] : records_done[i] + rows.shape[0]] = rows
                    records_done[i] += rows.shape[0]


def _create_events(
    group: h5py.Group, total: int, n_sources: int, n_ticks: int, dt: float
) -> tuple[h5py.Dataset, h5py.Dataset]:
    """Create what `Events.write` would write for one recording, still without its ticks and sources."""
    group.attrs.update(n_sources=n_sources, n_ticks=n_ticks, dt=dt)
    ticks = create_array(group, "ticks", (total,), np.int64)
    sources = create_array(group, "sources", (total,), np.int32)
    create_array(group, "offsets", (2,), np.int64)[...] = [0, total]
    create_array(group, "lengths", (1,), np.int64)[...] = n_ticks
    return ticks, sources


def recover(stream: str | Path) -> Path:
    """Make a result file of the segments that an unfinished run has left; see `Result.recover`."""
    target = Path(stream).absolute()
    folder = SegmentFolder(target)
    header, segments = folder.header(), folder.unbroken()
    if header is None or not segments:
        raise DataError(f"{target}: no segments of an unfinished run are in {folder.path}")
    merge(header, segments, target, header.provenance)
    return target


def run_of(target: Path) -> str | None:
    """Return the token of the run whose whole result a file holds, or None."""
    try:
        with read_hdf5(target, "result") as file:
            token = file.attrs.get("run")
            return None if token is None else str(token)
    except DataError:
        return None
