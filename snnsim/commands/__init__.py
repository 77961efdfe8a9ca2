"""The parts of the `snnsim` command, one a file; `snnsim.commands.cli` puts them together."""
