"""The machine: cores, memory, processes, progress; tables of text."""
