"""Reads of a 512 x 512 crossbar by spikes, with read noise and 8-bit converters: ours against others' ways.

The same cells, the same noise a cell, the same converters on all sides. Peers: a dense NumPy product (one product gives
means and variances), NumPy on the active rows alone, one draw a cell in NumPy (as CrossSim does), and aihwkit, which
runs in an environment of its own (``--aihwkit-python``): its layer as it is called, and the tile in it, past its module
and autograd. The noise of aihwkit that is used has one size for all cells, so all have that size here; ours takes any.
Before anything is timed, noiseless outputs are compared, and with noise the mean and the spread of each output.

All sides run in one thread.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from snnsim.backends.crossbar import ADC
from snnsim.backends.crossbar.array_read.converter import Converters, range_for
from snnsim.backends.crossbar.array_read.prepared_array import PreparedArray

SIZE, BITS, NOISE = 512, 8, 0.02
ACTIVE, BATCHES = (0.02, 0.10), (1, 64)
CHECKED = 400  # reads of one vector that spreads are taken from
WORKER = Path(__file__).with_name("crossbar_read_aihwkit.py")
EARLIER = "aihwkit 1.2.0, with 8 bits at its inputs too, took 63 us at batch 1 and 16 us a vector at batch 64"

Read = Callable[[], Any]


class Case:
    """One array and one batch of vectors with a share of the rows active."""

    def __init__(self, share: float, batch: int) -> None:
        random = np.random.default_rng(1)
        self.share, self.batch = share, batch
        self.weights = random.normal(0.0, 0.1, (SIZE, SIZE)).astype(np.float32)  # row, output
        count = round(share * SIZE)
        self.rows = np.concatenate([random.choice(SIZE, count, replace=False) for _ in range(batch)]).astype(np.int64)
        self.offsets = np.arange(batch + 1) * count
        self.keys = np.arange(batch, dtype=np.uint64)
        self.x = np.zeros((batch, SIZE), np.float32)
        self.x[np.repeat(np.arange(batch), count), self.rows] = 1.0
        self.converters: Converters = ADC(BITS).converters(range_for(self.x @ self.weights, 99.9), SIZE)
        self.variance = np.full((SIZE, SIZE), np.float32(NOISE) ** 2)
        self.random = np.random.default_rng(2)
        self.both = np.hstack([self.weights, self.variance])
        self.array = PreparedArray(self.weights, self.variance, self.converters)

    @property
    def name(self) -> str:
        """Which case this is."""
        return f"{SIZE} x {SIZE}, {self.share:.0%} of rows, batch {self.batch}"

    def convert(self, currents: np.ndarray) -> np.ndarray:
        """Convert in place with NumPy, in float32."""
        step, largest = np.float32(self.converters.step[0]), np.float32(self.converters.largest_code)
        np.multiply(currents, np.float32(1) / step, out=currents)
        np.rint(currents, out=currents)
        np.clip(currents, -largest, largest, out=currents)
        return np.multiply(currents, step, out=currents)

    def ours(self) -> np.ndarray:
        """Read with snnsim."""
        return self.array.read(self.offsets, self.rows, self.keys)[0]

    def dense(self, convert: bool = True) -> np.ndarray:
        """Read with one product of all rows, for means and variances together."""
        sums = self.x @ self.both
        spread = np.sqrt(sums[:, SIZE:])
        spread *= self.random.standard_normal(spread.shape, np.float32)
        spread += sums[:, :SIZE]
        return self.convert(spread) if convert else spread

    def active_rows(self, convert: bool = True) -> np.ndarray:
        """Read with NumPy sums of the active rows."""
        sums = np.add.reduceat(self.both[self.rows], self.offsets[:-1], axis=0)
        spread = np.sqrt(sums[:, SIZE:])
        spread *= self.random.standard_normal(spread.shape, np.float32)
        spread += sums[:, :SIZE]
        return self.convert(spread) if convert else spread

    def every_cell(self, convert: bool = True) -> np.ndarray:
        """Read with a number drawn for each cell of the array in each vector."""
        out = np.empty((self.batch, SIZE), np.float32)
        for v in range(self.batch):
            cells = self.random.standard_normal((SIZE, SIZE), np.float32)
            cells *= np.float32(NOISE)
            cells += self.weights
            out[v] = self.x[v] @ cells
        return self.convert(out) if convert else out


class Aihwkit:
    """The worker process."""

    def __init__(self, python: str, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        np.savez(
            folder / "case.npz",
            weights=np.ascontiguousarray(case.weights.T),
            noise=NOISE,
            full_scale=case.converters.full_scale[0],
            x=case.x,
            x_first=case.x[:1],
            threads=1,
        )
        self.process = subprocess.Popen(
            [python, str(WORKER), str(folder / "case.npz")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.facts = self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("aihwkit's worker ended; run bench/crossbar_read_aihwkit.py by hand to see why")
        return dict(json.loads(line))

    def ask(self, **job: Any) -> dict[str, Any]:
        """Send a job and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def outputs(self, layer: str, x: str = "x", repeat: int = 1) -> np.ndarray:
        """Return outputs of shape (repeat, vectors, outputs)."""
        path = self.folder / "outputs.npy"
        self.ask(layer=layer, x=x, repeat=repeat, save=str(path))
        return np.load(path)

    def seconds(self, repeat: int, tile: bool) -> float:
        """Return the seconds of a call with noise and converters, of the layer or of the tile alone."""
        return float(self.ask(layer="both", x="x", repeat=repeat, tile=tile)["seconds"])

    def close(self) -> None:
        """End the worker."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def check(case: Case, peer: Aihwkit | None) -> None:
    """Stop unless all sides compute the same."""
    sums = case.x.astype(np.float64) @ case.weights
    codes = case.converters.codes(sums)
    quiet = PreparedArray(case.weights, None, case.converters).read(case.offsets, case.rows)[0]
    plain = PreparedArray(case.weights).read(case.offsets, case.rows)[0]
    found = {"snnsim": (plain, quiet)}
    found["NumPy"] = ((case.x @ case.both)[:, :SIZE], case.convert((case.x @ case.both)[:, :SIZE].copy()))
    if peer is not None:
        found["aihwkit"] = (peer.outputs("plain")[0], peer.outputs("converted")[0])
    step = case.converters.step[0]
    for name, (without, converted) in found.items():
        if np.abs(without - sums).max() > 1e-5:
            raise SystemExit(f"{case.name}: {name}'s noiseless sums are off by {np.abs(without - sums).max()}")
        agree = (np.rint(converted / step) == codes).mean()
        if agree < 0.999:  # float32 sums fall on the other side of a half now and then
            raise SystemExit(f"{case.name}: {name}'s noiseless codes agree for {agree:.2%} only")
    # With noise, before the converters: the first vector again and again.
    count = case.offsets[1]
    many = PreparedArray(case.weights, case.variance).read(
        np.arange(CHECKED + 1) * count, np.tile(case.rows[:count], CHECKED), np.arange(CHECKED, dtype=np.uint64)
    )[0]
    reads = {"snnsim": many}
    for name, read in (("dense", case.dense), ("active rows", case.active_rows), ("every cell", case.every_cell)):
        times = CHECKED if name != "every cell" else max(2, 40 // case.batch)
        reads[name] = np.stack([read(False)[0] for _ in range(times)])
    if peer is not None:
        reads["aihwkit"] = peer.outputs("noisy", "x_first", CHECKED)[:, 0]
    expected = NOISE * np.sqrt(count)
    for name, values in reads.items():
        z = (values - sums[0]) / expected
        # aihwkit was seen further off than fresh numbers would be. Perhaps because on a CPU it picks them from a list
        # of 32768 drawn once (src/rpucuda/rng.h), whose mean and spread are not quite 0 and 1.
        loose = 0.02 if name == "aihwkit" else 0.0
        if abs(z.mean()) > 6 / np.sqrt(z.size) + loose or abs(z.std() - 1) > 6 / np.sqrt(2 * z.size) + loose:
            raise SystemExit(f"{case.name}: {name}'s noise has mean {z.mean():.4f} and spread {z.std():.4f} of 0 and 1")


def against_aihwkit(case: Case, peer: Aihwkit, tile: bool, runs: int) -> dict[str, Any]:
    """As `harness.paired`, with the peer in its own process."""
    scale = 1e6 / case.batch
    mine = harness.repeats(case.ours)
    peer.seconds(3, tile)
    theirs = max(1, int(0.2 / peer.seconds(3, tile)))
    pairs = [(harness.seconds(case.ours, mine) * scale, peer.seconds(theirs, tile) * scale) for _ in range(runs)]
    ratios = [b / a for a, b in pairs]
    ours, others = (statistics.median(values) for values in zip(*pairs, strict=True))
    label = f"aihwkit {peer.facts['version']}, {'tile' if tile else 'layer'}"
    return harness.row(
        case.name, "a vector", "us", ours, others, label, statistics.median(ratios), (min(ratios), max(ratios))
    )


def measure(quick: bool = False, aihwkit_python: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of all cases."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    rows = []
    with threadpool_limits(1):
        for share in ACTIVE:
            for batch in BATCHES:
                rows += measure_case(Case(share, batch), 3 if quick else 11, aihwkit_python)
    return rows


def measure_case(case: Case, runs: int, aihwkit_python: str | None) -> list[dict[str, Any]]:
    """Check one case and return its rows."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        peer = None if aihwkit_python is None else Aihwkit(aihwkit_python, case, Path(name))
        try:
            check(case, peer)
            for label, other, times in (
                ("NumPy, dense product", case.dense, runs),
                ("NumPy, active rows", case.active_rows, runs),
                ("one draw a cell", case.every_cell, min(runs, 3)),
            ):
                share = 1 / case.batch
                rows.append(
                    harness.paired(case.name, "a vector", case.ours, other, label, runs=times, unit="us", share=share)
                )
            if peer is not None:
                rows += [against_aihwkit(case, peer, tile, runs) for tile in (False, True)]
        finally:
            if peer is not None:
                peer.close()
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument(
        "--aihwkit-python", help="Python of an environment with aihwkit; without it that peer is left out"
    )
    options = parser.parse_args(arguments)
    if options.aihwkit_python is None:
        print(f"aihwkit is left out: no --aihwkit-python. Measured by us in another run, not comparable: {EARLIER}.")
    rows = measure(options.quick, options.aihwkit_python)
    settings = {
        "size": SIZE,
        "bits": BITS,
        "noise": NOISE,
        "quick": options.quick,
        "aihwkit": options.aihwkit_python is not None,
    }
    return harness.finish("crossbar_read", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
