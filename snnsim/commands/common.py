"""What several commands share: reading data by name or path, and common options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnsim.errors import DataError, ParameterError
from snnsim.timebase import same_dt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snnsim.datasets import EventDataset
    from snnsim.network import Network


def add_data_options(command: argparse.ArgumentParser, *, default: str | None) -> None:
    """Add ``--data`` and ``--dt``."""
    command.add_argument(
        "--data",
        default=default,
        metavar="NAME|PATH",
        help="digits (simulated recordings, no download), nmnist, shd or ssc (download), or a path: a zip or folder of "
        "N-MNIST recordings, one .bin recording, a data set in HDF5, or spike trains in HDF5 in the form of SHD"
        + (" (default: %(default)s)" if default else ""),
    )
    command.add_argument(
        "--dt",
        type=float,
        default=None,
        metavar="SECONDS",
        help="length of a tick (default: that of the network, or 0.01)",
    )


def add_backend_options(command: argparse.ArgumentParser) -> None:
    """Add ``--backend``, ``--dtype`` and ``--threads``."""
    command.add_argument("--backend", default="cpu", help="cpu, reference or another installed one (default: cpu)")
    command.add_argument("--dtype", default="float32", choices=("float32", "float64"), help="default: float32")
    command.add_argument("--threads", type=int, default=None, metavar="N", help="default: all cores")


def load_data(name: str, split: str, dt: float) -> EventDataset:
    """Return a data set by name or path, in ticks of `dt` seconds.

    Raises
    ------
    DataError, ParameterError
        Nothing of that name or path, or it cannot be read.
    """
    from snnsim import datasets

    if name == "digits":
        return datasets.load_digits_events(split=split, dt=dt)
    if name == "nmnist":
        return datasets.load_nmnist(split=split, dt=dt)
    if name in ("shd", "ssc"):
        return (datasets.load_shd if name == "shd" else datasets.load_ssc)(split, dt=dt)
    if name in ("mnist", "fashion_mnist", "cifar10"):
        raise ParameterError(
            f"--data {name}: holds images, and the commands take recordings; make some in Python with "
            f"snnsim.datasets.load_{name}(...).encoded(...), and save(...) them"
        )
    path = Path(name)
    if not path.exists():
        raise DataError(
            f"--data {name}: no such file or folder, and no data set of that name (digits, nmnist, shd, ssc)"
        )
    if path.suffix in (".h5", ".hdf5"):
        if holds_spike_trains(path):
            return datasets.read_spikes_hdf5(path, dt=dt)
        found = datasets.EventDataset.load(path)
        return found if same_dt(found.events.dt, dt) else found.with_dt(dt)
    if path.suffix == ".bin":
        return _one_recording(path, dt)
    return datasets.load_nmnist(path, split=split, dt=dt)


def has_splits(name: str) -> bool:
    """Return whether data of that name or path come divided into splits: a single file does not."""
    return not Path(name).is_file() or Path(name).suffix == ".zip"


def check_fits(network: Network, data: EventDataset, where: str) -> None:
    """Raise `ParameterError` where a network was made for another sensor, or for other classes, than the data have."""
    if len(network.inputs) != 1:
        raise ParameterError(f"{where}: has {len(network.inputs)} Input populations; needs one")
    shape, output = network.inputs[0].shape, network.output
    if data.events.n_sources != network.inputs[0].size or (len(shape) > 1 and shape != data.sensor_shape):
        raise ParameterError(
            f"{where}: was made for a sensor of {_extent(shape)}, {data.name} has {_extent(data.sensor_shape)}"
        )
    if len(data.classes) > 1 and output.size != len(data.classes):
        raise ParameterError(
            f"{where}: its output {output.name!r} tells {output.size} classes apart, "
            f"{data.name} has {len(data.classes)}"
        )


def _extent(shape: tuple[int, ...]) -> str:
    return "x".join(str(extent) for extent in shape)


def refuse_idle(options: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Raise `ParameterError` for options that were given and would do nothing."""
    idle = ["--" + name.replace("_", "-") for name in names if getattr(options, name) is not None]
    if idle:
        raise ParameterError(f"{', '.join(idle)}: has no effect {why}")


def holds_spike_trains(path: Path) -> bool:
    """Return whether a file is HDF5 in the form of SHD; what it is otherwise, its reader says."""
    import h5py

    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return "spikes" in file
    except OSError:
        return False


def _one_recording(path: Path, dt: float) -> EventDataset:
    """Return a data set of one N-MNIST recording without a label."""
    import numpy as np

    from snnsim import datasets
    from snnsim.events import Events

    times, x, y, polarity = datasets.read_nmnist_bin(path)
    sources = (polarity.astype(np.int64) * 34 + y) * 34 + x
    events = Events.from_ticks(times, sources, n_sources=2 * 34 * 34, dt=1e-6).with_dt(dt)
    return datasets.EventDataset(events, np.zeros(1, np.int64), ("unknown",), (2, 34, 34), path.name, f"{path.name}")


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read ``512,512`` into numbers; an empty text gives none."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ParameterError(f"{text!r}: expected whole numbers separated by commas, such as 512,512") from error


def check_outputs(out: str | None, figure: str | None) -> None:
    """Raise `ParameterError` where ``--out`` or ``--figure`` cannot be written: before the work, not after it."""
    from snnsim.plot.style import file_kind

    for option, path in (("--out", out), ("--figure", figure)):
        if path is not None and (not Path(path).name or Path(path).is_dir()):
            raise ParameterError(f"{option} {path}: is a folder; give the name of a file")
    if figure is not None:
        file_kind(figure)


def save_figure(axes: Any, path: str | Path) -> None:
    """Save the figure of some axes and close it."""
    import matplotlib.pyplot as plt

    from snnsim import plot

    figure = axes if hasattr(axes, "savefig") else axes.figure
    plot.save(figure, path)
    plt.close(figure)
