"""Names in backticks, in docstrings and documents, are names that can be imported."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"`(snnsim(?:\.\w+)+)")
FOLDERS = ("snnsim", "backends", "datasets", "docs", "examples", "bench")


def resolves(name: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for attribute in parts[cut:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def test_names_in_backticks_are_there():
    pytest.importorskip("torch")
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    named = {}
    for path in [*files, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for match in NAME.finditer(path.read_text(encoding="utf-8")):
            named.setdefault(match[1], path.relative_to(ROOT))
    assert len(named) > 80
    gone = {name: str(path) for name, path in named.items() if not resolves(name)}
    assert not gone, f"named in a document or a docstring, but not there: {gone}"
    assert not resolves("snnsim.network.nonsense")
