"""Pictures of crossbars: what is drawn is what was given, and what cannot be drawn is said."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from snnsim import LIF, Dense, Events, Input, Network, Population, Projection, Simulation, plot
from snnsim.backends.contract.activity import ChipActivity, ProjectionActivity
from snnsim.backends.crossbar import Wires
from snnsim.backends.crossbar.wires.currents import cell_voltages
from snnsim.energy import digital_45nm, energy_report, loihi, rram_crossbar
from snnsim.errors import ParameterError
from snnsim.monte_carlo import MonteCarlo
from snnsim.plot.style import BLUE, VERMILION


@pytest.fixture(autouse=True)
def no_figure_stays():
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def reports():
    net = Network(
        [Population("input", 10, Input()), Population("out", 6, LIF(10e-3))],
        [Projection("input", "out", Dense(0.4))],
        dt=1e-3,
    )
    spikes = np.random.default_rng(0).random((2, 30, 10)) < 0.2
    result = Simulation(net, "reference").run_samples(Events.from_dense(spikes, dt=1e-3), progress=False)
    one = ProjectionActivity("input->out", 1, 55, 100, 1200, 330, 8, read_watts=1e-3)
    chip = energy_report(result, rram_crossbar(), activity=ChipActivity((one,), 2, 64, 64, 0.2))
    return [energy_report(result, digital_45nm()), energy_report(result, loihi()), chip]


def drawn(axes):
    assert isinstance(axes, Axes)
    axes.figure.canvas.draw()
    return axes


def labels(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


# -- maps --------------------------------------------------------------------------------------------------


def test_a_map_holds_the_conductances():
    values = np.random.default_rng(1).uniform(0, 40, (12, 20))
    values[3, 4] = np.nan
    axes = drawn(plot.conductance_map(values))
    (image,) = axes.images
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), values)
    assert image.get_clim() == (np.nanmin(values), np.nanmax(values))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("column", "row")
    assert axes.yaxis_inverted()  # row 0 at the top, as it is driven
    assert plot.conductance_map(values, limits=(0, 50)).images[0].get_clim() == (0, 50)


def test_a_map_of_pairs_is_plus_minus_minus_around_zero():
    values = np.random.default_rng(2).uniform(0, 40, (8, 6))
    axes = plot.conductance_map(values, pairs=True)
    np.testing.assert_array_equal(axes.images[0].get_array(), values[:, [0, 2, 4]] - values[:, [1, 3, 5]])
    low, high = axes.images[0].get_clim()
    assert low == -high
    with pytest.raises(ParameterError, match="has 5 columns"):
        plot.conductance_map(values[:, :5], pairs=True)


def test_a_uniform_map_and_a_given_axes():
    given = plt.subplots()[1]
    assert plot.conductance_map(np.full((4, 4), 7.0), axes=given) is given
    for bad in (np.zeros(4), np.zeros((0, 4)), np.full((2, 2), np.nan)):
        with pytest.raises(ParameterError, match="conductance: "):
            plot.conductance_map(bad)


def test_ir_drop_is_what_is_lost_of_the_read_voltage():
    voltage = 0.2 * np.linspace(1, 0.9, 30).reshape(5, 6)
    axes = drawn(plot.ir_drop(voltage, 0.2))
    np.testing.assert_allclose(axes.images[0].get_array(), 100 * (1 - voltage / 0.2), atol=1e-12)
    assert axes.get_title() == "mean 5 %, worst 10 %"


def test_rows_of_zeros_are_off_as_the_solver_of_the_wires_leaves_them():
    cells, wires = np.full((12, 4), 50.0), Wires(10.0, 10.0)
    across = cell_voltages(cells, [1, 6], 0.2, wires)
    axes = plot.ir_drop(across, 0.2)
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, 100 * (1 - across[[1, 6]] / 0.2))
    assert 0 < shown.max() < 50
    with pytest.raises(ParameterError, match="no row is on"):
        plot.ir_drop(np.zeros((3, 2)), 0.2)


def test_ir_drop_leaves_out_rows_that_are_off_and_keeps_their_numbers():
    voltage = np.full((100, 8), np.nan)
    voltage[[7, 30, 99]] = 0.19
    axes = drawn(plot.ir_drop(voltage, 0.2))
    assert axes.images[0].get_array().shape == (3, 8)
    assert labels(axes) == ["7", "30", "99"]
    assert axes.get_title().startswith("3 of 100 rows on: mean 5 %")
    with pytest.raises(ParameterError, match="read_voltage=0"):
        plot.ir_drop(voltage, 0)


# -- programming -------------------------------------------------------------------------------------------


def test_few_cells_are_points_in_bands_of_sigma():
    generator = np.random.default_rng(3)
    target = generator.uniform(0, 40, 2000)
    programmed = target + generator.normal(0, 1.5, 2000)
    target[5] = np.nan  # left as it was
    axes = plot.programming(target, programmed, sigma=lambda wanted: np.full_like(wanted, 1.5))
    points = next(line for line in axes.lines if line.get_linestyle() == "None")
    assert len(points.get_xdata()) == 1999
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    inside = [float(text.split(":")[1].split("%")[0]) for text in texts if "σ" in text]
    assert inside == pytest.approx([68.3, 95.4], abs=3)
    assert len(axes.collections) == 2
    assert axes.get_title().startswith("1,999 cells: error")


def test_many_cells_are_a_density_that_holds_all_of_them():
    generator = np.random.default_rng(4)
    target = generator.uniform(0, 40, (100, 100))
    axes = plot.programming(target, target + generator.normal(0, 1, target.shape), sigma=np.ones_like)
    (mesh,) = axes.collections
    assert mesh.get_array().sum() == 10_000
    # Bands would hide under the density: their edges are lines, with the line of what was meant.
    assert len(axes.lines) == 5
    assert sum(to_hex(line.get_color()) == VERMILION.lower() for line in axes.lines) == 4


def test_programming_refuses_what_does_not_fit():
    with pytest.raises(ParameterError, match=r"programmed has shape \(3,\), target \(4,\)"):
        plot.programming(np.ones(4), np.ones(3))
    with pytest.raises(ParameterError, match="holds no number"):
        plot.programming([np.nan], [1.0])
    with pytest.raises(ParameterError, match="sigma: returned shape"):
        plot.programming(np.arange(4.0), np.arange(4.0), sigma=lambda wanted: 1.0)
    plot.programming(np.ones(4), np.ones(4))  # one target, no error


# -- curves ------------------------------------------------------------------------------------------------


def test_error_against_bits_is_the_median_of_chips_in_a_band():
    bits, generator = np.arange(3, 9), np.random.default_rng(5)
    errors = 40 * 2.0 ** -bits[:, None] * generator.uniform(0.8, 1.2, (6, 11))
    axes = drawn(plot.adc_error(bits, {"chips": errors, "one": 50 * 2.0**-bits}))
    chips, one, rule = axes.lines
    np.testing.assert_allclose(chips.get_ydata(), np.median(errors, axis=1))
    np.testing.assert_allclose(one.get_ydata(), 50 * 2.0**-bits)
    np.testing.assert_allclose(rule.get_ydata(), np.median(errors[0]) * 2.0 ** (3.0 - bits))
    assert axes.get_yscale() == "log"
    assert len(axes.collections) == 1
    for error, message in [
        (np.zeros(6), "above zero"),
        (np.ones(5), r"has shape \(5,\); expected \(6,\)"),
        ({"a": np.ones((6, 2, 2))}, "error of 'a'"),
        ({}, "holds no curve"),
    ]:
        with pytest.raises(ParameterError, match=message):
            plot.adc_error(bits, error)
    with pytest.raises(ParameterError, match="bits: expected whole numbers"):
        plot.adc_error([3.5], [1.0])


def test_ages_are_marked_in_words_on_an_axis_of_powers():
    ages = np.array([1.0, 60, 3600, 86400, 3.156e7])
    accuracy = np.linspace(0.97, 0.8, 5)[:, None] + np.zeros((5, 4))
    axes = drawn(plot.accuracy_over_age(ages, {"drift": accuracy}, software=0.98, chance=0.1))
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1 s", "1 min", "1 h", "1 day", "1 month", "1 year"]
    drift = axes.lines[-1]
    np.testing.assert_allclose(drift.get_ydata(), 100 * accuracy[:, 0])
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"drift", "software", "chance"}
    with pytest.raises(ParameterError, match="above zero, rising"):
        plot.accuracy_over_age([0.0, 1.0], [0.9, 0.8])
    with pytest.raises(ParameterError, match=r"shares from 0 to 1, found 90 \.\.\. 97"):
        plot.accuracy_over_age([1.0, 2.0], [97.0, 90.0])


def test_every_chip_is_a_point_with_mean_and_fifth_percentile():
    generator = np.random.default_rng(6)
    first, second = generator.uniform(0.8, 0.9, 20), generator.uniform(0.9, 1.0, 30)
    found = MonteCarlo({"accuracy": second}, tuple(range(30)), 0, 30)
    axes = drawn(plot.accuracy_over_chips({"one kind": first, "another": found}, software=0.99))
    assert labels(axes) == ["another", "one kind"]  # from the bottom
    points = [line for line in axes.lines if to_hex(line.get_color()) == BLUE.lower()]
    np.testing.assert_allclose(points[0].get_xdata(), 100 * first)
    np.testing.assert_allclose(points[1].get_xdata(), 100 * second)
    lows = [line.get_xdata()[0] for line in axes.lines if to_hex(line.get_color()) == VERMILION.lower()]
    assert lows == pytest.approx([100 * np.percentile(first, 5), 100 * np.percentile(second, 5)])
    # Points of one kind stay in their own band.
    assert np.all(np.abs(points[0].get_ydata() - 1) < 0.5)
    assert np.all(np.abs(points[1].get_ydata()) < 0.5)
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert means == pytest.approx([100 * first.mean(), 100 * second.mean()])


def test_equal_chips_one_chip_and_none():
    drawn(plot.accuracy_over_chips(np.full(20, 0.9)))
    drawn(plot.accuracy_over_chips([0.9]))
    with pytest.raises(ParameterError, match="holds no chip"):
        plot.accuracy_over_chips({})
    with pytest.raises(ParameterError, match="expected one number a chip"):
        plot.accuracy_over_chips(np.zeros((2, 2)))


# -- energy ------------------------------------------------------------------------------------------------


def test_bars_of_a_report_are_as_long_as_its_parts(reports):
    chip = reports[2]
    axes = drawn(plot.energy(chip))
    assert labels(axes) == list(chip.parts)
    lengths = dict.fromkeys(range(len(chip.parts)), 0.0)
    for bar in axes.patches:
        lengths[len(chip.parts) - 1 - round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    assert axes.get_xlabel().endswith("(nJ)")
    # In the unit of the axis, less what is too little to be seen.
    expected = np.array(list(chip.by_part().values())) * 1e9
    np.testing.assert_allclose(list(lengths.values()), expected, atol=0.01 * expected.max())
    assert axes.get_title(loc="left").startswith("resistive crossbar")


def test_bars_of_several_reports_are_their_sums(reports):
    axes = drawn(plot.energy([*reports, reports[2]]))
    assert labels(axes) == [
        "digital logic,\n45 nm, 32-bit float",
        "Loihi,\n14 nm",
        "resistive crossbar,\ndigital neurons",
        "resistive crossbar,\ndigital neurons (2)",
    ]
    ends = [text.xy[0] for text in axes.texts]
    np.testing.assert_allclose(ends, [one.energy * 1e9 for one in [*reports, reports[2]]], rtol=0.01)


def test_energy_takes_reports_only(reports):
    for bad in ([], None, ["report"], {"a": reports[0]}):
        with pytest.raises(ParameterError, match="expected an EnergyReport, or several"):
            plot.energy(bad)


def test_pictures_are_saved_and_are_the_same_bytes(reports, tmp_path):
    paths = [plot.save(plot.energy(reports[2]), tmp_path / f"{name}.png") for name in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
