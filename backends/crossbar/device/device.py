"""A memory cell as values: range, and each imperfection on its own.

Units: conductance in microsiemens (uS), voltage in volt, time in seconds, temperature in kelvin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.device.current_voltage import CurrentVoltage, LogarithmicPolynomial
from snnsim.backends.crossbar.device.curves import Curve, Polynomial, Table, check_values, horner
from snnsim.backends.crossbar.device.drift import Drift, PowerLawDrift
from snnsim.backends.crossbar.device.flicker_noise import Flicker
from snnsim.backends.crossbar.device.measurements import measured_fields
from snnsim.backends.crossbar.device.plausible_ranges import (
    CONDUCTANCE,
    ENERGY,
    MEANT,
    READ_TIME,
    TIME,
    VOLTAGE,
    suspicion,
)
from snnsim.backends.crossbar.device.programming import FormedNoise, ProgrammingNoise, WriteVerify, nearest_levels
from snnsim.backends.crossbar.device.read_noise import ReadNoise
from snnsim.backends.crossbar.number_checks import settle_numbers
from snnsim.errors import ParameterError, one_of, positive, whole

#: Each can be switched off alone; the value is what it is off with.
_FIELDS: dict[str, dict[str, Any]] = {
    "levels": {"levels": None},
    "programming": {"programming": None},
    "verify": {"verify": None},
    "spread": {"spread": 0.0},
    "stuck": {"stuck_on": 0.0, "stuck_off": 0.0},
    "read_noise": {"read_noise": None},
    "flicker": {"flicker": None},
    "drift": {"drift": None},
    "current_voltage": {"current_voltage": None},
}
STAGES = tuple(_FIELDS)
#: Why the values of a curve are odd, by their unit.
_LARGE = {
    "uS": "in uS that is many times what cells have; is it in nS?",
    "": "relative to the conductance, so that 1 is all of it; is it in per cent, or in uS?",
    "exponent": "above 1, a decade of time takes nine tenths of a conductance; is it in per cent?",
}


@dataclass(frozen=True)
class Device:
    """A kind of resistive memory cell.

    Parameters
    ----------
    name : str
    g_min, g_max : float
        Range of targets, uS. Noise may leave a cell outside, but never below zero.
    read_voltage : float
        V on an active row.
    levels : int, optional
        Programmable levels, evenly from `g_min` to `g_max`; default any conductance.
    programming : ProgrammingNoise or FormedNoise, optional
        Error of an attempt, of the level aimed at.
    verify : WriteVerify, optional
        Loop of programming and reading back; default one attempt.
    spread : float
        Device-to-device: sd of a cell's lasting gain, log-normal of mean 1, which multiplies the conductance that a
        programming attempt aims at. Noise is added after it.
    stuck_on, stuck_off : float
        Fractions of cells that stay at `g_max` and at `g_min` whatever is done to them, for ever and without drift.
    read_noise : ReadNoise, optional
        White noise of a read.
    flicker : Flicker, optional
        1/f noise.
    drift : Drift, optional
    current_voltage : CurrentVoltage, optional
        Default: current is conductance times voltage.
    source : str
        Where the numbers are from.
    unusual : bool
        Take numbers that no cell is known to have, such as conductances of picosiemens: they are meant, and no slip of
        units.

    Raises
    ------
    ParameterError
        A value that is not allowed, or so unusual that its unit is questioned; the message names the parameter.
    """

    name: str
    g_min: float
    g_max: float
    read_voltage: float = 0.2
    levels: int | None = None
    programming: ProgrammingNoise | FormedNoise | None = None
    verify: WriteVerify | None = None
    spread: float = 0.0
    stuck_on: float = 0.0
    stuck_off: float = 0.0
    read_noise: ReadNoise | None = None
    flicker: Flicker | None = None
    drift: Drift | None = None
    current_voltage: CurrentVoltage | None = None
    source: str = ""
    unusual: bool = False

    def __post_init__(self) -> None:
        settle_numbers(self)
        if not isinstance(self.name, str) or not self.name:
            raise ParameterError(f"name={self.name!r}: must be a text that is not empty")
        positive("g_min", self.g_min, zero=True)
        positive("g_max", self.g_max)
        if self.g_min >= self.g_max:
            raise ParameterError(f"g_min={self.g_min!r}: must be below g_max={self.g_max!r}")
        positive("read_voltage", self.read_voltage)
        if self.levels is not None:
            whole("levels", self.levels, at_least=2)
        positive("spread", self.spread, zero=True)
        for name in ("stuck_on", "stuck_off"):
            positive(name, getattr(self, name), zero=True)
        if self.stuck_on + self.stuck_off > 1:
            raise ParameterError(
                f"stuck_on={self.stuck_on!r} and stuck_off={self.stuck_off!r}: fractions of cells, together at most 1"
            )
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kinds):
                allowed = " or ".join(kind.__name__ for kind in kinds)
                raise ParameterError(f"{name}={value!r}: must be None or a {allowed}")
        highest = getattr(self.current_voltage, "highest_voltage", self.read_voltage)
        if self.read_voltage > highest:
            raise ParameterError(
                f"read_voltage={self.read_voltage!r}: the current-voltage model holds up to {highest:g} V; read at "
                "less, or measure further"
            )
        if not isinstance(self.source, str):
            raise ParameterError(f"source={self.source!r}: must be a text")
        if not isinstance(self.unusual, bool):
            raise ParameterError(f"unusual={self.unusual!r}: must be True or False")
        for name, curve, _ in self._curves():
            check_values(name, curve, self.g_min, self.g_max, negative=name.endswith("offset"))
        if self.current_voltage is not None:
            self._check_currents(self.current_voltage)
        if not self.unusual:
            self._question()

    def _check_currents(self, model: CurrentVoltage) -> None:
        """Raise `ParameterError` unless cells of the range carry a current along the read voltage."""
        at = np.linspace(self.g_min, self.g_max, 65)
        try:
            found = np.asarray(model.current(at, self.read_voltage), np.float64)
        except ParameterError:
            raise
        except Exception as error:  # a class of one's own may raise anything
            raise ParameterError(
                f"current_voltage={model!r}: {type(error).__name__} at {self.read_voltage:g} V: {error}"
            ) from error
        if found.shape != at.shape:
            raise ParameterError(
                f"current_voltage={model!r}: gave shape {found.shape} for {at.size} cells; must be a current for each"
            )
        bad = ~(np.isfinite(found) & (found >= 0)) | ((at > 0) & (found == 0))
        if bad.any():
            raise ParameterError(
                f"current_voltage={model!r}: a cell of {at[bad][0]:g} uS carries {found[bad][0]:g} uA at "
                f"read_voltage={self.read_voltage!r} V; must be above zero"
            )

    def _question(self) -> None:
        """Raise `ParameterError` where a number of a device is one that no cell is known to have."""
        for name, value, reason in self._odd():
            raise ParameterError(f"device {self.name!r}: {name}={value!r}: {reason} {MEANT}")

    def _odd(self) -> Iterator[tuple[str, object, str]]:
        """Return the numbers that are odd: name, value, and why."""
        single = [("g_max", self.g_max, CONDUCTANCE), ("read_voltage", self.read_voltage, VOLTAGE)]
        if isinstance(self.programming, FormedNoise):
            single.append(("programming.average", self.programming.average, CONDUCTANCE))
        if self.read_noise is not None and self.read_noise.read_time is not None:
            single.append(("read_noise.read_time", self.read_noise.read_time, READ_TIME))
        if isinstance(self.drift, PowerLawDrift):
            single.append(("drift.reference_time", self.drift.reference_time, TIME))
        highest = getattr(self.current_voltage, "highest_voltage", None)
        if highest is not None:
            single.append(("current_voltage.highest_voltage", highest, VOLTAGE))
        energy = getattr(self.drift, "activation_energy", None)
        if energy is not None:
            single.append(("drift.activation_energy", energy, ENERGY))
        for name, value, quantity in single:
            if reason := suspicion(value, quantity):
                yield name, value, reason
        shares = {"spread": self.spread, "flicker.deviation": getattr(self.flicker, "deviation", 0.0)}
        for name, share in shares.items():
            if share > 1:
                yield name, share, "relative to the conductance, so that 1 is all of it; is it in per cent?"
        top, units = self.g_max, f"cells have up to {self.g_max:g} uS; is it in S, or nS?"
        if self.verify is not None and not 1e-6 * top <= self.verify.tolerance <= top:
            why = f"no cell of up to {top:g} uS is met so well; is it in S?"
            if self.verify.tolerance > top:
                why = f"no cell of 0 to {top:g} uS is off by more; is it in nS?"
            yield "verify.tolerance", self.verify.tolerance, why
        bent = self.current_voltage
        if isinstance(bent, LogarithmicPolynomial) and not (bent.high >= 1e-3 * top and bent.low <= 1e3 * top):
            yield "current_voltage", f"{bent.low:g} to {bent.high:g} uS", units
        for name, curve, unit in self._curves():
            if isinstance(curve, Table):
                low, high = curve.conductances[0], curve.conductances[-1]
                if 0 < high < 1e-5 * top or low > 20 * top:
                    yield name, f"Table, {low:g} to {high:g} uS", units
            largest = _largest(curve, self.g_min, top)
            if largest is not None and largest > (10 * top if unit == "uS" else 1):
                yield name, largest, _LARGE[unit]

    def _curves(self) -> Iterator[tuple[str, Curve, str]]:
        """Return the curves of a device by name, and what their values are: uS, an exponent, or relative."""
        if isinstance(self.programming, ProgrammingNoise):
            yield "programming.deviation", self.programming.deviation, "uS"
            if self.programming.offset is not None:
                yield "programming.offset", self.programming.offset, "uS"
        if self.read_noise is not None:
            yield "read_noise.curve", self.read_noise.curve, "" if self.read_noise.relative else "uS"
        if isinstance(self.drift, PowerLawDrift):
            yield "drift.mean", self.drift.mean, "exponent"
            yield "drift.deviation", self.drift.deviation, "exponent"

    @classmethod
    def from_measurements(
        cls,
        path: str | Path | Sequence[str | Path],
        *,
        name: str | None = None,
        g_min: float | None = None,
        g_max: float | None = None,
        reference_time: float | None = None,
        bins: int = 24,
        unusual: bool = False,
        **others: Any,
    ) -> Device:
        """Return a device with the statistics of measurements.

        A table is a CSV file with a header, of one of two kinds:

        ``target_uS,measured_uS`` with optional ``time_s``, ``read`` and ``device``
            Programmed cells. Mean and sd of the error at the first time become the programming noise, by target and
            with straight lines between. With two or more times, each cell is fitted by a power law, and mean and sd of
            the exponents become the drift. With repeated reads (numbered in ``read``), their sd becomes the read noise,
            and is taken off the programming noise. Rows of one cell are known by ``device``; without it, each block of
            equal target, time and read must list the same cells in the same order. No cell may be there twice at one
            target, time and read.
        ``voltage_V,current_uA`` with optional ``device``, ``state`` and ``read``
            Sweeps: the current as a polynomial in the voltage, and the range of conductances. The states of a device
            that switches, such as ``low`` and ``high``, are told apart in ``state``, and each has a conductance of its
            own; sweeps of one state that were repeated are numbered in ``read``. With both tables, the conductances of
            the first kind count as those about zero volt.

        Parameters
        ----------
        path : path or sequence of paths
            One table, or one of each kind.
        name : str, optional
            Default: name of the first file.
        g_min, g_max : float, optional
            uS; default: the outermost targets, or conductances of the sweeps.
        reference_time : float, optional
            Seconds t0 between programming and the first time of the table. Default: that time itself, which must then
            count from programming and be above zero.
        bins : int
            Most ranges of targets; targets that repeat are ranges of their own up to this number.
        unusual : bool
            Take numbers that no cell is known to have, such as conductances of picosiemens, cells that miss their
            targets a hundredfold, and sweeps that are no one curve. Without it they are taken for another unit than the
            header says, or for a loop through several states, and refused.
        **others
            Further fields of `Device`, such as ``read_voltage`` or ``stuck_on``.

        Raises
        ------
        DataError
            Something is wrong with a table; the message names file, line, column and value.
        ParameterError
            An argument has a value that is not allowed.
        """
        for key in others:
            if key not in {field.name for field in dataclasses.fields(cls)}:
                raise ParameterError(f"{key}={others[key]!r}: a device has no such field")
        found = measured_fields(
            path, name=name, g_min=g_min, g_max=g_max, reference_time=reference_time, bins=bins, unusual=unusual
        )
        return cls(**{**found, **others})

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that this device has, of `STAGES`."""
        return tuple(
            stage for stage, off in _FIELDS.items() if any(getattr(self, key) != value for key, value in off.items())
        )

    @property
    def step(self) -> float | None:
        """Distance between levels in uS; None without levels."""
        return None if self.levels is None else (self.g_max - self.g_min) / (self.levels - 1)

    def only(self, *stages: str) -> Device:
        """Return the same device with just these stages (see `STAGES`) and the others off."""
        _check_stages(stages)
        return self.without(*(stage for stage in STAGES if stage not in stages))

    def without(self, *stages: str) -> Device:
        """Return the same device with these stages (see `STAGES`) off."""
        _check_stages(stages)
        off = {key: value for stage in stages for key, value in _FIELDS[stage].items()}
        return dataclasses.replace(self, **off)

    def nearest(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the programmable conductance (uS) nearest to each target."""
        return nearest_levels(targets, self.levels, self.g_min, self.g_max)

    def describe(self) -> str:
        """Return what the device is made of, a line a stage, and where the numbers are from."""
        lines = [f"{self.name}: {self.g_min:g} to {self.g_max:g} uS, read at {self.read_voltage:g} V"]
        texts = {
            "levels": f"{self.levels}, {self.step or 0:g} uS apart",
            "spread": f"lasting gain of a cell, log-normal, 1 +- {self.spread:g}, on what programming aims at",
            "stuck": f"{self.stuck_on:g} of cells at g_max, {self.stuck_off:g} at g_min",
        }
        for stage in STAGES:
            model = getattr(self, stage, None)
            if stage not in self.stages:
                text = "off"
            elif stage in texts:
                text = texts[stage]
            else:
                assert model is not None
                text = model.describe()
            lines.append(f"  {stage.replace('_', ' ')}: {text}")
        lines.append(f"  source: {self.source or 'not stated'}")
        return "\n".join(lines)


_KINDS: dict[str, tuple[type, ...]] = {
    "programming": (ProgrammingNoise, FormedNoise),
    "verify": (WriteVerify,),
    "read_noise": (ReadNoise,),
    "flicker": (Flicker,),
    "drift": (Drift,),
    "current_voltage": (CurrentVoltage,),
}


def shown(value: object) -> str:
    """Return what an error says of a value: a device by its name, for in full it would fill the screen."""
    return f"Device {value.name!r}" if isinstance(value, Device) else repr(value)


def _largest(curve: Curve, low: float, high: float) -> float | None:
    """Return the largest size of the values of a curve, where that is seen without compiling anything."""
    if isinstance(curve, Table):
        return max(map(abs, curve.values))
    if isinstance(curve, Polynomial):
        return float(np.abs(horner(curve.coefficients, np.linspace(low, high, 65) / curve.reference)).max())
    return None


def _check_stages(stages: tuple[str, ...]) -> None:
    for stage in stages:
        one_of("stage", stage, STAGES)
