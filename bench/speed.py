"""Speed of inference and of a training step against spikingjelly, sinabs, norse and snntorch, in one run.

The network is 2312-512-512-10, all LIF with decay 0.9 and threshold 1, on Bernoulli input of 2 % density over 50
ticks. Where a peer computes the same neuron its output spikes are compared with ours before anything is timed. Peers
get dense input that is ready in memory, snnsim gets events that are ready in memory; each side runs with the number of
torch threads that suits it best.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import harness
import numpy as np
import peers

import snnsim as sn
from snnsim.architectures import time_constant_of

SIZES = (2312, 512, 512, 10)
DECAY, DENSITY, DT = 0.9, 0.02, 1e-3


def make_weights(seed: int = 0) -> list[np.ndarray]:
    """Return weights that give hidden rates of 5 to 15 %."""
    generator = np.random.default_rng(seed)
    scales = (0.085, 0.1, 0.15)
    return [
        generator.normal(0.0, scale, shape).astype(np.float32)
        for scale, shape in zip(scales, itertools.pairwise(SIZES), strict=True)
    ]


def make_network(weights: list[np.ndarray]) -> sn.Network:
    """Return the network of the benchmark."""
    model = sn.LIF(time_constant_of(DECAY, DT))
    names = ["input", "hidden1", "hidden2", "output"]
    populations = [sn.Population("input", SIZES[0], sn.Input())]
    populations += [sn.Population(name, size, model) for name, size in zip(names[1:], SIZES[1:], strict=True)]
    projections = [sn.Projection(a, b, sn.Dense(w)) for a, b, w in zip(names[:-1], names[1:], weights, strict=True)]
    return sn.Network(populations, projections, dt=DT, name="2312-512-512-10")


def check(peer: peers.Peer, dense: Any, expected: np.ndarray) -> str:
    """Compare the output spikes of a peer with ours; return what was found, or stop."""
    found = peer.run(dense).numpy().transpose(1, 0, 2)
    if not peer.same_neuron:
        return f"{peer.name}: another neuron of the same cost, output rate {found.mean():.4f}"
    differ = float(np.mean(found != expected))
    if differ > 1e-3:
        raise SystemExit(f"{peer.name}: {100 * differ:.2g} % of output spikes differ from ours; nothing was timed")
    return f"{peer.name}: the same neuron, {100 * differ:.2g} % of output cells differ (rounding of float32)"


def fastest_threads(peer: peers.Peer, dense: Any) -> int:
    """Return the number of torch threads with which a peer is fastest."""
    import torch

    times = {}
    for threads in sorted({1, int(harness.versions()["cores"])}):
        torch.set_num_threads(threads)
        peer.run(dense)
        times[threads] = min(harness.seconds(lambda: peer.run(dense), 3) for _ in range(3))
    return min(times, key=times.__getitem__)


def inference(batch: int, ticks: int, runs: int, weights: list[np.ndarray]) -> list[dict[str, Any]]:
    """Return a row for each peer, and the share of the machine's gather limit that is reached."""
    import torch

    generator = np.random.default_rng(1)
    counts = (generator.random((batch, ticks, SIZES[0])) < DENSITY).astype(np.float32)
    events = sn.Events.from_dense(counts, DT)
    simulation = sn.Simulation(make_network(weights))
    result = simulation.run_samples(events)
    rates = result.counters.spikes.sum(axis=0) / (batch * ticks * np.array(SIZES))
    case = f"batch {batch}, {ticks} ticks"
    print(f"{case}: rates {', '.join(f'{100 * rate:.1f} %' for rate in rates)}")
    dense = torch.from_numpy(np.ascontiguousarray(counts.transpose(1, 0, 2)))
    expected = result.readout()
    rows = []
    for peer in peers.load(weights, DECAY):
        print("  " + check(peer, dense, expected))
        torch.set_num_threads(fastest_threads(peer, dense))
        rows.append(
            harness.paired(
                case,
                "inference a batch",
                lambda: simulation.run_samples(events),
                lambda peer=peer: peer.run(dense),
                f"{peer.name}, {torch.get_num_threads()} threads",
                runs=runs,
            )
        )
    best = min((entry["ours"] for entry in rows), default=harness.seconds(lambda: simulation.run_samples(events)) * 1e3)
    additions = int(result.counters.synaptic_operations.sum())
    rows.append(harness.row(case, "row gathers, whole run", "billion additions/s", additions / best / 1e6))
    return rows


def gather_limit() -> dict[str, Any]:
    """Measure how fast the gather kernel alone runs on one thread, its lists and sums in the nearest cache."""
    from snnsim.backends.cpu.recordings.deliver import add_rows
    from snnsim.numerics.specialise import jit

    @jit
    def many(target, weights, spikes, reps, count):  # type: ignore[no-untyped-def]
        for i in range(reps):
            add_rows(target, weights, 0, target.size, spikes[i * count : (i + 1) * count], count)

    generator = np.random.default_rng(2)
    weights = generator.normal(size=SIZES[0] * SIZES[1]).astype(np.float32)
    spikes = generator.integers(0, SIZES[0], 50 * 46).astype(np.int32)
    target = np.zeros(SIZES[1], np.float32)
    many(target, weights, spikes, 50, 46)
    best = min(harness.seconds(lambda: many(target, weights, spikes, 50, 46)) for _ in range(300))
    return harness.row("gather kernel, 1 thread", "rows of 512", "billion additions/s", 50 * 46 * SIZES[1] / best / 1e9)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("all", "inference", "training"), default="all")
    options = parser.parse_args(arguments)
    runs = 5 if options.quick else 11
    rows: list[dict[str, Any]] = []
    if options.part in ("all", "inference"):
        weights = make_weights()
        rows.append(gather_limit())
        rows += inference(1, 50, runs, weights)
        rows += inference(32 if options.quick else 256, 50, runs, weights)
    if options.part in ("all", "training"):
        import training_speed

        rows += training_speed.rows({"quick": options.quick, "runs": runs})
    settings = {"sizes": SIZES, "decay": DECAY, "density": DENSITY, "runs": runs, "quick": options.quick}
    return harness.finish("speed", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
