"""Hardware in the loop: what a chip must be able to do, traces of it, and a chip at the other end of a socket."""

from snnsim.backends.crossbar.chip.protocol import PROTOCOL_VERSION as PROTOCOL_VERSION
from snnsim.backends.crossbar.chip.protocol import LoopDevice as LoopDevice
from snnsim.backends.crossbar.chip.protocol import Status as Status
from snnsim.backends.crossbar.loop.checked import Checked as Checked
from snnsim.backends.crossbar.loop.client import TcpDevice as TcpDevice
from snnsim.backends.crossbar.loop.comparison import CurrentComparison as CurrentComparison
from snnsim.backends.crossbar.loop.comparison import compare_currents as compare_currents
from snnsim.backends.crossbar.loop.recorder import Recorder as Recorder
from snnsim.backends.crossbar.loop.replay import Replay as Replay
from snnsim.backends.crossbar.loop.server import DeviceServer as DeviceServer
from snnsim.backends.crossbar.loop.server import serve as serve

__all__ = [
    "PROTOCOL_VERSION",
    "Checked",
    "CurrentComparison",
    "DeviceServer",
    "LoopDevice",
    "Recorder",
    "Replay",
    "Status",
    "TcpDevice",
    "compare_currents",
    "serve",
]
