"""Resistive-memory crossbars: device models, wires, converters, and the chip that a network runs on."""
