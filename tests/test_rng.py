"""Random numbers as a function of a key: published values, distribution, independence of evaluation."""

import numpy as np
import pytest

from snnsim.numerics import rng

N = 200_000
MASK = 2**64 - 1


def test_mix_is_the_finaliser_of_splitmix64():
    """The generator of Vigna's splitmix64.c with state 0: the first outputs are published test values."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([golden * k & MASK for k in (1, 2, 3)], np.uint64)
    with np.errstate(over="ignore"):
        assert rng.mix(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_bits_in_plain_integers():
    """The same key mixed with Python's unbounded integers."""

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)

    golden = 0x9E3779B97F4A7C15
    key = mix((12345 + golden) & MASK)
    for part in (77, 9, 2**33):
        key = mix((key + part * golden + golden) & MASK)
    assert int(rng.bits(12345, 77, 9, 2**33)) == key


def test_numbers_do_not_depend_on_how_they_are_asked_for():
    whole = rng.uniform(1, 2, np.arange(50)[:, None], np.arange(30)[None, :])
    assert whole.shape == (50, 30)
    assert np.array_equal(whole[7], rng.uniform(1, 2, 7, np.arange(30)))
    assert np.array_equal(whole[10:20, 5], rng.uniform(1, 2, np.arange(10, 20), 5))


def test_uniform_numbers_fill_the_unit_interval_evenly():
    numbers = rng.uniform(3, 4, np.arange(N))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=100, range=(0, 1))[0]
    chi_squared = np.sum((counts - N / 100) ** 2 / (N / 100))
    assert 55 < chi_squared < 155  # 99 degrees of freedom; outside with probability below 1e-3
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 5 / np.sqrt(N)


def test_normal_numbers_have_the_moments_of_a_normal_distribution():
    from scipy import stats

    numbers = rng.normal(5, 6, np.arange(N))
    assert stats.kstest(numbers, "norm").pvalue > 1e-3


@pytest.mark.parametrize("changed", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_each_part_of_the_key_matters(changed):
    seed, stream, element, tick = changed
    first = rng.uniform(11, 12, np.arange(N) * 2, 14)
    second = rng.uniform(11 + seed, 12 + stream, np.arange(N) * 2 + element, 14 + tick)
    assert not np.any(first == second)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(N)


def test_every_bit_flips_half_of_the_time():
    numbers = rng.bits(0, 0, np.arange(20_000))
    ones = np.unpackbits(numbers.view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert np.all(np.abs(ones - 0.5) < 5 * 0.5 / np.sqrt(20_000))


def test_permutation_is_one_and_all_places_are_equally_likely():
    orders = np.array([rng.permutation(seed, 0, 6) for seed in range(3000)])
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(6), (3000, 1)))
    counts = np.stack([np.bincount(orders[:, place], minlength=6) for place in range(6)])
    assert np.all(np.abs(counts - 500) < 5 * np.sqrt(500))


def test_streams_have_the_same_number_on_every_machine():
    assert rng.stream_number("check") != rng.stream_number("kcehc")
    assert rng.stream_number("123456789") == 0xCBF43926  # the check value in every table of CRCs
