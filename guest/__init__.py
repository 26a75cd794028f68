"""Guests: the irrigation modules, their ABI, and what builds, inspects and runs them."""
