"""Analog-digital converters: one for each pair of columns, with a lasting offset and gain of its own.

A converter of ``bits`` bits has the codes ``-(2**(bits - 1) - 1) ... 2**(bits - 1) - 1``: symmetric, since a pair of
columns gives currents of both signs, and with a code for zero. The currents ``-full_scale`` and ``+full_scale`` are the
outermost codes, so that a step is ``full_scale / (2**(bits - 1) - 1)``. Halves are rounded to even codes, which adds no
bias. Codes beyond the outermost are held there and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.backends.crossbar.number_checks import number_array, settle_numbers, tile_number
from snnsim.errors import DataError, ParameterError, positive, whole
from snnsim.numerics import rng

#: Steps of converters that are made are 2 to 14 bits; 20 leave room for what an ideal one would do.
FEWEST_BITS, MOST_BITS = 2, 20
#: Converters of a tile, and conversions of a calibration.
MOST_COLUMNS = 2**20


@dataclass(frozen=True)
class ADC:
    """A kind of converter.

    Parameters
    ----------
    bits : int
        2 to 20.
    full_scale : float, optional
        Largest current that has a code, uA; None: chosen for each tile when it is programmed.
    offset_spread : float
        Standard deviation of the offsets over converters, in steps; they are normal. At most the largest code.
    gain_spread : float
        Standard deviation of the gains over converters, relative; they are log-normal, of mean 1. At most 1.
    calibrated : bool
        Whether offsets and gains are measured with known currents and corrected digitally; see
        `Converters.calibrated`.

    Raises
    ------
    ParameterError
        If a value is out of range.
    """

    bits: int
    full_scale: float | None = None
    offset_spread: float = 0.0
    gain_spread: float = 0.0
    calibrated: bool = False

    def __post_init__(self) -> None:
        settle_numbers(self)
        if whole("bits", self.bits, at_least=FEWEST_BITS) > MOST_BITS:
            raise ParameterError(f"bits={self.bits!r}: must be a whole number, {FEWEST_BITS} to {MOST_BITS}")
        if self.full_scale is not None:
            positive("full_scale", self.full_scale)
        positive("offset_spread", self.offset_spread, zero=True)
        positive("gain_spread", self.gain_spread, zero=True)
        if self.offset_spread > self.largest_code:
            raise ParameterError(
                f"offset_spread={self.offset_spread!r}: is in steps, and codes of {self.bits} bits end at "
                f"{self.largest_code}: most converters would be off their range"
            )
        if self.gain_spread > 1:
            raise ParameterError(
                f"gain_spread={self.gain_spread!r}: is relative, and must be at most 1; is it in per cent?"
            )
        if not isinstance(self.calibrated, bool):
            raise ParameterError(f"calibrated={self.calibrated!r}: must be True or False")

    @property
    def largest_code(self) -> int:
        """The code of ``full_scale``."""
        return int(2 ** (self.bits - 1) - 1)

    def converters(
        self, full_scale: float | ArrayLike | None = None, columns: int = 1, seed: int = 0, tile: int = 0
    ) -> Converters:
        """Return the converters of one tile: the same ones for the same seed and tile.

        Parameters
        ----------
        full_scale : float or array_like of float, optional
            uA, for all or one for each converter; None: that of this kind.
        columns : int
            Converters, which is half the physical columns of the tile.
        seed, tile : int
            Number of the chip and of the tile on it.

        Raises
        ------
        ParameterError
            If no full scale is known, or a value is out of range.
        """
        columns = whole("columns", columns, at_least=1)
        if columns > MOST_COLUMNS:
            raise ParameterError(f"columns={columns}: a tile has at most {MOST_COLUMNS} converters")
        seed, tile = whole("seed", seed), tile_number(tile)
        scale = self.full_scale if full_scale is None else full_scale
        if scale is None:
            raise ParameterError("full_scale=None: neither the ADC nor this call says which current (uA) is full scale")
        elements = np.arange(columns)
        offset = self.offset_spread * rng.normal(seed, rng.stream_number("crossbar", "adc offset"), elements, tile)
        drawn = rng.normal(seed, rng.stream_number("crossbar", "adc gain"), elements, tile)
        gain = rng.log_normal(drawn, self.gain_spread)
        made = Converters(self.bits, scale, offset, gain)
        return made.calibrated() if self.calibrated else made


class Converters:
    """The converters of one tile.

    Parameters
    ----------
    bits : int
    full_scale : float or array_like of float
        uA; for all, or one for each.
    offset : array_like of float
        What is added before rounding, in steps; its length is the number of converters.
    gain : array_like of float
        What currents are multiplied with before that, near 1.
    correction_offset, correction_gain : array_like of float, optional
        Digital correction: what is taken from a code, and what the rest is then divided by; see `calibrated`.

    Attributes
    ----------
    step : ndarray of float
        Nominal current of one code step, uA.
    largest_code : int
    conversions, saturated : int
        Numbers converted by `convert` and `codes` so far, and those held at the outermost codes.

    Raises
    ------
    ParameterError
        If a value is out of range or shapes do not fit together.
    """

    def __init__(
        self,
        bits: int,
        full_scale: float | ArrayLike,
        offset: ArrayLike,
        gain: ArrayLike,
        correction_offset: ArrayLike | None = None,
        correction_gain: ArrayLike | None = None,
    ) -> None:
        kind = ADC(bits)
        self.bits = kind.bits
        self.largest_code = kind.largest_code
        self.offset = _numbers("offset", offset)
        self.columns = self.offset.size
        self.gain = _numbers("gain", gain, self.columns, above_zero=True)
        scale = number_array("full_scale", full_scale)
        if scale.ndim == 0:
            scale = np.full(self.columns, scale)
        self.full_scale = _numbers("full_scale", scale, self.columns, above_zero=True)
        self.step = self.full_scale / self.largest_code
        none, one = np.zeros(self.columns), np.ones(self.columns)
        self.correction_offset = _numbers(
            "correction_offset", none if correction_offset is None else correction_offset, self.columns
        )
        self.correction_gain = _numbers(
            "correction_gain", one if correction_gain is None else correction_gain, self.columns, above_zero=True
        )
        self.conversions = 0
        self.saturated = 0

    def codes(self, currents: ArrayLike) -> NDArray[np.int32]:
        """Return the codes of currents (uA), whose last axis are the converters; saturated ones are counted.

        Raises
        ------
        DataError
            If the last axis has another length, or a current is not a number.
        """
        given = number_array("currents", currents, DataError)
        if given.ndim == 0 or given.shape[-1] != self.columns:
            raise DataError(f"currents of shape {given.shape}: the last axis must be the {self.columns} converters")
        if np.isnan(given).any():
            raise DataError("currents: there are values that are not a number")
        exact = np.rint(given * self.input_scale + self.offset)
        self.conversions += exact.size
        self.saturated += int(np.count_nonzero(np.abs(exact) > self.largest_code))
        return np.clip(exact, -self.largest_code, self.largest_code).astype(np.int32)

    def convert(self, currents: ArrayLike) -> NDArray[np.float64]:
        """Return currents as the digital side reads them, uA: code times nominal step, corrected where calibrated."""
        return np.asarray(self.codes(currents) * self.output_scale + self.output_shift)

    @property
    def input_scale(self) -> NDArray[np.float64]:
        """Codes per uA of each converter as it is."""
        return np.asarray(self.gain / self.step)

    @property
    def output_scale(self) -> NDArray[np.float64]:
        """The uA that the digital side takes a code step for."""
        return np.asarray(self.step / self.correction_gain)

    @property
    def output_shift(self) -> NDArray[np.float64]:
        """The uA that the digital side takes code 0 for."""
        return np.asarray(-self.correction_offset * self.step / self.correction_gain)

    def calibrated(self, points: int = 64, repeats: int = 1, noise: float = 0.0, seed: int = 0) -> Converters:
        """Return the same converters with a digital correction, found by converting known currents.

        A ramp of currents over 90 % of the range is converted, and a line fitted to the codes of each converter by
        least squares. What is left is the error of that line: offsets and gains enter only through codes. A converter
        whose codes do not rise with the ramp, for its offset is off the range or its gain below that of a step, is left
        as it is.

        Parameters
        ----------
        points, repeats : int
            Currents of the ramp, and how often each is converted.
        noise : float
            Standard deviation of the noise on the test currents, in steps: it makes repeats useful.
        seed : int
            Of that noise.
        """
        points, repeats = whole("points", points, at_least=2), whole("repeats", repeats, at_least=1)
        if points * repeats > MOST_COLUMNS:
            raise ParameterError(f"points={points} and repeats={repeats}: at most {MOST_COLUMNS} conversions together")
        seed = whole("seed", seed)
        positive("noise", noise, zero=True)
        ramp = np.linspace(-0.9, 0.9, points) * self.largest_code
        tested = np.repeat(ramp, repeats)
        drawn = rng.normal(
            seed,
            rng.stream_number("crossbar", "adc calibration"),
            np.arange(self.columns),
            np.arange(tested.size)[:, None],
        )
        exact = np.rint((tested[:, None] + noise * drawn) * self.gain + self.offset)
        codes = np.clip(exact, -self.largest_code, self.largest_code)
        gain = (tested @ codes) / (tested @ tested)  # the ramp is symmetric: its mean is zero
        rising = (np.ptp(codes, axis=0) > 0) & (gain > 0)
        offset, gain = np.where(rising, codes.mean(axis=0), 0.0), np.where(rising, gain, 1.0)
        return Converters(self.bits, self.full_scale, self.offset, self.gain, offset, gain)


def range_for(currents: ArrayLike, percentile: float = 99.9) -> float:
    """Return a full scale, uA: the percentile of the sizes of currents that a tile gave on calibration data.

    Currents of few active rows use a small part of what all rows together could give, so a range for the worst case
    would leave most codes unused.

    Raises
    ------
    DataError
        If there are no currents, or none that is not zero.
    ParameterError
        If `percentile` is not above 0 and at most 100.
    """
    positive("percentile", percentile)
    if percentile > 100:
        raise ParameterError(f"percentile={percentile!r}: must be at most 100")
    sizes = np.abs(number_array("currents", currents, DataError)).ravel()
    if not sizes.size or not np.isfinite(sizes).all():
        raise DataError("currents: there must be some, all finite, to choose a range for")
    found = float(np.percentile(sizes, percentile))
    if found == 0.0:  # nearly all are zero: the largest is what a converter has to hold
        found = float(sizes.max())
    if found == 0.0:
        raise DataError("currents: all are zero, which gives no range")
    return found


def _numbers(name: str, given: Any, count: int | None = None, *, above_zero: bool = False) -> NDArray[np.float64]:
    numbers = np.array(number_array(name, given))
    if numbers.ndim != 1 or not numbers.size or (count is not None and numbers.size != count):
        wanted = "at least one number" if count is None else f"{count} numbers, one a converter"
        raise ParameterError(f"{name} of shape {numbers.shape}: must be {wanted}")
    if not np.isfinite(numbers).all() or (above_zero and (numbers <= 0.0).any()):
        raise ParameterError(
            f"{name}: must be finite{' and above zero' if above_zero else ''}; found {numbers.min()!r}"
        )
    numbers.flags.writeable = False
    return numbers
