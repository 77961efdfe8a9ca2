"""The version of snnsim."""

__version__ = "0.1.0"
