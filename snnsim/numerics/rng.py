"""Counter-based random numbers: a pure function of (seed, stream, element, tick).

There is no generator state, so a number does not depend on the order of evaluation, on threads or on
ranks. The mixing function is the 64-bit finaliser of splitmix64 (Steele, Lea, Flood 2014,
doi:10.1145/2660193.2660195) applied after each part of the key. The arithmetic is written once for
NumPy arrays and for Numba.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.numerics import elementary

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53


def mix(x: Any) -> Any:
    """Scramble 64 bits (a bijection)."""
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


def stream_number(*names: object) -> int:
    """Return the number of the stream of that name; equal names give equal streams on every machine."""
    return zlib.crc32("/".join(str(name) for name in names).encode())


def bits(seed: int, stream: int, element: Any, tick: Any = 0) -> NDArray[np.uint64]:
    """Return 64 random bits for each (element, tick); both broadcast."""
    with np.errstate(over="ignore"):
        key = element_keys(seed, stream, element)
        result = mix(key + np.asarray(tick).astype(np.uint64) * GOLDEN + GOLDEN)
    return np.asarray(result, np.uint64)


def seed_key(seed: int) -> np.uint64:
    """Return what `bits` has mixed once it has seen the seed; kernels start from here."""
    with np.errstate(over="ignore"):
        return np.uint64(mix(np.uint64(seed % 2**64) + GOLDEN))


def stream_key(key: np.uint64, stream: int) -> np.uint64:
    """Return what `bits` has mixed once it has seen seed and stream."""
    with np.errstate(over="ignore"):
        return np.uint64(mix(key + np.uint64(stream % 2**64) * GOLDEN + GOLDEN))


def named_key(seed: int, *names: object) -> np.uint64:
    """Return `stream_key` of the stream of that name; kernels start from here."""
    return stream_key(seed_key(seed), stream_number(*names))


def element_keys(seed: int, stream: int, element: Any) -> NDArray[np.uint64]:
    """Return what `bits` has mixed once it has seen all but the tick."""
    with np.errstate(over="ignore"):
        key = stream_key(seed_key(seed), stream)
        return np.asarray(mix(key + np.asarray(element).astype(np.uint64) * GOLDEN + GOLDEN))


def uniform(seed: int, stream: int, element: Any, tick: Any = 0) -> NDArray[np.float64]:
    """Return numbers in [0, 1) with 53 random bits each."""
    return (bits(seed, stream, element, tick) >> _S11).astype(np.float64) * _TO_UNIT


def normal(seed: int, stream: int, element: Any, tick: Any = 0) -> NDArray[np.float64]:
    """Return standard normal numbers (Box and Muller 1958, doi:10.1214/aoms/1177706645).

    The number of a tick is made of the uniform numbers of ticks ``2 * tick`` and ``2 * tick + 1``.
    """
    first = 2 * np.asarray(tick)
    radius = np.sqrt(-2.0 * elementary.log(1.0 - uniform(seed, stream, element, first)))
    return np.asarray(radius * elementary.cosine_of_turns(uniform(seed, stream, element, first + 1)))


def log_normal(normal: Any, sd: float, exp: Callable[[Any], Any] = elementary.exp) -> NDArray[np.float64]:
    """Return log-normal numbers, above zero, of mean 1 and standard deviation `sd`, from standard normal ones.

    `exp` is whoever computes the exponential: `elementary.exp`, or the same compiled.
    """
    variance = elementary.log_one_plus(sd * sd)  # of the logarithm
    exponent = math.sqrt(variance) * normal
    exponent -= 0.5 * variance
    return np.asarray(exp(exponent))


def permutation(seed: int, stream: int, n: int, tick: int = 0) -> NDArray[np.int64]:
    """Return a random order of ``0 ... n - 1``."""
    return np.argsort(bits(seed, stream, np.arange(n), tick), kind="stable")
