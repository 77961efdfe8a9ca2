"""Numbers: random, in equal bits everywhere, and how kernels are compiled."""
