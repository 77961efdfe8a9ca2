"""Published files: what there is, fetching it, unpacking it."""
