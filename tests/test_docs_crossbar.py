"""The guide to chips: its code runs as written, and its tables are what the code has."""

import importlib.util
import inspect
import os
import re
from pathlib import Path

import pytest

from snnsim.backends import crossbar
from snnsim.backends.crossbar import STAGES
from snnsim.backends.crossbar.device import presets

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "crossbar.md").read_text(encoding="utf-8")
PRESETS = [name for name in vars(presets) if getattr(crossbar, name, None) is getattr(presets, name)]
DEVICES = [name for name in PRESETS if inspect.isfunction(getattr(presets, name)) and name != "constant"]


def made_up_tables(folder):
    spec = importlib.util.spec_from_file_location("made_up", ROOT / "examples" / "made_up_measurements.py")
    made_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_up)
    for path, name in zip(made_up.write(folder), ("cells.csv", "sweeps.csv"), strict=True):
        path.rename(folder / name)


@pytest.mark.slow
def test_the_code_runs_and_the_report_opens_offline(tmp_path, monkeypatch):
    from matplotlib import pyplot

    made_up_tables(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert len(blocks) >= 10
    names = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, block, "exec"), names)
    pyplot.close("all")
    page = Path("report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == len(names["pictures"])
    assert not re.search(r"<(?:script|link|iframe)|src=\"(?!data:)", page)
    assert names["software"].accuracy(names["test"].labels) > 0.6
    assert names["result"].accuracy(names["test"].labels) > 0.5
    assert names["aged"]["as read"]


def test_every_stage_stands_in_the_table():
    for stage in STAGES:
        assert f'| `"{stage}"` |' in GUIDE, stage


@pytest.mark.parametrize("name", DEVICES)
def test_the_guide_lists_the_presets_as_they_are(name):
    make = getattr(presets, name)
    device = make()
    given = ", ".join(f"{one.name}={one.default!r}" for one in inspect.signature(make).parameters.values())
    stages = ", ".join(stage.replace("_", " ") for stage in device.stages) or "none"
    span = f"{device.g_min:g} to {device.g_max:g}"
    assert f"| `{name}({given})` | {span} | {device.read_voltage:g} V | {stages} | {device.source} |" in GUIDE


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / os.fspath(link)).resolve().exists(), link
