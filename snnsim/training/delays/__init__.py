"""Projections whose synapses each have a real delay."""
