"""Ends of ranges and single values worked out by hand, which averages over many cells would not notice."""

import dataclasses
import math

import numpy as np
import pytest

from snnsim import LI, LIF, Conv2d, Dense, Events, Input, Network, Population, Projection, Simulation, Trace
from snnsim.backends.crossbar import (
    ADC,
    Chip,
    ChipConfig,
    Device,
    Flicker,
    Mapping,
    ReadNoise,
    Wires,
    WriteVerify,
    moment,
    pcm,
)
from snnsim.backends.crossbar.array_read.converter import Converters
from snnsim.backends.crossbar.array_read.normal_numbers import normal_numbers
from snnsim.backends.crossbar.array_read.prepared_array import PreparedArray
from snnsim.backends.crossbar.cells import conductance_at, flicker, program
from snnsim.backends.crossbar.device.current_voltage import RelativePolynomial
from snnsim.backends.crossbar.device.curves import ClippedLogarithm, Polynomial, Table
from snnsim.backends.crossbar.device.drift import LogarithmicDrift, PowerLawDrift
from snnsim.backends.crossbar.wires.currents import exact_currents, solve_wires
from snnsim.errors import DataError, ParameterError

DT = 1e-3
PLAIN = Device("plain", 1.0, 33.0)


# -- cells ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, 5.0),
        (0.999999, 5.0),
        (1.0, 5.0 + 0.4 * 1.5),  # ln 1 = 0: only the spread
        (1.2, 5.0 - 0.5 * math.log(1.2) + (0.1 * math.log(1.2) + 0.4) * 1.5),
        (math.e**4, 5.0 - 0.5 * 4 + (0.1 * 4 + 0.4) * 1.5),
        (math.e**40, 0.0),  # 5 - 20 + 6.6, cut at zero
    ],
)
def test_logarithmic_drift_begins_at_one_second_and_ends_at_zero(seconds, expected):
    drift = LogarithmicDrift(-0.5, 0.1, 0.4)
    found = drift.drifted(np.full((1, 1), 5.0), np.full((1, 1), 1.5), np.asarray(seconds))
    assert found[0, 0] == pytest.approx(expected, rel=1e-14, abs=0)


def test_an_exponent_is_the_size_of_a_normal_number():
    drift = PowerLawDrift(Polynomial((0.06,)), Polynomial((0.1,)), 20.0)
    found = drift.exponents(np.full((1, 4), 5.0), np.array([[-2.0, -0.6, 0.0, 1.0]]))
    np.testing.assert_allclose(found, [[0.14, 0.0, 0.06, 0.16]], rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize(
    ("seconds", "factor"),
    # (t + 4 + 2) / 4: below one there is nothing yet.
    [(-0.0, math.sqrt(math.log(1.5))), (2.0, math.sqrt(math.log(2.0))), (34.0, math.sqrt(math.log(10.0)))],
)
def test_read_noise_grows_from_two_read_times_on(seconds, factor):
    noise = ReadNoise(Polynomial((0.5,)), relative=False, read_time=2.0, reference_time=4.0)
    assert noise.sigma(np.full((1, 1), 8.0), seconds)[0, 0] == pytest.approx(0.5 * factor, rel=1e-14)
    young = dataclasses.replace(noise, reference_time=0.0)
    assert young.sigma(np.full((1, 1), 8.0), 1.9)[0, 0] == 0.0
    assert young.sigma(np.full((1, 1), 8.0), 2.0)[0, 0] == 0.0


def test_read_noise_is_of_the_state_that_it_says():
    curve = Table((0.0, 10.0), (0.0, 1.0))
    now, then = np.full((1, 1), 4.0), np.full((1, 1), 8.0)
    for state, relative, expected in (
        ("now", False, 0.4),
        ("programmed", False, 0.8),
        ("now", True, 0.4 * 4.0),
        ("programmed", True, 0.8 * 4.0),
    ):
        assert ReadNoise(curve, relative, state).sigma(now, 0.0, then)[0, 0] == pytest.approx(expected, rel=1e-14)
        assert ReadNoise(curve, relative, state).sigma(now)[0, 0] == pytest.approx(0.4 if not relative else 1.6)


@pytest.mark.parametrize("drift", [LogarithmicDrift(-0.5, 0.1, 0.4), PowerLawDrift(*[Polynomial((0.1,))] * 2, 20.0)])
def test_stuck_cells_and_cells_never_programmed_do_not_drift(drift):
    device = Device("d", 1.0, 33.0, stuck_on=0.2, stuck_off=0.2, drift=drift)
    targets = np.full((40, 50), 20.0)
    targets[:, ::5] = np.nan
    state = program(device, targets, seed=1, tile=0)
    late = conductance_at(device, state, 1e6)
    still = (state.stuck != 0) | np.isnan(targets)
    assert np.array_equal(late[still], state.conductance[still])
    assert (late[~still] != state.conductance[~still]).all()
    assert {float(value) for value in np.unique(late[still])} == {1.0, 33.0}
    assert np.array_equal(conductance_at(device, state, 0.0), state.conductance)


def test_the_loop_aims_at_up_to_twice_the_range():
    device = Device("weak", 0.0, 50.0, spread=0.4, verify=WriteVerify(1e-3, 60, correction=1.0))
    state = program(device, np.full((100, 100), 50.0), seed=0, tile=0)
    reachable = state.gain > 0.51
    assert 0.02 < (state.gain < 0.49).mean() < 0.2
    np.testing.assert_allclose(state.conductance[reachable & (state.gain < 1.5)], 50.0, atol=1e-3)
    weak = state.gain < 0.49
    np.testing.assert_allclose(state.conductance[weak], 2 * 50.0 * state.gain[weak], rtol=1e-12)


def test_a_model_of_current_holds_at_its_highest_voltage():
    model = RelativePolynomial((0.0, 2.0), 0.5)
    for voltage in (0.5, -0.5):
        assert model.current(np.full(1, 4.0), voltage)[0] == pytest.approx(4.0 * (voltage + 2.0 * voltage**3))
    for voltage in (0.5000001, 0.0, -0.5000001, math.nan):
        with pytest.raises(ParameterError, match="voltage="):
            model.current(np.full(1, 4.0), voltage)


def test_a_curve_changes_at_its_split():
    curve = ClippedLogarithm(1.0, 5.0, 0.0, 9.0, reference=10.0, split=0.5, beyond=(1.0, 2.0))
    found = curve(np.array([np.nextafter(5.0, 0.0), 5.0, 6.0]))
    np.testing.assert_allclose(found, [5.0 + math.log(0.5), 1.0 + 2.0 * 0.5, 1.0 + 2.0 * 0.6], rtol=1e-12)


def test_rows_of_flicker_are_as_many_as_the_cells(tmp_path):
    device = Device("f", 1.0, 33.0, flicker=Flicker(0.1))
    given = np.full((2, 2), 10.0)
    for rows in (np.zeros(3, int), np.zeros(1, int), np.zeros((2, 2), int), np.zeros(2), "ab", [[1], [2, 3]]):
        with pytest.raises((ParameterError, DataError), match="rows"):
            flicker(device, given, seed=0, tile=0, tick=0, rows=rows)
    whole = flicker(device, np.full((5, 2), 10.0), seed=0, tile=0, tick=3)
    assert np.array_equal(flicker(device, given, seed=0, tile=0, tick=3, rows=np.array([4, 1])), whole[[4, 1]])


def test_what_a_row_takes_follows_its_age():
    chip = Chip(ChipConfig(pcm().only("drift")))
    chip.program(0, np.full((3, 4), 20.0))
    assert chip.row_power(0) == pytest.approx(np.full(3, 4 * 20e-6 * 0.2**2), rel=1e-12, abs=0)
    chip.age(86400.0)
    assert chip.row_power(0) == pytest.approx(chip.conductances(0).sum(1) * 1e-6 * 0.2**2, rel=1e-12, abs=0)
    assert (chip.row_power(0) < 0.9 * 4 * 20e-6 * 0.2**2).all()


# -- reads ------------------------------------------------------------------------------------------------


def test_a_correction_takes_the_offset_before_the_gain():
    converters = Converters(8, 127.0, [3.0], [0.5], correction_offset=[3.0], correction_gain=[0.5])
    assert converters.convert([[20.0]])[0, 0] == pytest.approx((np.rint(20.0 * 0.5 + 3.0) - 3.0) / 0.5)
    assert converters.convert([[0.0]])[0, 0] == 0.0
    assert converters.output_shift[0] == pytest.approx(-6.0)


@pytest.mark.parametrize("count", [64, 65, 100, 129])
def test_rows_named_many_times_are_added_as_often_and_no_more(count):
    random = np.random.default_rng(0)
    mean, variance = random.normal(size=(32, 5)), np.full((32, 5), 1e-20)
    rows = random.integers(0, 32, count)
    # What lies behind a vector's rows are those of the next one, which must not count.
    offsets, listed = np.array([0, count, count + 40]), np.concatenate([rows, np.full(40, 31)])
    fast = PreparedArray(mean, variance, precision="fast").read(offsets, listed, np.array([1, 2], np.uint64))[0]
    np.testing.assert_allclose(fast, [mean[rows].sum(0), 40 * mean[31]], atol=1e-5 * count)


def test_variances_are_kept_to_half_of_their_sixteen_bits():
    random = np.random.default_rng(1)
    variance = np.sort(random.uniform(0.0, 1.0, (1, 512)))[:, ::-1].copy()
    key = np.array([77], np.uint64)
    array = PreparedArray(np.zeros((1, 512)), variance, precision="fast")
    found = array.read(np.array([0, 1]), np.array([0]), key)[0][0].astype(float)
    drawn = normal_numbers(key, 512)[0].astype(float)
    sure = np.abs(drawn) > 0.5
    error = np.abs((found[sure] / drawn[sure]) ** 2 - variance[0, sure])
    assert error.max() < 0.5001 / 65534 + 1e-6
    assert error.max() > 0.4 / 65534


def test_the_fast_precision_ends_where_sums_would_not_fit():
    for rows, good in ((2**15, True), (2**15 + 1, False)):
        mean, variance = np.ones((rows, 1)), np.ones((rows, 1))
        assert PreparedArray(mean, variance).precision == ("fast" if good else "exact")
        read = lambda array, rows=rows: array.read(np.array([0, rows]), np.arange(rows), np.array([5], np.uint64))  # noqa: E731
        exact = read(PreparedArray(mean, variance, precision="exact"))[0]
        if good:
            np.testing.assert_allclose(read(PreparedArray(mean, variance, precision="fast"))[0], exact, rtol=1e-5)
        else:
            with pytest.raises(ParameterError, match="at most 32768 rows"):
                PreparedArray(mean, variance, precision="fast")


def test_moments_of_recordings_are_two_to_the_24_ticks_apart():
    assert moment(1, 0) == moment(0, 2**24)
    assert moment(0, 2**24 - 1) < moment(1, 0) < moment(1, 1)
    apart = {int(moment(recording, tick)) for recording in range(50) for tick in range(0, 2**24, 2**20)}
    assert len(apart) == 50 * 16
    assert moment(0, 1) - moment(0, 0) == 2**20  # reads within a tick


def test_the_iteration_takes_few_steps_where_columns_drop_most_of_the_voltage():
    conductance = np.random.default_rng(0).uniform(5.0, 25.0, (128, 64))
    for ohm, most in ((10.0, 3), (1e3, 24), (1e4, 70)):
        found = solve_wires(conductance, [0, 128], np.arange(128), 0.2, Wires(ohm, ohm), tolerance=1e-4)
        assert 0 < found.steps[0] <= most
        exact = exact_currents(conductance, [0, 128], np.arange(128), 0.2, Wires(ohm, ohm))
        np.testing.assert_allclose(found.currents, exact, rtol=1e-4)


# -- mapping ----------------------------------------------------------------------------------------------


def network(weights, neuron=None, **more):
    neuron = neuron or LI(20e-3)
    return Network(
        [Population("in", weights.shape[0], Input()), Population("out", weights.shape[1], neuron)],
        [Projection("in", "out", Dense(weights), **more)],
        dt=DT,
    )


def test_weights_of_one_slice_of_few_bits_are_rounded_on_an_ideal_chip_too():
    weights = np.array([[1.0, 0.4], [-0.2, 0.05]])
    sim = Simulation(network(weights), "crossbar", dtype="float64", chip=Chip(), mapping=Mapping(slice_bits=2))
    given = Events.from_dense(np.array([[[1, 0], [0, 1]]]), DT)
    found = sim.run_samples(given, record=Trace("out")).traces["out.membrane"][0]
    rounded = np.rint(np.abs(weights) * 3) / 3 * np.sign(weights)
    right = Simulation(network(rounded), "reference", dtype="float64").run_samples(given, record=Trace("out"))
    np.testing.assert_allclose(found, right.traces["out.membrane"][0], rtol=1e-12)
    assert not np.allclose(rounded, weights)


@pytest.mark.parametrize("convolution", [False, True])
def test_each_pulse_of_a_source_is_a_read_of_its_own(convolution):
    counts = np.array([[[3, 0, 1, 2], [0, 0, 0, 4]]])
    weights = np.random.default_rng(0).normal(size=(4, 3))
    net = network(weights)
    if convolution:
        net = Network(
            [Population("in", (1, 2, 2), Input()), Population("out", (3, 2, 2), LIF(5e-3))],
            [Projection("in", "out", Conv2d(np.random.default_rng(0).normal(size=(3, 1, 1, 1))))],
            dt=DT,
        )
    config = ChipConfig(PLAIN, wires=Wires(1.0, 1.0))  # which refuse a row that is on twice
    result = Simulation(net, "crossbar", chip=Chip(config)).run_samples(Events.from_dense(counts, DT))
    # A convolution reads each pixel by itself; a matrix reads all rows that have so many pulses together.
    assert result.chip.projections[0].reads == (3 + 1 + 2 + 4 if convolution else 3 + 4)
    assert result.chip.projections[0].active_rows == 10


@pytest.mark.parametrize("activity", [1e-6, 0.1, 1.0])
def test_a_range_holds_one_row_alone_and_all_rows_where_all_are_expected(activity):
    weights = np.array([[1.0, -0.5], [0.25, 0.5], [0.5, 0.5]])
    chip = Chip(ChipConfig(PLAIN, adc=ADC(8)))
    Simulation(network(weights), "crossbar", chip=chip, mapping=Mapping(activity=activity))
    current = weights * 32.0 * 0.2
    mean, sd = activity * current.sum(0), np.sqrt(activity * (1 - activity) * (current**2).sum(0))
    expected = max(np.abs(current).max(), (np.abs(mean) + 4 * sd).max())
    assert chip.tiles[0].full_scale == pytest.approx(expected, rel=1e-12)
    assert chip.tiles[0].full_scale >= 32.0 * 0.2


@pytest.mark.parametrize("rows", [1, 4, 40])
def test_a_tile_is_measured_with_at_least_one_row_at_a_time(rows):
    class Counting(Chip):
        rows = vectors = 0

        def read(self, tile, offsets, rows, keys=None):
            self.rows, self.vectors = self.rows + len(rows), self.vectors + len(offsets) - 1
            return super().read(tile, offsets, rows, keys)

    chip = Counting(ChipConfig(pcm()))
    Simulation(network(np.ones((rows, 3))), "crossbar", chip=chip, mapping=Mapping(compensate="tile"))
    assert chip.vectors == 64
    assert chip.rows / 64 == pytest.approx(max(1.0, 0.1 * rows), rel=0.3)


def test_what_nothing_comes_back_from_is_left_as_it_is():
    device = Device("gone", 1.0, 33.0, drift=PowerLawDrift(Polynomial((0.9,)), Polynomial((0.0,)), 1e-3), unusual=True)
    chip = Chip(ChipConfig(device))
    sim = Simulation(network(np.ones((20, 2))), "crossbar", chip=chip, mapping=Mapping(compensate="output"))
    assert sim.program.fabric.gains()[0] == pytest.approx(np.ones(2))
    stuck = Chip(ChipConfig(Device("broken", 1.0, 33.0, stuck_off=1.0)))
    sim = Simulation(network(np.ones((20, 2))), "crossbar", chip=stuck, mapping=Mapping(compensate="output"))
    assert np.array_equal(sim.program.fabric.gains()[0], np.ones(2))


@pytest.mark.parametrize("name", ["clip", "percentile"])
def test_a_share_is_no_percentile(name):
    with pytest.raises(ParameterError, match=rf"{name}=0\.995: a percentile, .* as a share it would be {name}=99\.5"):
        Mapping(**{name: 0.995})
    Mapping(**{name: 1.1})


def test_a_converter_whose_step_is_more_than_all_rows_give_is_refused():
    with pytest.raises(
        ParameterError, match=r"adc full_scale=1000000000\.0 uA: all codes would be 0, .* is it in nA\?"
    ):
        ChipConfig(PLAIN, adc=ADC(8, full_scale=1e9))
    ChipConfig(PLAIN, adc=ADC(8, full_scale=512 * 32 * 0.2))
    with pytest.raises(ParameterError, match=r"one cell alone gives up to 6\.4 uA; is it in mA, or A\?"):
        ChipConfig(PLAIN, adc=ADC(8, full_scale=5e-6))
    ChipConfig(PLAIN, adc=ADC(8, full_scale=0.0065))
    with pytest.raises(ParameterError, match=r"all 1 rows together give 6\.4"):
        ChipConfig(PLAIN, adc=ADC(2, full_scale=200.0), rows=1)
