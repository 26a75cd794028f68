"""A private authority: who may speak at the broker, and as whom."""
