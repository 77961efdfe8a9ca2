"""The engine of many short recordings."""
