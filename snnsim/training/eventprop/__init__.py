"""EventProp with delays: exact gradients from the times of spikes."""
