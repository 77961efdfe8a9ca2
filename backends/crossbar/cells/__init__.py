"""What a chip calls: programming the cells of a tile, and what reads find in them later."""

from snnsim.backends.crossbar.cells.programming import program as program
from snnsim.backends.crossbar.cells.reading import acted_seconds as acted_seconds
from snnsim.backends.crossbar.cells.reading import conductance_at as conductance_at
from snnsim.backends.crossbar.cells.reading import effective_conductance as effective_conductance
from snnsim.backends.crossbar.cells.reading import flicker as flicker
from snnsim.backends.crossbar.cells.reading import read_variance as read_variance
from snnsim.backends.crossbar.cells.state import CellState as CellState

__all__ = [
    "CellState",
    "acted_seconds",
    "conductance_at",
    "effective_conductance",
    "flicker",
    "program",
    "read_variance",
]
