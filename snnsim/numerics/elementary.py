"""Logarithm, exponential and cosine from + - * / and bits alone: the same bits on every machine.

The functions of a C library, and NumPy's own, differ in the last place from one version to the next, and with them
would the networks that are drawn from one seed. These are the polynomials of fdlibm (Sun Microsystems 1993), within
about one unit in the last place, written without branches: so they run on NumPy arrays, are compiled by Numba, and
compute several numbers at a time in both. Numbers that are not finite are not treated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_EXP = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_COS = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)
_SIN = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
_LOG2_E = 1.44269504088896338700
_HALF_PI = 1.57079632679489661923
# Mantissas from sqrt(1/2) to sqrt(2): `_SHIFT` carries the upper half of them into the exponent.
_SHIFT, _ROOT_HALF, _MANTISSA = np.uint64(0x00095F6200000000), np.uint64(0x3FE6A09E00000000), np.uint64(2**52 - 1)
_S52 = np.uint64(52)
# A whole number below 2**52 under this exponent is the float 2**52 plus that number.
_WHOLE, _WHOLE_VALUE = np.uint64(0x4330000000000000), 2.0**52
_BIAS = 1023.0


def log(x: Any) -> Any:
    """Return the natural logarithm of normal numbers above zero."""
    shifted = np.float64(x).view(np.uint64) + _SHIFT
    exponent = np.uint64((shifted >> _S52) | _WHOLE).view(np.float64) - (_WHOLE_VALUE + _BIAS)
    f = np.uint64((shifted & _MANTISSA) + _ROOT_HALF).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = z * (_LOG[0] + w * (_LOG[2] + w * (_LOG[4] + w * _LOG[6])))
    even = w * (_LOG[1] + w * (_LOG[3] + w * _LOG[5]))
    half = 0.5 * f * f
    return s * (half + (odd + even)) + exponent * _LN2_LOW - half + f + exponent * _LN2_HIGH


def exp(x: Any) -> Any:
    """Return the exponential; `x` is taken as -708 below that and as 709 above that."""
    limited = np.minimum(np.maximum(x, -708.0), 709.0)
    exponent = np.floor(limited * _LOG2_E + 0.5)
    high = limited - exponent * _LN2_HIGH
    low = exponent * _LN2_LOW
    r = high - low
    z = r * r
    c = r - z * (_EXP[0] + z * (_EXP[1] + z * (_EXP[2] + z * (_EXP[3] + z * _EXP[4]))))
    mantissa = 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    whole = np.float64(exponent + (_WHOLE_VALUE + _BIAS)).view(np.uint64) << _S52
    return mantissa * np.uint64(whole).view(np.float64)


def cosine_of_turns(turns: Any) -> Any:
    """Return cos(2 π turns) for turns in [0, 1)."""
    quarter = np.floor(4.0 * turns + 0.5)
    x = (4.0 * turns - quarter) * _HALF_PI
    z = x * x
    w = z * z
    half = 0.5 * z
    rest = 1.0 - half
    r = z * (_COS[0] + z * (_COS[1] + z * _COS[2])) + w * w * (_COS[3] + z * (_COS[4] + z * _COS[5]))
    cosine = rest + (((1.0 - rest) - half) + z * r)
    r = _SIN[1] + z * (_SIN[2] + z * _SIN[3]) + z * w * (_SIN[4] + z * _SIN[5])
    sine = x + z * x * (_SIN[0] + z * r)
    # Quarter 0 and 4: cos, 1: -sin, 2: -cos, 3: sin. Products with 0 and 1 are exact.
    odd = quarter - 2.0 * np.floor(0.5 * quarter)
    half_turns = np.floor(0.5 * (quarter + 1.0))
    sign = 1.0 - 2.0 * (half_turns - 2.0 * np.floor(0.5 * half_turns))
    return sign * (odd * sine + (1.0 - odd) * cosine)


def log_one_plus(x: float) -> float:
    """Return log(1 + x) for x above -1, with full precision where x is small (Kahan's correction)."""
    total = np.float64(1.0 + x)
    return x if total == 1.0 else float(log(total) * (x / (total - 1.0)))
