"""A simulated event camera."""
