"""One tick of the neurons of a population."""
