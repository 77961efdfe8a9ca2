"""A network laid out on the tiles of a chip."""
