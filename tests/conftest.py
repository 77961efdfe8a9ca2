"""What every test needs: a sys.path without the repository, plots without a screen, the shared recordings."""

import os
import sys
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"

ROOT = Path(__file__).resolve().parent.parent
# `python -m pytest` puts the root on the path, where `backends` and `datasets` would be top-level packages.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of shared recordings, beside the repository; skip where it is not there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared recordings: ../shared/data is not there")
    return folder


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
