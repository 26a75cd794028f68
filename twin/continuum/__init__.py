"""The tiers above the node: fog and cloud, and what they share."""
