r"""How a synaptic current moves a leaky membrane over one tick, solved exactly.

For :math:`\tau\,dV/dt = -V + I` the change of V over a tick is linear in the state of the current at its start; the
numbers it is multiplied by are the couplings (Rotter and Diesmann 1999, doi:10.1007/s004220050570).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError
from snnsim.neurons.parameters import Parameter, plain, quotient
from snnsim.neurons.receptors import Alpha, AlphaCoefficients, Exponential, ExponentialCoefficients, receptor_decay

#: Time constants a tick beyond which nothing is left of anything; its square is still a number.
_FASTEST = 1e150


def exponential_receptor(
    receptor: Exponential, time_constant: Parameter, dt: float, integration: str
) -> ExponentialCoefficients:
    """Return the coefficients of a current I into a membrane: tau dV/dt = -V + I, tau_s dI/dt = -I.

    `coupling` is the change of V over one tick for a current of one at its start; the exact value is
    tau_s / (tau_s - tau) * (exp(-dt/tau_s) - exp(-dt/tau)), and dt/tau * exp(-dt/tau) where both are equal.

    Raises
    ------
    ParameterError
        The membrane never leaks, and so never sees the current; or forward Euler is unstable.
    """
    decay = _decay(receptor, time_constant, dt, integration)
    if integration == "euler":
        return ExponentialCoefficients(decay, plain(dt / np.asarray(time_constant)))
    return ExponentialCoefficients(decay, plain(_coupling(time_constant, receptor.time_constant, dt)))


def alpha_receptor(receptor: Alpha, time_constant: Parameter, dt: float, integration: str) -> AlphaCoefficients:
    """Return the coefficients of an alpha current, as `exponential_receptor` does.

    Its rise x decays with tau_s, and the current gains e/tau_s x dt while it decays with tau_s too: after a spike of
    weight w it is w e t/tau_s exp(-t/tau_s).
    """
    tau, tau_s = np.asarray(time_constant, np.float64), receptor.time_constant
    decay = _decay(receptor, time_constant, dt, integration)
    if integration == "euler":
        return AlphaCoefficients(decay, math.e * dt / tau_s, plain(dt / tau), 0.0)
    rate = min(float(quotient(math.e * dt, tau_s)), _FASTEST)
    feed = rate * decay
    # With x = dt (1/tau_s - 1/tau) the integral of s exp(-s/tau_s) exp(-(dt-s)/tau) over a tick is dt^2 times
    # exp(-dt/tau) (1 - (1+x) exp(-x))/x^2, or exp(-dt/tau_s) (exp(x) - 1 - x)/x^2 where x is negative.
    leaks = quotient(dt, tau) < _FASTEST
    safe = np.where(leaks, tau, 1.0)
    x = np.sign(safe - tau_s) * rate_distance(safe, tau_s, dt)
    share = np.where(x >= 0, np.exp(-dt / safe) * _first(np.maximum(x, 0.0)), decay * _second(np.maximum(-x, 0.0)))
    rise_coupling = np.where(leaks, rate * dt / safe * share, feed)
    return AlphaCoefficients(decay, feed, plain(_coupling(time_constant, tau_s, dt)), plain(rise_coupling))


def _decay(receptor: Exponential | Alpha, time_constant: Parameter, dt: float, integration: str) -> float:
    if np.any(np.isinf(time_constant)):
        raise ParameterError(
            f"time_constant=inf: the {type(receptor).__name__} receptor {receptor.name!r} would have no effect "
            "(tau dV/dt = -V + I); use a finite time_constant, or a Delta receptor"
        )
    return receptor_decay(receptor, dt, integration)


def _coupling(time_constant: Parameter, tau_s: float, dt: float) -> NDArray[np.float64]:
    # With x = dt |1/tau - 1/tau_s| the difference of the two exponentials is exp(-dt/slow) (1 - exp(-x)): no digits
    # are lost where tau and tau_s are nearly equal, and nothing overflows where they are far apart.
    tau = np.asarray(time_constant, np.float64)
    leaks = quotient(dt, tau) < _FASTEST
    safe = np.where(leaks, tau, 1.0)
    x = rate_distance(safe, tau_s, dt)
    ratio = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
    coupling = dt / safe * np.exp(-dt / np.maximum(safe, tau_s)) * ratio
    # A membrane without memory follows the current.
    return np.asarray(np.where(leaks, coupling, np.exp(-quotient(dt, tau_s))))


def rate_distance(time_constant: Any, other: float, dt: float) -> NDArray[np.float64]:
    """Return dt |1/tau - 1/tau_s|, with all digits where both are nearly equal; infinity where only one is zero."""
    tau = np.asarray(time_constant, np.float64)
    # Zero where the product of both would be no number.
    product = np.where((tau > 1e-150) & (tau < 1e150) & (1e-150 < other < 1e150), tau, 0.0) * other
    safe = np.where(product > 0, product, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        extreme = np.where(tau == other, 0.0, np.abs(quotient(dt, tau) - quotient(dt, other)))
        return np.where(product > 0, dt * np.abs(other - tau) / safe, extreme)


def _first(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (1 - (1 + x) exp(-x)) / x**2 for x of zero or above, by its series where digits would be lost."""
    y = np.minimum(x, 1.0)
    series: Any = sum((-y) ** m * (m + 1) / math.factorial(m + 2) for m in range(19))
    large = np.clip(x, 1.0, _FASTEST)
    return np.asarray(np.where(x < 1, series, (1 - (1 + large) * np.exp(-large)) / large**2))


def _second(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (exp(-x) - 1 + x) / x**2 for x of zero or above, by its series where digits would be lost."""
    y = np.minimum(x, 1.0)
    series: Any = sum((-y) ** m / math.factorial(m + 2) for m in range(19))
    large = np.clip(x, 1.0, _FASTEST)
    return np.asarray(np.where(x < 1, series, (np.exp(-large) - 1 + large) / large**2))
