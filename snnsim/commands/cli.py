"""The `snnsim` command: demo, run, train, info, doctor, data, serve-device.

Exit codes: 0 done, 1 something is wrong with the input or the installation, 2 the command line does not parse,
130 interrupted (a training leaves a usable checkpoint).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from snnsim.errors import SnnsimError
from snnsim.version import __version__

_EPILOG = """\
examples:
  snnsim demo                                      train, run and stop early on simulated digits, in minutes
  snnsim train --data digits --out model.h5        train a network on data
  snnsim run model.h5 --data digits                run it event-driven and print what it costs
  snnsim info model.h5                             show what a file holds
  snnsim doctor                                    check the installation
  snnsim serve-device --chip chip.h5               show a chip to other programs and machines

exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    from snnsim.commands import data, demo, doctor, info, run, serve_device, train

    top = argparse.ArgumentParser(
        prog="snnsim",
        description="Describe a spiking network once; train it; run it event-driven; know what it costs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"snnsim {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (demo, run, train, info, doctor, data, serve_device):
        module.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; every expected error is one line on standard error."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.function(options)
    except SnnsimError as error:
        print(f"snnsim: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"snnsim: error: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"snnsim: error: not enough memory: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("snnsim: interrupted", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
