"""Check an installed wheel from a folder outside the repository (run by `make wheel-smoke`)."""

import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import snnsim

installed = Path(snnsim.__file__).resolve()
assert Path(sys.prefix).resolve() in installed.parents, f"snnsim came from {installed}, not from the wheel"
for name in ("snnsim.backends", "snnsim.datasets"):
    importlib.import_module(name)
for name in ("backends", "datasets"):
    assert importlib.util.find_spec(name) is None, f"the wheel leaks a top-level package {name!r}"
assert "torch" not in sys.modules, "import snnsim took torch"

distribution = importlib.metadata.distribution("snnsim")
top_level = (distribution.read_text("top_level.txt") or "").split()
assert top_level == ["snnsim"], f"top_level.txt lists {top_level}"
assert distribution.version == snnsim.__version__, f"{distribution.version} != {snnsim.__version__}"
assert (installed.parent / "py.typed").is_file(), "py.typed is not in the wheel"
sys.stdout.write(f"wheel: snnsim {snnsim.__version__} works from {len(top_level)} top-level package\n")
