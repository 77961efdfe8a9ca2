"""What every test needs: a sys.path without the repository, plots without a screen, the shared recordings."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["MPLBACKEND"] = "Agg"
os.environ["SNNSIM_QUIET"] = "1"  # what is compiled, and when, is no part of what a command prints

ROOT = Path(__file__).resolve().parent.parent
# `python -m pytest` puts the root on the path, where `backends` and `datasets` would be top-level packages.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]

import snnsim as sn


@sn.neuron
class QuadraticIF:
    """A user's own model, so that every test of all models runs on one: dV/dt = rate V^2 (Ermentrout, Kopell 1986)."""

    rate: sn.Parameter = 50.0
    bias: sn.Parameter = 0.0
    threshold: sn.Parameter = 1.0
    floor: sn.Parameter = -0.5
    membrane: sn.State = -0.5

    @staticmethod
    def integrate(membrane, drive, p):
        return (membrane + p.dt * p.rate * membrane * membrane + drive + p.bias,)

    @staticmethod
    def distance(membrane, p):
        return membrane - p.threshold

    @staticmethod
    def reset(membrane, p):
        return (p.floor,)


#: Both engines of the cpu backend, compiled in one precision.
COMPILE = """
import snnsim as sn
net = sn.Network(
    [sn.Population("in", 3, sn.Input()), sn.Population("a", 2, sn.LIF())],
    [sn.Projection("in", "a", sn.Dense(0.5), delay=1e-3)],
    dt=1e-3,
)
events = sn.Events.from_ticks([1, 2], [0, 1], n_sources=3, n_ticks=5, dt=1e-3)
simulation = sn.Simulation(net, dtype="DTYPE")
simulation.run_samples(events)
simulation.run(inputs=events)
"""


def pytest_configure(config: pytest.Config) -> None:
    """Compile the engines once before all tests run on several workers, of which each would compile them."""
    alone = hasattr(config, "workerinput") or not config.getoption("numprocesses", None)
    if alone or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    code = [COMPILE.replace("DTYPE", dtype) for dtype in ("float32", "float64")]
    for process in [subprocess.Popen([sys.executable, "-c", each]) for each in code]:
        process.wait()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of shared recordings, beside the repository; skip where it is not there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared recordings: ../shared/data is not there")
    return folder


@pytest.fixture(scope="session")
def write_spikes() -> Callable[..., list[tuple[np.ndarray, np.ndarray]]]:
    """Return a function that writes a small file of made-up spike trains in the form of SHD, for tests only."""
    return _write_spikes


def _write_spikes(
    path: Path,
    samples: int = 12,
    *,
    trains: Sequence[tuple[Any, Any]] | None = None,
    units: int = 700,
    classes: int = 20,
    speakers: Sequence[Any] | None = (0, 1, 2, 6),
    keys: bool = True,
    kind: str = "float16",
    unit_kind: str = "uint16",
    seed: int = 0,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Write trains, or random ones of up to 80 spikes in 1.2 s; return times (float64) and units as they are stored."""
    import h5py

    random = np.random.default_rng(seed)
    if trains is None:
        sizes = random.integers(1, 80, samples)
        trains = [(np.sort(random.random(size)) * 1.2, random.integers(0, units, size)) for size in sizes]
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (len(trains),), h5py.vlen_dtype(np.dtype(kind)))
        numbers = file.create_dataset("spikes/units", (len(trains),), h5py.vlen_dtype(np.dtype(unit_kind)))
        for i, (when, which) in enumerate(trains):
            times[i], numbers[i] = np.asarray(when, kind), np.asarray(which, unit_kind)
        file["labels"] = (np.arange(len(trains)) * 7 % classes).astype(np.uint16)
        if speakers is not None:
            file["extra/speaker"] = np.array([speakers[i % len(speakers)] for i in range(len(trains))])
        if keys:
            file["extra/keys"] = np.array([f"word {i}" for i in range(classes)], "S")
            file["extra/meta_info/age"] = np.arange(4)
    return [(np.asarray(np.asarray(when, kind), float), np.asarray(which, int)) for when, which in trains]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `backend` on every backend, one that takes `other_backend` on all but the reference."""
    from snnsim.backends.registry import names

    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", names())
    if "other_backend" in metafunc.fixturenames:
        metafunc.parametrize("other_backend", [name for name in names() if name != "reference"])
    if "plastic_backend" in metafunc.fixturenames:
        metafunc.parametrize("plastic_backend", _that_learn())
    if "other_plastic_backend" in metafunc.fixturenames:
        metafunc.parametrize("other_plastic_backend", [name for name in _that_learn() if name != "reference"])


def _that_learn() -> list[str]:
    """Return the names of the backends that run plastic networks."""
    from snnsim.backends.registry import installed

    return [name for name, program in installed().items() if program.capabilities.plasticity]
