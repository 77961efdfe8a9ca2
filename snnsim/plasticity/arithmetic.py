"""How much a weight changes, written once: run by NumPy in the reference backend, compiled by Numba in others.

``potentiation(weight, trace, gain, c)`` is added to a weight at a postsynaptic spike, ``depression(weight, trace, loss,
c)`` taken from it when a presynaptic spike arrives. `trace` is that of the other side, `gain` and `loss` the amplitude
of the spike (pairs and triplets together), `c` the rule's `Coefficients`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Dependence(NamedTuple):
    """The two functions of a rule."""

    potentiation: Callable[..., Any]
    depression: Callable[..., Any]


def additive(weight: Any, trace: Any, amplitude: Any, c: Any) -> Any:
    """Return a change that does not depend on the weight."""
    return amplitude * trace


def towards_maximum(weight: Any, trace: Any, gain: Any, c: Any) -> Any:
    """Return a change in proportion to the distance from the upper bound."""
    return gain * trace * (c.maximum - weight)


def towards_minimum(weight: Any, trace: Any, loss: Any, c: Any) -> Any:
    """Return a change in proportion to the distance from the lower bound."""
    return loss * trace * (weight - c.minimum)


#: The functions of each weight dependence.
DEPENDENCE = {
    "additive": Dependence(additive, additive),
    "multiplicative": Dependence(towards_maximum, towards_minimum),
}
