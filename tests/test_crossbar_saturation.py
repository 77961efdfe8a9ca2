"""Converters that are held at the end of their range are said: in a warning, in the result, its file and the report."""

import warnings

import numpy as np
import pytest

from snnsim import LI, LIF, Dense, Events, Input, Network, Population, Projection, Result, Simulation, Trace, plot
from snnsim.backends.contract.activity import ChipActivity, ProjectionActivity
from snnsim.backends.crossbar import ADC, Chip, ChipConfig, ChipFabric, Device, Mapping, Wires, pcm
from snnsim.backends.crossbar.loop import Checked
from snnsim.errors import ParameterError, SaturationWarning
from snnsim.report import Report

DT = 1e-3
PLAIN = Device("plain", 1.0, 33.0)


def network(weights):
    return Network(
        [Population("in", weights.shape[0], Input()), Population("out", weights.shape[1], LI(20e-3))],
        [Projection("in", "out", Dense(weights))],
        dt=DT,
    )


def all_on(sources, on, ticks=4):
    """Return one recording in whose every tick the first `on` sources fire."""
    counts = np.zeros((1, ticks, sources), int)
    counts[:, :, :on] = 1
    return Events.from_dense(counts, DT)


def by_hand(weights, vector, scale, bits, rows, columns, voltage=0.2):
    """Return, tile by tile, the conversions of a vector and those whose code is beyond the outermost."""
    largest, found, number = 2 ** (bits - 1) - 1, {}, 0
    currents = weights / np.abs(weights).max() * 32.0 * voltage
    for row in range(0, weights.shape[0], rows):
        for column in range(0, weights.shape[1], columns):
            part = vector[row : row + rows]
            if part.any():
                sums = part @ currents[row : row + rows, column : column + columns]
                codes = np.rint(sums / (scale[number] / largest))
                found[number] = (sums.size, int((np.abs(codes) > largest).sum()))
            number += 1
    return found


@pytest.mark.parametrize("device", [PLAIN, Device("also", 0.0, 32.0)])
@pytest.mark.parametrize("bits", [4, 8])
def test_shares_are_counted_tile_by_tile(device, bits):
    random = np.random.default_rng(bits)
    weights = random.normal(0.2, 0.5, (50, 24))
    config = ChipConfig(device, adc=ADC(bits), rows=20, columns=20)
    sim = Simulation(network(weights), "crossbar", chip=Chip(config))
    chip, vector = sim.program.chip, np.arange(50) < 35
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaturationWarning)
        result = sim.run_samples(all_on(50, 35))
    expected = by_hand(weights, vector, {n: t.full_scale for n, t in chip.tiles.items()}, bits, 20, 10)
    assert len(expected) == 6  # rows 0 to 19 and 20 to 39 are reached, in three tiles each
    one = result.chip.projection("in->out")
    assert one.of_tiles == tuple((tile, 4 * n, 4 * beyond) for tile, (n, beyond) in expected.items())
    assert one.saturated == chip.saturated == 4 * sum(beyond for _, beyond in expected.values()) > 0
    assert one.conversions == 4 * sum(n for n, _ in expected.values())
    shares = [share for share, *_ in result.chip.saturated_tiles()]
    assert shares == sorted((beyond / n for n, beyond in expected.values() if beyond), reverse=True)


def test_one_warning_a_run_says_where_how_much_and_what_to_do(tmp_path):
    net = network(np.full((5000, 2), 0.5))
    sim = Simulation(net, "crossbar", chip=Chip(ChipConfig(PLAIN, adc=ADC(8))))
    with pytest.warns(SaturationWarning, match=r"100% of tile 0 \(in->out\), 100% of tile 1 \(in->out\)") as caught:
        result = sim.run_samples(all_on(5000, 5000, 1))
    (one,) = caught
    assert one.filename == __file__
    for words in ("Mapping(calibration=recordings)", "Mapping(activity=...)", "ADC(full_scale=...)", "and of 6 tiles"):
        assert words in str(one.message)
    assert f"warning: {one.message}" in str(result)
    assert "20       100.00%            100.00%" in str(result)
    result.save(tmp_path / "result.h5")
    again = Result.load(tmp_path / "result.h5")
    assert again.chip == result.chip
    assert str(again.chip.saturation()) == str(one.message)
    page = Report("run").add("Result", result).html()
    assert "conversions went beyond the range of their converters" in page
    assert "100.00%" in page
    for call in (lambda: sim.run(inputs=all_on(5000, 5000, 1)), lambda: sim.run_samples(all_on(5000, 4000, 2))):
        with pytest.warns(SaturationWarning):
            call()


def test_runs_into_a_stream_say_it_too_and_go_on_counting(tmp_path, monkeypatch):
    from snnsim.simulation import long_run

    net, given = network(np.full((40, 2), 0.5)), all_on(40, 40, 12)
    config = ChipConfig(PLAIN, adc=ADC(8))
    with pytest.warns(SaturationWarning):
        right = Simulation(net, "crossbar", chip=Chip(config)).run(inputs=given)
    places = {"stream": tmp_path / "out.h5", "checkpoint": tmp_path / "run.h5", "checkpoint_every": 4 * DT}
    with pytest.warns(SaturationWarning) as caught:
        whole = Simulation(net, "crossbar", chip=Chip(config)).run(inputs=given, **places)
    assert len(caught) == 1
    assert whole.chip == right.chip
    # A run that is broken off within its second block goes on from the checkpoint of the first.
    monkeypatch.setattr(long_run, "_FIRST_BLOCK", 8)
    sim = Simulation(net, "crossbar", chip=Chip(config))
    work, calls = sim.program.run, []

    def once(state, request):
        calls.append(request.n_ticks)
        if len(calls) > 1:
            raise MemoryError
        return work(state, request)

    monkeypatch.setattr(sim.program, "run", once)
    places["stream"], places["checkpoint"] = tmp_path / "two.h5", tmp_path / "two_run.h5"
    with pytest.raises(MemoryError):
        sim.run(inputs=given, **places)
    again = Simulation.resume(tmp_path / "two_run.h5")
    assert again.tick == 4
    with pytest.warns(SaturationWarning):
        found = again.run(inputs=given, **places)
    assert found.chip == right.chip


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda given: (ChipConfig(PLAIN, adc=ADC(8)), Mapping(calibration=given)), 0.002),
        (lambda given: (ChipConfig(pcm(), adc=ADC(6, gain_spread=0.02)), Mapping(calibration=given)), 0.01),
        (lambda given: (ChipConfig(pcm(), Wires(1.0, 1.0), ADC(8)), Mapping(activity=0.2)), 0.01),
        (lambda given: (ChipConfig(PLAIN, adc=ADC(8, full_scale=500.0)), None), 0.0),
        (lambda given: (ChipConfig(PLAIN), None), 0.0),
    ],
)
def test_runs_as_they_should_be_say_nothing(make, most):
    random = np.random.default_rng(3)
    net = network(random.normal(0.0, 0.3, (100, 30)))
    given = Events.from_dense(random.binomial(1, 0.15, (10, 30, 100)), DT)
    config, mapping = make(given)
    sim = Simulation(net, "crossbar", chip=Chip(config), mapping=mapping)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = sim.run_samples(given)
    assert result.chip.saturation() == ""
    assert result.chip.projection("in->out").saturated <= most * result.chip.projection("in->out").conversions
    assert "warning" not in str(result)


@pytest.mark.parametrize(
    ("conversions", "beyond", "said"),
    # One in a hundred and three standard deviations, sqrt(n / 100), above.
    [(1, 1, True), (10, 1, False), (10, 2, True), (10_000, 130, False), (10_000, 131, True), (10**8, 1_003_001, True)],
)
def test_few_conversions_by_chance_are_no_warning(conversions, beyond, said):
    one = ProjectionActivity("p", 1, 1, 1, 1, conversions, 8, saturated=beyond, of_tiles=((7, conversions, beyond),))
    activity = ChipActivity((one,), 1, 8, 8, 0.2)
    assert bool(activity.saturation()) is said
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        activity.warn()
    assert len(caught) == said


@pytest.mark.parametrize(("beyond", "said"), [(300, False), (500 + 67, False), (500 + 68, True), (9000, True)])
def test_one_tile_of_many_is_said_from_a_twentieth_on(beyond, said):
    # 5 % of 10,000 and three standard deviations, sqrt(500), above; of the whole projection it is less than 1 %.
    one = activity(*((tile, 100_000, 0) for tile in range(10)), (10, 10_000, beyond))
    found = ChipActivity((one,), 1, 8, 8, 0.2).saturation()
    assert bool(found) is said
    assert (f"{beyond / 10_000:.0%} of tile 10 (p)" in found) is said


def test_a_projection_whose_tiles_are_read_too_seldom_each_is_said_as_a_whole():
    one = activity(*((tile, 10, 1 if tile < 300 else 0) for tile in range(1000)))
    assert "3% of p." in ChipActivity((one,), 1, 8, 8, 0.2).saturation()
    silent = ProjectionActivity("q", 1, 1, 1, 1, 1000, 8, saturated=500)
    assert "50% of q." in ChipActivity((silent,), 1, 8, 8, 0.2).saturation()


class Bench:
    """A device that is told its ranges, holds currents there, and counts nothing."""

    def __init__(self, chip):
        self.chip, self.scales = chip, {}

    def program(self, tile, targets, full_scale=None):
        self.chip.program(tile, targets)
        self.scales[tile] = full_scale

    def read(self, tile, offsets, rows, keys=None):
        return np.clip(self.chip.read(tile, offsets, rows, keys), -self.scales[tile], self.scales[tile])

    def status(self):
        import dataclasses

        return dataclasses.replace(self.chip.status(), capabilities=("full_scale", "keys"))


def test_devices_that_count_nothing_are_seen_at_the_end_of_the_range_they_were_told():
    weights = np.full((60, 3), 0.5)
    weights[:, 2] = 0.001
    device = Checked(Bench(Chip(ChipConfig(PLAIN))))
    sim = Simulation(network(weights), "crossbar", chip=device)
    with pytest.warns(SaturationWarning, match=r"67% of tile 0 \(in->out\)"):
        result = sim.run_samples(all_on(60, 60))
    assert result.chip.projection("in->out").of_tiles == ((0, 12, 8),)
    quiet = sim.run_samples(all_on(60, 3))
    assert quiet.chip.projection("in->out").saturated == 0


def test_devices_that_were_told_no_range_do_not_tell():
    class Silent(Bench):
        def read(self, tile, offsets, rows, keys=None):
            return self.chip.read(tile, offsets, rows, keys)

        def status(self):
            return self.chip.status()

    sim = Simulation(network(np.full((60, 3), 0.5)), "crossbar", chip=Silent(Chip(ChipConfig(PLAIN))))
    result = sim.run_samples(all_on(60, 60))
    assert result.chip.projection("in->out").saturated is None
    assert result.chip.projection("in->out").of_tiles == ()
    assert "not told" in str(result)


def test_learning_in_the_loop_says_it_at_the_end():
    torch = pytest.importorskip("torch")
    from snnsim.training import SLTT, TrainableNetwork, in_the_loop

    random = np.random.default_rng(0)
    net = Network(
        [Population("in", 20, Input()), Population("hidden", 12, LIF(5e-3)), Population("out", 3, LI(5e-3))],
        [Projection("in", "hidden", Dense(random.uniform(0.2, 0.5, (20, 12)))),
         Projection("hidden", "out", Dense(random.normal(0, 0.5, (12, 3))))],
        dt=DT,
    )  # fmt: skip
    labels = torch.tensor([0])
    for scale, said in ((1.0, True), (500.0, False)):
        model = TrainableNetwork(net)
        fabric = ChipFabric(net, Chip(ChipConfig(PLAIN, adc=ADC(8, full_scale=scale))))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with in_the_loop(model, fabric):
                SLTT().step(model, all_on(20, 20), labels)
                SLTT().step(model, all_on(20, 20), labels)
        assert [one.category for one in caught] == [SaturationWarning] * said
        if said:
            assert caught[0].filename == __file__
            assert "(in->hidden)" in str(caught[0].message)


# -- picture and values -----------------------------------------------------------------------------------


def activity(*tiles, name="p", conversions=None):
    total = sum(tile[1] for tile in tiles) if conversions is None else conversions
    beyond = sum(tile[2] for tile in tiles)
    return ProjectionActivity(name, max(1, len(tiles)), 1, 1, 1, total, 8, saturated=beyond, of_tiles=tiles)


def test_the_picture_shows_the_worst_tiles():
    from matplotlib import pyplot

    first = activity(*((tile, 1000, 10 * tile) for tile in range(30)))
    second = activity((40, 200, 0), name="q")
    axes = plot.saturation(ChipActivity((first, second), 1, 8, 8, 0.2))
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([float(tile) for tile in range(29, 5, -1)])
    assert axes.get_yticklabels()[0].get_text() == "p, tile 29"
    assert "24 of 31 tiles" in axes.get_xlabel()
    pyplot.close("all")
    with pytest.raises(ParameterError, match="no tile of the chip tells its conversions"):
        plot.saturation(ChipActivity((activity(),), 1, 8, 8, 0.2))
    with pytest.raises(ParameterError, match="activity=int: expected a ChipActivity"):
        plot.saturation(3)


def test_activities_add_up_tile_by_tile():
    one, other = activity((0, 10, 1), (2, 20, 2)), activity((2, 5, 5), (3, 7, 0))
    assert (one + activity((0, 1, 0), (2, 5, 5))).of_tiles == ((0, 11, 1), (2, 25, 7))
    total = one + other
    assert total.of_tiles == ((0, 10, 1), (2, 25, 7), (3, 7, 0))
    assert total.saturated == 8
    activities = ChipActivity((total,), 1, 8, 8, 0.2)
    assert ChipActivity.from_dict(activities.to_dict()) == activities


@pytest.mark.parametrize(
    ("tiles", "words"),
    [
        (((0, 10, 11),), r"11 of 10 conversions"),
        (((0, 10),), r"must be number, conversions, and those beyond"),
        (((0, 10, -1),), r"activity of 'p': of_tiles=-1"),
        ((3,), "of_tiles holds 3"),
    ],
)
def test_counts_that_cannot_be_are_refused(tiles, words):
    with pytest.raises(ParameterError, match=words):
        ProjectionActivity("p", 1, 1, 1, 1, 10, 8, saturated=1, of_tiles=tiles)
    with pytest.raises(ParameterError, match="of_tiles hold more than 10 conversions"):
        activity((0, 8, 0), (1, 3, 0), conversions=10)


def test_traces_of_saturated_converters_are_what_the_outermost_code_gives():
    weights = np.full((60, 1), 0.5)
    sim = Simulation(network(weights), "crossbar", dtype="float64", chip=Chip(ChipConfig(PLAIN, adc=ADC(8))))
    with pytest.warns(SaturationWarning):
        result = sim.run_samples(all_on(60, 60, 1), record=Trace("out"))
    held = sim.program.chip.tiles[0].full_scale / 0.2 / 32.0 * 0.5
    assert result.traces["out.membrane"][0, 0, 0] == pytest.approx(held)
    assert held < 0.6 * weights.sum()
