"""Reading N-MNIST files and binning them to frames: snnsim against tonic, on the same files.

Both sides read the same unpacked .bin files. Before anything is timed, the frames of both are compared bit for bit.
Each run measures snnsim and then tonic; figures are medians over the runs, and the ratio is taken run by run.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import snnsim
from snnsim.datasets import EventDataset, load_nmnist

DURATION = 0.34
FRAMES = 50
BATCH = 64


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


def milliseconds(work: Callable[[], Any], samples: int) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3 / samples


def paired(case: str, ours: Callable[[], Any], theirs: Callable[[], Any], peer: str, samples: int, runs: int) -> dict:
    ours(), theirs()  # compile, and bring the files into memory
    pairs = [(milliseconds(ours, samples), milliseconds(theirs, samples)) for _ in range(runs)]
    ratios = [b / a for a, b in pairs]
    return {
        "case": case,
        "metric": "time a sample",
        "unit": "ms",
        "ours": statistics.median(a for a, _ in pairs),
        "peer": statistics.median(b for _, b in pairs),
        "peer_name": peer,
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
    }


def alone(case: str, ours: Callable[[], Any], samples: int, runs: int) -> dict:
    ours()
    times = [milliseconds(ours, samples) for _ in range(runs)]
    row = {"case": case, "metric": "time a sample", "unit": "ms", "ours": statistics.median(times)}
    return {**row, "peer": None, "peer_name": None, "ratio": None, "spread": [min(times), max(times)]}


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="zip with Train/<class>/<number>.bin")
    parser.add_argument("--quick", action="store_true", help="50 samples and 5 runs instead of 500 and 11")
    parser.add_argument("--json", type=Path, help="write the result here as well")
    options = parser.parse_args(arguments)
    samples, runs = (50, 5) if options.quick else (500, 11)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = unpack(options.data, folder, samples)
        samples = len(files)
        peer = Tonic(files)
        check(folder, peer)
        label = f"tonic {peer.version}"
        rows = [
            paired("read files to events", lambda: read_ours(folder, 1e-6), peer.read, label, samples, runs),
            paired(f"read files to {FRAMES} frames", lambda: frames_ours(folder), peer.frames, label, samples, runs),
            alone("decode and order, files in memory", decoder(files), samples, runs),
            alone("read zip to events", lambda: load_nmnist(options.data, limit=samples), samples, runs),
        ]
    result = {
        "name": "loading",
        "settings": {"samples": samples, "runs": runs, "frames": FRAMES, "duration": DURATION, "quick": options.quick},
        "versions": {
            "snnsim": snnsim.__version__,
            "tonic": peer.version,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def decoder(files: list[Path]) -> Callable[[], Any]:
    """Return the work that is left when the bytes are in memory, to tell reading from decoding."""
    from snnsim.datasets.kernels import decode_forty_bits, to_sorted_ticks

    contents = [file.read_bytes() for file in files]
    raw = np.frombuffer(b"".join(contents), np.uint8)
    starts = np.concatenate(([0], np.cumsum([len(content) for content in contents])))

    def work() -> None:
        times, sources = np.empty(raw.size // 5, np.int64), np.empty(raw.size // 5, np.int32)
        offsets, unordered = np.zeros(starts.size, np.int64), np.zeros(len(files), np.bool_)
        decode_forty_bits(raw, starts, 34, 34, 240, 2**13, times, sources, offsets, unordered)
        to_sorted_ticks(times, sources, offsets, 1, round(DURATION * 1e6), 2312)

    return work


def show(result: dict) -> None:
    print(f"{'case':36} {'snnsim':>10} {'tonic':>10} {'ratio':>8}  spread of the ratio")
    for row in result["rows"]:
        if row["peer"] is None:
            print(f"{row['case']:36} {row['ours']:8.4f} ms")
        else:
            low, high = row["spread"]
            times = f"{row['ours']:8.4f} ms {row['peer']:7.4f} ms"
            print(f"{row['case']:36} {times} {row['ratio']:7.1f}x  {low:.1f} to {high:.1f}")


if __name__ == "__main__":
    show(main(sys.argv[1:]))
