"""Programming of crossbar cells: published values, what is lasting and what is new, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest

from snnsim.backends.crossbar import CellState, Device, ProgrammingNoise, ReadNoise, WriteVerify
from snnsim.backends.crossbar.cells import conductance_at, program, random_numbers, read_variance
from snnsim.backends.crossbar.device import presets
from snnsim.backends.crossbar.device.curves import Polynomial
from snnsim.backends.crossbar.device.read_noise import constant
from snnsim.errors import ParameterError
from snnsim.numerics import elementary, rng

HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0
SHAPE = (250, 400)  # 1e5 devices
#: g, sd of the error, mean and sd of the exponent, g/g(0) after 1 h, 1 d, 1 y, read sd / g after 0, 1 h, 1 d, 1 y.
PCM = [
    (25.0, 1.0554, 0.0490, 0.0080, (0.7751, 0.6635, 0.4969), (0.0368, 0.0419, 0.0448, 0.0496)),
    (12.5, 0.9527, 0.0490, 0.0080, (0.7751, 0.6635, 0.4969), (0.0578, 0.0658, 0.0702, 0.0778)),
    (5.0, 0.6096, 0.0493, 0.0142, (0.7737, 0.6616, 0.4945), (0.1048, 0.1194, 0.1274, 0.1412)),
    (2.5, 0.4482, 0.0601, 0.0229, (0.7317, 0.6047, 0.4242), (0.1645, 0.1873, 0.2000, 0.2216)),
    (1.0, 0.3402, 0.0743, 0.0343, (0.6796, 0.5369, 0.3464), (0.2983, 0.3398, 0.3627, 0.4020)),
]


def at(value: float, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.full(shape, value)


def cells_of(device: Device, target: float, **key: int) -> CellState:
    return program(device, at(target), **{"seed": 7, "tile": 0, **key})


@pytest.mark.parametrize(("g", "error", "mean", "deviation", "drifted", "reads"), PCM)
def test_pcm_has_the_published_statistics(g, error, mean, deviation, drifted, reads):
    device = presets.pcm()
    state = cells_of(device, g)
    assert np.std(state.conductance) == pytest.approx(error, rel=0.02)
    assert float(device.drift.mean(at(g))[0, 0]) == pytest.approx(mean, abs=5e-5)
    assert float(device.drift.deviation(at(g))[0, 0]) == pytest.approx(deviation, abs=5e-5)
    # |N(mean, sd)|: the moments of a folded normal number.
    z = mean / deviation
    folded = deviation * math.sqrt(2 / math.pi) * math.exp(-(z**2) / 2) + mean * math.erf(z / math.sqrt(2))
    assert np.mean(state.exponent) == pytest.approx(folded, rel=0.01)
    assert np.std(state.exponent) == pytest.approx(math.sqrt(mean**2 + deviation**2 - folded**2), rel=0.02)
    assert np.median(state.exponent) == pytest.approx(mean, rel=0.01)
    for seconds, ratio in zip((HOUR, DAY, YEAR), drifted, strict=True):
        now, some = conductance_at(device, state, seconds), state.conductance > 0
        assert np.median(now[some] / state.conductance[some]) == pytest.approx(ratio, rel=0.01)
    for seconds, relative in zip((0.0, HOUR, DAY, YEAR), reads, strict=True):
        sigma = np.sqrt(read_variance(device, at(g, (1, 1)), seconds))
        assert sigma[0, 0] / g == pytest.approx(relative, abs=6e-5)


@pytest.mark.parametrize(("seconds", "sigma"), [(1.0, 2.02), (DAY, 3.91), (2 * DAY, 3.93)])
def test_wan_rram_errs_by_the_published_values_at_20_microsiemens(seconds, sigma):
    error = cells_of(presets.reram_wan(seconds), 20.0).conductance - 20.0
    assert np.std(error) == pytest.approx(sigma, rel=0.01)
    assert abs(np.mean(error)) < 5 * sigma / math.sqrt(error.size)


@pytest.mark.parametrize(("g", "sigma"), [(4.0, 1.83), (20.0, 2.36), (39.26, 1.68)])
def test_the_cubic_fit_to_wan_rram_has_the_published_values(g, sigma):
    # The last value belongs to 39.26 uS, where the fit ends; at 40 uS its formula would give 1.71.
    found = presets.crosssim_rram_wan().programming.sigma(np.array([g]))
    assert found[0] == pytest.approx(sigma, abs=6e-3)
    # Cells of 4 uS lie 2.2 sd above zero: cutting them there takes some of the sd.
    assert np.std(cells_of(presets.crosssim_rram_wan(), g).conductance) == pytest.approx(sigma, rel=0.03)


def test_further_presets_have_the_values_of_their_formulas():
    sigma = {
        presets.hermes(2): (20.7, 0.16603222 + 4.71806468 - 8.48101252 + 4.68961419),
        presets.hermes(1): (10.35, 0.15781817 + 2.32443916 - 2.16310839 + 0.68841818),
        presets.reram_cmo(2.0): (50.0, 0.0112185391 + 0.01129027418 * 50),
        presets.reram_cmo(0.2): (50.0, 0.00081107 + 0.00106879 * 50),
        presets.state_independent(): (13.0, 0.2),
        presets.crosssim_pcm(): (10.0, -0.178767 + 0.7585724 + 0.28638599),
        presets.crosssim_rram(): (100.0, 4.782321 - 0.9107),
        presets.crosssim_sonos(): (1.763115, 0.1988665 * (1 - math.exp(-1))),
    }
    for device, (g, expected) in sigma.items():
        assert device.programming.sigma(np.array([g]))[0] == pytest.approx(expected, rel=1e-6), device.name
        assert np.std(cells_of(device, g).conductance) == pytest.approx(expected, rel=0.02), device.name
    mean, deviation = presets.hermes(2).drift.mean, presets.hermes(2).drift.deviation
    low, high = np.array([0.05 * 20.7]), np.array([0.5 * 20.7])
    assert mean(low)[0] == pytest.approx(-0.0387 * math.log(0.05) - 0.0182)
    assert mean(high)[0] == pytest.approx(0.0736 - 0.0063 - 0.0109)
    assert deviation(low)[0] == pytest.approx(-0.0117 * math.log(0.05) - 0.0057)
    assert deviation(high)[0] == pytest.approx(0.0073 + 0.00465 - 0.00295)
    read = presets.hermes(2).read_noise.sigma(high, 0.0)[0] / high[0]
    growth = math.sqrt(math.log((300 + 512e-9) / (2 * 512e-9)))
    assert read == pytest.approx((0.0123 + 0.01055 - 0.007 + 0.0069 / 8) * growth)


def test_stuck_cells_are_a_binomial_share_and_stay_where_they_are():
    device = dataclasses.replace(presets.pcm(), stuck_on=0.03, stuck_off=0.01, g_min=0.5)
    state = cells_of(device, 10.0)
    for sign, share, value in ((1, 0.03, 25.0), (-1, 0.01, 0.5)):
        stuck = state.stuck == sign
        deviation = math.sqrt(share * (1 - share) * stuck.size)
        assert abs(stuck.sum() - share * stuck.size) < 4 * deviation
        assert (state.conductance[stuck] == value).all()
        assert (conductance_at(device, state, YEAR)[stuck] == value).all()
        again = program(device, at(3.0), seed=7, tile=0, cycle=1, before=state)
        assert (again.conductance[stuck] == value).all()
        assert np.array_equal(again.stuck, state.stuck)


def test_levels_are_even_from_end_to_end():
    device = Device("four levels", 1.0, 7.0, levels=4)
    targets = np.array([[1.0, 1.9, 2.1, 5.0, 6.1, 7.0]])
    state = program(device, targets, seed=0, tile=0)
    assert state.conductance.tolist() == [[1.0, 1.0, 3.0, 5.0, 7.0, 7.0]]
    assert np.array_equal(state.target, targets)
    assert device.step == 2.0


def test_spread_is_a_lasting_gain():
    device = Device("spread", 0.0, 50.0, spread=0.05)
    state = cells_of(device, 20.0)
    assert np.array_equal(state.conductance, 20.0 * state.gain)
    assert np.std(state.gain) == pytest.approx(0.05, rel=0.02)
    assert np.mean(state.gain) == pytest.approx(1.0, abs=1e-3)
    assert np.array_equal(cells_of(device, 40.0, cycle=3).gain, state.gain)


def test_throwing_again_stops_as_chance_says():
    sigma, tolerance, most = 2.0, 1.0, 4
    device = Device(
        "loop", 0.0, 100.0, programming=ProgrammingNoise(constant(sigma)), verify=WriteVerify(tolerance, most, 0.0)
    )
    state = cells_of(device, 50.0)
    hit = math.erf(tolerance / sigma / math.sqrt(2))
    miss = 1 - hit
    off = np.abs(state.conductance - 50.0) > tolerance
    n = off.size
    assert off.mean() == pytest.approx(miss**most, abs=4 * math.sqrt(miss**most / n))
    assert (state.iterations[off] == most).all()
    for attempts in range(1, most):
        share = hit * miss ** (attempts - 1)
        assert (state.iterations == attempts).mean() == pytest.approx(share, abs=4 * math.sqrt(share / n))
    assert state.iterations.max() == most


def test_write_verify_takes_error_and_gain_away():
    open_loop = dataclasses.replace(presets.reram_wan(), spread=0.1)
    device = dataclasses.replace(open_loop, verify=WriteVerify(0.4, 30))
    before, after = cells_of(open_loop, 20.0), cells_of(device, 20.0)
    assert np.std(after.conductance) < np.std(before.conductance) / 5
    assert np.abs(after.conductance - 20.0).max() > 0.0
    done = after.iterations < 30
    assert done.mean() > 0.97
    assert (np.abs(after.conductance - 20.0)[done] <= 0.4).all()
    # Once is enough where the first throw lands.
    assert np.array_equal(after.conductance[after.iterations == 1], before.conductance[after.iterations == 1])


def test_write_verify_is_misled_by_read_noise_and_gives_up_on_stuck_cells():
    device = Device(
        "noisy loop",
        0.0,
        100.0,
        stuck_off=0.1,
        verify=WriteVerify(0.5, 6),
        read_noise=ReadNoise(constant(1.0), relative=False),
    )
    state = cells_of(device, 50.0)
    free = state.stuck == 0
    # Nothing was wrong with these cells but the reading of them.
    assert np.std(state.conductance[free]) > 0.1
    assert (state.iterations[~free] == 6).all()
    assert (state.conductance[~free] == 0.0).all()


def test_the_same_key_gives_the_same_cells_whatever_the_shape():
    device = dataclasses.replace(presets.pcm(), spread=0.1, stuck_on=0.05, verify=WriteVerify(0.5, 5))
    whole, part = program(device, at(5.0, (64, 96)), seed=3, tile=2), program(device, at(5.0, (9, 11)), seed=3, tile=2)
    for field in dataclasses.fields(CellState):
        one, other = getattr(whole, field.name), getattr(part, field.name)
        assert np.array_equal(one[:9, :11], other), field.name
    again = program(device, at(5.0, (64, 96)), seed=3, tile=2)
    assert np.array_equal(whole.conductance, again.conductance)


def test_tile_seed_and_cycle_change_what_they_should():
    device = dataclasses.replace(presets.pcm(), spread=0.1, stuck_on=0.05)
    first = cells_of(device, 5.0)
    for key in ({"seed": 8}, {"tile": 1}):
        other = cells_of(device, 5.0, **key)
        free = (first.stuck == 0) & (other.stuck == 0)
        assert not np.array_equal(first.stuck, other.stuck)
        assert abs(np.corrcoef(first.gain[free], other.gain[free])[0, 1]) < 0.015
        assert abs(np.corrcoef(first.conductance[free], other.conductance[free])[0, 1]) < 0.015
    second = cells_of(device, 5.0, cycle=1, before=first)
    assert np.array_equal(first.gain, second.gain)
    assert np.array_equal(first.stuck, second.stuck)
    free = first.stuck == 0
    noise = [(state.conductance - 5.0 * state.gain)[free] for state in (first, second)]
    assert abs(np.corrcoef(*noise)[0, 1]) < 0.015
    assert abs(np.corrcoef(first.exponent[free], second.exponent[free])[0, 1]) < 0.015


def test_nan_leaves_a_cell_alone():
    device = dataclasses.replace(presets.pcm(), spread=0.1, stuck_on=0.1, g_min=0.25)
    targets = at(5.0, (40, 50))
    targets[::2] = np.nan
    state = program(device, targets, seed=1, tile=0)
    never = state.stuck[::2] == 0
    assert (state.conductance[::2][never] == 0.25).all()
    assert (state.conductance[::2][~never] == 25.0).all()
    assert np.isnan(state.target[::2]).all()
    assert (state.iterations[::2] == 0).all()
    assert np.array_equal(conductance_at(device, state, YEAR)[::2], state.conductance[::2])
    # The others are what they are in a tile that is programmed whole.
    whole = program(device, at(5.0, (40, 50)), seed=1, tile=0)
    assert np.array_equal(state.conductance[1::2], whole.conductance[1::2])
    assert np.array_equal(state.exponent[1::2], whole.exponent[1::2])
    kept = {field.name: getattr(state, field.name).copy() for field in dataclasses.fields(CellState)}
    other = program(device, np.where(np.isnan(targets), 9.0, np.nan), seed=1, tile=0, cycle=1, before=state)
    for name, value in kept.items():
        assert np.array_equal(getattr(state, name), value, equal_nan=True), "the cells before were changed"
        assert np.array_equal(getattr(other, name)[1::2], value[1::2], equal_nan=True), name
    assert (other.target[::2] == 9.0).all()


def test_draws_are_those_of_the_plain_formula():
    cells, key = random_numbers.cell_numbers(np.array([0, 5, 511]), 7), random_numbers.purpose_key(3, "twin", 4)
    assert cells[1, 6] == (5 << 32) + 6
    with np.errstate(over="ignore"):
        bits = [rng.mix(key + (np.uint64(2) * cells + np.uint64(k)) * rng.GOLDEN + rng.GOLDEN) for k in (0, 1)]
        one = rng.mix(key + cells * rng.GOLDEN + rng.GOLDEN)
    first, second = ((word >> np.uint64(11)) * 2.0**-53 for word in bits)
    twin = np.sqrt(-2.0 * elementary.log(1.0 - first)) * elementary.cosine_of_turns(second)
    assert np.allclose(random_numbers.normal(key, cells), twin, rtol=1e-14, atol=0)
    assert np.array_equal(random_numbers.uniform(key, cells), (one >> np.uint64(11)) * 2.0**-53)


def test_drawn_numbers_are_normal_and_independent():
    number = random_numbers.normal(random_numbers.purpose_key(0, "test"), random_numbers.cell_numbers(500, 400))
    assert abs(number.mean()) < 4 / math.sqrt(number.size)
    assert np.mean(number**2) == pytest.approx(1.0, abs=0.015)
    assert np.mean(number**4) == pytest.approx(3.0, abs=0.1)
    for other in (number[:, 1:] * number[:, :-1], number[1:] * number[:-1]):
        assert abs(other.mean()) < 4 / math.sqrt(number.size)


def test_read_noise_depends_on_the_programmed_conductance_and_drift_on_the_target():
    device = presets.pcm()
    now, programmed = np.array([[5.0]]), np.array([[20.0]])
    expected = 5.0 * 0.0088 / 0.8**0.65 * math.sqrt(math.log((HOUR + 20 + 250e-9) / 500e-9))
    assert math.sqrt(read_variance(device, now, HOUR, programmed)[0, 0]) == pytest.approx(expected, rel=1e-12)
    assert read_variance(device, now, HOUR)[0, 0] > expected**2
    # Of cells of one target, those that came out high have neither other exponents nor other errors.
    state = cells_of(device, 5.0)
    assert abs(np.corrcoef(state.conductance.ravel(), state.exponent.ravel())[0, 1]) < 0.015


def test_errors_are_in_microsiemens_not_relative():
    # Range and error scale together.
    one, two = cells_of(presets.pcm(), 5.0), cells_of(presets.pcm(50.0), 10.0)
    assert np.allclose(two.conductance, 2 * one.conductance, rtol=1e-12)


def test_cutting_at_zero_biases_small_conductances():
    state = cells_of(presets.pcm(), 0.0)
    assert state.conductance.mean() == pytest.approx(0.2635 / math.sqrt(2 * math.pi), rel=0.02)
    assert state.conductance.min() == 0.0
    assert (state.conductance == 0.0).mean() == pytest.approx(0.5, abs=0.01)


def test_a_weight_of_zero_has_noise_on_both_cells():
    state = cells_of(presets.reram_wan(), 0.0)
    plus, minus = state.conductance[:, 0::2], state.conductance[:, 1::2]
    for cells in (plus, minus):
        assert np.mean(cells**2) == pytest.approx(0.348**2 / 2, rel=0.03)
    assert abs(np.corrcoef(plus.ravel(), minus.ravel())[0, 1]) < 0.02
    assert abs(np.mean(plus - minus)) < 0.005


def test_a_noise_model_of_ones_own():
    noise = ProgrammingNoise(Polynomial((0.0, 0.1)), offset=Polynomial((0.5,)))
    state = cells_of(Device("own", 0.0, 50.0, programming=noise), 30.0)
    assert np.mean(state.conductance) == pytest.approx(30.5, abs=0.04)
    assert np.std(state.conductance) == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (np.full((2, 3), 25.1), r"targets\[0, 0\]=25\.1.*g_max=25"),
        (np.array([[1.0, -0.5]]), r"targets\[0, 1\]=-0\.5.*g_min=0"),
        (np.array([[np.inf]]), r"targets\[0, 0\]=inf"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
    ],
)
def test_bad_targets_are_refused(targets, words):
    with pytest.raises(ParameterError, match=words):
        program(presets.pcm(), targets, seed=0, tile=0)


def test_other_bad_arguments_are_refused():
    device = presets.pcm()
    state = program(device, at(1.0, (2, 2)), seed=0, tile=0)
    with pytest.raises(ParameterError, match=r"before.*\(2, 2\).*\(3, 2\)"):
        program(device, at(1.0, (3, 2)), seed=0, tile=0, before=state)
    with pytest.raises(ParameterError, match="tile=-1"):
        program(device, at(1.0, (2, 2)), seed=0, tile=-1)
    with pytest.raises(ParameterError, match=r"cycle=0\.5"):
        program(device, at(1.0, (2, 2)), seed=0, tile=0, cycle=0.5)
    with pytest.raises(ParameterError, match="seconds=-1"):
        conductance_at(device, state, -1.0)
    with pytest.raises(ParameterError, match=r"seconds of shape \(3,\)"):
        conductance_at(device, state, np.zeros(3))
    with pytest.raises(ParameterError, match="seconds=nan"):
        read_variance(device, state.conductance, float("nan"))


def test_rounding_outside_the_range_is_forgiven():
    device = presets.ideal(64.0)
    state = program(device, np.array([[64.0 * (1 + 1e-13), -1e-15]]), seed=0, tile=0)
    assert state.conductance.tolist() == [[64.0, 0.0]]
