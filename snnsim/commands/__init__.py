"""The parts of the `snnsim` command, one a file; `snnsim.cli` puts them together."""
