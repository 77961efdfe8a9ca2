"""What a chip in the loop must be able to do: be programmed, be read, and say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.number_checks import Floats, settle_numbers
from snnsim.errors import DeviceError, ParameterError, positive, whole

#: Version of this protocol, of traces and of the wire format; it is raised when an old partner would misunderstand.
PROTOCOL_VERSION = 1
#: Units of everything that crosses the protocol.
UNITS: Mapping[str, str] = {"conductance": "uS", "current": "uA", "full_scale": "uA", "read_voltage": "V"}

#: A device may leave cells alone whose target is NaN, take a full scale, take keys of its noise, age.
CAPABILITIES = ("partial_programming", "full_scale", "keys", "aging")

_NUMBERS = ("g_min", "g_max", "read_voltage")

Integers = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Status:
    """What a device says of itself.

    Parameters
    ----------
    name : str
        Which device it is, for people and traces.
    rows, columns : int
        Physical cells of a tile, which holds ``columns // 2`` differential pairs.
    tiles : int or None
        Number of tiles; None where a tile is there as soon as it is programmed.
    g_min, g_max : float
        Range of conductance of a cell, in uS.
    read_voltage : float
        Of an active row, in volt.
    protocol : int
        Version that the device speaks.
    units : dict of str to str
        Of conductances, currents and full scales; others than `UNITS` are refused, not converted.
    capabilities : tuple of str
        Out of `CAPABILITIES`; more may be named.
    """

    name: str
    rows: int
    columns: int
    tiles: int | None = None
    g_min: float = 0.0
    g_max: float = 1.0
    read_voltage: float = 1.0
    protocol: int = PROTOCOL_VERSION
    units: Mapping[str, str] = field(default_factory=lambda: dict(UNITS))
    capabilities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settle_numbers(self)
        if not isinstance(self.name, str):
            raise ParameterError(f"Status: name={self.name!r}: must be a text")
        least = {"rows": 1, "columns": 2, "protocol": 1} | ({} if self.tiles is None else {"tiles": 1})
        for name, at_least in least.items():
            whole(f"Status: {name}", getattr(self, name), at_least=at_least)
        positive("Status: g_min", self.g_min, zero=True)
        positive("Status: g_max", self.g_max)
        positive("Status: read_voltage", self.read_voltage)
        if self.g_min >= self.g_max:
            raise ParameterError(f"Status: g_min={self.g_min!r}: must be below g_max={self.g_max!r}")
        if not isinstance(self.units, Mapping):
            raise ParameterError(f"Status: units={self.units!r}: must be a dict of quantities to units")
        given: Any = self.capabilities
        if not isinstance(given, tuple | list) or not all(isinstance(one, str) for one in given):
            raise ParameterError(f"Status: capabilities={given!r}: must be names, such as {CAPABILITIES}")

    @property
    def outputs(self) -> int:
        """Most currents that a read gives for a vector."""
        return self.columns // 2

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        plain = {"units": dict(self.units), "capabilities": list(self.capabilities)}
        return asdict(self) | {name: float(getattr(self, name)) for name in _NUMBERS} | plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Status:
        """Return what `as_dict` gave, checked.

        Raises
        ------
        DeviceError
            A value is missing or impossible, or version or units are not those spoken here.
        """
        try:
            tiles, numbers = values["tiles"], {name: float(values[name]) for name in _NUMBERS}
            status = cls(
                str(values["name"]),
                whole("rows", values["rows"], at_least=1),
                whole("columns", values["columns"], at_least=2),
                None if tiles is None else whole("tiles", tiles, at_least=1),
                **numbers,
                protocol=whole("protocol", values["protocol"], at_least=1),
                units={str(key): str(unit) for key, unit in values["units"].items()},
                capabilities=tuple(str(one) for one in values["capabilities"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DeviceError(f"the status of the device cannot be read: {error}", kind="answer") from error
        check_status(status)
        return status


@runtime_checkable
class LoopDevice(Protocol):
    """A crossbar chip: simulated, recorded, or at the other end of a wire."""

    def program(self, tile: int, targets: Floats, full_scale: float | Floats | None = None) -> None:
        """Program the cells of a tile.

        Parameters
        ----------
        tile : int
        targets : ndarray of float64, shape (rows, columns)
            Conductances to reach, in uS, in the first rows and columns of the tile: at most as many as it has, and an
            even number of columns, of which each two are a differential pair. NaN leaves a cell as it is. Rows and
            columns that are not given are not used until the tile is programmed again.
        full_scale : float or ndarray of float64, shape (columns // 2,), optional
            Current at which the converters of the tile saturate, in uA; None lets the device choose.
        """

    def read(self, tile: int, offsets: Integers, rows: Integers, keys: Keys | None = None) -> Floats:
        """Read a tile with lists of active rows.

        Parameters
        ----------
        tile : int
        offsets : ndarray of int64, shape (vectors + 1,)
            Vector ``i`` switches on the rows ``rows[offsets[i]:offsets[i + 1]]``, each once.
        rows : ndarray of int64
        keys : ndarray of uint64, shape (vectors,), optional
            Key of the read noise of each vector, for devices whose noise is computed; None lets the device draw.

        Returns
        -------
        ndarray of float64, shape (vectors, columns // 2)
            Current of the plus column less that of the minus column of each pair that was programmed, in uA.
        """

    def status(self) -> Status:
        """Return what the device is."""


def check_status(status: Status) -> None:
    """Raise `DeviceError` where a device speaks another version, or other units, than are spoken here."""
    if status.protocol != PROTOCOL_VERSION:
        raise DeviceError(
            f"device {status.name!r} speaks version {status.protocol} of the protocol, this snnsim version "
            f"{PROTOCOL_VERSION}; update the older of the two",
            kind="version",
        )
    for quantity, unit in UNITS.items():
        if status.units.get(quantity) != unit:
            raise DeviceError(
                f"device {status.name!r} gives {quantity} in {status.units.get(quantity)!r}; expected {unit!r}",
                kind="answer",
            )
