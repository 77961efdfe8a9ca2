"""Kinds of memory cells, measured or published."""
