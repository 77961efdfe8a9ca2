"""Events that come from outside the dynamics: sources, and drives of populations."""
