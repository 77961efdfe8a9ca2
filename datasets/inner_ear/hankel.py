"""Hankel functions of complex numbers, which NumPy does not have: what the waves on the basilar membrane are made of.

The function of the first kind follows from the modified Bessel function of the second kind K by
``H_n(z) = 2 / (pi i) * exp(-n pi i / 2) * K_n(-i z)``. Far from the origin K is an integral over a Gaussian times a
square root (Abramowitz and Stegun 1964, 9.6.23 with a rotated path), for which equal steps are exact to rounding
(Trefethen and Weideman 2014, doi:10.1137/130932132); near it, power series (9.1.10 to 9.1.13).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The integral is used from this distance to the origin on.
NEAR = 2.0
#: At a distance of 2 the nearest singularity lies 1.41 from the real axis: the error is exp(-2 pi * 1.41 / step).
_STEP, _STEPS, _TERMS = 0.25, 26, 18
_EULER = 0.57721566490153286061


def log_hankel(order: int, z: NDArray[Any]) -> NDArray[np.complex128]:
    """Return a logarithm of the Hankel function of the first kind; it is not on the principal branch.

    Parameters
    ----------
    order : {0, 1}
    z : ndarray of complex or float
        Real part above zero, imaginary part not below.

    Returns
    -------
    ndarray of complex128
        Its exponential is the function. The logarithm neither overflows nor underflows, and is continuous where
        ``abs(z) >= 2``.
    """
    z = np.asarray(z, np.complex128)
    result = np.empty(z.shape, np.complex128)
    near = np.abs(z) < NEAR
    result[near] = np.log(_series(order, z[near]))
    result[~near] = _integral(order, z[~near])
    return result


def _integral(order: int, z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    w = -1j * z
    total = np.zeros(z.shape, np.complex128)
    for k in range(_STEPS + 1):
        s = (k * _STEP) ** 2
        weight = (1.0 if k == 0 else 2.0) * _STEP * np.exp(-s)
        root = np.sqrt(s + 2.0 * w)
        total += weight / root if order == 0 else weight * s * root / w
    factor = -0.5j * np.pi if order == 0 else 1j * np.pi  # of -i and of -1
    return np.asarray(np.log(2.0 / np.pi) + factor + 1j * z + np.log(total))


def _series(order: int, z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    square, term, harmonic = -0.25 * z * z, np.ones_like(z), 0.0
    first, second = np.zeros_like(z), np.zeros_like(z)
    for k in range(_TERMS):
        first += term
        # Sums of 1 / j up to k, and up to k and k + 1.
        second += term * (harmonic if order == 0 else 2.0 * harmonic + 1.0 / (k + 1))
        harmonic += 1.0 / (k + 1)
        term = term * square / ((k + 1) * (k + 1 + order))
    logarithm = np.log(0.5 * z) + _EULER
    if order == 0:
        return np.asarray(first + 2j / np.pi * (logarithm * first - second))
    half = 0.5 * z
    neumann = (2.0 * logarithm * half * first - half * second - 2.0 / z) / np.pi
    return np.asarray(half * first + 1j * neumann)
