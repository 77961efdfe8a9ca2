"""Normal random numbers from a key and a place, several at a time, without a call into a C library.

Bits come from Philox2x32 with ten rounds (Salmon, Moraes, Dror, Shaw 2011, doi:10.1145/2063384.2063405), whose key and
counter are the 64-bit key and a 32-bit place: nothing is kept from number to number. Two normal numbers are made of one
block of 64 bits (Box and Muller 1958, doi:10.1214/aoms/1177706645): 31 bits for the radius, which so ends at 6.66, and
32 for the angle. Logarithm, sine and cosine are polynomials in float32 with the coefficients of Cephes (Moshier 1992),
within 2e-7 of the exact normal number's scale; every step is an IEEE operation, so NumPy and Numba give the same bits,
whether they compute one number or eight at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Places that share their blocks: place i and place i + HALF of each group of 2 * HALF have one block.
HALF = 64

_MULTIPLIER, _WEYL = np.uint64(0xD256D193), np.uint64(0x9E3779B9)
_LOW_HALF, _S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10

_SHIFT, _ROOT_HALF, _MANTISSA = np.int32(0x3F800000 - 0x3F3504F3), np.int32(0x3F3504F3), np.int32(0x7FFFFF)
_ONE_BIT, _TWO_BITS, _S23, _S31 = np.uint32(1), np.uint32(2), np.int32(23), np.int32(31)
_EXPONENT = np.int32(127 + 31)
_SIGN = np.int32(-(2**31))
_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_LN2 = np.float32(0.6931471805599453)
_EIGHTH_TURN = np.float32(0.7853981633974483 / 2**31)
_L0, _L1, _L2 = np.float32(3.3333331174e-1), np.float32(-2.4999993993e-1), np.float32(2.0000714765e-1)
_L3, _L4, _L5 = np.float32(-1.6668057665e-1), np.float32(1.4249322787e-1), np.float32(-1.2420140846e-1)
_L6, _L7, _L8 = np.float32(1.1676998740e-1), np.float32(-1.1514610310e-1), np.float32(7.0376836292e-2)
_S0, _S1, _S2 = np.float32(-1.6666654611e-1), np.float32(8.3321608736e-3), np.float32(-1.9515295891e-4)
_C0, _C1, _C2 = np.float32(4.166664568298827e-2), np.float32(-1.388731625493765e-3), np.float32(2.443315711809948e-5)


def block(counter: Any, high: Any, low: Any) -> Any:
    """Return both words (uint64 below 2**32) of Philox2x32-10 for counter words ``(counter, high)`` and key ``low``."""
    x, y, key = counter, high, low
    for _ in range(_ROUNDS):
        product = x * _MULTIPLIER
        x = (product >> _S32) ^ key ^ y
        y = product & _LOW_HALF
        key = (key + _WEYL) & _LOW_HALF
    return x, y


def radius(word: Any) -> Any:
    """Return ``sqrt(-2 log u)`` (float32) for a uniform number u of the upper 31 bits of a uint32."""
    uniform = np.float32(np.int32(np.uint32(word >> _ONE_BIT))) + _HALF  # times 2**31
    shifted = np.int32(np.float32(uniform).view(np.int32) + _SHIFT)
    halvings = np.float32(np.int32(_EXPONENT - np.int32(shifted >> _S23)))
    f = np.int32(np.int32(shifted & _MANTISSA) + _ROOT_HALF).view(np.float32) - _ONE
    square = f * f
    tail = ((((((((_L8 * f + _L7) * f + _L6) * f + _L5) * f + _L4) * f + _L3) * f + _L2) * f + _L1) * f + _L0) * f
    minus_log = halvings * _LN2 - (f + (tail * square - _HALF * square))
    return np.sqrt(np.maximum(_TWO * minus_log, _ZERO))


def directions(word: Any) -> Any:
    """Return cosine and sine (float32) of an angle drawn from the circle by a uint32.

    Thirty bits are an angle in the quarter around zero. The two others exchange the results and turn both signs: the
    other three quarters.
    """
    x = np.float32(np.int32(np.uint32(word << _TWO_BITS))) * _EIGHTH_TURN
    square = x * x
    sine = np.float32(((_S2 * square + _S1) * square + _S0) * square * x + x).view(np.int32)
    cosine = np.float32(((_C2 * square + _C1) * square + _C0) * square * square - _HALF * square + _ONE).view(np.int32)
    sign = np.int32(np.int32(np.uint32(word << _ONE_BIT)) & _SIGN)
    changed = np.int32(np.int32(sine ^ cosine) & np.int32(np.int32(word) >> _S31)) ^ sign
    return np.int32(cosine ^ changed).view(np.float32), np.int32(sine ^ changed).view(np.float32)


def normal_numbers(keys: NDArray[np.uint64], count: int) -> NDArray[np.float32]:
    """Return the numbers of places ``0 ... count - 1`` of each key, of shape (keys, count): NumPy only, for checks."""
    keys = np.asarray(keys, np.uint64)[:, None]
    places = np.arange(count)
    counters = (places // (2 * HALF) * HALF + places % HALF).astype(np.uint64)[None, :]
    x, y = block(np.broadcast_to(counters, (keys.shape[0], count)), keys >> _S32, keys & _LOW_HALF)
    cosine, sine = directions(y.astype(np.uint32))
    chosen = np.where(places % (2 * HALF) < HALF, cosine, sine)
    return np.asarray(radius(x.astype(np.uint32)) * chosen, np.float32)
