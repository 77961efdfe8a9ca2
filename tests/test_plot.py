"""Pictures: what they hold, what they are called, and that they leave nothing behind."""

import builtins
import itertools
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from snnsim import (
    LI,
    LIF,
    Dense,
    Events,
    FixedProbability,
    Input,
    Network,
    Poisson,
    Population,
    Projection,
    Simulation,
    Trace,
    plot,
)
from snnsim.early_exit import DynamicConfidence, accuracy_latency_curve, oracle_curve
from snnsim.errors import MissingDependencyError, ParameterError

DT = 1e-3


@pytest.fixture(autouse=True)
def no_figure_stays():
    """Start without figures and close those of the test."""
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def net():
    return Network(
        [
            Population("noise", 20, Poisson(80.0)),
            Population("cells", 8, LIF()),
            Population("more", 5, LIF()),
            Population("answer", 3, LI()),
        ],
        [
            Projection("noise", "cells", Dense(0.2)),
            Projection("cells", "more", Dense(0.5)),
            Projection("more", "cells", FixedProbability(0.5), delay=2e-3),
            Projection("more", "more", FixedProbability(0.5, -0.1), delay=1e-3),
            Projection("more", "answer", Dense(0.3)),
        ],
        dt=DT,
        name="small",
    )


@pytest.fixture(scope="module")
def result(net):
    sim = Simulation(net, "reference")
    sim.run(0.01)
    return sim.run(0.2, record=["noise", "cells", Trace("cells"), Trace("answer", every=7)])


@pytest.fixture(scope="module")
def noisy():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 80)
    readout = generator.normal(0, 2, (80, 12, 4))
    readout[np.arange(80), :, labels] += 1.0
    return readout, labels


def texts(axes):
    return "\n".join(text.get_text() for text in axes.texts)


# -- networks -----------------------------------------------------------------------------------------------


def boxes_of(axes):
    axes.figure.canvas.draw()
    return [patch.get_window_extent() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]


def test_a_network_shows_every_population_and_projection(net):
    axes = plot.network(net)
    assert isinstance(axes, Axes)
    assert len(boxes_of(axes)) == 4
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 5
    assert sum(arrow.get_linestyle() == "--" for arrow in arrows) == 2  # the two that go back
    written = texts(axes)
    for expected in ("noise", "20 Poisson", "8 LIF", "3 LI", "Dense\n160 synapses", "≈ 20 synapses\ndelay 2 ms"):
        assert expected in written
    assert axes.get_title() == "small"


def test_boxes_of_a_network_follow_its_arrows_and_do_not_meet(net):
    axes = plot.network(net)
    boxes = boxes_of(axes)
    lefts = [box.x0 for box in boxes]
    assert lefts == sorted(lefts)
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_labels_of_a_network_do_not_meet(net):
    axes = plot.network(net)
    boxes = boxes_of(axes)
    labels = [text.get_window_extent() for text in axes.texts if "synapse" in text.get_text()]
    for i, one in enumerate(labels):
        assert not any(one.overlaps(other) for other in [*labels[i + 1 :], *boxes])


def test_zero_delay_always_goes_forward():
    cells = [Population(name, 2, LIF()) for name in "abc"]
    pairs = [("a", "b", 0.0), ("a", "c", 1e-3), ("c", "b", 1e-3), ("b", "c", 0.0)]
    net = Network(cells, [Projection(s, t, Dense(), delay=d) for s, t, d in pairs], dt=DT)
    axes = plot.network(net)
    a, b, c = (box.x0 for box in boxes_of(axes))
    assert a < b < c


def test_a_network_of_one_population_and_one_of_many():
    plot.network(Network([Population("alone", 1, LIF())], [], dt=DT))
    names = [f"layer {i}" for i in range(12)]
    chain = Network(
        [Population(names[0], 1, Input()), *(Population(name, 1, LIF()) for name in names[1:])],
        [Projection(one, other, Dense()) for one, other in itertools.pairwise(names)],
        dt=DT,
    )
    assert len(boxes_of(chain.plot())) == 12


# -- runs ---------------------------------------------------------------------------------------------------


def test_a_raster_has_one_point_a_spike(result):
    axes = plot.raster(result, "cells")
    (line,) = axes.lines
    spikes = result.spikes["cells"]
    assert np.array_equal(line.get_ydata(), spikes.sources)
    assert line.get_xdata() == pytest.approx(10.0 + spikes.ticks)  # ticks of a millisecond, after 10 of them
    assert axes.get_xlabel() == "time (ms)"
    assert axes.get_ylabel() == "neuron of cells"
    assert axes.get_xlim() == (10, 210)


def test_a_raster_of_all_populations_stacks_them(result):
    axes = plot.raster(result)
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in points] == [spikes.ticks.size for spikes in result.spikes.values()]
    assert points[1].get_ydata().min() >= 20
    assert [label.get_text() for label in axes.get_yticklabels()] == ["noise", "cells"]


def test_a_raster_of_events():
    events = Events.from_ticks([0, 3000, 5], [0, 1, 1], n_sources=2, n_ticks=4000, dt=DT)
    axes = plot.raster(events)
    assert axes.get_xlabel() == "time (ms)"
    assert axes.lines[0].get_xdata() == pytest.approx([0, 5, 3000])
    assert axes.get_xlim() == (0, 4000)


def test_a_trace_has_one_line_a_neuron(result):
    axes = plot.trace(result, "cells.membrane", neurons=[0, 5])
    assert len(axes.lines) == 2
    assert np.array_equal(axes.lines[1].get_ydata(), result.traces["cells.membrane"][0, :, 5])
    assert axes.lines[0].get_xdata()[[0, -1]] == pytest.approx([10.0, 209.0])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "5"]
    assert "membrane of cells" in axes.get_ylabel()
    every = plot.trace(result, "cells.membrane")
    assert (len(every.lines), every.get_legend()) == (8, None)  # more than there are colours for


@pytest.mark.parametrize("warm_up", [0, 1, 500])
@pytest.mark.parametrize("dt", [1e-3, 1e-4, 0.7e-3])
def test_a_spike_lies_at_the_sample_in_which_the_membrane_was_reset(warm_up, dt):
    """One time axis, in a first run and after others: raster, trace, the page of activity, and binned rates."""
    net = Network([Population(name, 2, LIF(20 * dt, bias=0.1, reset="zero")) for name in "abcd"], [], dt=dt)
    sim = Simulation(net, "reference")
    if warm_up:
        sim.run(warm_up * dt)
    result = sim.run(100 * dt, record=["a", "b", "c", "d", Trace("a")])
    spikes = np.unique(plot.raster(result, "a").lines[0].get_xdata())
    traced = plot.trace(result, "a.membrane")
    curve = traced.lines[0]
    resets = curve.get_xdata()[curve.get_ydata() == 0]
    assert np.array_equal(spikes, resets)
    assert spikes == pytest.approx(1e3 * dt * (warm_up + np.unique(result.spikes["a"].ticks)))
    page = plot.activity(result, bin_width=10 * dt)
    on_page, rates = page.axes[:2]
    assert np.array_equal(np.unique(on_page.lines[0].get_xdata()), resets)
    counted = np.asarray(rates.collections[0].get_array())[0] * 10 * dt
    edges = np.asarray(rates.collections[0].get_coordinates())[0, :, 0]
    assert edges == pytest.approx(1e3 * dt * (warm_up + 10 * np.arange(11)))
    ticks = np.rint(spikes / (1e3 * dt)) - warm_up
    assert counted == pytest.approx(np.histogram(ticks, np.arange(11) * 10)[0])
    lines = plot.population_activity(result, ["a"], bin_width=10 * dt)
    assert lines.lines[0].get_xdata() == pytest.approx((edges[1:] + edges[:-1]) / 2)
    ends = 1e3 * dt * np.array([warm_up, warm_up + 100])
    for axes in (plot.raster(result), traced, on_page, rates, lines):
        assert axes.get_xlim() == pytest.approx(ends)
    assert {axes.get_xlabel() for axes in (plot.raster(result), traced, rates, lines)} == {"time (ms)"}


def test_a_trace_of_every_nth_tick_needs_to_be_told(result):
    axes = plot.trace(result, "answer.membrane", every=7)
    assert axes.lines[0].get_xdata()[:2] == pytest.approx([14.0, 21.0])
    for every in (None, 3, 0):
        with pytest.raises(ParameterError, match=r"records of answer\.membrane in 200 ticks; pass the `every`"):
            plot.trace(result, "answer.membrane", every=every)


def test_rates_count_every_neuron_once(result):
    axes = plot.rates(result, "noise", bins=7)
    assert sum(patch.get_height() for patch in axes.patches) == 20
    assert len(axes.patches) == 7
    assert axes.lines[0].get_xdata()[0] == pytest.approx(result.rates("noise").mean())
    assert axes.get_xlabel() == "rate of noise (spikes/s)"


def test_frames_show_on_and_off_in_their_colours():
    # Source 0 is OFF at the upper left, the last one ON at the lower right; a tick each.
    events = Events.from_ticks([0, 3], [0, 2 * 3 * 4 - 1], n_sources=24, n_ticks=4, dt=DT)
    figure = plot.events_frames(events, (2, 3, 4), n=2)
    assert isinstance(figure, Figure)
    first, second = (np.asarray(axes.images[0].get_array()) for axes in figure.axes)
    assert first.shape == (3, 4, 3)
    assert first[0, 0] == pytest.approx(to_rgb("#D55E00"))
    assert second[2, 3] == pytest.approx(to_rgb("#0072B2"))
    assert np.count_nonzero(first != 1.0) == np.count_nonzero(np.array(to_rgb("#D55E00")) != 1.0)
    assert [axes.get_title() for axes in figure.axes] == ["0–2 ms", "2–4 ms"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ON", "OFF"]


def test_frames_of_silence_and_of_one_polarity():
    silence = Events.from_ticks([], [], n_sources=12, n_ticks=9, dt=DT)
    figure = plot.events_frames(silence, (3, 4), n=7)
    assert sum(bool(axes.images) for axes in figure.axes) == 7
    assert all(np.all(axes.images[0].get_array() == 1) for axes in figure.axes if axes.images)


# -- learning and early exit --------------------------------------------------------------------------------

HISTORY = {"loss": [2.0, 1.0, 0.5], "train_accuracy": [0.3, 0.6, 0.9], "validation_accuracy": [0.2, 0.7, 0.6]}


@pytest.mark.parametrize("history", [HISTORY, SimpleNamespace(**HISTORY)])
def test_a_learning_curve_of_a_mapping_or_an_object(history):
    figure = plot.learning_curve(history)
    loss, accuracy = figure.axes
    assert loss.lines[0].get_ydata().tolist() == [2.0, 1.0, 0.5]
    assert loss.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert accuracy.lines[0].get_ydata() == pytest.approx([30, 60, 90])
    assert accuracy.get_title() == "best validation 70.0 % in epoch 2"
    assert accuracy.get_ylabel() == "accuracy (%)"


def test_a_learning_curve_of_what_there_is():
    figure = plot.learning_curve({"loss": [1.0]})
    assert [len(axes.lines) for axes in figure.axes] == [1, 0]
    without = plot.learning_curve(HISTORY | {"validation_accuracy": [np.nan] * 3}).axes[1]
    assert (len(without.lines), without.get_legend(), without.get_title()) == (1, None, "")
    given = plt.subplots(1, 2)[1]
    assert plot.learning_curve(HISTORY, axes=given) is given[0].figure


def test_accuracy_against_latency(noisy):
    curve = accuracy_latency_curve(*noisy, 3.0, np.linspace(0.3, 1.0, 30))
    axes = plot.accuracy_latency(curve, oracle_curve(*noisy), 12)
    every, best, oracle, chosen = axes.lines
    assert len(every.get_xdata()) == 30
    assert len(best.get_xdata()) == curve.pareto.sum()
    assert np.all(np.diff(best.get_xdata()) >= 0)
    assert len(oracle.get_xdata()) == 12
    assert chosen.get_xydata()[0] == pytest.approx([curve.mean_ticks[12], 100 * curve.accuracy[12]])
    report = DynamicConfidence(3.0, 0.8).evaluate(*noisy)
    axes = plot.accuracy_latency(curve, chosen=report)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[-1] == f"chosen: {100 * report.accuracy:.1f} % at {report.mean_ticks:.1f} ticks"
    with pytest.raises(ParameterError, match=r"chosen=30: the curve has thresholds 0 \.\.\. 29"):
        plot.accuracy_latency(curve, chosen=30)


def test_confidence_marks_where_each_sample_stops(noisy):
    readout, labels = noisy
    rule = DynamicConfidence(3.0, 0.8, minimum_ticks=2)
    chosen = [3, 0, 7, 11]
    axes = plot.confidence(readout, labels, rule, chosen)
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [float(mark.get_xdata()[0]) for mark in marks] == rule.exit_ticks(readout)[chosen].tolist()
    right = rule.evaluate(readout, labels).predictions == labels
    assert [mark.get_marker() == "o" for mark in marks] == right[chosen].tolist()
    assert (
        len([line for line in plot.confidence(readout, labels, rule, 5).lines if line.get_linestyle() == "None"]) == 5
    )
    for samples in ([], [80], 0, [[1]]):
        with pytest.raises(ParameterError, match="must choose at least one"):
            plot.confidence(readout, labels, rule, samples)


# -- manners ------------------------------------------------------------------------------------------------


def test_given_axes_are_drawn_into_and_returned(net, result, noisy):
    curve = accuracy_latency_curve(*noisy, 3.0, [0.5, 0.9])
    draws = [
        lambda axes: plot.network(net, axes=axes),
        lambda axes: plot.raster(result, axes=axes),
        lambda axes: plot.trace(result, "cells.membrane", axes=axes),
        lambda axes: plot.rates(result, "cells", axes=axes),
        lambda axes: plot.accuracy_latency(curve, axes=axes),
        lambda axes: plot.confidence(*noisy, DynamicConfidence(1.0, 0.9), axes=axes),
    ]
    for draw in draws:
        axes = plt.subplots()[1]
        assert draw(axes) is axes
        assert axes.has_data() or axes.patches
        assert len(plt.get_fignums()) == 1
        plt.close("all")


def test_the_style_is_left_as_it_was_and_nothing_is_shown(net, result, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("show was called"))
    before = dict(plt.rcParams)
    axes = plot.raster(result)
    plot.network(net)
    assert dict(plt.rcParams) == before
    assert not axes.spines["top"].get_visible()
    assert not axes.spines["right"].get_visible()


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")]
)
def test_a_picture_is_saved_and_the_same_picture_is_the_same_file(result, tmp_path, ending, start):
    paths = [tmp_path / "deep" / f"{i}.{ending}" for i in (1, 2)]
    for path in paths:
        axes = plot.rates(result, "cells")
        assert plot.save(axes if path is paths[0] else axes.figure, path) == path
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(start)
    assert first == second


def test_a_picture_that_fails_leaves_the_old_one(result, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    class Broken:
        def savefig(self, target, **_):
            target.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        plot.save(Broken(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda result: plot.raster(result, "more"), "spikes of 'more' were not recorded; there are: noise, cells"),
        (lambda result: plot.raster(result, recording=1), r"recording=1: there are recordings 0 \.\.\. 0"),
        (
            lambda result: plot.trace(result, "cells.charge"),
            r"'cells\.charge' was not recorded; there are: cells\.memb",
        ),
        (lambda result: plot.trace(result, "cells.membrane", neurons=[8]), r"neurons=\[8\]: must be .* 0 \.\.\. 7"),
        (lambda result: plot.rates(result, "more"), "spikes of 'more' were not recorded"),
        (lambda result: plot.learning_curve({}), "holds no loss"),
        (lambda result: plot.learning_curve({"loss": [[1.0]]}), r"loss has shape \(1, 1\)"),
        (lambda result: plot.learning_curve(HISTORY, axes=[None]), "draws into two, got 1"),
        (lambda result: plot.events_frames(result.spikes["cells"], (2, 3, 3)), r"expected .* of 8 sources"),
        (lambda result: plot.events_frames(result.spikes["cells"], (2, 2, 2), n=0), r"n=0: must lie in 1 \.\.\. 200"),
        (lambda result: plot.save(result, "x.png"), "expected a matplotlib Figure or Axes"),
        (lambda result: plot.save(plt.figure(), "x.jpg"), "='jpg' is not known; allowed: 'png', 'pdf', 'svg'"),
    ],
)
def test_what_cannot_be_drawn_is_said(result, call, message):
    with pytest.raises(ParameterError, match=message):
        call(result)


def test_without_matplotlib_the_extra_is_named(result, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'snnsim\[plot\]'"):
        plot.raster(result)
