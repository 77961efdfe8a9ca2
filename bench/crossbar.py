"""Crossbars: wires against SciPy, reads against NumPy, one draw a cell and aihwkit, N-MNIST networks on chips.

Runs crossbar_wires.py, crossbar_read.py and, where recordings are given, crossbar_chips.py, and puts their rows into
one table.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import crossbar_chips
import crossbar_read
import crossbar_wires
import harness


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--aihwkit-python", help="a Python that has aihwkit; without, it is left out")
    parser.add_argument("--data", type=Path, help="N-MNIST recordings, zip or folder; without, no chips")
    parser.add_argument("--chips", type=int, default=20)
    options = parser.parse_args(arguments)
    rows = crossbar_wires.rows(options.quick) + crossbar_read.measure(options.quick, options.aihwkit_python)
    settings: dict[str, Any] = {"quick": options.quick}
    if options.data is None:
        print("no --data: the network on chips is left out")
    else:
        more = ["--data", str(options.data), "--chips", str(options.chips), *(["--quick"] if options.quick else [])]
        found = crossbar_chips.main(more)
        rows += found["rows"]
        settings["chips"] = found["settings"]
    return harness.finish("crossbar", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
