r"""A leaky membrane with exponential currents over ticks without input, in closed form.

After n ticks the membrane V and the current I_r of each receptor are (Rotter and Diesmann 1999,
doi:10.1007/s004220050570)

.. math:: V_n = \lambda^n V + b \frac{1-\lambda^n}{1-\lambda} + \sum_r g_r I_r R_r(n), \qquad I_{r,n} = \rho_r^n I_r,
   \qquad R_r(n) = \frac{\lambda^n-\rho_r^n}{\lambda-\rho_r}

with b the offset of a tick and g_r gain times coupling of receptor r. The logarithms of the decays are taken from the
time constants, and R is computed as

.. math:: R(n) = e^{(n-1)h} \frac{1-e^{-nd}}{1-e^{-d}}, \quad h = \max(\log\lambda, \log\rho), \quad
   d = |\log\lambda - \log\rho|

which loses no digits where the decays are nearly equal, and is n exp((n - 1) h) where they are equal. So all of this is
as exact for any n as the time constants are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons import LI, LIF, Exponential, NeuronModel
from snnsim.neurons.membrane.currents import rate_distance
from snnsim.neurons.parameters import quotient

Floats = NDArray[np.float64]


class CurrentForm(NamedTuple):
    """The current of a receptor between events; every array has shape () or (neurons,).

    Parameters
    ----------
    log_decay : ndarray
        Logarithm of what is left after a tick.
    factor : ndarray
        What a current of one adds to the membrane in a tick, gain and coupling.
    apart : ndarray
        Distance d of the logarithms of both decays.
    share : ndarray
        1 / (1 - exp(-d)), or 0 where d is 0.
    peak : ndarray
        An upper bound of R(n) over n.
    """

    log_decay: Floats
    factor: Floats
    apart: Floats
    share: Floats
    peak: Floats


class ClosedForm(NamedTuple):
    """A population between events; every array has shape () or (neurons,).

    Parameters
    ----------
    log_decay : ndarray
        Logarithm of what is left of the membrane after a tick.
    rise : ndarray
        1 / (1 - decay), or 0 where the membrane does not leak.
    settled : ndarray
        Where the membrane goes without input.
    threshold : ndarray
        Infinity where the model does not fire.
    currents : tuple of CurrentForm
        One for each exponential receptor, in order.
    """

    log_decay: Floats
    rise: Floats
    settled: Floats
    threshold: Floats
    currents: tuple[CurrentForm, ...]


def has_closed_form(model: Any) -> bool:
    """Return whether a model follows the equations above between events."""
    return isinstance(model, (LIF, LI)) and all(
        type(receptor).__name__ in ("Delta", "Exponential") for receptor in model.receptors
    )


def closed_form(model: NeuronModel, dt: float) -> ClosedForm:
    """Return the numbers of a model for which `has_closed_form` is true, for ticks of `dt` seconds."""
    assert isinstance(model, (LIF, LI))
    coefficients = model.coefficients(dt)
    decay, offset = np.asarray(coefficients.decay, np.float64), np.asarray(coefficients.offset, np.float64)
    leaks = decay < 1
    rise = np.where(leaks, 1 / np.where(leaks, 1 - decay, 1.0), 0.0)
    settled = np.where(leaks, offset * rise, np.where(offset > 0, np.inf, -np.inf))
    threshold = np.asarray(getattr(coefficients, "threshold", np.inf), np.float64)
    log_decay = _log_decay(model.time_constant, dt, model.integration)
    currents = []
    for receptor in model.receptors:
        if isinstance(receptor, Exponential):
            factor = np.asarray(coefficients.gain * model.receptor_coefficients(receptor, dt)[1], np.float64)
            log_current = _log_decay(receptor.time_constant, dt, model.integration)
            apart = _apart(model.time_constant, receptor.time_constant, dt, model.integration)
            share = np.where(apart > 0, 1 / np.where(apart > 0, -np.expm1(-apart), 1.0), 0.0)
            peak = _peak(np.maximum(log_decay, log_current), apart, share)
            currents.append(CurrentForm(log_current, factor, apart, share, peak))
    return ClosedForm(log_decay, rise, settled, threshold, tuple(currents))


def response(ticks: Floats, log_decay: Floats, current: CurrentForm) -> Floats:
    """Return R(n) for numbers of ticks, zero or above."""
    highest = np.maximum(log_decay, current.log_decay)
    grown = np.where(current.apart > 0, -np.expm1(-powers(ticks, current.apart)) * current.share, ticks)
    return np.asarray(grown * np.exp(powers(np.maximum(ticks - 1, 0), highest)))


def powers(ticks: NDArray[Any], logarithm: Floats) -> Floats:
    """Return a logarithm times numbers of ticks, zero times infinity being zero."""
    some = ticks > 0
    return np.asarray(np.where(some, ticks, 0.0) * np.where(some, logarithm, 0.0))


def _log_decay(time_constant: Any, dt: float, integration: str) -> Floats:
    # From the time constant itself: a decay near one has lost digits of it.
    share = quotient(dt, time_constant)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log1p(-share) if integration == "euler" else -share)


def _apart(time_constant: Any, other: float, dt: float, integration: str) -> Floats:
    distance = rate_distance(time_constant, other, dt)
    if integration != "euler":
        return distance
    # The logarithm of the larger decay over the smaller one, 1 - dt / tau both.
    smaller = 1 - np.maximum(quotient(dt, time_constant), quotient(dt, other))
    with np.errstate(divide="ignore"):
        ratio = np.where(distance > 0, distance, 0.0) / np.where(distance > 0, smaller, 1.0)
    return np.asarray(np.log1p(ratio))


def _peak(highest: Floats, apart: Floats, share: Floats) -> Floats:
    """Return the value of R at its maximum over real n of one or more; `highest` is h of the equation."""
    slowest = np.maximum(-highest, 0.0)
    ever = slowest > 0
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        ratio = np.where(ever, apart / np.where(ever, slowest, 1.0), np.inf)
        top = np.where(apart > 0, np.log1p(ratio) / np.where(apart > 0, apart, 1.0), 1 / slowest)
    n = np.where(np.isfinite(top), np.maximum(top, 1.0), 1.0)
    grown = np.where(apart > 0, -np.expm1(-n * apart) * share, n)
    value = grown * np.exp(powers(n - 1, highest))
    # Without a leak R grows for ever: towards 1 / (1 - exp(-d)), or without end.
    return np.maximum(np.where(ever, value, np.where(apart > 0, share, np.inf)), 1.0)
