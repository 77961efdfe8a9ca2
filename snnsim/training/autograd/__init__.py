"""The slow, obvious engine: one tick after another under autograd."""
