"""Spoken digits (FSDD through the inner ear): a set of spikes in the format of the Spiking Heidelberg Digits.

It is made of the Free Spoken Digit Dataset (Jakobovski et al., 3,000 recordings of 8 kHz, 6 speakers, digits 0 to 9 in
English; CC BY-SA 4.0), whose official split is kept: recordings 0 to 4 of a speaker and digit are for testing. It is
not the Spiking Heidelberg Digits: other speakers, other digits (10 classes), other recordings, nothing above 4 kHz.

Every recording is scaled to the same root mean square, as theirs were. Theirs begin and end with silence, on which most
of a rise and fall over the whole recording acts; these are cut close to the digit (half of them have no lead at all,
and 30 ms behind), so that rise and fall last 30 ms unless `--ramp` says otherwise.
"""

from __future__ import annotations

import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import harness
import numpy as np

from snnsim.datasets import InnerEar, convert_recordings, write_spoken

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAME = "spoken digits (FSDD through the inner ear)"
#: The first recordings of each speaker and digit are for testing.
TESTED = 5


def samples(archive: Path) -> dict[str, list[tuple[int, int, int, bytes]]]:
    """Return (digit, speaker, number, contents) of the recordings of both splits, in the order of their names."""
    found: dict[str, list[tuple[int, int, int, bytes]]] = {"train": [], "test": []}
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(opened.namelist()):
            if name.endswith(".wav"):
                digit, speaker, number = Path(name).stem.split("_")
                entry = (int(digit), SPEAKERS.index(speaker), int(number), opened.read(name))
                found["test" if entry[2] < TESTED else "train"].append(entry)
    return found


def build(archive: Path, out: Path, ear: InnerEar, seed: int, limit: int | None) -> list[dict[str, Any]]:
    rows = []
    for split, entries in samples(archive).items():
        chosen = entries if limit is None else entries[:: len(entries) // limit][:limit]
        start = time.perf_counter()
        # No two recordings share their random numbers, whichever split they are in.
        events = convert_recordings((entry[3] for entry in chosen), ear, seed=2 * seed + (split == "test"))
        taken = time.perf_counter() - start
        write_spoken(
            out / f"{split}.h5",
            events,
            np.array([entry[0] for entry in chosen]),
            classes=CLASSES,
            speakers=np.array([entry[1] for entry in chosen]),
            meta_info={"name": np.array(SPEAKERS), "gender": np.array(["male"] * len(SPEAKERS))},
            description=f"{NAME}, {split}; Free Spoken Digit Dataset, CC BY-SA 4.0",
            ear=ear,
        )
        seconds = sum(len(entry[3]) - 44 for entry in chosen) / 16_000
        case = f"{split}: {len(chosen):,} digits, {seconds:.0f} s, {ear.channels} channels"
        rows.append(harness.row(case, "time to build", "s", taken))
        rows.append(harness.row(case, "spikes a digit", "", events.ticks.size / len(chosen)))
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="zip with recordings/<digit>_<speaker>_<number>.wav")
    parser.add_argument("--out", type=Path, required=True, help="folder for train.h5 and test.h5")
    parser.add_argument("--channels", type=int, default=70)
    parser.add_argument("--ramp", type=float, default=0.03, help="seconds of rise and fall; below zero: half each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    ear = InnerEar(channels=options.channels, ramp=None if options.ramp < 0 else options.ramp)
    rows = build(options.data, options.out, ear, options.seed, 60 if options.quick else None)
    settings = {"channels": options.channels, "ramp": options.ramp, "seed": options.seed, "quick": options.quick}
    return harness.finish("spoken_digits", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
