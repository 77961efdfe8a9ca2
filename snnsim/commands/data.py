"""`snnsim data`: which data sets there are, fetch one, look into one."""

from __future__ import annotations

import argparse
from typing import Any

from snnsim.commands.common import check_outputs, has_splits, load_data, refuse_idle, save_figure
from snnsim.errors import ParameterError
from snnsim.system.tables import table

SPLITS = ("train", "validation", "test")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "data",
        help="list, download and look at data sets",
        description="List the data sets that snnsim knows, download one (verified, resumed), or show one.",
    )
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the data sets")
    listing.set_defaults(function=list_data)
    fetch = actions.add_parser("fetch", help="download a data set")
    fetch.add_argument("name", help="name of a data set, as `snnsim data list` shows it")
    fetch.add_argument("--split", choices=SPLITS, default=None, help="default: all")
    fetch.add_argument("--to", metavar="FOLDER", default=None, help="default: the data folder")
    fetch.add_argument("--offline", action="store_true", help="do not download; say what is missing and where it goes")
    fetch.set_defaults(function=fetch_data)
    show = actions.add_parser("show", help="summarise a data set and draw one of its recordings")
    show.add_argument("name", metavar="NAME|PATH", help="digits, nmnist, shd, ssc, or a path")
    show.add_argument("--split", choices=SPLITS, help="default: test; a single file has no splits")
    show.add_argument("--dt", type=float, default=1e-3, metavar="SECONDS", help="default: 0.001")
    show.add_argument("--sample", type=int, default=0, help="which recording to draw")
    show.add_argument("--figure", metavar="FILE", help="save frames or spikes of the recording (PNG, PDF, SVG)")
    show.set_defaults(function=show_data)


def list_data(options: argparse.Namespace) -> int:
    """Print a line for each data set."""
    from snnsim.datasets import DATASETS

    rows = [
        (card.name, card.title, ", ".join(f"{n:,} {split}" for split, n in card.samples.items()), card.licence)
        for card in DATASETS.values()
    ]
    print(table(("name", "title", "samples", "licence"), rows))
    return 0


def fetch_data(options: argparse.Namespace) -> int:
    """Download a data set and say where it is."""
    from snnsim.datasets import download

    splits = None if options.split is None else [options.split]
    folder = download(options.name, splits=splits, folder=options.to, offline=options.offline or None)
    print(folder)
    return 0


def show_data(options: argparse.Namespace) -> int:
    """Print the summary of a data set, and draw one recording on request."""
    check_outputs(None, options.figure)
    if not has_splits(options.name):
        refuse_idle(options, ("split",), f"on {options.name}, a single file")
    data = load_data(options.name, options.split or "test", options.dt)
    print(data.summary())
    if options.figure:
        from snnsim import plot

        if not 0 <= options.sample < len(data):
            raise ParameterError(f"--sample {options.sample}: must lie in 0 ... {len(data) - 1}")
        one = data.events[options.sample]
        # What is not an image is drawn as one point a spike.
        drawn = plot.raster(one) if len(data.sensor_shape) == 1 else plot.events_frames(one, data.sensor_shape)
        save_figure(drawn, options.figure)
        print(f"saved {options.figure}")
    return 0
