"""The engine of one long run on several threads and processes."""
