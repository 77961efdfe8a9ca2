"""Reading an array: sums of rows, noise, converters."""
