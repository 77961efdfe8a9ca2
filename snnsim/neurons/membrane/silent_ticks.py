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

Without another event the membrane never exceeds

.. math:: \max(V, b / (1 - \lambda)) + \sum_r \max(0, g_r I_r) \max_n R_r(n)

`silent`, `response` and `bound` are functions of one neuron, written once for those who leave neurons alone and for
those who take up a state in which neurons were left alone; both compile them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.arithmetic.closed_form import ClosedForm, CurrentForm, MembraneForm
from snnsim.neurons.membrane.currents import rate_distance
from snnsim.neurons.membrane.leaky import LeakyModel
from snnsim.neurons.parameters import quotient
from snnsim.neurons.receptors import Exponential

Floats = NDArray[np.float64]


def silent(membrane: Any, ticks: Any, offset: Any, log_decay: Any, rise: Any) -> Any:
    """Return a membrane without currents after ticks, one or more, each of which adds `offset` to it."""
    membrane = membrane * math.exp(ticks * log_decay)
    if offset != 0:
        membrane = membrane + offset * (-math.expm1(ticks * log_decay) * rise if rise > 0 else float(ticks))
    return membrane


def silent_current(current: Any, ticks: Any, log_decay: Any) -> Any:
    """Return a current after ticks without arrivals."""
    return current * math.exp(ticks * log_decay) if ticks > 0 and current != 0 else current


def response(ticks: Any, log_decay: Any, log_current_decay: Any, apart: Any, share: Any) -> Any:
    """Return the response R of a membrane to a current after ticks, one or more."""
    grown = -math.expm1(-ticks * apart) * share if apart > 0 else float(ticks)
    return grown * math.exp((ticks - 1) * max(log_decay, log_current_decay)) if ticks > 1 else grown


def bound(membrane: Any, settled: Any) -> Any:
    """Return what a membrane without currents never exceeds, unless an event comes."""
    return max(membrane, settled)


def leaky_form(model: LeakyModel, coefficients: Any, dt: float) -> ClosedForm | None:
    """Return the closed form of a leaky membrane, or None where a receptor is not among those of the equations."""
    if any(type(receptor).__name__ not in ("Delta", "Exponential") for receptor in model.receptors):
        return None
    decay, offset = np.asarray(coefficients.decay, np.float64), np.asarray(coefficients.offset, np.float64)
    leaks = decay < 1
    rise = np.where(leaks, 1 / np.where(leaks, 1 - decay, 1.0), 0.0)
    settled = np.where(leaks, offset * rise, np.where(offset > 0, np.inf, -np.inf))
    threshold = np.asarray(getattr(coefficients, "threshold", np.inf), np.float64)
    log_decay = _log_decay(model.time_constant, dt, model.integration)
    currents = []
    for receptor in model.receptors:
        if isinstance(receptor, Exponential):
            gain, coupling = coefficients.gain, model.receptor_coefficients(receptor, dt)[1]
            log_current = _log_decay(receptor.time_constant, dt, model.integration)
            apart = _apart(model.time_constant, receptor.time_constant, dt, model.integration)
            share = np.where(apart > 0, 1 / np.where(apart > 0, -np.expm1(-apart), 1.0), 0.0)
            peak = _peak(np.maximum(log_decay, log_current), apart, share)
            currents.append(CurrentForm(log_current, np.asarray(gain * coupling, np.float64), apart, share, peak))
    return ClosedForm(MembraneForm(log_decay, rise, settled, threshold), tuple(currents))


def _powers(ticks: NDArray[Any], logarithm: Floats) -> Floats:
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
    value = grown * np.exp(_powers(n - 1, highest))
    # Without a leak R grows for ever: towards 1 / (1 - exp(-d)), or without end.
    return np.maximum(np.where(ever, value, np.where(apart > 0, share, np.inf)), 1.0)
