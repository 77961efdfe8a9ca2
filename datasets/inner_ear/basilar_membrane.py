"""The basilar membrane: how fast each place of it moves for a sound, by the linear hydrodynamic model.

A wave in shallow water travels along a membrane whose stiffness falls exponentially from the base (high frequencies) to
the apex (low ones). With the angular frequency w and the place x, in units of centimetres, grams and seconds:

    xi(x)  = c0 exp(-alpha x) - a - m w^2 - i w delta sqrt(c0 m) exp(-alpha x / 2)
    g(x)   = w sqrt(rho / (h xi(x)))                      wave number
    G(x)   = 2 g(0) / alpha + integral of g from 0 to x   phase
    p(x)   = sqrt(G(x) / g(x)) H(G(x))                    pressure (H: Hankel function of order 0)
    V(x)   = 2 w / xi(x) * p(x) / p(0) * Z                velocity, for sound of amplitude 1
    Z      = i sqrt(2 c0 / h) conj(H0(y) / H1(y)),  y = 2 w / alpha sqrt(2 / (h c0))

de Boer, Auditory physics, Physics Reports 62:87 (1980); Sieroka, Dosch and Rupp, Semirealistic models of the cochlea,
Journal of the Acoustical Society of America 120:297 (2006). The integral has a closed form, because xi is a quadratic
polynomial of exp(-alpha x / 2).
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.inner_ear.hankel import log_hankel
from snnsim.errors import ParameterError, positive

#: Frequencies of the table: interpolation between 2,048 is right to some 2e-6 of the largest velocity of the place.
NODES = 2048
_AT_A_TIME = 16
_MAKING = threading.Lock()


@dataclass(frozen=True)
class BasilarMembrane:
    """Parameters of the membrane; the defaults are those of the Spiking Heidelberg Digits (lauscher 1.0.1).

    Parameters
    ----------
    length : float
        Distance of the last channel from the base, in cm. Channels lie evenly from 0 to here.
    stiffness : float
        Stiffness at the base c0, in g / (cm^2 s^2).
    stiffness_offset : float
        What is taken off the stiffness everywhere, a, in the same unit.
    stiffness_decay : float
        How fast stiffness falls, alpha, per cm.
    density : float
        Of the fluid, rho, in g / cm^3.
    damping : float
        delta, without unit: the damping is ``delta * sqrt(stiffness * mass)`` at the base.
    height : float
        Of the channel, h, in cm.
    mass : float
        Of the membrane, m, in g / cm^2.
    """

    length: float = 3.5
    stiffness: float = 1e9
    stiffness_offset: float = 3500.0
    stiffness_decay: float = 3.0
    density: float = 1.0
    damping: float = 0.15
    height: float = 0.1
    mass: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            positive(field.name, getattr(self, field.name), zero=field.name in ("length", "stiffness_offset"))
        if self.stiffness <= self.stiffness_offset:
            raise ParameterError(
                f"stiffness_offset={self.stiffness_offset:g} is not below stiffness={self.stiffness:g}; lower it"
            )

    def places(self, channels: int) -> NDArray[np.float64]:
        """Return the distance of each channel from the base in cm, shape (channels,)."""
        return np.linspace(0.0, self.length, channels)

    def log_velocity(self, frequency: ArrayLike, place: ArrayLike) -> NDArray[np.complex128]:
        """Return the logarithm of the velocity for a sound of amplitude 1; the two arguments broadcast.

        Parameters
        ----------
        frequency : array_like
            In Hz, above zero.
        place : array_like
            Distance from the base in cm.

        Returns
        -------
        ndarray of complex128
            Real part: logarithm of the amplitude. Imaginary part: phase, of which only multiples of 2 pi are undefined.
        """
        w = 2.0 * np.pi * np.asarray(frequency, np.float64)
        decay = np.exp(-0.5 * self.stiffness_decay * np.asarray(place, np.float64))
        at_base, here = self._impedance(w, np.ones(())), self._impedance(w, decay)
        phase_at_base = 2.0 / self.stiffness_decay * self._wave_number(w, at_base)
        phase = phase_at_base + self._travelled(w, decay, at_base, here)
        y = 2.0 * w / self.stiffness_decay * np.sqrt(2.0 / (self.height * self.stiffness))
        entry = np.conj(log_hankel(0, y) - log_hankel(1, y)) + np.log(1j * np.sqrt(2.0 * self.stiffness / self.height))
        spread = 0.5 * np.log(phase / self._wave_number(w, here) * (0.5 * self.stiffness_decay))
        pressure = spread + log_hankel(0, phase) - log_hankel(0, phase_at_base)
        return np.asarray(np.log(2.0 * w / here) + pressure + entry)

    def _impedance(self, w: NDArray[Any], decay: NDArray[Any]) -> NDArray[Any]:
        damping = self.damping * np.sqrt(self.stiffness * self.mass)
        return np.asarray(
            self.stiffness * decay**2 - self.stiffness_offset - self.mass * w**2 - 1j * w * damping * decay
        )

    def _wave_number(self, w: NDArray[Any], impedance: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(w * np.sqrt(self.density / (self.height * impedance)))

    def _travelled(self, w: NDArray[Any], decay: Any, at_base: NDArray[Any], here: NDArray[Any]) -> NDArray[Any]:
        """Return the integral of the wave number from the base to a place."""
        root = np.sqrt(self.stiffness_offset + self.mass * w**2)
        damping = self.damping * np.sqrt(self.stiffness * self.mass)

        def part(e: Any, impedance: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(1j * (root + 0.5j * w * damping * e / root) - np.sqrt(impedance))

        ratio = decay * part(1.0, at_base) / part(decay, here)
        scale = np.sqrt(self.density / self.height) / (self.stiffness_decay * root)
        return np.asarray(-2j * w * scale * np.log(ratio))


@dataclass(frozen=True, eq=False)
class MembraneTable:
    """Logarithm of the velocity of each channel at frequencies that are even on a logarithmic scale.

    Parameters
    ----------
    amplitude : ndarray of float64, shape (channels, NODES)
        Logarithm of the amplitude.
    turns : ndarray of float64, shape (channels, NODES)
        Phase in turns, without jumps.
    lowest, highest : float
        First and last frequency in Hz.
    """

    amplitude: NDArray[np.float64]
    turns: NDArray[np.float64]
    lowest: float
    highest: float

    def weights(self, frequency: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return where each frequency lies, and the weights of the four nodes about it (Lagrange).

        Returns
        -------
        first : ndarray of int64, shape (frequencies,)
            The first of the four nodes.
        weights : ndarray of float64, shape (4, frequencies)
        """
        step = np.log(self.highest / self.lowest) / (NODES - 1)
        place = np.log(frequency / self.lowest) / step
        first = np.clip(np.floor(place).astype(np.int64) - 1, 0, NODES - 4)
        t = place - first
        weights = np.stack(
            [
                (t - 1) * (t - 2) * (t - 3) / -6,
                t * (t - 2) * (t - 3) / 2,
                t * (t - 1) * (t - 3) / -2,
                t * (t - 1) * (t - 2) / 6,
            ]
        )
        return first, weights


def membrane_table(membrane: BasilarMembrane, channels: int, lowest: float, highest: float) -> MembraneTable:
    """Return the table of a membrane; the last few are kept, and one that several threads ask for is made once."""
    with _MAKING:
        return _membrane_table(membrane, channels, lowest, highest)


@functools.lru_cache(maxsize=4)
def _membrane_table(membrane: BasilarMembrane, channels: int, lowest: float, highest: float) -> MembraneTable:
    frequency = np.exp(np.linspace(np.log(lowest), np.log(highest), NODES))
    amplitude, turns = np.empty((channels, NODES)), np.empty((channels, NODES))
    places = membrane.places(channels)
    for low in range(0, channels, _AT_A_TIME):
        # What belongs to the base is computed once for all of these places.
        some = slice(low, low + _AT_A_TIME)
        logarithm = membrane.log_velocity(frequency, places[some, None])
        amplitude[some] = logarithm.real
        turns[some] = np.unwrap(logarithm.imag, axis=1) / (2.0 * np.pi)
    return MembraneTable(amplitude, turns, lowest, highest)
