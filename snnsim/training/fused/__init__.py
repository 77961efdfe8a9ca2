"""The compiled engine: a layer at a time, in chunks of ticks or over whole samples."""
