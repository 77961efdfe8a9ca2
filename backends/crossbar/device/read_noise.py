"""Noise of one read that is independent from read to read, as a standard deviation in microsiemens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from snnsim.backends.crossbar.device.curves import Curve, Polynomial, check_curve, logarithm
from snnsim.backends.crossbar.number_checks import Floats, settle_numbers
from snnsim.errors import ParameterError, one_of, positive

OF_STATES = ("programmed", "now")


@dataclass(frozen=True)
class ReadNoise:
    """White read noise: ``curve(g) [* g_now] [* sqrt(ln((t + t0 + t_read) / (2 t_read)))]``.

    The last factor is the sd that 1/f noise has gathered between one read time and the time since programming (as in
    PCMLikeNoiseModel of github.com/IBM/aihwkit, after Nandakumar et al. 2019, doi:10.1109/ICECS46596.2019.8964852);
    each read then draws from it anew.

    Parameters
    ----------
    curve : Curve
        Of the conductance: relative sd, or sd in uS where `relative` is False.
    relative : bool
        Whether the value multiplies the conductance as it is now.
    state : str
        ``"programmed"``: the curve takes the conductance just after programming; ``"now"``: as it is after drift.
    read_time : float, optional
        Seconds of a read; None: the noise does not grow with age.
    reference_time : float
        Seconds t0 that had passed since programming when age is zero.
    """

    curve: Curve
    relative: bool = True
    state: str = "now"
    read_time: float | None = None
    reference_time: float = 0.0

    def __post_init__(self) -> None:
        settle_numbers(self)
        check_curve("curve", self.curve)
        one_of("state", self.state, OF_STATES)
        if self.read_time is not None:
            positive("read_time", self.read_time)
        positive("reference_time", self.reference_time, zero=True)
        if not isinstance(self.relative, bool):
            raise ParameterError(f"relative={self.relative!r}: must be True or False")

    def sigma(self, conductance: Floats, seconds: ArrayLike = 0.0, programmed: Floats | None = None) -> Floats:
        """Return the sd (uS) of a read of each cell.

        Parameters
        ----------
        conductance : ndarray
            uS now.
        seconds : float or ndarray
            Age.
        programmed : ndarray, optional
            uS just after programming; default `conductance`.
        """
        state = conductance if self.state == "now" or programmed is None else programmed
        value = self.curve(state)
        if self.relative:
            value = value * conductance
        factor = self.growth(seconds)
        return value if isinstance(factor, float) and factor == 1.0 else np.asarray(value * factor)

    def growth(self, seconds: ArrayLike) -> float | Floats:
        """Return the factor that age puts on the noise."""
        if self.read_time is None:
            return 1.0
        ratio = (np.asarray(seconds, np.float64) + (self.reference_time + self.read_time)) / (2.0 * self.read_time)
        # Below two read times nothing has been gathered yet.
        return np.asarray(np.sqrt(logarithm(np.maximum(ratio, 1.0))))

    def describe(self) -> str:
        """Return the formula."""
        unit = "relative sd" if self.relative else "sd (uS)"
        text = f"{unit} {self.curve.describe()} (g {'as programmed' if self.state == 'programmed' else 'now'})"
        if self.read_time is None:
            return text
        return f"{text} x sqrt(ln((t + {self.reference_time:g} s + t_read) / (2 t_read))), t_read {self.read_time:g} s"


def constant(sigma: float) -> Curve:
    """Return the curve that is `sigma` everywhere."""
    positive("sigma", sigma, zero=True)
    return Polynomial((sigma,))
