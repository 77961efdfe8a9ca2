"""The same spikes as NEST on the networks of bench/nest_agreement.py, spike for spike.

NEST runs where it is installed; nest_reference.npz holds what it gave otherwise, and says with which version.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "bench" / "nest_agreement.py"
STORED = Path(__file__).parent / "nest_reference.npz"
KINDS = ("iaf_psc_delta", "iaf_psc_exp", "iaf_psc_alpha")


@pytest.fixture(scope="module")
def agreement():
    """The benchmark as a module."""
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        spec = importlib.util.spec_from_file_location("nest_agreement", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return module


def spikes_in(path):
    with np.load(path) as file:
        return {name: file[name].astype(np.int64) for name in file.files if name != "source"}


@pytest.fixture(scope="module")
def nest_spikes(tmp_path_factory):
    """Spikes of NEST by ``"model.population"``: of a run here and now, where that can be, and the same as stored."""
    stored = spikes_in(STORED)
    if importlib.util.find_spec("nest") is None:
        return stored
    path = tmp_path_factory.mktemp("nest") / "spikes.npz"
    command = [sys.executable, str(SCRIPT), "--write", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYNEST_QUIET": "1"}, check=False)
    assert done.returncode == 0, done.stderr
    found = spikes_in(path)
    assert found.keys() == stored.keys()
    for name, spikes in stored.items():
        assert np.array_equal(found[name], spikes), f"{name}: NEST here gives other spikes than those stored"
    return found


def test_the_reference_says_where_it_comes_from():
    with np.load(STORED) as file:
        assert str(file["source"]).startswith("NEST 3.")


@pytest.mark.parametrize("kind", KINDS)
def test_every_neuron_takes_part_for_a_second(kind, nest_spikes):
    for population, neurons, fewest in (("excitatory", 240, 1500), ("inhibitory", 60, 1000)):
        ticks, numbers = nest_spikes[f"{kind}.{population}"]
        assert ticks.size > fewest
        assert ticks.max() > 9900
        assert np.unique(numbers).size > 0.8 * neurons


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_spikes_are_those_of_nest(kind, threads, agreement, nest_spikes):
    for population, spikes in agreement.ours(kind, threads=threads).items():
        assert np.array_equal(spikes, nest_spikes[f"{kind}.{population}"]), population


@pytest.mark.parametrize("kind", KINDS)
def test_first_spikes_on_every_backend_are_those_of_nest(kind, backend, agreement, nest_spikes):
    seconds = 0.2
    for population, spikes in agreement.ours(kind, backend, seconds).items():
        expected = nest_spikes[f"{kind}.{population}"]
        assert np.array_equal(spikes, expected[:, expected[0] < round(seconds / agreement.DT)]), population
