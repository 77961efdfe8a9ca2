"""`snnsim demo`: the main job on simulated digits, from description to an early-exiting, event-driven run."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from snnsim.commands.common import save_figure
from snnsim.errors import missing_dependency
from snnsim.storage.hdf5 import make_folder


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "demo",
        help="train, run and stop early on simulated digits",
        description="Describe a network, train it with SLTT on simulated event-camera digits (no download), run it "
        "event-driven on the CPU, check it against the reference, stop each recording as soon as it is sure, and draw "
        "what happened. Writes the networks, the results and the figures.",
    )
    command.add_argument("--out", default="demo", metavar="FOLDER", help="default: %(default)s")
    command.add_argument("--epochs", type=int, default=8, help="default: %(default)s")
    command.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    command.add_argument("--quick", action="store_true", help="fewer recordings and epochs, in seconds")
    command.set_defaults(function=main)


def main(options: argparse.Namespace) -> int:
    """Run the demonstration."""
    try:
        import matplotlib as mpl
        import torch  # noqa: F401 - the training part needs it, and it is better to say so at once
    except ImportError as error:
        raise missing_dependency(error.name or "torch", "all", "the demonstration") from error
    mpl.use("Agg")
    from snnsim import plot
    from snnsim.architectures import fully_connected
    from snnsim.datasets import load_digits_events
    from snnsim.early_exit import calibrate, measure_early_exit
    from snnsim.simulation import Simulation, Trace
    from snnsim.training import SLTT, TrainableNetwork, train

    began = time.perf_counter()
    out = Path(options.out)
    make_folder(out)
    dt = 10e-3

    _title("1. data: handwritten digits as a simulated event camera sees them")
    data, test = (load_digits_events(split=split, seed=0, dt=dt) for split in ("train", "test"))
    if options.quick:
        data, test = data[:300], test[:100]
    print(data.summary())
    save_figure(plot.events_frames(test.events[0], test.sensor_shape), out / "recording.png")
    learn, held_out = data.split(0.8, seed=options.seed)
    print(f"\n{len(learn)} recordings to learn from, {len(held_out)} to calibrate early exit, {len(test)} to test")

    _title("2. describe")
    network = fully_connected(data.sensor_shape, 10, hidden=(256,), dt=dt, seed=options.seed)
    print(network)
    save_figure(network.plot(), out / "network.png")

    _title("3. train with SLTT: memory does not grow with the number of ticks")
    model = TrainableNetwork(network)
    print(model.memory_report(data.events.n_ticks, 32, SLTT()))
    history = train(
        model,
        learn,
        rule=SLTT(),
        epochs=2 if options.quick else options.epochs,
        batch_size=32,
        learning_rate=1e-3,
        validation=0.1,
        seed=options.seed,
        checkpoint=out / "checkpoint.h5",
    )
    print(history)
    trained = model.network()
    trained.save(out / "model.h5")
    save_figure(plot.learning_curve(history), out / "learning_curve.png")

    _title("4. run event-driven on the CPU")
    record = ("input", "hidden1", Trace("output"))
    simulation, few = Simulation(trained, "cpu"), test[:20].events
    # The first run of all compiles the engine, so that the times below are those of running.
    quick = simulation.run_samples(few, record=record).spikes["hidden1"]
    same = Simulation(trained, "reference").run_samples(few, record=record).spikes["hidden1"] == quick
    result = simulation.run_samples(test.events, record=record)
    result.save(out / "result.h5")
    print(result)
    print(f"\naccuracy on the test recordings: {100 * result.accuracy(test.labels):.1f} %")
    print(f"spikes of the first 20 recordings on cpu and reference: {'identical' if same else 'DIFFERENT'}")
    save_figure(plot.raster(result, population="hidden1"), out / "raster.png")

    _title("5. stop as soon as the network is sure")
    calibration = calibrate(Simulation(trained).run_samples(held_out.events), held_out.labels)
    calibration.rule.save(out / "early_exit.h5")
    print(f"calibrated on {calibration.n_samples} held-out recordings: {calibration.rule}\n")
    measured = measure_early_exit(trained, test.events, test.labels, calibration.rule)
    print(measured)
    report = calibration.rule.evaluate(measured.full, test.labels)
    from snnsim.early_exit import accuracy_latency_curve

    curve = accuracy_latency_curve(measured.full, test.labels, calibration.rule.smoothing, calibration.curve.thresholds)
    save_figure(plot.accuracy_latency(curve, measured.oracle, report), out / "accuracy_latency.png")
    shown = np.linspace(0, len(test) - 1, 8).astype(int)
    save_figure(plot.confidence(measured.full, test.labels, calibration.rule, list(shown)), out / "confidence.png")

    print(f"\neverything is in {out} ({time.perf_counter() - began:.0f} s):")
    for path in sorted(out.iterdir()):
        print(f"  {path.name:<24}{path.stat().st_size / 1024:8.0f} KiB")
    return 0 if same else 1


def _title(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}", flush=True)
