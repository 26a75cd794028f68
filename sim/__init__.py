"""The plant, its faults, the scenario file, and what runs them."""
