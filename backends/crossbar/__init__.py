"""Resistive-memory crossbars."""
