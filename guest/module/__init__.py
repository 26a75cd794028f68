"""What a guest module is, read without running it."""
