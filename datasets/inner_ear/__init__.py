"""An inner ear: sound to spikes."""
