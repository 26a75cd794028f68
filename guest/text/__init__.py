"""Text from outside, made safe to read, show and log."""
