"""Reads of a crossbar tile: the converters' transfer, and noise as if every cell had been drawn by itself."""

import itertools

import numpy as np
import pytest

from snnsim.backends.crossbar import ADC
from snnsim.backends.crossbar.array_read import normal_numbers
from snnsim.backends.crossbar.array_read.converter import Converters, range_for
from snnsim.backends.crossbar.array_read.kernels import draw
from snnsim.backends.crossbar.array_read.prepared_array import PreparedArray
from snnsim.backends.crossbar.array_read.sums import finish, read_every_cell, read_sums
from snnsim.errors import DataError, ParameterError

stats = pytest.importorskip("scipy.stats")

ROWS, OUTPUTS = 200, 150
RANDOM = np.random.default_rng(5)
MEAN = RANDOM.normal(size=(ROWS, OUTPUTS))
VARIANCE = RANDOM.random((ROWS, OUTPUTS)) * 0.02


def vectors(count, active, seed=0, rows=ROWS):
    """Return offsets, rows and keys of random vectors."""
    random = np.random.default_rng(seed)
    sizes = random.integers(0, 2 * active + 1, count)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    active_rows = [random.choice(rows, size, replace=False) for size in sizes]
    return offsets, np.concatenate([*active_rows, []]).astype(np.int64), random.integers(0, 2**64, count, np.uint64)


def dense(offsets, rows):
    x = np.zeros((offsets.size - 1, ROWS))
    np.add.at(x, (np.repeat(np.arange(offsets.size - 1), np.diff(offsets)), rows), 1.0)
    return x


def repeated(rows, count):
    """Return the same vector `count` times, with keys of its own each."""
    offsets = np.arange(count + 1) * len(rows)
    return offsets, np.tile(np.asarray(rows, np.int64), count), np.arange(count, dtype=np.uint64)


# Random numbers


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0), 0, (0xFF1DAE59, 0x6CD10DF2)),
        ((0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        ((0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_bits_are_the_published_ones_of_philox(counter, key, expected):
    found = normal_numbers.block(*(np.array([word], np.uint64) for word in (*counter, key)))
    assert tuple(int(word[0]) for word in found) == expected


def test_normal_numbers_compiled_and_by_numpy_have_the_same_bits():
    keys = RANDOM.integers(0, 2**64, 300, np.uint64)
    for columns in (1, 127, 128, 333):
        found = np.empty((keys.size, columns), np.float32)
        draw(keys, found)
        assert np.array_equal(found, normal_numbers.normal_numbers(keys, columns))


def test_normal_numbers_are_those_of_box_and_muller_to_float32():
    words = np.concatenate([RANDOM.integers(0, 2**32, 100_000), [0, 1, 2, 3, 2**31, 2**32 - 2, 2**32 - 1]])
    words = words.astype(np.uint32)
    size, (cosine, sine) = normal_numbers.radius(words), normal_numbers.directions(words)
    exact = np.sqrt(-2 * np.log(((words >> 1) + 0.5) / 2.0**31))
    # Near zero the uniform number has 24 bits left, which moves the radius by less than 2e-4.
    assert np.abs(size - exact)[exact > 0.1].max() < 2e-6
    assert np.abs(size - exact).max() < 4e-4
    assert size.max() == pytest.approx(6.66, abs=0.01)
    angle = ((words << np.uint32(2)).astype(np.int32)) * (np.pi / 4 / 2**31)
    flipped = np.where((words >> 30) & 1, -1.0, 1.0)
    expected = np.stack([np.cos(angle), np.sin(angle)]) * flipped
    expected = np.where(words >> 31, expected[::-1], expected)
    assert np.abs(np.stack([cosine, sine]) - expected).max() < 2e-7


def test_ten_million_normal_numbers_have_the_distribution_and_its_tails():
    keys = np.arange(20_000, dtype=np.uint64)  # one after the other: the worst that callers can do
    found = np.empty((keys.size, 512), np.float32)
    draw(keys, found)
    z = found.ravel().astype(np.float64)
    n = z.size
    assert abs(z.mean()) < 4.5 / np.sqrt(n)
    assert abs(z.var() - 1) < 4.5 * np.sqrt(2 / n)
    assert abs((z**3).mean()) < 4.5 * np.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 4.5 * np.sqrt(96 / n)
    assert stats.kstest(z[:1_000_000], "norm").pvalue > 1e-4
    edges = np.array([1.0, 2.0, 3.0, 4.0, 4.5, 5.0])
    for edge, chance in zip(edges, 2 * stats.norm.sf(edges), strict=True):
        assert abs(np.count_nonzero(np.abs(z) > edge) - n * chance) < 4.5 * np.sqrt(n * chance) + 1
    # The whole line in 200 equally likely parts.
    parts = np.histogram(z, stats.norm.ppf(np.linspace(0, 1, 201)))[0]
    assert stats.chisquare(parts).pvalue > 1e-4


def test_normal_numbers_of_neighbours_have_nothing_in_common():
    found = np.empty((20_000, 300), np.float32)
    draw(np.arange(found.shape[0], dtype=np.uint64), found)
    correlation = np.corrcoef(found, rowvar=False)[np.triu_indices(300, 1)]
    limit = 5.5 / np.sqrt(found.shape[0])
    assert np.abs(correlation).max() < limit  # columns, among them those that share bits
    squares = np.corrcoef(found**2, rowvar=False)[np.triu_indices(300, 1)]
    assert np.abs(squares).max() < 1.5 * limit
    z = found.astype(np.float64)
    for step in (1, 2, 64):  # keys
        assert abs((z[:-step] * z[step:]).mean()) < 4.5 / np.sqrt(z[step:].size)
    assert (
        np.abs(normal_numbers.normal_numbers(np.array([0, 2**32], np.uint64), 64)).sum(axis=1).std() > 0
    )  # upper half counts


# Converters


def test_converter_has_its_steps_and_saturates():
    adc = ADC(4).converters(7.0, 3)  # codes -7 to 7: a step is 1 uA
    currents = np.array([[0.0, 0.49, 0.51], [-0.51, 7.4, 7.6], [-7.4, -7.6, 1e9]])
    assert np.array_equal(adc.codes(currents), [[0, 0, 1], [-1, 7, 7], [-7, -7, 7]])
    assert (adc.saturated, adc.conversions) == (3, 9)
    assert np.array_equal(adc.step, [1.0, 1.0, 1.0])
    assert np.array_equal(adc.convert([0.5, 1.5, -2.5]), [0.0, 2.0, -2.0])  # halves to even: no bias


@pytest.mark.parametrize("bits", [4, 6, 8, 10])
def test_error_of_conversion_is_a_step_over_root_twelve_without_bias(bits):
    adc = ADC(bits).converters(3.0, 1)
    currents = np.random.default_rng(bits).uniform(-3.0, 3.0, 400_000)[:, None]
    error = adc.convert(currents) - currents
    step = 3.0 / (2 ** (bits - 1) - 1)
    assert error.std() == pytest.approx(step / np.sqrt(12), rel=0.01)
    assert abs(error.mean()) < 4.5 * step / np.sqrt(12 * currents.size)
    assert np.abs(error).max() <= step / 2 * (1 + 1e-12)
    assert adc.saturated == 0


def test_transfer_never_falls():
    adc = ADC(6, offset_spread=1.0, gain_spread=0.05).converters(2.0, 20, seed=3)
    codes = adc.codes(np.linspace(-2.5, 2.5, 5001)[:, None] * np.ones(20))
    assert (np.diff(codes, axis=0) >= 0).all()
    assert (codes[0] == -31).all()
    assert (codes[-1] == 31).all()


def test_offsets_and_gains_are_lasting_and_have_their_spread():
    kind = ADC(8, 5.0, offset_spread=0.7, gain_spread=0.02)
    one, again, other = (kind.converters(columns=20_000, seed=1, tile=tile) for tile in (0, 0, 1))
    assert np.array_equal(one.offset, again.offset)
    assert np.array_equal(one.gain, again.gain)
    assert not np.array_equal(one.gain, other.gain)
    assert one.offset.std() == pytest.approx(0.7, rel=0.03)
    assert abs(one.offset.mean()) < 0.02
    assert one.gain.std() == pytest.approx(0.02, rel=0.03)
    assert one.gain.mean() == pytest.approx(1.0, abs=1e-3)
    assert abs(np.corrcoef(one.offset, one.gain)[0, 1]) < 0.03
    assert np.array_equal(kind.converters(columns=100, seed=1).gain, one.gain[:100])


def test_calibration_takes_offset_and_gain_out():
    currents = np.random.default_rng(0).uniform(-4.0, 4.0, (4000, 30))
    raw = ADC(8, 5.0, offset_spread=2.0, gain_spread=0.03).converters(columns=30, seed=2)
    ideal = ADC(8, 5.0).converters(columns=30)
    errors = [
        (adc.convert(currents) - currents).std()
        for adc in (raw, raw.calibrated(256), raw.calibrated(64, 50, 1.0), ideal)
    ]
    assert errors[0] > 3 * errors[3]
    assert errors[1] < 1.15 * errors[3]
    assert errors[2] < 1.15 * errors[3]


def test_range_is_the_percentile_of_what_was_read():
    currents = np.random.default_rng(0).normal(size=100_000)
    assert range_for(currents, 99.0) == pytest.approx(2.5758, rel=0.02)
    assert range_for([0.0] * 5000 + [-3.0]) == 3.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ADC(1),
        lambda: ADC(30),
        lambda: ADC(8, -1.0),
        lambda: ADC(8, offset_spread=-0.1),
        lambda: ADC(8, gain_spread=np.nan),
        lambda: ADC(8).converters(columns=4),
        lambda: ADC(8).converters([1.0, 2.0], 3),
        lambda: ADC(8).converters(0.0, 3),
        lambda: Converters(8, 1.0, [0.0, 0.0], [1.0]),
        lambda: Converters(8, 1.0, [0.0], [-1.0]),
        lambda: ADC(8).converters(1.0, 3).codes(np.zeros((2, 4))),
        lambda: ADC(8).converters(1.0, 1).codes([np.nan]),
        lambda: range_for([]),
        lambda: range_for([0.0, 0.0]),
        lambda: range_for([1.0], 101.0),
    ],
)
def test_converters_refuse_what_makes_no_sense(wrong):
    with pytest.raises((ParameterError, DataError)):
        wrong()


# Reads


def test_without_noise_and_converters_sums_are_exact():
    offsets, rows, _ = vectors(50, 30)
    expected = dense(offsets, rows) @ MEAN
    scale = dense(offsets, rows) @ np.abs(MEAN) + 1e-300
    for found, saturated in (read_sums(MEAN, None, offsets, rows), PreparedArray(MEAN).read(offsets, rows)):
        assert found.dtype == np.float64
        assert (np.abs(found - expected) / scale).max() < 1e-12
        assert saturated == 0


def test_fast_reads_are_the_exact_ones_to_their_stated_error():
    offsets, rows, keys = vectors(300, 40)
    fast, exact = (PreparedArray(MEAN, VARIANCE, precision=name) for name in ("fast", "exact"))
    found, expected = fast.read(offsets, rows, keys)[0], exact.read(offsets, rows, keys)[0]
    assert found.dtype == np.float32
    active = np.diff(offsets)[:, None]
    spread = np.sqrt(dense(offsets, rows) @ VARIANCE)
    # Means: half a step each, and float32. Spread: each variance by a step, which is a share of the summed variance.
    of_mean = active * ROWS * 2.0**-32 * np.abs(MEAN).max() + 2.0**-22 * np.abs(expected)
    of_variance = 7 * active * VARIANCE.max() / 65534 / (2 * np.maximum(spread, 1e-9))
    assert (np.abs(found - expected) <= of_mean + of_variance + 1e-6 * spread).all()
    # One seed, without noise to speak of: the means alone.
    quiet = PreparedArray(MEAN, np.full_like(MEAN, 1e-20), precision="fast").read(offsets, rows, keys)[0]
    assert (np.abs(quiet - dense(offsets, rows) @ MEAN) <= of_mean + 1e-8).all()


def test_sums_of_few_rows_at_their_largest_do_not_run_over():
    for rows in range(1, 140):
        mean = np.full((rows, 2), 0.1 + rows / 7) * (1, -1)
        found = PreparedArray(mean, np.full((rows, 2), 1e-20), precision="fast").read(
            [0, rows], np.arange(rows), np.zeros(1, np.uint64)
        )[0]
        np.testing.assert_allclose(found[0], mean.sum(0), rtol=1e-6)


def test_small_variances_are_right_in_sums():
    variance = np.full((ROWS, OUTPUTS), 0.3 / 65534)  # a third of a step each
    variance[0, 0] = 1.0
    reads = PreparedArray(np.zeros((ROWS, OUTPUTS)), variance).read(*repeated(range(1, ROWS), 3000))[0]
    assert reads[:, 1:].var() == pytest.approx(199 * 0.3 / 65534, rel=0.03)


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_reads_have_the_distribution_of_draws_a_cell(precision):
    active = RANDOM.choice(ROWS, 12, replace=False)
    offsets, rows, keys = repeated(active, 4000)
    ours = PreparedArray(MEAN, VARIANCE, precision=precision).read(offsets, rows, keys)[0].astype(np.float64)
    every, _ = read_every_cell(MEAN, VARIANCE, offsets, rows, np.random.default_rng(1))
    for found in (ours, every):
        z = (found - MEAN[active].sum(axis=0)) / np.sqrt(VARIANCE[active].sum(axis=0))
        assert np.abs(z.mean(axis=0)).max() < 4.5 / np.sqrt(len(z))
        assert np.abs(z.var(axis=0) - 1).max() < 4.5 * np.sqrt(2 / len(z))
        assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
        between = np.corrcoef(z, rowvar=False)[np.triu_indices(OUTPUTS, 1)]
        assert np.abs(between).max() < 5.5 / np.sqrt(len(z))
        assert between.mean() == pytest.approx(0, abs=4.5 / np.sqrt(len(z) * len(between)))
    both = [stats.ks_2samp(ours[:, j], every[:, j]).pvalue for j in range(OUTPUTS)]
    assert min(both) > 1e-4 / OUTPUTS


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_codes_have_the_distribution_of_draws_a_cell(precision):
    offsets, rows, keys = repeated(RANDOM.choice(ROWS, 12, replace=False), 6000)
    adc = ADC(5, offset_spread=0.5, gain_spread=0.05).converters(4.0, OUTPUTS, seed=4)
    ours, saturated = PreparedArray(MEAN, VARIANCE, adc, precision=precision).read(offsets, rows, keys)
    every, also = read_every_cell(MEAN, VARIANCE, offsets, rows, np.random.default_rng(2), adc)
    assert np.abs(ours.mean(axis=0) - every.mean(axis=0)).max() < 5 * adc.step[0] * np.sqrt(2 / 6000)
    assert saturated == pytest.approx(also, abs=5 * np.sqrt(2 * also) + 5)
    assert saturated > 0
    assert np.allclose(ours / adc.step[0], np.rint(ours / adc.step[0]), atol=1e-4)


def test_noise_grows_with_the_root_of_active_rows():
    array = PreparedArray(MEAN, np.full_like(MEAN, 0.01))
    spreads = []
    for active in (1, 4, 16, 64, 144):
        found = array.read(*repeated(range(active), 1500))[0]
        spreads.append(found.std(axis=0).mean() / np.sqrt(active))
    assert np.allclose(spreads, 0.1, rtol=0.01)


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_no_active_rows_give_zero_without_noise(precision):
    found, _ = PreparedArray(MEAN, VARIANCE, precision=precision).read([0, 0], [], np.array([3], np.uint64))
    assert not found.any()


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_a_key_is_a_read(precision):
    array = PreparedArray(MEAN, VARIANCE, precision=precision)
    offsets, rows, keys = repeated(range(10), 2)
    found, _ = array.read(offsets, rows, keys)
    again, _ = array.read(offsets, rows, keys[::-1])
    assert (found[0] != found[1]).mean() > 0.99
    assert np.array_equal(found, again[::-1])


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_same_bits_for_any_grouping_order_and_number_of_threads(precision):
    adc = ADC(12, offset_spread=0.5, gain_spread=0.02).converters(9.0, OUTPUTS, seed=1)
    for converters in (None, adc):
        array = PreparedArray(MEAN, VARIANCE, converters, precision=precision)
        offsets, rows, keys = vectors(1500, 10)
        whole, saturated = array.read(offsets, rows, keys)
        for threads in (2, 3):
            shared, also = array.read(offsets, rows, keys, threads=threads)
            assert np.array_equal(shared, whole)
            assert also == saturated
        total = 0
        for low, high in ((0, 1), (1, 70), (70, 71), (71, 200), (200, 1500)):
            part, some = array.read(
                offsets[low : high + 1] - offsets[low], rows[offsets[low] : offsets[high]], keys[low:high]
            )
            assert np.array_equal(part, whole[low:high])
            total += some
        assert total == saturated
        if precision == "fast":  # sums of whole numbers: in any order of rows
            turned = np.concatenate([rows[a:b][::-1] for a, b in itertools.pairwise(offsets)])
            assert np.array_equal(array.read(offsets, turned, keys)[0], whole)


def test_function_and_prepared_array_are_the_same_read():
    adc = ADC(8, offset_spread=0.5).converters(6.0, OUTPUTS)
    offsets, rows, keys = vectors(40, 10)
    array = PreparedArray(MEAN, VARIANCE, adc, precision="exact")
    expected, saturated = array.read(offsets, rows, keys)
    found, also = read_sums(MEAN, VARIANCE, offsets, rows, keys, adc, threads=2)
    assert np.array_equal(found, expected)
    assert also == saturated
    currents = read_sums(MEAN, None, offsets, rows)[0]
    for finished in (finish(currents, VARIANCE, offsets, rows, keys, adc), array.finish(currents, offsets, rows, keys)):
        assert np.array_equal(finished[0], expected)
        assert finished[1] == saturated
    assert np.array_equal(finish(currents, None, offsets, rows)[0], currents)


def test_converters_alone_are_those_of_numpy():
    adc = ADC(8, offset_spread=0.5, gain_spread=0.05).converters(6.0, OUTPUTS).calibrated()
    offsets, rows, _ = vectors(100, 10)
    found, saturated = PreparedArray(MEAN, None, adc).read(offsets, rows)
    assert np.allclose(found, adc.convert(read_sums(MEAN, None, offsets, rows)[0]), rtol=1e-12)
    assert saturated == adc.saturated > 0


def test_rows_named_often_are_read_often():
    rows = np.tile(np.arange(ROWS), 30)  # more than 32 bits hold
    mean, variance = np.abs(MEAN) + 1.0, VARIANCE
    offsets, keys = np.array([0, rows.size]), np.array([9], np.uint64)
    fast, exact = (
        PreparedArray(mean, variance, precision=name).read(offsets, rows, keys)[0] for name in ("fast", "exact")
    )
    assert np.abs(fast - exact).max() < 1e-4 * np.sqrt(30 * variance.sum(axis=0)).max() + 1e-6 * exact.max()


@pytest.mark.parametrize("outputs", [1, 31, 128, 129, 300])
def test_any_number_of_outputs(outputs):
    random = np.random.default_rng(outputs)
    mean, variance = random.normal(size=(40, outputs)), random.random((40, outputs))
    adc = ADC(10).converters(20.0, outputs)
    offsets, rows, keys = vectors(30, 8, rows=40)
    fast, exact = (
        PreparedArray(mean, variance, adc, precision=name).read(offsets, rows, keys)[0] for name in ("fast", "exact")
    )
    assert (np.abs(fast - exact) > 1e-3).mean() < 5e-3  # where float32 falls on the other side of a half
    into = np.empty((30, outputs))
    assert PreparedArray(mean, variance, adc).read(offsets, rows, keys, out=into)[0] is into
    assert np.array_equal(into, fast)


def test_bad_input_is_refused_and_named():
    keys = np.array([1], np.uint64)
    nan = MEAN.copy()
    nan[3, 3] = np.nan
    for given, message in (
        (lambda: read_sums(nan, None, [0, 1], [0]), "mean"),
        (lambda: read_sums(MEAN[0], None, [0, 1], [0]), "mean"),
        (lambda: read_sums(MEAN, -VARIANCE, [0, 1], [0], keys), "variance"),
        (lambda: read_sums(MEAN, VARIANCE[1:], [0, 1], [0], keys), "variance"),
        (lambda: read_sums(MEAN, VARIANCE, [0, 1], [0]), "keys"),
        (lambda: read_sums(MEAN, None, [0, 1], [0], None, ADC(8).converters(1.0, 3)), "converters"),
        (lambda: finish(MEAN[:1], VARIANCE[:, 1:], [0, 1], [0], keys), "variance"),
        (lambda: finish(MEAN[:2], VARIANCE, [0, 1], [0], keys), "offsets"),
        (lambda: finish(nan, VARIANCE, [0, 1], [0], keys), "currents"),
        (lambda: PreparedArray(MEAN, precision="fast"), "precision"),
        (lambda: PreparedArray(MEAN, precision="best"), "precision"),
    ):
        with pytest.raises((DataError, ParameterError), match=message):
            given()
    for precision in ("fast", "exact"):
        array = PreparedArray(MEAN, VARIANCE, precision=precision)
        for offsets, rows, its_keys, message in (
            ([0, 1], [ROWS], keys, "rows_active"),
            ([0, 1], [-1], keys, "rows_active"),
            ([0, 1], [0.5], keys, "rows_active"),
            ([0, 2], [0], keys, "offsets"),
            ([1, 1], [0], keys, "offsets"),
            ([0, 2, 1], [0], np.array([1, 2], np.uint64), "offsets"),
            ([], [], keys, "offsets"),
            ([0, 1], [0], None, "keys"),
            ([0, 1], [0], np.array([1, 2], np.uint64), "keys"),
            ([0, 1], [0], np.array([1.0]), "keys"),
        ):
            with pytest.raises((DataError, ParameterError), match=message):
                array.read(offsets, rows, its_keys)
        for out in (np.empty((1, 3)), np.empty((1, OUTPUTS), np.int32), np.empty((1, 2 * OUTPUTS))[:, ::2]):
            with pytest.raises(DataError, match="out"):
                array.read([0, 1], [0], keys, out=out)
