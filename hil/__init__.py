"""The link to a device: frames, messages, lockstep, flashing, tests."""
