"""The loop over epochs: train, evaluate, checkpoints, history."""
