"""What the arithmetic of neurons may call, how it is tried, and the numbers of those that have a closed form."""
