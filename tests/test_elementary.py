"""Elementary functions: as good as those of the C library, and the same bits compiled and on arrays."""

import numba
import numpy as np
import pytest

from snnsim.numerics import elementary

U = np.random.default_rng(0).random(200_000)
CASES = {
    "log": (np.concatenate([U, 1 - U, 2.0**-53 * (1 + U), U * 1e300, [1.0, 2.0**-53, 2.0**-1022]]), np.log),
    "exp": (np.concatenate([(U - 0.5) * 1400, U - 0.5, [0.0, -0.0, 700.0, -700.0]]), np.exp),
    "cosine_of_turns": (np.concatenate([U, [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1 - 2.0**-53]]), None),
}


@pytest.mark.parametrize("name", ["log", "exp"])
def test_within_two_units_in_the_last_place_of_numpy(name):
    x, exact = CASES[name]
    x = x[x > 0] if name == "log" else x
    expected = exact(x)
    error = np.abs(getattr(elementary, name)(x) - expected) / np.spacing(np.abs(expected))
    assert error.max() <= 2


def test_cosine_of_turns_is_the_cosine():
    turns = CASES["cosine_of_turns"][0]
    # np.cos of an angle that was rounded: half a unit of 2 π away at most.
    assert np.abs(elementary.cosine_of_turns(turns) - np.cos(2 * np.pi * turns)).max() < 1e-15
    quarters = elementary.cosine_of_turns(np.array([0.0, 0.25, 0.5, 0.75]))
    assert quarters.tolist() == [1, 0, -1, 0]
    eighths = elementary.cosine_of_turns(np.arange(1, 8, 2) / 8)
    assert np.abs(eighths) == pytest.approx(np.sqrt(0.5), rel=2e-16)


@pytest.mark.parametrize("name", CASES)
def test_compiled_alone_and_on_arrays_are_the_same_bits(name):
    function, (x, _) = getattr(elementary, name), CASES[name]
    x = np.abs(x) if name == "log" else x
    x = x[x > 0] if name == "log" else x
    compiled = numba.njit(function, error_model="numpy")

    @numba.njit(error_model="numpy")
    def fill(values, out):
        for i in range(values.size):
            out[i] = compiled(values[i])

    out = np.empty_like(x)
    fill(x, out)
    assert np.array_equal(out.view(np.int64), function(x).view(np.int64))
    assert np.array_equal(out[:50], [function(value) for value in x[:50]])


def test_exp_is_limited_where_float64_ends():
    assert np.all(np.isfinite(elementary.exp(np.array([1e4, -1e4]))))
    assert elementary.exp(np.array([-1e4]))[0] < 1e-300


@pytest.mark.parametrize("x", [1e-300, 1e-18, 1e-9, 0.3, 5.0, 1e10, -1e-18, -0.1, -0.97, -1 + 1e-16, 0.0])
def test_log_one_plus_keeps_what_is_small(x):
    assert elementary.log_one_plus(x) == pytest.approx(np.log1p(x), rel=5e-16)
