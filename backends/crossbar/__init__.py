"""Simulated chips of resistive-memory crossbars: cells, wires, converters, and networks mapped onto them."""
