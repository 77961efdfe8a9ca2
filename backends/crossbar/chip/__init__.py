"""Chips: what one must be able to do, and a simulated one."""
