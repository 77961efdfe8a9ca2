"""Currents of a crossbar whose wires have resistance."""
