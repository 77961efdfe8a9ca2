"""The cumulative Poisson distribution to all bits of a float64, from + - * / alone: the same bits on every machine.

The terms m**k / k! are summed, and divided by their sum, as pairs of numbers whose sum they are: about 100 bits
(Dekker 1971, doi:10.1007/BF01397083).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPLIT = 2.0**27 + 1.0


def cumulative(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of at most k events, correctly rounded but for the last bit now and then.

    Parameters
    ----------
    mean : ndarray of float64, shape (n,)
        Zero to some hundreds.

    Returns
    -------
    ndarray, shape (counts, n)
        For k = 0, 1, ... as far as any is below 1.
    """
    # Plain numbers where there is one: NumPy takes ten times as long for arrays that small.
    m: Any = float(mean[0]) if mean.size == 1 else mean
    total = 0.0 * m + 1.0, 0.0 * m
    term, sums = total, [total]
    highest = float(np.max(mean))
    while True:
        term = _quotient(_product(term, m), float(len(sums)))
        # Past the largest term each is less than half of the one before by the time all are this small.
        if 2 * highest <= len(sums) and np.all(term[0] <= 2.0**-70 * total[0]):
            break
        total = _sum(total, term)
        sums.append(total)
    rows = []
    for one in sums:
        value = one[0] / total[0]
        product = _product(total, value)
        rows.append(value + ((one[0] - product[0]) + (one[1] - product[1])) / total[0])
    probability = np.minimum(np.maximum.accumulate(np.reshape(rows, (len(rows), mean.size)), axis=0), 1.0)
    return np.asarray(probability[np.any(probability < 1.0, axis=1)])


def _product(pair: tuple[Any, Any], factor: Any) -> tuple[Any, Any]:
    product = pair[0] * factor
    (a, b), (c, d) = _halves(pair[0]), _halves(factor)
    return _normal(product, ((a * c - product) + a * d + b * c) + b * d + pair[1] * factor)


def _quotient(pair: tuple[Any, Any], divisor: float) -> tuple[Any, Any]:
    value = pair[0] / divisor
    product = _product((value, 0.0), divisor)
    return _normal(value, ((pair[0] - product[0]) - product[1] + pair[1]) / divisor)


def _sum(first: tuple[Any, Any], second: tuple[Any, Any]) -> tuple[Any, Any]:
    total = first[0] + second[0]
    part = total - first[0]
    rest = (first[0] - (total - part)) + (second[0] - part)
    return _normal(total, rest + first[1] + second[1])


def _normal(large: Any, small: Any) -> tuple[Any, Any]:
    total = large + small
    return total, small - (total - large)


def _halves(value: Any) -> tuple[Any, Any]:
    """Split a number into two of at most 26 bits."""
    spread = _SPLIT * value
    high = spread - (spread - value)
    return high, value - high
