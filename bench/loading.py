"""Reading N-MNIST files and binning them to frames: snnsim against tonic, on the same files.

Both sides read the same unpacked .bin files. Before anything is timed, the frames of both are compared bit for bit.
Each run measures snnsim and then tonic; figures are medians over the runs, and the ratio is taken run by run.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from snnsim.datasets import EventDataset, load_nmnist

DURATION = 0.34
FRAMES = 50
BATCH = 64
METRIC = "time a sample"


def read_ours(folder: Path, dt: float) -> EventDataset:
    return load_nmnist(folder, dt=dt, duration=DURATION, progress=False)


def frames_ours(folder: Path) -> np.ndarray:
    data = read_ours(folder, DURATION / FRAMES)
    frames = np.empty((BATCH, FRAMES, *data.sensor_shape), np.int16)
    for first in range(0, len(data), BATCH):
        data.frames(slice(first, first + BATCH), out=frames)
    return frames


class Tonic:
    """The same work with tonic: its file reader, and its ToFrame over the same windows."""

    def __init__(self, files: list[Path]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tonic
            from tonic.io import read_mnist_file
            from tonic.transforms import ToFrame

        self.version = str(tonic.__version__)
        self.files = [str(file) for file in files]
        self.dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
        self.read_one = read_mnist_file
        microseconds = round(DURATION * 1e6)
        self.to_frame = ToFrame((34, 34, 2), time_window=microseconds // FRAMES, start_time=0, end_time=microseconds)

    def read(self) -> list[np.ndarray]:
        """Read every file."""
        return [self.read_one(file, self.dtype) for file in self.files]

    def frames(self) -> np.ndarray:
        """Read every file and make frames of it; return the last ones."""
        for file in self.files:
            last = self.to_frame(self.read_one(file, self.dtype))
        return last


def unpack(archive: Path, folder: Path, samples: int) -> list[Path]:
    """Write the first training recordings into a folder and return the files in the official order."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.startswith("Train/") and name.endswith(".bin")]
        names = sorted(names, key=lambda name: int(Path(name).stem))[:samples]
        opened.extractall(folder, names)
    return [folder / name for name in names]


def check(folder: Path, peer: Tonic) -> None:
    """Stop unless both sides give the same frames for every sample."""
    ours = read_ours(folder, DURATION / FRAMES)
    for i, file in enumerate(peer.files):
        theirs = peer.to_frame(peer.read_one(file, peer.dtype))
        if not np.array_equal(ours.frames([i])[0], theirs):
            raise SystemExit(f"{file}: the frames of snnsim and tonic differ; nothing was timed")


def alone(case: str, ours: Callable[[], Any], share: float, runs: int) -> dict[str, Any]:
    ours()
    times = [harness.seconds(ours) * 1e3 * share for _ in range(runs)]
    return harness.row(case, METRIC, "ms", statistics.median(times), spread=(min(times), max(times)))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="zip with Train/<class>/<number>.bin")
    options = parser.parse_args(arguments)
    samples, runs = (50, 5) if options.quick else (500, 11)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = unpack(options.data, folder, samples)
        samples = len(files)
        peer = Tonic(files)
        check(folder, peer)
        label, share = f"tonic {peer.version}", 1 / samples
        rows = [
            harness.paired(
                "read files to events",
                METRIC,
                lambda: read_ours(folder, 1e-6),
                peer.read,
                label,
                runs=runs,
                share=share,
            ),
            harness.paired(
                f"read files to {FRAMES} frames",
                METRIC,
                lambda: frames_ours(folder),
                peer.frames,
                label,
                runs=runs,
                share=share,
            ),
            alone("decode and order, files in memory", decoder(files), share, runs),
            alone("read zip to events", lambda: load_nmnist(options.data, limit=samples), share, runs),
        ]
    settings = {"samples": samples, "runs": runs, "frames": FRAMES, "duration": DURATION, "quick": options.quick}
    return harness.finish("loading", settings, rows, options.json)


def decoder(files: list[Path]) -> Callable[[], Any]:
    """Return the work that is left when the bytes are in memory, to tell reading from decoding."""
    from snnsim.datasets.event_kernels import decode_forty_bits, to_sorted_ticks

    contents = [file.read_bytes() for file in files]
    raw = np.frombuffer(b"".join(contents), np.uint8)
    starts = np.concatenate(([0], np.cumsum([len(content) for content in contents])))

    def work() -> None:
        times, sources = np.empty(raw.size // 5, np.int64), np.empty(raw.size // 5, np.int32)
        offsets, unordered = np.zeros(starts.size, np.int64), np.zeros(len(files), np.bool_)
        decode_forty_bits(raw, starts, 34, 34, 240, 2**13, times, sources, offsets, unordered)
        to_sorted_ticks(times, sources, offsets, 1, round(DURATION * 1e6), 2312)

    return work


if __name__ == "__main__":
    main(sys.argv[1:])
