"""snnsim: describe a spiking network once; train it; run it event-driven on any backend."""

__version__ = "0.1.0"

from snnsim.events import Events as Events
