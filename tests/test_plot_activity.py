"""Pictures of activity: what they hold, not how they look."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

import snnsim as sn
from snnsim import analysis
from snnsim.errors import ParameterError
from snnsim.plot import firing

mpl.use("Agg")


@pytest.fixture(scope="module")
def result() -> sn.Result:
    noise = [sn.Population(f"p{i}", 30 + 10 * i, sn.Poisson(20.0 + 10 * i)) for i in range(5)]
    target = sn.Population("cell", 1, sn.LIF())
    return sn.Simulation(sn.Network([*noise, target], [], dt=1e-3)).run(2.0, record=[p.name for p in noise])


def test_one_page_of_all(result):
    figure = firing.activity(result)
    raster = figure.axes[0]
    assert [label.get_text() for label in raster.get_yticklabels()] == [f"p{i}" for i in range(5)]
    points = sum(line.get_xdata().size for line in raster.lines)
    assert points == sum(events.ticks.size for events in result.spikes.values())
    assert len(firing.activity(result, ["p0", "p1"]).axes) == 4


def test_a_raster_of_too_many_spikes_says_how_many_it_shows(result, monkeypatch):
    monkeypatch.setattr(firing, "_MOST_POINTS", 1000)
    raster = firing.activity(result).axes[0]
    total = sum(events.ticks.size for events in result.spikes.values())
    assert sum(line.get_xdata().size for line in raster.lines) < 1500
    assert f"{total:,} spikes in all" in raster.get_title(loc="left")


def test_lines_and_bands_hold_the_activity(result):
    lines = firing.population_activity(result, ["p1"], bin_width=0.1)
    expected = analysis.population_activity(result.spikes["p1"], 0.1)
    assert lines.lines[0].get_xdata() == pytest.approx(1e3 * expected[0])
    assert np.array_equal(lines.lines[0].get_ydata(), expected[1])
    bands = firing.population_activity(result, bin_width=0.1)
    assert bands.collections[0].get_array().shape == (5, 20)


def test_histograms_hold_all_values(result):
    events = result.spikes["p2"]
    drawn = firing.intervals(events)
    assert sum(patch.get_height() for patch in drawn.patches) == analysis.intervals(events)[0].size
    pairs = firing.correlation(events, bin_width=0.01)
    assert sum(patch.get_height() for patch in pairs.patches) == 50 * 49 // 2
    both = firing.weights(np.arange(10.0), before=np.zeros(7))
    assert sum(patch.get_height() for patch in both.patches[:50]) == 10
    means = firing.firing_rates(result).lines[-1].get_xdata()
    assert means == pytest.approx([analysis.firing_rates(result.spikes[f"p{i}"]).mean() for i in range(5)])
    assert len(firing.irregularity(result).get_yticklabels()) == 5


def test_what_was_not_recorded_is_named(result):
    with pytest.raises(ParameterError, match="'cell' were not recorded; there are: p0"):
        firing.activity(result, ["cell"])
    with pytest.raises(ParameterError, match="none to draw"):
        firing.weights([])
