"""A tick in NumPy, for the backends reference and crossbar."""
