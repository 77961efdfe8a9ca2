"""Compiling where nothing can be written: it goes on, and says what would make it quicker."""

import os
import re
import subprocess
import sys

import pytest

from snnsim.numerics.compilation import compiled


def add(a, b):
    return a + b


def test_a_read_only_installation_compiles_without_keeping(monkeypatch):
    caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR"):
        kernel = compiled(add, cache=True, nogil=True)
    assert kernel(1, 2) == 3


CHECKED = """
import numpy as np
from snnsim.backends.cpu.compiler.pointers import at, c_function, caller, moved, pointer_to, put
from snnsim.numerics.compilation import kernel
from numba import njit, types

@kernel
def take(array, i):
    return array[np.uint64(i)]

def third(numbers, more, place):
    put(more, 0, at(moved(numbers, 2), place))
    return 0

kinds = (pointer_to(types.float32), pointer_to(types.int32), types.int64)
address = c_function(third, "third_of_a_test", kinds).address
call = caller("call", n_arguments=3)

@njit
def run(address, numbers, more, place):
    return call(address, numbers, more, place)

def outcome(function, *arguments):
    try:
        return function(*arguments)
    except IndexError as error:
        return f"IndexError {error}"

numbers, more = np.arange(4, dtype=np.float32), np.zeros(1, np.int32)
print(outcome(take, numbers, 3), outcome(take, numbers, 4), sep=";")
for place in (1, 2, -3):
    more[0] = -1
    run(address, numbers[:4], more, place)
    print(more[0])
run(address, numbers, more[:0], 0)
"""


def test_a_checked_build_notices_every_access_out_of_range(tmp_path):
    """Of arrays, and of pointers behind a call by address, where Python reports what it cannot raise."""
    environment = os.environ | {"SNNSIM_CHECK_BOUNDS": "1", "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    script = tmp_path / "script.py"
    script.write_text(CHECKED)
    for _ in range(2):  # compiled, and taken from the disk
        done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split("\n")[0] == "3.0;IndexError index is out of bounds"
        assert done.stdout.split()[-3:] == ["3", "-1", "-1"]
        assert done.stderr.count("IndexError: beyond the memory of a pointer") == 3
    kept = {path.name for path in (tmp_path / "kept").rglob("*.nbi")}
    assert kept
    assert all("_checked" in name for name in kept)


USER = """
import snnsim as sn
net = sn.Network(
    [sn.Population("in", 3, sn.Input()), sn.Population("a", 2, sn.LIF())],
    [sn.Projection("in", "a", sn.Dense(0.5))],
    dt=1e-3,
)
events = sn.Events.from_ticks([1, 2], [0, 1], n_sources=3, n_ticks=5, dt=1e-3)
sn.Simulation(net).run_samples(events)
"""


@pytest.mark.slow
def test_the_first_compilation_says_that_it_compiles_and_how_far_it_is(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("SNNSIM_QUIET", "PYTHONPATH")}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path)

    def said(**more):
        command = [sys.executable, "-c", USER]
        done = subprocess.run(command, env=environment | more, capture_output=True, text=True, check=True)
        return done.stderr.splitlines()

    first = said()
    assert re.fullmatch(r"snnsim compiles, once on this machine: \d+ functions, \d+ s.*", first[0])
    assert any(re.search(r"the engine of recordings: \d+ of about 77", line) for line in first)
    assert said() == []  # kept on the disk
