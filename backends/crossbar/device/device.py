"""A memory cell as values: range, and each imperfection on its own.

Units: conductance in microsiemens (uS), voltage in volt, time in seconds, temperature in kelvin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.device.current_voltage import CurrentVoltage
from snnsim.backends.crossbar.device.curves import check_values
from snnsim.backends.crossbar.device.drift import Drift
from snnsim.backends.crossbar.device.flicker_noise import Flicker
from snnsim.backends.crossbar.device.plausible_ranges import curves_of, question
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
        for name, curve, _ in curves_of(self):
            check_values(name, curve, self.g_min, self.g_max, negative=name.endswith("offset"))
        if self.current_voltage is not None:
            self._check_currents(self.current_voltage)
        if not self.unusual:
            question(self)

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

    @classmethod
    def from_measurements(cls, path: str | Path | Sequence[str | Path], **options: Any) -> Device:
        """Return a device with the statistics of tables of measurements; see `measurements.from_measurements`."""
        from snnsim.backends.crossbar.device.measurements import from_measurements

        return from_measurements(path, **options)

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


def _check_stages(stages: tuple[str, ...]) -> None:
    for stage in stages:
        one_of("stage", stage, STAGES)
