"""`snnsim run`: run a saved network on recordings, and print what it answers and costs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snnsim.commands.common import add_backend_options, add_data_options, check_outputs, load_data, save_figure
from snnsim.early_exit import DynamicConfidence
from snnsim.errors import ParameterError
from snnsim.network import Network
from snnsim.result import Result
from snnsim.simulation import Simulation


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "run",
        help="run a saved network",
        description="Run a network from an HDF5 file, event-driven: on recordings (each from rest), or for a duration.",
    )
    command.add_argument("network", help="HDF5 file of a network, as `snnsim train` writes it")
    add_data_options(command, default=None)
    command.add_argument("--split", default="test", choices=("train", "test"), help="default: test")
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
        unused = [name for name in ("dt", "samples", "early_exit") if getattr(options, name) is not None]
    else:
        unused = ["duration"] if options.duration is not None else []
    if unused:
        listed = ", ".join("--" + name.replace("_", "-") for name in unused)
        raise ParameterError(f"{listed}: has no effect {'without' if options.data is None else 'with'} --data")
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
    if options.dt is not None and options.dt != network.dt:
        raise ParameterError(f"--dt {options.dt:g}: the network was made for ticks of {network.dt:g} s")
    data = load_data(options.data, options.split, network.dt)
    if options.samples is not None:
        if options.samples < 1:
            raise ParameterError(f"--samples {options.samples}: must be 1 or above")
        data = data[: options.samples]
    rule = DynamicConfidence.load(options.early_exit) if options.early_exit else None
    record: Any = None
    if options.record:
        from snnsim.recording import output_probes

        record = (*options.record, *output_probes(network))
    result = simulation.run_samples(data.events, record=record, early_exit=rule, progress=True)
    print(result)
    output = network.output.name
    if len(data.classes) > 1:
        print(f"\naccuracy {100 * result.accuracy(data.labels, output):.1f} % of {len(data)} recordings")
    return result


def _raster(result: Result, path: str) -> None:
    from snnsim import plot

    if not result.spikes:
        raise ParameterError("--figure: no spikes were recorded; name populations with --record")
    save_figure(plot.raster(result, population=next(iter(result.spikes))), path)
    print(f"saved {Path(path)}")
