"""`snnsim doctor`: check that this installation works and computes the right thing."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from snnsim.backends import registry
from snnsim.commands.info import version_of
from snnsim.connectivity import Dense, Normal
from snnsim.events import Events
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LI, LIF, Input
from snnsim.simulation import Simulation
from snnsim.system.machine import cores


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "doctor",
        help="check the installation",
        description="Check packages, folders and backends: every backend must give the spikes of the reference. The "
        "first run compiles the engine and keeps it, so that later programs start at once.",
    )
    command.set_defaults(function=main)


def main(options: argparse.Namespace) -> int:
    """Run all checks; return 1 if one of them fails."""
    failed = 0
    for name, check in _checks():
        began = time.perf_counter()
        try:
            outcome, good = check(), True
        except Exception as error:  # the doctor reports whatever is broken, and goes on to the next check
            outcome, good = f"{type(error).__name__}: {error}", False
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {name:<28}{outcome}  ({time.perf_counter() - began:.1f} s)", flush=True)
    print(f"\n{'all is well' if not failed else f'{failed} checks failed'}")
    return 1 if failed else 0


def _checks() -> list[tuple[str, Callable[[], str]]]:
    checks: list[tuple[str, Callable[[], str]]] = [
        ("packages", _packages),
        ("cores", lambda: str(cores())),
        ("data folder", _data_folder),
    ]
    checks += [
        (f"backend {name}, {dtype}", lambda name=name, dtype=dtype: _agrees(name, dtype))  # type: ignore[misc]
        for name in registry.names()
        for dtype in ("float32", "float64")
    ]
    return [*checks, ("training", _training)]


def _packages() -> str:
    return ", ".join(f"{package} {version_of(package)}" for package in ("numpy", "numba", "h5py"))


def _data_folder() -> str:
    from snnsim.datasets import data_folder

    folder = data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        return f"{folder} can be written"


def small_network() -> tuple[Network, Events]:
    """Return a network of two layers and a batch of recordings for it."""
    populations = (Population("input", 50, Input()), Population("hidden", 40, LIF(10e-3)), Population("out", 5, LI()))
    projections = (
        Projection("input", "hidden", Dense(Normal(0.1, 0.3))),
        Projection("hidden", "out", Dense(Normal(0.0, 0.3)), delay=2e-3),
    )
    network = Network(populations, projections, dt=1e-3)
    counts = np.random.default_rng(0).random((4, 50, 50)) < 0.05
    return network, Events.from_dense(counts.astype(np.int64), 1e-3)


def _agrees(name: str, dtype: str) -> str:
    network, events = small_network()
    expected = Simulation(network, "reference", dtype=dtype).run_samples(events, record="hidden").spikes["hidden"]
    found = Simulation(network, name, dtype=dtype).run_samples(events, record="hidden").spikes["hidden"]
    if expected != found:
        raise AssertionError("other spikes than the reference")
    return f"{expected.ticks.size} spikes as in the reference"


def _training() -> str:
    version = version_of("torch")
    if version is None:
        return "torch is not installed (pip install 'snnsim[train]'); everything else works"
    from snnsim.training import TrainableNetwork

    network, events = small_network()
    undelayed = network.replaced(projections=[Projection("hidden", "out", Dense(Normal(0.0, 0.3)))])
    readout = TrainableNetwork(undelayed, dtype="float64").readout(events).detach().numpy()
    ours = Simulation(undelayed, "reference", dtype="float64").run_samples(events).readout()
    difference = float(np.abs(readout - ours).max())
    if difference > 1e-9:
        raise AssertionError(f"torch and reference differ by {difference:.2g}")
    return f"torch {version} agrees with the reference to {difference:.1g}"
