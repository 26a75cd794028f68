"""The tiers above the node: fog, cloud, the links between them, and all of it in simulated time."""
