"""Numba, event-driven, all cores."""
