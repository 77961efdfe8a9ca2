"""A driver whose requests and answers are checked."""

from __future__ import annotations

from snnsim.backends.crossbar.chip.failures import asking, status_of
from snnsim.backends.crossbar.chip.geometry import Geometry, plain_scale
from snnsim.backends.crossbar.chip.protocol import Integers, Keys, LoopDevice, Status
from snnsim.backends.crossbar.number_checks import Floats


class Checked:
    """A device whose requests and answers are checked, for drivers that do not check themselves.

    Parameters
    ----------
    device : LoopDevice

    Raises
    ------
    DeviceError
        The device speaks another version or other units; later, an answer that cannot be true, or whatever the driver
        raised, which is its cause.
    """

    def __init__(self, device: LoopDevice) -> None:
        self.device = device
        self._geometry = Geometry(status_of(device))

    def program(self, tile: int, targets: Floats, full_scale: float | Floats | None = None) -> None:
        """Program a tile; see `LoopDevice.program`."""
        tile, wanted, scale = self._geometry.program(tile, targets, full_scale)
        self._geometry.programming(tile)
        with asking(f"{self._name}, program of tile {tile}"):
            self.device.program(tile, wanted, plain_scale(scale))
        self._geometry.programmed(tile, wanted)

    def read(self, tile: int, offsets: Integers, rows: Integers, keys: Keys | None = None) -> Floats:
        """Read a tile; see `LoopDevice.read`."""
        tile, bounds, active, own = self._geometry.read(tile, offsets, rows, keys)
        with asking(f"{self._name}, read of tile {tile} with {bounds.size - 1} vectors"):
            answer = self.device.read(tile, bounds, active, own)
        return self._geometry.currents(tile, bounds.size - 1, answer)

    def status(self) -> Status:
        """Return what the device is."""
        return status_of(self.device)

    @property
    def _name(self) -> str:
        return f"{type(self.device).__name__} {self._geometry.status.name!r}"
