"""What of a network is learned, and its values."""
