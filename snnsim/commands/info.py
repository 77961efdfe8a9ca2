"""`snnsim info`: what is installed, or what a file holds."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from snnsim.backends import registry
from snnsim.errors import DataError
from snnsim.system.machine import cores
from snnsim.system.tables import table
from snnsim.version import __version__

_PACKAGES = ("numpy", "numba", "h5py", "torch", "tonic", "scikit-learn", "matplotlib", "spikingjelly", "norse", "nir")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "info",
        help="show versions and backends, or what a file holds",
        description="Without a file: versions, cores, backends and folders. With one: what is in it.",
    )
    command.add_argument("file", nargs="?", help="any HDF5 file that snnsim wrote")
    command.set_defaults(function=main)


def main(options: argparse.Namespace) -> int:
    """Print the facts."""
    if options.file:
        print(describe_file(Path(options.file)))
        return 0
    from snnsim.datasets import data_folder

    rows = [("snnsim", __version__), ("python", platform.python_version()), ("platform", platform.platform())]
    for package in _PACKAGES:
        rows.append((package, version_of(package) or "not installed"))
    rows.append(("cores", str(cores())))
    rows.append(("data folder", str(data_folder())))
    print(table(("what", "is"), rows))
    print()
    print(table(("backend", "models", "receptors", "delays"), [_backend(name) for name in registry.names()]))
    return 0


def version_of(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _backend(name: str) -> tuple[str, str, str, str]:
    able = registry.get(name).capabilities
    return name, " ".join(sorted(able.models)), " ".join(sorted(able.receptors)), "yes" if able.delays else "no"


def describe_file(path: Path) -> str:
    """Return what an HDF5 file of ours holds, in words.

    Raises
    ------
    DataError
        No such file, or not one of ours.
    """
    kind = kind_of(path)
    if kind == "network":
        from snnsim.network import Network

        network = Network.load(path)
        return f"{network}\n\none tick:\n\n{network.schedule()}"
    if kind == "result":
        from snnsim.simulation import Result

        result = Result.load(path)
        recorded = [f"{name}: {events}" for name, events in result.spikes.items()]
        recorded += [f"{name}: {values.shape}" for name, values in result.traces.items()]
        return f"{result}\n\nrecorded\n" + "\n".join(f"  {line}" for line in recorded)
    if kind == "dataset":
        from snnsim.datasets import EventDataset

        return EventDataset.load(path).summary()
    if kind == "events":
        from snnsim.events import Events

        return repr(Events.load(path))
    if kind == "early_exit":
        from snnsim.early_exit import DynamicConfidence

        return repr(DynamicConfidence.load(path))
    if kind == "device_trace":
        from snnsim.backends.crossbar.loop import Replay

        with Replay(path) as replay:
            return f"{replay}\n\n{replay.status()}"
    return f"{path}: a file of kind {kind!r}"


def kind_of(path: Path) -> str:
    """Return the kind of an HDF5 file that snnsim wrote."""
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            kind = str(file.attrs.get("kind", ""))
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file; it may be cut short or of another format") from error
    if not kind.startswith("snnsim."):
        raise DataError(f"{path}: an HDF5 file, but not one that snnsim wrote")
    return kind.removeprefix("snnsim.")
