"""Backends: the machines that run a network, behind one contract."""

from snnsim.backends.contract.capabilities import Capabilities as Capabilities
from snnsim.backends.contract.program import Program as Program
from snnsim.backends.contract.requests import RunOutput as RunOutput
from snnsim.backends.contract.requests import RunRequest as RunRequest
from snnsim.backends.contract.state import State as State
from snnsim.backends.registry import compile_network as compile_network
from snnsim.backends.registry import get as get
from snnsim.backends.registry import names as names

__all__ = [
    "Capabilities",
    "Program",
    "RunOutput",
    "RunRequest",
    "State",
    "compile_network",
    "get",
    "names",
]
