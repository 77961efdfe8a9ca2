"""Resistive crossbars: cells, wires, converters, and the reads of them."""
