"""Chips in training: in the loop, or as noise."""
