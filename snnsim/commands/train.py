"""`snnsim train`: train a network on event data and save it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnsim.commands.common import add_data_options, check_outputs, load_data, parse_sizes, save_figure
from snnsim.errors import ParameterError
from snnsim.network import Network
from snnsim.timebase import check_dt

if TYPE_CHECKING:
    from snnsim.datasets import EventDataset


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
    command.add_argument("--hidden", default="512", help="sizes of the hidden layers of fc (default: 512)")
    command.add_argument("--channels", default="24,48", help="channels of the layers of conv (default: 24,48)")
    command.add_argument("--rule", choices=("sltt", "bptt"), default="sltt", help="default: sltt")
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
    command.add_argument("--figure", metavar="FILE", help="save the learning curve")
    command.set_defaults(function=main)


def main(options: argparse.Namespace) -> int:
    """Train, test, save."""
    from snnsim.augmentation import RandomShift
    from snnsim.simulation import Simulation
    from snnsim.training import BPTT, SLTT, TrainableNetwork, train

    if options.k is not None and options.rule != "sltt":
        raise ParameterError("--k belongs to --rule sltt")
    check_outputs(options.out, options.figure)
    network = _network(options)
    if len(network.inputs) != 1:
        raise ParameterError(f"--network {options.network}: has {len(network.inputs)} Input populations; needs one")
    data, test = _train_and_test(options, network.dt)
    if data.events.n_sources != network.inputs[0].size:
        network = _network(options, data.sensor_shape, len(data.classes))
    print(network, flush=True)
    rule = SLTT(k=options.k) if options.rule == "sltt" else BPTT()
    hidden = [p.name for p in network.populations if not p.is_source and p.name != network.output.name]
    dropout = dict.fromkeys(hidden, options.dropout) if options.dropout else {}
    model = TrainableNetwork(network, dropout=dropout)
    print(f"\n{model.memory_report(data.events.n_ticks, options.batch, rule)}\n", flush=True)
    checkpoint = options.checkpoint or options.out.removesuffix(".h5") + ".checkpoint.h5"
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
    trained.save(options.out)
    result = Simulation(trained).run_samples(test.events)
    print(f"\ntest accuracy {100 * result.accuracy(test.labels):.1f} % of {len(test)} recordings")
    print(f"saved {options.out} and {checkpoint}")
    if options.figure:
        from snnsim import plot

        save_figure(plot.learning_curve(history), options.figure)
        print(f"saved {options.figure}")
    return 0


def _train_and_test(options: argparse.Namespace, dt: float) -> tuple[EventDataset, EventDataset]:
    """Return the two splits; of a file that has no splits a fifth is held out to test."""
    if not Path(options.data).is_file() or Path(options.data).suffix == ".zip":
        return load_data(options.data, "train", dt), load_data(options.data, "test", dt)
    data, test = load_data(options.data, "train", dt).split(0.8, seed=options.seed)
    print(f"{options.data} has no test split: {len(test)} of its recordings are held out to test\n", flush=True)
    return data, test


def _network(options: argparse.Namespace, sensor_shape: tuple[int, ...] = (2, 34, 34), classes: int = 10) -> Network:
    from snnsim.architectures import convolutional, fully_connected

    if options.network not in ("fc", "conv"):
        network = Network.load(options.network)
        if options.dt is not None and options.dt != network.dt:
            raise ParameterError(f"--dt {options.dt:g}: the network was made for ticks of {network.dt:g} s")
        return network
    dt = 10e-3 if options.dt is None else check_dt(options.dt)
    if options.network == "fc":
        return fully_connected(sensor_shape, classes, hidden=parse_sizes(options.hidden), dt=dt, seed=options.seed)
    channels = parse_sizes(options.channels)
    kernels, strides = (5, *[3] * (len(channels) - 1)), [2] * len(channels)
    return convolutional(
        sensor_shape, classes, channels=channels, kernels=kernels, strides=strides, dt=dt, seed=options.seed
    )
