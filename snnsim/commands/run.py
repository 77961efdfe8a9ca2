"""`snnsim run`: run a saved network on recordings, and print what it answers and costs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnsim.commands.common import (
    add_backend_options,
    add_data_options,
    check_fits,
    check_outputs,
    has_splits,
    load_data,
    refuse_idle,
    save_figure,
)
from snnsim.commands.trained_on import trained_on
from snnsim.early_exit import DynamicConfidence
from snnsim.errors import ParameterError, exactly
from snnsim.network import Network
from snnsim.simulation import Result, Simulation
from snnsim.timebase import same_dt

if TYPE_CHECKING:
    from snnsim.datasets import EventDataset


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "run",
        help="run a saved network",
        description="Run a network from an HDF5 file, event-driven: on recordings (each from rest), or for a duration.",
    )
    command.add_argument("network", help="HDF5 file of a network, as `snnsim train` writes it")
    add_data_options(command, default=None)
    command.add_argument(
        "--split",
        choices=("train", "test", "all"),
        help="default: test, which of a file that was trained on is what was held out then, and all of another file",
    )
    command.add_argument("--samples", type=int, default=None, metavar="N", help="only the first N recordings")
    command.add_argument("--duration", type=float, default=None, metavar="SECONDS", help="for a network without inputs")
    add_backend_options(command)
    command.add_argument("--early-exit", metavar="FILE", help="stop each recording as this rule says")
    command.add_argument("--record", nargs="*", default=None, metavar="POPULATION", help="record these spikes too")
    command.add_argument("--out", metavar="FILE", help="save the result as HDF5")
    command.add_argument("--figure", metavar="FILE", help="save a spike raster of the first recording (PNG, PDF, SVG)")
    command.set_defaults(function=main)


def main(options: argparse.Namespace) -> int:
    """Run the network and print the outcome."""
    check_outputs(options.out, options.figure)
    if options.data is None:
        refuse_idle(options, ("dt", "samples", "early_exit", "split"), "without --data")
    else:
        refuse_idle(options, ("duration",), "with --data")
    network = Network.load(options.network)
    simulation = Simulation(network, options.backend, dtype=options.dtype, threads=options.threads)
    if options.data is None:
        if options.duration is None:
            raise ParameterError("give --data for recordings, or --duration for a network that makes its own events")
        record = options.record or None
        result = simulation.run(options.duration, record=record, progress=True)
        print(result)
    else:
        result = _run_data(simulation, options)
    if options.out:
        result.save(options.out)
        print(f"\nsaved {options.out}")
    if options.figure:
        _raster(result, options.figure)
    return 0


def _run_data(simulation: Simulation, options: argparse.Namespace) -> Result:
    network = simulation.network
    if options.dt is not None and not same_dt(options.dt, network.dt):
        raise ParameterError(f"--dt {exactly(options.dt)}: the network was made for ticks of {exactly(network.dt)} s")
    data = _data(options, network.dt)
    check_fits(network, data, options.network)
    if options.samples is not None:
        if options.samples < 1:
            raise ParameterError(f"--samples {options.samples}: must be 1 or above")
        data = data[: options.samples]
    rule = DynamicConfidence.load(options.early_exit) if options.early_exit else None
    result = simulation.run_samples(data.events, record=options.record or None, early_exit=rule, progress=True)
    print(result)
    if len(data.classes) > 1:
        print(f"\naccuracy {100 * result.accuracy(data.labels):.1f} % of {len(data)} recordings")
    return result


def _data(options: argparse.Namespace, dt: float) -> EventDataset:
    """Return the recordings to run: of a file that the network was trained on, those that were held out."""
    if has_splits(options.data):
        if options.split == "all":
            raise ParameterError(f"--split all: {options.data} comes in splits; choose train or test")
        return load_data(options.data, options.split or "test", dt)
    data, origin = load_data(options.data, "test", dt), trained_on(options.network)
    if options.split == "all":
        return data
    divided = None if origin is None else origin.divided(data)
    if divided is not None:
        learned, held_out = divided
        chosen, what = (learned, "learned from") if options.split == "train" else (held_out, "held out")
        print(f"{options.network} was trained on {options.data}: the {len(chosen)} recordings that were {what}\n")
        return chosen
    if options.split is not None:
        raise ParameterError(
            f"--split {options.split}: {options.data} has no splits, and {options.network} was not trained on it; "
            "leave --split out to run all of its recordings"
        )
    return data


def _raster(result: Result, path: str) -> None:
    from snnsim import plot

    if not result.spikes:
        raise ParameterError("--figure: no spikes were recorded; name populations with --record")
    save_figure(plot.raster(result, population=next(iter(result.spikes))), path)
    print(f"saved {Path(path)}")
