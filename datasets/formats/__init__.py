"""Files of recordings, one format a file."""
