"""What a chip in the loop must be able to do: be programmed, be read, and say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DeviceError, ParameterError, whole

#: Version of this protocol, of traces and of the wire format; it is raised when an old partner would misunderstand.
PROTOCOL_VERSION = 1
#: Units of everything that crosses the protocol.
UNITS: Mapping[str, str] = {"conductance": "uS", "current": "uA", "full_scale": "uA"}

#: A device may leave cells alone whose target is NaN, take a full scale, take keys of its noise, age.
CAPABILITIES = ("partial_programming", "full_scale", "keys", "aging")

Floats = NDArray[np.float64]
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
        Physical cells of a tile; a read gives ``columns // 2`` currents, one a differential pair.
    tiles : int or None
        Number of tiles; None where a tile is there as soon as it is programmed.
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

    @property
    def outputs(self) -> int:
        """Currents that a read gives for a vector."""
        return self.columns // 2

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        return asdict(self) | {"units": dict(self.units), "capabilities": list(self.capabilities)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Status:
        """Return what `as_dict` gave, checked.

        Raises
        ------
        DeviceError
            A value is missing or impossible, or version or units are not those spoken here.
        """
        try:
            tiles = values["tiles"]
            status = cls(
                str(values["name"]),
                whole("rows", values["rows"], at_least=1),
                whole("columns", values["columns"], at_least=2),
                None if tiles is None else whole("tiles", tiles, at_least=1),
                whole("protocol", values["protocol"], at_least=1),
                {str(key): str(unit) for key, unit in values["units"].items()},
                tuple(str(one) for one in values["capabilities"]),
            )
        except (KeyError, TypeError, AttributeError, ParameterError) as error:
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
            Conductances to reach, in uS; NaN leaves a cell as it is.
        full_scale : float or ndarray of float64, shape (columns // 2,), optional
            Current at which the converters of the tile saturate, in uA; None lets the device choose.
        """

    def read(self, tile: int, offsets: Integers, rows: Integers, keys: Keys | None = None) -> Floats:
        """Read a tile with lists of active rows.

        Parameters
        ----------
        tile : int
        offsets : ndarray of int64, shape (vectors + 1,)
            Vector ``i`` switches on the rows ``rows[offsets[i]:offsets[i + 1]]``.
        rows : ndarray of int64
        keys : ndarray of uint64, shape (vectors,), optional
            Key of the read noise of each vector, for devices whose noise is computed; None lets the device draw.

        Returns
        -------
        ndarray of float64, shape (vectors, columns // 2)
            Current of the plus column less that of the minus column of each pair, in uA.
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
