"""A space that two modalities share."""
