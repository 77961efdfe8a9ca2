"""What a chip is made of: cells, wires, converters, and the stages that can be switched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.array_read.converter import ADC, Converters
from snnsim.backends.crossbar.array_read.dac import DAC
from snnsim.backends.crossbar.device.device import STAGES as DEVICE_STAGES
from snnsim.backends.crossbar.device.device import Device
from snnsim.backends.crossbar.device.presets import ideal
from snnsim.backends.crossbar.number_checks import settle_numbers
from snnsim.backends.crossbar.wires.resistances import Wires
from snnsim.errors import CapabilityError, ParameterError, whole

#: What can be switched on or off one by one.
STAGES = (*DEVICE_STAGES, "wires", "adc", "adc_spread", "dac")


@dataclass(frozen=True)
class ChipConfig:
    """What a chip is made of.

    Parameters
    ----------
    device : Device
        The cells; default ideal ones.
    wires : Wires, optional
        Resistance of rows and columns; default none.
    adc : ADC, optional
        Default currents are taken as they are.
    rows, columns : int
        Cells of an array; a differential pair takes two columns. 512 x 512 is a macro of 256 Kb.
    dac : DAC, optional
        What drives the rows for real values (`snnsim.Frames`); default voltages are as exact as the values, of which 1
        is the read voltage. Spikes need none: a row is on or off.
    """

    device: Device = field(default_factory=ideal)
    wires: Wires | None = None
    adc: ADC | None = None
    rows: int = 512
    columns: int = 512
    dac: DAC | None = None

    def __post_init__(self) -> None:
        settle_numbers(self)
        for name, kind in (("device", Device), ("wires", Wires), ("adc", ADC), ("dac", DAC)):
            value = getattr(self, name)
            if not (isinstance(value, kind) or (value is None and name != "device")):
                raise ParameterError(f"ChipConfig: {name}={value!r}: expected {kind.__name__}")
        whole("ChipConfig: rows", self.rows, at_least=1)
        whole("ChipConfig: columns", self.columns, at_least=2)
        if self.columns % 2:
            raise ParameterError(f"ChipConfig: columns={self.columns}: must be even, a pair of cells takes two")
        adc, device = self.adc, self.device
        if adc is not None and adc.full_scale is not None:
            cell = (device.g_max - device.g_min) * device.read_voltage
            if 1000 * adc.full_scale < cell:
                raise ParameterError(
                    f"ChipConfig: adc full_scale={adc.full_scale!r} uA: one cell alone gives up to {cell:.3g} uA; is "
                    "it in mA, or A?"
                )
            most = self.rows * cell
            # Bent cells may carry some times as much.
            if adc.full_scale / adc.largest_code > 20 * most:
                raise ParameterError(
                    f"ChipConfig: adc full_scale={adc.full_scale!r} uA: all codes would be 0, for one stands for "
                    f"{adc.full_scale / adc.largest_code:.3g} uA, and all {self.rows} rows together give {most:.3g}; "
                    "is it in nA?"
                )

    def only(self, *stages: str) -> ChipConfig:
        """Return the same chip with all stages off but these (of `STAGES`)."""
        self._check(stages)
        return self.without(*(stage for stage in STAGES if stage not in stages))

    def without(self, *stages: str) -> ChipConfig:
        """Return the same chip with some stages off."""
        self._check(stages)
        changes: dict[str, Any] = {}
        of_device = [stage for stage in stages if stage in DEVICE_STAGES]
        if of_device:
            changes["device"] = self.device.without(*of_device)
        if "wires" in stages:
            changes["wires"] = None
        if "dac" in stages:
            changes["dac"] = None
        if "adc" in stages:
            changes["adc"] = None
        elif "adc_spread" in stages and self.adc is not None:
            changes["adc"] = replace(self.adc, offset_spread=0.0, gain_spread=0.0)
        return replace(self, **changes)

    def check_targets(self, tile: int, targets: NDArray[np.float64]) -> None:
        """Raise `ParameterError` unless a tile may be programmed to these conductances."""
        most = (self.rows, self.columns)
        good = targets.ndim == 2 and 0 < targets.shape[0] <= most[0] and 0 < targets.shape[1] <= most[1]
        if not good or targets.shape[1] % 2:
            raise ParameterError(
                f"tile {tile}: targets have shape {targets.shape}, expected at most {most}, with an even number of "
                "columns"
            )
        device = self.device
        low, high = device.g_min * (1 - 1e-9), device.g_max * (1 + 1e-9)
        bad = np.argwhere(~(((targets >= low) & (targets <= high)) | np.isnan(targets)))
        if bad.size:
            row, column = bad[0]
            raise ParameterError(
                f"tile {tile}: target of cell ({row}, {column}) is {targets[row, column]:g} uS; "
                f"{device.name} takes {device.g_min:g} to {device.g_max:g} uS"
            )

    def check_levels(self) -> None:
        """Raise `CapabilityError` where rows at voltages of their own are not modelled: of wires, some."""
        if self.wires is None:
            return
        if self.wires.unselected == "gated":
            raise CapabilityError(
                "backend 'crossbar': Frames put rows at voltages of their own, and Wires(unselected='gated') are "
                "solved for rows that are on or off; use unselected='grounded', config.without('wires'), or keep the "
                "projection off the chip with Mapping(digital=...)"
            )
        if self.device.current_voltage is not None:
            raise CapabilityError(
                "backend 'crossbar': Frames put rows at voltages of their own, and wires are then solved for cells "
                "whose current is in proportion to it; use config.without('wires') or without('current_voltage'), or "
                "keep the projection off the chip with Mapping(digital=...)"
            )

    def converters(self, tile: int, outputs: int, full_scale: Any, seed: int) -> Converters | None:
        """Return the converters of a tile of the chip with that seed."""
        adc = self.adc
        if adc is None:
            return None
        scale = full_scale if adc.full_scale is None else adc.full_scale
        if scale is None:
            raise ParameterError(
                f"tile {tile}: full_scale is missing; ADC(full_scale=...) or program(..., full_scale=...)"
            )
        return adc.converters(scale, outputs, seed=seed, tile=tile)

    @staticmethod
    def _check(stages: Iterable[str]) -> None:
        for stage in stages:
            if not isinstance(stage, str) or stage not in STAGES:
                raise ParameterError(f"stage {stage!r} is not known; there are: {', '.join(STAGES)}")
