"""The tiers above the node: fog and cloud."""
