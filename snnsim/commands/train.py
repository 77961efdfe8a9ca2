"""`snnsim train`: train a network on event data and save it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnsim.commands.common import (
    add_data_options,
    check_fits,
    check_outputs,
    has_splits,
    load_data,
    parse_sizes,
    refuse_idle,
    save_figure,
)
from snnsim.commands.trained_on import TrainedOn, recordings_of, save_model
from snnsim.errors import ParameterError, exactly
from snnsim.network import Network
from snnsim.timebase import check_dt, same_dt

if TYPE_CHECKING:
    from snnsim.datasets import EventDataset

_HIDDEN, _CHANNELS = "512", "24,48"


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "train",
        help="train a network on event data",
        description="Train a fully connected or convolutional network, or one from a file, and save it. Ctrl-C leaves "
        "a checkpoint of the last whole epoch, from which --resume goes on bit for bit.",
    )
    add_data_options(command, default="digits")
    command.add_argument(
        "--network", default="fc", metavar="fc|conv|FILE", help="fc, conv, or a network in HDF5 (default: fc)"
    )
    command.add_argument("--hidden", metavar="SIZES", help=f"sizes of the hidden layers of fc (default: {_HIDDEN})")
    command.add_argument("--channels", metavar="SIZES", help=f"channels of the layers of conv (default: {_CHANNELS})")
    command.add_argument("--rule", choices=("sltt", "bptt", "ottt", "dsr"), default="sltt", help="default: sltt")
    command.add_argument("--k", type=int, default=None, metavar="K", help="SLTT-K: back-propagate K random ticks only")
    command.add_argument("--epochs", type=int, default=20, help="default: 20")
    command.add_argument("--batch", type=int, default=32, help="default: 32")
    command.add_argument("--learning-rate", type=float, default=1e-3, help="default: 0.001")
    command.add_argument("--optimiser", choices=("adam", "sgd"), default="adam", help="default: adam")
    command.add_argument("--shift", type=int, default=0, metavar="PIXELS", help="move training recordings at random")
    command.add_argument("--dropout", type=float, default=0.0, help="share of silenced hidden neurons (default: 0)")
    command.add_argument("--validation", type=float, default=0.1, help="share of the training data (default: 0.1)")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.add_argument("--out", default="model.h5", metavar="FILE", help="default: model.h5")
    command.add_argument("--checkpoint", metavar="FILE", help="default: the name of --out with .checkpoint.h5")
    command.add_argument("--resume", metavar="FILE", help="go on from this checkpoint")
    command.add_argument(
        "--overwrite", action="store_true", help="replace the files of an earlier run, once there are new ones"
    )
    command.add_argument("--figure", metavar="FILE", help="save the learning curve")
    command.set_defaults(function=main)


def main(options: argparse.Namespace) -> int:
    """Train, test, save."""
    from snnsim.datasets import RandomShift
    from snnsim.simulation import Simulation
    from snnsim.training import SLTT, TrainableNetwork, train

    _check_options(options)
    checkpoint = options.checkpoint or options.out.removesuffix(".h5") + ".checkpoint.h5"
    _refuse_to_overwrite(options, checkpoint)
    described = None if options.network in ("fc", "conv") else Network.load(options.network)
    dt = _tick(options, described)
    data, test, origin = _train_and_test(options, dt)
    network = _network(options, data, dt) if described is None else described
    check_fits(network, data, f"--network {options.network}")
    if not has_splits(options.data):
        print(f"{options.data} has no test split: {len(test)} of its recordings are held out to test\n", flush=True)
    print(network, flush=True)
    rule = SLTT(k=options.k) if options.rule == "sltt" else options.rule
    hidden = [p.name for p in network.populations if not p.is_source and p.name != network.output.name]
    dropout = dict.fromkeys(hidden, options.dropout) if options.dropout else {}
    model = TrainableNetwork(network, dropout=dropout)
    print(f"\n{model.memory_report(data.events.n_ticks, options.batch, rule)}\n", flush=True)
    history = train(
        model,
        data,
        rule=rule,
        optimiser=options.optimiser,
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        batch_size=options.batch,
        validation=options.validation,
        augment=RandomShift(data.sensor_shape, options.shift) if options.shift else None,
        seed=options.seed,
        checkpoint=checkpoint,
        resume=options.resume,
    )
    print(history)
    trained = model.network()
    save_model(trained, origin, options.out)
    result = Simulation(trained).run_samples(test.events)
    print(f"\ntest accuracy {100 * result.accuracy(test.labels):.1f} % of {len(test)} recordings")
    print(f"saved {options.out} and {checkpoint}")
    if options.figure:
        from snnsim import plot

        save_figure(plot.learning_curve(history), options.figure)
        print(f"saved {options.figure}")
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Raise `ParameterError` where options contradict each other, or would do nothing."""
    if options.k is not None and options.rule != "sltt":
        raise ParameterError("--k belongs to --rule sltt")
    idle = {"fc": ("channels",), "conv": ("hidden",)}.get(options.network, ("channels", "hidden"))
    refuse_idle(options, idle, f"with --network {options.network}")
    check_outputs(options.out, options.figure)


def _refuse_to_overwrite(options: argparse.Namespace, checkpoint: str) -> None:
    """Raise `ParameterError` where the files of an earlier run would be lost, which nobody has asked for."""
    if options.overwrite or options.resume:
        return
    for option, path in (("--out", options.out), ("--checkpoint", checkpoint)):
        if Path(path).exists():
            raise ParameterError(
                f"{option} {path}: is there, from an earlier run; give another name, go on with it (--resume FILE), or "
                "replace it (--overwrite)"
            )


def _tick(options: argparse.Namespace, described: Network | None) -> float:
    if described is None:
        return 10e-3 if options.dt is None else check_dt(options.dt)
    if options.dt is not None and not same_dt(options.dt, described.dt):
        raise ParameterError(f"--dt {exactly(options.dt)}: the network was made for ticks of {exactly(described.dt)} s")
    return described.dt


def _train_and_test(options: argparse.Namespace, dt: float) -> tuple[EventDataset, EventDataset, TrainedOn]:
    """Return the two splits; of a file that has no splits a fifth is held out to test."""
    data, share = load_data(options.data, "train", dt), None
    origin = TrainedOn(data.name, data.classes, recordings_of(data), None, options.seed)
    if has_splits(options.data):
        return data, load_data(options.data, "test", dt), origin
    share = 0.8
    return *data.split(share, seed=options.seed), replace(origin, share=share)


def _network(options: argparse.Namespace, data: EventDataset, dt: float) -> Network:
    """Return the network that the options describe, for the sensor and the classes of the data."""
    from snnsim.architectures import convolutional, fully_connected

    shape, classes = data.sensor_shape, len(data.classes)
    if options.network == "fc":
        sizes = parse_sizes(_HIDDEN if options.hidden is None else options.hidden)
        return fully_connected(shape, classes, hidden=sizes, dt=dt, seed=options.seed)
    if len(shape) != 3:
        raise ParameterError(
            f"--network conv: {data.name} has {data.events.n_sources} sources in a row and no image to convolve; use fc"
        )
    channels = parse_sizes(_CHANNELS if options.channels is None else options.channels)
    kernels, strides = (5, *[3] * (len(channels) - 1)), [2] * len(channels)
    return convolutional(shape, classes, channels=channels, kernels=kernels, strides=strides, dt=dt, seed=options.seed)
