"""Devices, wires and converters as plain dictionaries of numbers and texts, to be stored and read again."""

from __future__ import annotations

import dataclasses
from typing import Any

from snnsim.backends.crossbar.array_read.converter import ADC
from snnsim.backends.crossbar.array_read.dac import DAC
from snnsim.backends.crossbar.device import curves, drift
from snnsim.backends.crossbar.device.current_voltage import LogarithmicPolynomial, RelativePolynomial
from snnsim.backends.crossbar.device.device import Device
from snnsim.backends.crossbar.device.flicker_noise import Flicker
from snnsim.backends.crossbar.device.programming import FormedNoise, ProgrammingNoise, WriteVerify
from snnsim.backends.crossbar.device.read_noise import ReadNoise
from snnsim.backends.crossbar.wires.resistances import Wires
from snnsim.errors import DataError, ParameterError

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Device,
        ProgrammingNoise,
        FormedNoise,
        WriteVerify,
        ReadNoise,
        Flicker,
        drift.PowerLawDrift,
        drift.LogarithmicDrift,
        RelativePolynomial,
        LogarithmicPolynomial,
        curves.Polynomial,
        curves.ClippedLogarithm,
        curves.ClippedPower,
        curves.Saturation,
        curves.Table,
        ADC,
        DAC,
        Wires,
    )
}


def to_dictionary(part: Any) -> dict[str, Any]:
    """Return a device, or a part of one, as nested dictionaries that `json.dumps` takes.

    Raises
    ------
    ParameterError
        It has a part of a class of one's own, which could not be read again.
    """
    if _KINDS.get(type(part).__name__) is not type(part):
        raise ParameterError(f"{part!r}: only the models of snnsim can be stored; known are {', '.join(_KINDS)}")
    stored: dict[str, Any] = {"kind": type(part).__name__}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            stored[field.name] = to_dictionary(value)
        else:
            stored[field.name] = list(value) if isinstance(value, tuple) else value
    return stored


def from_dictionary(stored: dict[str, Any]) -> Any:
    """Return the device, or the part of one, that `to_dictionary` made a dictionary of.

    Raises
    ------
    DataError
        It is not such a dictionary.
    """
    if not isinstance(stored, dict) or stored.get("kind") not in _KINDS:
        raise DataError(f"{stored!r}: is no stored device; 'kind' must be one of {', '.join(_KINDS)}")
    kind = _KINDS[stored["kind"]]
    values: dict[str, Any] = {}
    for name, value in stored.items():
        if name == "kind":
            continue
        if isinstance(value, dict):
            values[name] = from_dictionary(value)
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except (TypeError, ParameterError) as error:
        raise DataError(f"stored {stored['kind']} cannot be read: {error}") from error
