"""Some dozens of the networks of fuzz.py, in the build that checks every index."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "fuzz.py"


def fuzz(*options):
    """Run the script; return its last line."""
    # Only the tests set the build: here the script does.
    environment = {name: value for name, value in os.environ.items() if name != "SNNSIM_CHECK_BOUNDS"}
    command = [sys.executable, str(SCRIPT), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--checked", "--models", "3", "--dtype", "float64"), ("--models", "8")])
def test_random_networks_are_the_same_on_both_engines(options):
    last = fuzz("--networks", "40", "--seed", "17", *options)
    assert "40 networks" in last
    assert "0 mismatches, 0 out of range" in last
    assert ("every index checked" in last) == ("--checked" in options)
    runs, spikes = (int(re.search(rf"(\d+) {what}", last)[1]) for what in ("runs", "spikes"))
    assert runs > 150
    assert spikes > 1000
