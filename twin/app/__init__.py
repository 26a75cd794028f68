"""The page of the live twin: what the soil does, what device and twin decide, where they differ."""
