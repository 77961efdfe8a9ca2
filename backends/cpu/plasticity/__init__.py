"""Plastic synapses of a long run."""
