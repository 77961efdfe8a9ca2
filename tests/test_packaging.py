"""The package as it is installed: what is in it, what importing it takes, how it is laid out."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAPPED = {"snnsim": "snnsim", "backends": "snnsim.backends", "datasets": "snnsim.datasets"}
#: Packages that need hardware or a system library: no version is tested here, so none is pinned.
NOT_PINNED = {"numba-cuda", "mpi4py"}
LIBRARY = [path for top in MAPPED for path in sorted((ROOT / top).rglob("*.py"))]


def packages_on_disk() -> set[str]:
    found = set()
    for top, name in MAPPED.items():
        for marker in (ROOT / top).rglob("__init__.py"):
            inner = marker.parent.relative_to(ROOT / top).parts
            found.add(".".join((name, *inner)))
    return found


def run_elsewhere(code: str, folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_listed_packages_are_the_folders_on_disk():
    listed = SETUP["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(packages_on_disk())


def test_every_library_file_is_in_a_package():
    orphans = [str(path.relative_to(ROOT)) for path in LIBRARY if not (path.parent / "__init__.py").is_file()]
    assert not orphans, f"in a folder without __init__.py, so not installed: {orphans}"


def test_no_module_has_the_name_of_a_mapped_package():
    for name in ("backends", "datasets"):
        assert not (ROOT / "snnsim" / name).exists(), f"snnsim/{name} would hide the mapped folder {name}/"
        assert not (ROOT / "snnsim" / f"{name}.py").exists(), f"snnsim/{name}.py would hide the mapped folder {name}/"


def test_import_is_light(tmp_path):
    """Importing takes no optional package and compiles nothing."""
    code = """
import sys, snnsim
heavy = [name for name in ("torch", "matplotlib", "sklearn", "scipy", "tonic") if name in sys.modules]
compiled = []
if "numba" in sys.modules:
    from numba.core.dispatcher import Dispatcher
    import gc
    compiled = [repr(each) for each in gc.get_objects() if isinstance(each, Dispatcher)
                and (each.__module__ or "").startswith("snnsim") and each.signatures]
print(heavy, compiled)
"""
    assert run_elsewhere(code, tmp_path).strip() == "[] []"


def test_mapped_packages_are_found_under_snnsim_alone(tmp_path):
    code = """
import importlib.util, snnsim.backends, snnsim.datasets
print([importlib.util.find_spec(name) is not None and importlib.util.find_spec(name).origin for name in %r])
"""
    origins = run_elsewhere(code % (("backends", "datasets"),), tmp_path)
    assert str(ROOT) not in origins, f"a top-level package comes from this repository: {origins}"


def test_no_import_goes_round_the_mapping():
    wrong = re.compile(r"^\s*(?:from|import)\s+(?:backends|datasets)\b", re.MULTILINE)
    folders = [ROOT / name for name in ("snnsim", "backends", "datasets", "examples", "bench", "tests")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    guilty = [str(path.relative_to(ROOT)) for path in files if wrong.search(path.read_text(encoding="utf-8"))]
    assert not guilty, f"write `from snnsim.backends ...` and `from snnsim.datasets ...` in {guilty}"


def test_types_are_shipped():
    assert (ROOT / "snnsim" / "py.typed").is_file()
    assert "py.typed" in SETUP["tool"]["setuptools"]["package-data"]["snnsim"]
    spec = importlib.util.find_spec("snnsim")
    assert spec is not None
    assert spec.origin is not None
    assert (Path(spec.origin).parent / "py.typed").is_file()


def test_one_version_everywhere():
    import snnsim

    assert importlib.metadata.version("snnsim") == SETUP["project"]["version"] == snnsim.__version__
    assert f"version: {snnsim.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"[{snnsim.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pytest_finds_no_second_way_in():
    assert not (ROOT / "conftest.py").exists()
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert str(ROOT) not in sys.path


def test_pins_cover_what_is_declared():
    """Every distribution that pyproject.toml names is pinned exactly, and its pin is allowed."""
    from packaging.requirements import Requirement

    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line), f"not an exact version: {line!r}"
            name, version = line.split("==")
            pins[name.lower().replace("_", "-")] = version
    project = SETUP["project"]
    declared = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    for text in declared:
        requirement = Requirement(text)
        name = requirement.name.lower()
        if name == "snnsim" or name in NOT_PINNED:
            continue
        assert name in pins, f"{text!r} has no pin in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} is not allowed by {text!r}"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_library_files_stay_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 600, f"{lines} lines; split it: one idea a file, mostly under 300 lines"
