"""Learning rules, and what they minimise."""
