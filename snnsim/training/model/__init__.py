"""The trainable network: calls, export, memory."""
