"""The store: what came from the field, and how it is read."""
