"""Checkpoints: a network, the state of its long run, which run it was in the middle of, and the hardware it was on.

A checkpoint belongs to no engine; hardware, where there is some, is a matter of the backend that had it. The state is
written field by field as its dataclass names them (arrays, numbers, and dicts, tuples or dataclasses of these), so that
whatever a run carries along is kept. Synapses that are drawn are not written: the description draws them again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnsim.backends.contract.program import Program
from snnsim.backends.contract.state import State
from snnsim.backends.registry import get
from snnsim.errors import DataError
from snnsim.network.network import Network
from snnsim.simulation.stream.unfinished_run import UnfinishedRun
from snnsim.storage.hdf5 import read_hdf5, read_names, write_hdf5, write_names


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says before its state is read."""

    network: Network
    backend: str
    dtype: str
    tick: int
    run: UnfinishedRun | None
    hardware: str
    moves: tuple[str, ...]


def save(
    path: str | Path,
    network: Network,
    state: State,
    *,
    backend: str,
    dtype: str,
    run: UnfinishedRun | None = None,
    program: Program | None = None,
    moves: Sequence[str] = (),
) -> None:
    """Save a checkpoint; whatever was at `path` stays whole until the new one is.

    Parameters
    ----------
    path : str or Path
    network : Network
    state : State
    backend, dtype : str
    run : UnfinishedRun, optional
    program : Program, optional
        Whose hardware is kept, where it runs on some.
    moves : sequence of str
        How the run has changed its hardware so far.
    """
    with write_hdf5(path, "checkpoint") as file:
        file.attrs.update(tick=state.tick, backend=backend, dtype=dtype)
        write_names(file, "moves", tuple(moves))
        if program is not None and program.hardware:
            hardware = file.create_group("hardware")
            program.write_hardware(hardware)
            hardware.attrs["description"] = program.hardware
        _write(file, "state", state)
        network.write(file.create_group("network"))
        if run is not None:
            group = file.create_group("run")
            group.attrs.update(token=run.token, start=run.start, n_ticks=run.n_ticks)
            group.create_dataset("call", data=json.dumps(run.call))


def load_facts(path: str | Path) -> Facts:
    """Load the network of a checkpoint and what else is needed to compile it."""
    with read_hdf5(path, "checkpoint") as file:
        run = None
        if "run" in file:
            group = file["run"]
            call = json.loads(group["call"].asstr()[()])
            run = UnfinishedRun(str(group.attrs["token"]), int(group.attrs["start"]), int(group.attrs["n_ticks"]), call)
        return Facts(
            Network.read(file["network"]),
            str(file.attrs["backend"]),
            str(file.attrs["dtype"]),
            int(file.attrs["tick"]),
            run,
            str(file["hardware"].attrs["description"]) if "hardware" in file else "",
            read_names(file, "moves") if "moves" in file else (),
        )


def options_on(path: str | Path, facts: Facts, backend: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options to go on with on a backend: with the hardware of the checkpoint, where it is the same one."""
    if backend != facts.backend:
        return options
    with read_hdf5(path, "checkpoint") as file:
        return get(backend).options_on(file.get("hardware"), path, options)


def load_state(path: str | Path, template: State) -> State:
    """Load the state of a checkpoint.

    Parameters
    ----------
    path : str or Path
    template : State
        A state of the same network, such as its first one; every array must be like its own.

    Raises
    ------
    DataError
        The file is damaged, or its state does not fit the network.
    """
    with read_hdf5(path, "checkpoint") as file:
        state: State = _read(file, "state", template)
        return state


def _members(value: Any) -> Iterator[tuple[str, Any]] | None:
    """Return the parts of a value that has parts, each with its name in the file."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return ((str(key), part) for key, part in value.items())
    if isinstance(value, (tuple, list)):
        return ((f"{i:06d}", part) for i, part in enumerate(value))
    return None


def _write(group: h5py.Group, name: str, value: Any) -> None:
    members = _members(value)
    if value is None:
        return
    if isinstance(value, np.ndarray):
        group.create_dataset(name, data=value)
    elif members is None:
        group.attrs[name] = value
    else:
        inner = group.create_group(name)
        for key, part in members:
            _write(inner, key, part)


def _read(group: h5py.Group, name: str, template: Any) -> Any:
    where = f"{group.file.filename}: the state in the checkpoint does not fit its network"
    if template is None:
        return group[name][()] if name in group else group.attrs.get(name)
    if isinstance(template, np.ndarray):
        found = group[name]
        if found.shape != template.shape or found.dtype != template.dtype:
            raise DataError(
                f"{where}: {name} holds {found.dtype} {found.shape}, expected {template.dtype} {template.shape}"
            )
        return found[()]
    members = _members(template)
    if members is None:
        return type(template)(group.attrs[name])
    inner, expected = group[name], dict(members)
    surplus = sorted({*inner, *inner.attrs} - expected.keys())
    if surplus:
        raise DataError(f"{where}: {name} holds {', '.join(surplus)}, which this snnsim does not know")
    values = [_read(inner, key, part) for key, part in expected.items()]
    if isinstance(template, Mapping):
        return dict(zip(template, values, strict=True))
    return type(template)(values) if isinstance(template, (tuple, list)) else type(template)(*values)
