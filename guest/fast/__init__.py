"""The fast path: host calls and steps as compiled code over arrays."""
