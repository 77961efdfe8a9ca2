"""`snnsim serve-device`: show a chip to other programs and machines."""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING, Any

from snnsim.errors import ParameterError

if TYPE_CHECKING:
    from snnsim.backends.crossbar.loop import LoopDevice


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "serve-device",
        help="show a chip to other programs and machines",
        description="Serve a simulated chip, or a recorded trace, over TCP until Ctrl-C or SIGTERM; a request at work "
        "is finished first. Programs reach it with TcpDevice(host, port). There is no password: whoever reaches the "
        "port can program the chip.",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--chip", "--config", dest="chip", metavar="FILE", help="a chip that Chip.save wrote")
    what.add_argument("--replay", metavar="FILE", help="a trace that --record or Recorder wrote")
    command.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    command.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it (default: 0)")
    command.add_argument("--record", metavar="FILE", help="write every call and answer to this trace")
    command.add_argument("--save", metavar="FILE", help="save the chip there in the end, as it was programmed")
    command.set_defaults(function=main)


def main(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from snnsim.backends.crossbar.loop import Recorder, serve

    if not 0 <= options.port < 2**16:
        raise ParameterError(f"--port {options.port}: must be a whole number, 0 to 65535")
    if options.save and not options.chip:
        raise ParameterError("--save belongs to --chip")
    with contextlib.ExitStack() as closing:
        served = _device(options)
        device: LoopDevice = served
        if options.replay:
            closing.callback(served.close)
        if options.record:
            device = closing.enter_context(Recorder(served, options.record))
        name = served.status().name

        def ready(host: str, port: int) -> None:
            print(f"serving {name} at {host}:{port}; Ctrl-C ends it", flush=True)

        try:
            serve(device, options.host, options.port, ready=ready)
        finally:
            if options.save:
                served.save(options.save)
    print("stopped" + f"; saved {options.save}" * bool(options.save), flush=True)
    return 0


def _device(options: argparse.Namespace) -> Any:
    if options.replay:
        from snnsim.backends.crossbar.loop import Replay

        return Replay(options.replay)
    import importlib

    # Imported here: a chip brings its device physics with it.
    return importlib.import_module("snnsim.backends.crossbar.chip.chip").Chip.load(options.chip)
