"""Files: HDF5 and JSON, whole or not there at all."""
