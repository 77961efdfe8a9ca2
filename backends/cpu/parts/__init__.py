"""A network laid out in parts, one a thread."""
