"""One call of a network: what it is given, lists of spikes, threads, buffers."""
