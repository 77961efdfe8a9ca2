"""Sound to spikes: the inner ear of snnsim against lauscher, the program that made the Spiking Heidelberg Digits.

lauscher draws 40 numbers a channel and sample at once, which for 700 channels and a second of sound are 5.4 GB; and its
time is that of its loops over samples, one channel after the other. So it is run with fewer channels, over the same
length of the membrane, and its time is scaled to as many as ours. It runs in an environment of its own (`--peer`).
Before any time is shown, its spikes are compared with those of snnsim for several seeds, by channel and by time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import harness
import numpy as np

from snnsim.datasets import InnerEar, read_audio

CHANNELS = 700
METRIC = "work a second of sound"
WORKER = Path(__file__).resolve().parent / "inner_ear_lauscher.py"
PEER_PYTHON = WORKER.parent.parent / ".venv-lauscher" / "bin" / "python"
SEEDS = 12


class Lauscher:
    """lauscher in a process of its own."""

    def __init__(self, python: Path, sound: Path) -> None:
        self.python, self.sound, self.version = python, sound, ""

    def convert(self, channels: int, processes: int, seed: int) -> tuple[float, np.ndarray, np.ndarray]:
        """Return seconds, times and channels."""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "spikes.npz"
            words = [str(word) for word in (self.python, WORKER, self.sound, channels, processes, seed, output)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"lauscher failed; nothing was timed:\n{done.stderr}")
            answer = json.loads(done.stdout.splitlines()[-1])
            self.version = answer["version"]
            with np.load(output) as spikes:
                return float(answer["seconds"]), spikes["times"], spikes["units"].astype(np.int64)


def histograms(times: np.ndarray, units: np.ndarray, channels: int, duration: float) -> list[np.ndarray]:
    bins = max(1, round(duration / 0.02))
    return [
        np.bincount(units, minlength=channels).astype(float),
        np.histogram(times, bins, (0.0, duration))[0].astype(float),
    ]


def check(ear: InnerEar, sound: Any, rate: int, theirs: tuple[np.ndarray, np.ndarray]) -> list[float]:
    """Stop unless a run of lauscher differs from the mean of ours no more than ours do among each other.

    Returns, for channels and for time, the squared distance over what is expected of one more run of ours.
    """
    runs = [ear.convert(sound, rate, seed=seed) for seed in range(SEEDS)]
    duration = runs[0].duration
    ours = [histograms(run.times, run.sources, ear.channels, duration) for run in runs]
    other = histograms(*theirs, ear.channels, duration)
    totals = np.array([run.ticks.size for run in runs])
    distances = []
    for which in range(2):
        stack = np.stack([run[which] for run in ours])
        mean, variance = stack.mean(axis=0), stack.var(axis=0, ddof=1)
        expected = variance.sum() * (1 + 1 / SEEDS)
        distances.append(float(np.sum((other[which] - mean) ** 2) / expected))
    off = abs(theirs[0].size - totals.mean()) / totals.std(ddof=1)
    if max(distances) > 2.0 or off > 4.0:
        raise SystemExit(
            f"lauscher has {theirs[0].size} spikes, snnsim {totals.mean():.0f} +- {totals.std(ddof=1):.0f}; distances "
            f"of the histograms {distances[0]:.2f} and {distances[1]:.2f} (1 expected); nothing was timed"
        )
    print(
        f"{ear.channels} channels: lauscher {theirs[0].size} spikes, snnsim {totals.mean():.0f} +- "
        f"{totals.std(ddof=1):.0f}; squared distance of the histograms over that of one more seed: "
        f"{distances[0]:.2f} (channels), {distances[1]:.2f} (time)"
    )
    return distances


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a sound file with one channel, best of 48 kHz")
    parser.add_argument(
        "--peer",
        type=Path,
        default=PEER_PYTHON if PEER_PYTHON.exists() else None,
        help="the Python of an environment with lauscher 1.0.1",
    )
    options = parser.parse_args(arguments)
    # lauscher reads FLAC and WAV by itself, and takes any sample rate for that of the ear.
    sound, rate = read_audio(options.data)
    seconds = sound.size / rate
    runs, channels = (3, 14) if options.quick else (7, 70)
    ear = InnerEar(channels=CHANNELS, sample_rate=rate)
    settings = {"channels": CHANNELS, "seconds": seconds, "runs": runs, "quick": options.quick}
    rows = []
    peer = None if options.peer is None else Lauscher(options.peer, options.data)
    if peer is None:
        print(
            "lauscher is left out: python -m venv .venv-lauscher && .venv-lauscher/bin/pip install lauscher==1.0.1, "
            "or say with --peer where it is"
        )
    for threads in (1, 2):
        ear.convert(sound, rate, threads=threads)
        case = f"{CHANNELS} channels, {threads} thread{'s' if threads > 1 else ''}"
        if peer is None:
            times = [harness.seconds(lambda: ear.convert(sound, rate, threads=threads)) / seconds for _ in range(runs)]  # noqa: B023
            rows.append(harness.row(case, METRIC, "s", statistics.median(times), spread=(min(times), max(times))))
            continue
        pairs = []
        for seed in range(max(1, runs // 3)):
            taken, times, units = peer.convert(channels, threads, seed)
            if not settings.get("distances"):
                settings["distances"] = check(
                    InnerEar(channels=channels, sample_rate=rate), sound, rate, (times, units)
                )
            theirs = taken * CHANNELS / channels / seconds
            for _ in range(3):
                mine = harness.seconds(lambda: ear.convert(sound, rate, threads=threads)) / seconds  # noqa: B023
                pairs.append((mine, theirs))
        ratios = [b / a for a, b in pairs]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        name = f"lauscher {peer.version}, {threads} process{'es' if threads > 1 else ''}, from {channels} channels"
        rows.append(
            harness.row(
                case, METRIC, "s", medians[0], medians[1], name, statistics.median(ratios), (min(ratios), max(ratios))
            )
        )
    settings["peer_channels"] = channels
    return harness.finish("inner_ear", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
