"""Reading spike trains in the form of SHD to events and to frames: snnsim against tonic and spikingjelly, same files.

The files are made up, of the size of the training split of SHD: 8,156 samples of about 8,000 spikes in half precision,
and a smaller one in double precision for the frames, because spikingjelly multiplies times by 1000 in the precision of
the file, which in half precision moves spikes to other frames. Before anything is timed, every event and every frame
of both sides are compared. Each run measures snnsim and then the peer; figures are medians over the runs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import harness
import numpy as np

from snnsim.datasets import FrameBatch, SpikesFile, read_spikes_hdf5

UNITS, CLASSES, DT = 700, 20, 0.01
BATCH = 256
METRIC = "time a sample"


def make(path: Path, samples: int, events: int, kind: str) -> Path:
    """Write a file of made-up samples of `events` / 2 to 3/2 `events` spikes in 0.4 to 1.2 s."""
    random = np.random.default_rng(samples)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (samples,), h5py.vlen_dtype(np.dtype(kind)))
        units = file.create_dataset("spikes/units", (samples,), h5py.vlen_dtype(np.uint16))
        for i in range(samples):
            size = int(random.integers(events // 2, events * 3 // 2))
            # Rounded to half precision in any case, as in the published files.
            times[i] = np.sort(random.random(size, np.float32) * random.uniform(0.4, 1.2)).astype("f2").astype(kind)
            units[i] = random.integers(0, UNITS, size, np.uint16)
        file["labels"] = random.integers(0, CLASSES, samples).astype(np.uint16)
        file["extra/speaker"] = random.integers(0, 12, samples).astype(np.uint16)
        file["extra/keys"] = np.array([f"word {i}" for i in range(CLASSES)], "S")
    return path


def tonic_reader(path: Path, samples: int) -> tuple[str, Callable[[], list[np.ndarray]]]:
    """Return tonic's version and its reading of every sample to (t in microseconds, x, p)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tonic
        from tonic.datasets import SHD
    # Without its constructor, which wants the published archive.
    peer = object.__new__(SHD)
    peer.location_on_system, peer.data_filename = str(path.parent), path.name
    peer.transform = peer.target_transform = None
    return f"tonic {tonic.__version__}", lambda: [peer[i][0] for i in range(samples)]


class Anything(types.ModuleType):
    """A module that has every name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def spikingjelly_datasets() -> None:
    """Make spikingjelly's reader of SHD importable where torchvision or torchaudio does not go with torch.

    The package imports both for other data sets; the frames of SHD are made without them.
    """
    try:
        import spikingjelly.datasets
    except (ImportError, OSError, RuntimeError):
        import spikingjelly

        package = types.ModuleType("spikingjelly.datasets")
        package.__path__ = [str(Path(spikingjelly.__path__[0]) / "datasets")]
        sys.modules[package.__name__] = package
        for name in ("", ".datasets", ".datasets.utils", ".transforms"):
            sys.modules[f"torchvision{name}"] = Anything(f"torchvision{name}")


def jelly_frames(path: Path, samples: int) -> tuple[str, Callable[[], Iterator[np.ndarray]]]:
    """Return spikingjelly's version and what gives its frames of each sample, before it writes them to files."""
    from importlib.metadata import version

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spikingjelly_datasets()
        from spikingjelly.datasets.shd import _integrate_events_by_fixed_duration as integrate

    def work() -> Iterator[np.ndarray]:
        with h5py.File(path, "r") as file:
            spikes = file["spikes"]
            for i in range(samples):
                yield integrate({"t": spikes["times"][i], "x": spikes["units"][i]}, round(DT * 1e3), UNITS)

    return f"spikingjelly {version('spikingjelly')}", work


def ours_to_frames(path: Path) -> Iterator[FrameBatch]:
    file = SpikesFile(path)
    yield from file.frame_batches(BATCH, dt=DT, from_first_event=True)
    file.close()


def run_through(results: Iterator[Any]) -> None:
    """Make each result and let it go."""
    for _ in results:
        pass


def check_events(path: Path, theirs: list[np.ndarray]) -> int:
    """Stop unless every event of every sample is the same; return their number."""
    ours = read_spikes_hdf5(path, dt=1e-6, closed_end=False, progress=False).events
    for i, sample in enumerate(theirs):
        order = np.lexsort((sample["x"], sample["t"]))
        one = ours[i]
        if not (np.array_equal(one.ticks, sample["t"][order]) and np.array_equal(one.sources, sample["x"][order])):
            raise SystemExit(f"sample {i}: the events of snnsim and tonic differ; nothing was timed")
    return int(ours.ticks.size)


def check_frames(path: Path, theirs: Iterator[np.ndarray]) -> None:
    """Stop unless every frame of every sample is the same."""
    done = 0
    for batch in ours_to_frames(path):
        for frames, length in zip(batch.frames, batch.lengths, strict=True):
            if not np.array_equal(frames[:length], next(theirs)):
                raise SystemExit(f"sample {done}: the frames of snnsim and spikingjelly differ; nothing was timed")
            done += 1


def alone(case: str, ours: Callable[[], Any], samples: int, runs: int) -> dict[str, Any]:
    ours()
    times = [harness.seconds(ours) * 1e3 / samples for _ in range(runs)]
    return harness.row(case, METRIC, "ms", statistics.median(times), spread=(min(times), max(times)))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, help="samples of the file (default: 8156, the training split of SHD)")
    parser.add_argument("--events", type=int, default=8000, help="mean number of spikes a sample")
    options = parser.parse_args(arguments)
    samples = options.samples or (300 if options.quick else 8156)
    few, runs = min(samples, 200 if options.quick else 1000), 3 if options.quick else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, exact = make(folder / "half.h5", samples, options.events, "f2"), folder / "double.h5"
        make(exact, few, options.events, "f8")
        tonic, read = tonic_reader(path, samples)
        events = check_events(path, read())
        jelly, integrate = jelly_frames(exact, few)
        check_frames(exact, integrate())
        start = time.perf_counter()
        data = read_spikes_hdf5(path, dt=DT, progress=False).pooled(5)
        print(f"{samples:,} samples, {events:,} spikes: read in {time.perf_counter() - start:.2f} s")
        file = SpikesFile(path)
        rows = [
            harness.paired(
                "read a file to events",
                METRIC,
                lambda: read_spikes_hdf5(path, dt=1e-6, progress=False),
                read,
                tonic,
                runs=runs,
                share=1 / samples,
            ),
            harness.paired(
                "read a file to frames of 10 ms",
                METRIC,
                lambda: run_through(ours_to_frames(exact)),
                lambda: run_through(integrate()),
                jelly,
                runs=runs,
                share=1 / few,
            ),
            alone(
                "read a file to events, ticks of 10 ms", lambda: read_spikes_hdf5(path, progress=False), samples, runs
            ),
            alone(
                "an epoch of 140 channels from memory", lambda: run_through(data.frame_batches(BATCH, 0)), samples, runs
            ),
            alone(
                "an epoch of 140 channels from the file",
                lambda: run_through(file.frame_batches(BATCH, 0, pool=5)),
                samples,
                runs,
            ),
        ]
        file.close()
    settings = {"samples": samples, "events": events, "runs": runs, "batch": BATCH, "quick": options.quick}
    return harness.finish("shd_loading", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
