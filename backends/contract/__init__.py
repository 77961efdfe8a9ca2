"""What a backend is: the program, its requests, state, layout, inputs, capabilities."""
