"""What leaky membranes share: leak, currents, resets, silent ticks."""
