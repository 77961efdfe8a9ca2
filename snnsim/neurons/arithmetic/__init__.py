"""Arithmetic of models: functions for arrays, tensors and compiled code, and how it is tried with symbols."""
