"""Backends: the machines that run a network, behind one contract."""

from snnsim.backends.base import Capabilities as Capabilities
from snnsim.backends.base import Program as Program
from snnsim.backends.base import RunOutput as RunOutput
from snnsim.backends.base import RunRequest as RunRequest
from snnsim.backends.base import State as State
from snnsim.backends.registry import compile_network as compile_network
from snnsim.backends.registry import get as get
from snnsim.backends.registry import names as names
